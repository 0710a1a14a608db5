"""`who` and `whoami`."""

from thesan.core.model.identity import Identity
from thesan.roles.mgm.admin.context import Session

BOB = Identity(uid=1001, gid=100, gids=(100,), name="bob", prot="unix", host="client2", app="cp")
FST = Identity(uid=2, gid=2, gids=(2,), name="fst1:1095", prot="thk", host="fst1", daemon="fst")


def test_sessions_by_protocol_by_user_and_one_by_one(mgm, alice):
    mgm.open_sessions = [
        Session(alice, 1.5, 10, "alice"),
        Session(BOB, 61.0, 11, "bob"),
        Session(alice, 0.0, 12, "alice"),
        Session(FST, 0.2, 13, "daemon"),
    ]
    records = mgm.do("who").records
    assert records[:2] == [{"auth": "thk", "nsessions": 1}, {"auth": "unix", "nsessions": 3}]
    assert [(one["uid"], one["user"], one["nsessions"]) for one in records[2:5]] == [
        (2, "2", 1),
        (1000, "alice", 2),
        (1001, "bob", 1),
    ]
    assert records[6] == {
        "client": "bob@client2",
        "uid": 1001,
        "auth": "unix",
        "idle": 61,
        "gateway": "",
        "app": "cp",
        "daemon": "",
    }
    assert records[8]["daemon"] == "fst"
    assert records[-1] == {"nclients": 4}


def test_people_see_from_where_they_came_and_nobody_else(mgm, alice):
    mgm.open_sessions = [Session(alice, 0.0, 1, "alice"), Session(BOB, 0.0, 1, "bob")]
    clients = [one["client"] for one in mgm.do("who", identity=alice).records if "client" in one]
    assert clients == ["alice@client1", "***"]


def test_whoami(mgm, alice):
    reply = mgm.do("whoami", identity=alice)
    (record,) = reply.records
    assert list(record)[:6] == ["uid", "uids", "gid", "gids", "authz", "sudo"]
    assert (record["uid"], record["user"], record["group"]) == (1000, "alice", "users")
    assert reply.text == (
        "Virtual Identity: uid=1000 (1000) gid=100 (100) [authz:unix] sudo host=client1"
    )


def test_whoami_of_root(mgm):
    reply = mgm.do("whoami")
    assert reply.records[0]["sudo"] is True
    assert "sudo*" in reply.text
