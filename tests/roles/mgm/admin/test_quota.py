"""`quota` verbs: limits, usage, who sees what."""

import errno

import pytest

from thesan.core.model.identity import Identity
from thesan.core.namespace import ops
from thesan.core.placement.records import SpaceRecord, encode_record

ADM = Identity(uid=3, gid=4, gids=(4,), name="adm", prot="unix")


@pytest.fixture
def full(mgm):
    """/q with quota of alice, and two replicas of 10 bytes of hers in it."""
    mgm.grow(2)
    mgm.folder = mgm.make_directory("q")
    mgm.do("quota set", path="/q", user="alice", bytes="100", files="2")
    mgm.make_file("f", (1, 2), size=10, parent=mgm.folder)
    return mgm


def lines(mgm, **args) -> list[tuple[str, int, int, int]]:
    return [
        (one["kind"], one["id"], one["usedbytes"], one["maxbytes"])
        for one in mgm.do("quota ls", **args).records
    ]


def test_usage_in_eos_keys(full):
    (record,) = full.do("quota ls", path="/q", uid=1000).records
    assert record == {
        "quota": "node",
        "uid": "alice",
        "space": "/q/",
        "usedbytes": 20,
        "usedlogicalbytes": 10,
        "usedfiles": 1,
        "maxbytes": 100,
        "maxlogicalbytes": 100,
        "maxfiles": 2,
        "percentageusedbytes": 20.0,
        "statusbytes": "ok",
        "statusfiles": "ok",
        "kind": "u",
        "id": 1000,
    }
    assert list(record)[:4] == ["quota", "uid", "space", "usedbytes"]
    assert [one.get("gid") for one in full.do("quota ls").records] == ["users", "project", None]


def test_logical_bytes_follow_the_layout(full):
    settings = {"policy.nstripes": "4", "policy.layout": "replica"}
    full.apply(ops.ConfigSet("space", "default", encode_record(SpaceRecord(settings=settings))))
    assert full.do("quota ls", uid=1000).records[0]["maxlogicalbytes"] == 25


def test_states(full):
    def states(**limits: object) -> tuple[str, str]:
        full.do("quota set", path="/q", uid=1000, **limits)
        (record,) = full.do("quota ls", uid=1000).records
        return record["statusbytes"], record["statusfiles"]

    assert states(bytes=21) == ("warning", "ok")
    assert states(bytes=20, files=1) == ("exceeded", "exceeded")
    assert states(bytes=0) == ("exceeded", "exceeded")
    full.do("quota rm", path="/q", uid=1000, bytes=True)
    (record,) = full.do("quota ls", uid=1000).records
    assert (record["statusbytes"], record["maxbytes"]) == ("ignored", 0)
    assert record["maxfiles"] == 1


def test_what_is_not_given_stays(full):
    full.do("quota set", path="/q", uid=1000, files=7)
    (record,) = full.do("quota ls", uid=1000).records
    assert (record["maxbytes"], record["maxfiles"]) == (100, 7)


def test_accounts(full):
    full.do("quota set", path="/q", gid=100, bytes="1M")
    full.do("quota set", path="/q", project=True, bytes="1G")
    full.do("quota set", path="/q", user="1001", bytes="5")
    assert lines(full) == [
        ("g", 100, 20, 10**6),
        ("p", 0, 20, 10**9),
        ("u", 1000, 20, 100),
        ("u", 1001, 0, 5),
    ]
    assert lines(full, gid=100) == [("g", 100, 20, 10**6)]


def test_people_see_their_own(full, alice):
    full.do("quota set", path="/q", uid=1001, bytes="5")
    full.do("quota set", path="/q", gid=77, bytes="5")
    seen = lines(full, identity=alice)
    assert [(kind, number) for kind, number, _, _ in seen] == [("g", 100), ("p", 0), ("u", 1000)]
    assert len(lines(full, identity=ADM)) == 5


@pytest.mark.parametrize(
    ("args", "number", "text"),
    [
        ({"path": "/q", "uid": 1, "bytes": "x"}, errno.EINVAL, "byte count"),
        ({"path": "/q", "uid": 1}, errno.EINVAL, "bytes, files"),
        ({"path": "/q", "bytes": 1}, errno.EINVAL, "one of user"),
        ({"path": "/q", "uid": 1, "gid": 1, "bytes": 1}, errno.EINVAL, "one of user"),
        ({"path": "/q", "project": False, "bytes": 1}, errno.EINVAL, "one of user"),
        ({"path": "/q", "user": "stranger", "bytes": 1}, errno.ENOENT, "no user"),
        ({"path": "/nowhere", "uid": 1, "bytes": 1}, errno.ENOENT, "nowhere"),
        ({"path": "/q/f", "uid": 1, "bytes": 1}, errno.ENOTDIR, "not a directory"),
    ],
)
def test_what_can_t_be_set(full, refused, args, number, text):
    refused(number, text, full.do, "quota set", **args)


def test_limits_and_nodes_are_removed(full, refused):
    refused(errno.ENOENT, "no quota", full.do, "quota rm", path="/q", uid=5)
    full.do("quota rm", path="/q", user="alice")
    assert lines(full, uid=1000) == [("u", 1000, 20, 0)]
    full.do("quota rmnode", path="/q")
    assert lines(full) == []
    refused(errno.ENOENT, "not a quota node", full.do, "quota rmnode", path="/q")
    refused(errno.ENOENT, "no quota node", full.do, "quota ls", path="/q")


def test_who_may(full, refused, alice):
    for command in ("quota set", "quota rm"):
        refused(errno.EPERM, "is for adm", full.do, command, identity=alice, path="/q")
    full.do("quota set", identity=ADM, path="/q", uid=5, bytes=5)
    refused(errno.EPERM, "is for root", full.do, "quota rmnode", identity=ADM, path="/q")


def test_many_nodes_come_in_pages(mgm):
    for number in range(203):
        mgm.make_directory(f"d{number}")
        mgm.do("quota set", path=f"/d{number}", uid=1, bytes=1)
    first = mgm.do("quota ls")
    second = mgm.do("quota ls", page=first.next_page)
    assert len(first.records) == 200
    assert len(second.records) == 3
    assert second.next_page == ""
    assert {one["space"] for one in first.records + second.records} == {
        f"/d{number}/" for number in range(203)
    }
