"""`fs` verbs and the self-registration of FSTs."""

import errno

import pytest

from thesan.core.control.messages import FsRegister
from thesan.core.journal.entry import encode
from thesan.core.model.identity import ROOT, Identity
from thesan.core.model.ids import FSID_MAX
from thesan.core.model.limits import DELETIONS_BATCH_MAX, FORGET_DELETIONS_MAX
from thesan.core.namespace import ops, queries
from thesan.core.namespace.ops import encode_op
from thesan.core.placement.records import FsRecord, SpaceRecord, encode_record
from thesan.roles.mgm.admin import fs

FST = Identity(uid=2, gid=2, gids=(2,), name="fst1:1095", prot="thk", daemon="fst")
UUID = "0c1f7a0e-5c6e-4b0e-9d8e-1a2b3c4d5e6f"


def test_added_filesystems_are_listed_in_eos_keys(mgm):
    mgm.do("fs add", uuid=UUID, node="fst1:1095", path="/data//a/", space="default")
    mgm.beat("fst1:1095", mgm.report(1), geotag="cern::513")
    (record,) = mgm.do("fs ls").records
    assert list(record)[:12] == [
        "host",
        "port",
        "id",
        "uuid",
        "path",
        "schedgroup",
        "stat.alias.host",
        "stat.alias.port",
        "stat.boot",
        "configstatus",
        "headroom",
        "stat.errc",
    ]
    assert record["host"] == "fst1"
    assert record["port"] == 1095
    assert record["path"] == "/data/a"
    assert record["schedgroup"] == "default.0"
    assert record["stat.boot"] == "booted"
    assert record["stat.active"] == "online"
    assert record["stat.geotag"] == "cern::513"
    assert record["stat.statfs.usedbytes"] == 50 << 30
    assert record["usage"] == 50.0


def test_an_fst_that_falls_silent_shows(mgm):
    mgm.grow(1)
    mgm.now_s += 10
    (record,) = mgm.do("fs ls").records
    assert (record["stat.active"], record["stat.boot"]) == ("offline", "down")
    assert record["stat.statfs.capacity"] == 100 << 30, "the last figures stay"


def test_listing_by_what_it_is(mgm):
    mgm.grow(4)
    mgm.grow(1, space="spare")
    for match, ids in (
        ("", [1, 2, 3, 4, 5]),
        ("fst1:1095", [1, 3, 5]),
        ("fst2", [2, 4]),
        ("spare", [5]),
        ("default.0", [1, 2, 3, 4]),
        ("3", [3]),
        ("nothing", []),
    ):
        assert [one["id"] for one in mgm.do("fs ls", match=match).records] == ids


def test_long_listings_come_in_pages(mgm):
    for number in range(1, 1003):
        record = FsRecord(f"u{number}", "fst1:1", f"/d{number}", "default", "default.0")
        mgm.apply(ops.ConfigSet("fs", str(number), encode_record(record)))
    first = mgm.do("fs ls")
    assert len(first.records) == 1000
    second = mgm.do("fs ls", page=first.next_page)
    assert [one["id"] for one in second.records] == [1001, 1002]
    assert second.next_page == ""


def test_ids_are_not_used_again(mgm):
    mgm.grow(3)
    mgm.do("fs config", fs="3", key="configstatus", value="empty")
    mgm.do("fs rm", fs="3")
    mgm.do("fs add", uuid="another", node="fst1:1095", path="/x", space="default")
    assert [one["id"] for one in mgm.do("fs ls").records] == [1, 2, 4]


def test_an_id_may_be_chosen_and_holes_are_filled_at_the_end(mgm):
    assert mgm.do(
        "fs add", fsid=FSID_MAX, uuid="a1", node="f:1", path="/a", space="default"
    ).records == [{"id": FSID_MAX, "uuid": "a1"}]
    mgm.do("fs add", uuid="a2", node="f:1", path="/b", space="default")
    assert [one["id"] for one in mgm.do("fs ls").records] == [1, FSID_MAX]


@pytest.mark.parametrize(
    ("changed", "number", "text"),
    [
        ({"fsid": 1}, errno.EEXIST, "fsid 1 is taken"),
        ({"uuid": "uuid-default-0"}, errno.EEXIST, "is that of fs 1"),
        ({"path": "/d/default/0"}, errno.EEXIST, "is fs 1"),
        ({"fsid": 65535}, errno.EINVAL, "fsid"),
        ({"node": "fst1"}, errno.EINVAL, "host:port"),
        ({"node": "a b:1"}, errno.EINVAL, "host:port"),
        ({"node": "a/b:1"}, errno.EINVAL, "host:port"),
        ({"node": "fst1:70000"}, errno.EINVAL, "host:port"),
        ({"uuid": "1234"}, errno.EINVAL, "look like an fsid"),
        ({"uuid": "a b"}, errno.EINVAL, "not a uuid"),
        ({"uuid": "é"}, errno.EINVAL, "uuid"),
        ({"path": "data"}, errno.EINVAL, "absolute"),
        ({"path": "/a/../b"}, errno.EINVAL, r"\.\."),
        ({"space": "a/b"}, errno.EINVAL, "space name"),
        ({"space": "default.x"}, errno.EINVAL, "not a group"),
        ({"status": "fine"}, errno.EINVAL, "status is 'fine'"),
        ({"colour": "red"}, errno.EINVAL, "unknown argument"),
    ],
)
def test_what_can_t_be_added(mgm, refused, changed, number, text):
    mgm.grow(1)
    args = {"uuid": "new", "node": "fst1:1095", "path": "/new", "space": "default", **changed}
    refused(number, text, mgm.do, "fs add", **args)
    assert len(mgm.view.filesystems()) == 1


def test_a_space_appears_with_its_first_filesystem(mgm):
    mgm.grow(1, space="ssd")
    assert "ssd" in queries.config(mgm.namespace, "space")


def test_groups_fill_as_the_space_says(mgm):
    mgm.apply(
        ops.ConfigSet("space", "default", encode_record(SpaceRecord(group_size=2, group_count=2)))
    )
    mgm.view.config_changed("space")
    mgm.grow(4, hosts=2)
    groups = [one["schedgroup"] for one in mgm.do("fs ls").records]
    assert groups == ["default.0", "default.0", "default.1", "default.1"]
    mgm.do("fs add", uuid="more", node="fst1:1095", path="/m", space="default.7")
    assert mgm.do("fs ls", match="default.7").records[0]["id"] == 5


def test_status_says_why(mgm):
    mgm.grow(2)
    mgm.make_file("f", (1,), size=10)
    mgm.do("fs config", fs="1", key="configstatus", value="ro", comment="disk is slow")
    (record,) = mgm.do("fs status", fs="uuid-default-0").records
    assert record["place"] == "configstatus is ro"
    assert record["write"] == "configstatus is ro"
    assert record["read"] == "may be read"
    assert (record["ns.replicas"], record["ns.bytes"], record["ns.deletions"]) == (1, 10, 0)
    assert record["statuscomment"] == "disk is slow"
    assert mgm.do("fs status", fs="fst2:1095/d/default/1").records[0]["place"] == "takes new files"


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("configstatus", "drain", "configstatus", "drain"),
        ("headroom", "5G", "headroom", 5 * 10**9),
        ("forcegeotag", "a::b", "stat.geotag", "a::b"),
        ("statuscomment", "hello", "statuscomment", "hello"),
        ("scaninterval", "604800", "scaninterval", 604800),
    ],
)
def test_configuration(mgm, key, value, field, expected):
    mgm.grow(1)
    mgm.do("fs config", fs="1", key=key, value=value)
    assert mgm.do("fs ls").records[0][field] == expected


def test_a_forced_geotag_is_taken_back(mgm):
    mgm.grow(1)
    mgm.do("fs config", fs="1", key="forcegeotag", value="a::b")
    mgm.do("fs config", fs="1", key="forcegeotag", value="<none>")
    assert mgm.do("fs ls").records[0]["stat.geotag"] == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("configstatus", "fine"),
        ("headroom", "much"),
        ("forcegeotag", "a::"),
        ("scaninterval", "-1"),
        ("colour", "red"),
    ],
)
def test_what_can_t_be_configured(mgm, refused, key, value):
    mgm.grow(1)
    refused(errno.EINVAL, "", mgm.do, "fs config", fs="1", key=key, value=value)


def test_only_an_empty_filesystem_is_empty_and_may_go(mgm, refused):
    mgm.grow(2)
    mgm.make_file("f", (1, 2))
    refused(
        errno.EBUSY, "1 replicas", mgm.do, "fs config", fs="1", key="configstatus", value="empty"
    )
    refused(errno.EBUSY, "not empty", mgm.do, "fs rm", fs="1")
    refused(errno.EBUSY, "not empty", mgm.do, "fs mv", fs="1", target="spare")
    mgm.apply(ops.Unlink(parent=1, name="f", time_ns=1))
    refused(errno.EBUSY, "configstatus rw", mgm.do, "fs rm", fs="1")
    mgm.do("fs config", fs="1", key="configstatus", value="empty")
    refused(errno.EBUSY, "pending deletions", mgm.do, "fs rm", fs="1")
    assert mgm.do("fs dropdeletion", fs="1").records == [{"id": 1, "forgotten": 1}]
    mgm.do("fs rm", fs="1")
    assert [one["id"] for one in mgm.do("fs ls").records] == [2]
    refused(errno.ENOENT, "no filesystem '1'", mgm.do, "fs rm", fs="1")


def test_what_one_command_forgets_fits_in_one_entry_of_the_journal():
    pairs = [(2**16 - 2, 2**63 + number) for number in range(DELETIONS_BATCH_MAX)]
    data = encode_op(ops.DeletionDone(tuple(pairs)))
    count = FORGET_DELETIONS_MAX // DELETIONS_BATCH_MAX
    encode(1, 1, 0, [data] * count, b"d" * 16)


def test_what_is_forgotten_need_not_share_a_batch(mgm):
    """A busy master has none to itself."""
    mgm.grow(1)
    assert not fs.dropdeletion(mgm, {"fs": "1"}, ROOT).is_whole


def test_an_id_with_pending_deletions_is_not_given_again(mgm, refused):
    mgm.grow(1)
    mgm.make_file("f", (1,))
    mgm.apply(ops.Unlink(parent=1, name="f", time_ns=1))
    mgm.apply(ops.ConfigSet("fs", "1", None))
    args = {"uuid": "new", "node": "fst1:1095", "path": "/new", "space": "default"}
    refused(errno.EEXIST, "pending deletions", mgm.do, "fs add", fsid=1, **args)


def test_boot_is_asked_for_by_number(mgm, refused):
    mgm.grow(3)
    mgm.do("fs boot", fs="1")
    mgm.do("fs boot", fs="1")
    mgm.do("fs boot", node="fst2:1095")
    mgm.do("fs boot", fs="*")
    requests = [one.record.boot_request for one in mgm.view.filesystems()]
    assert requests == [3, 2, 1]
    refused(errno.ENOENT, "no such", mgm.do, "fs boot", node="nowhere:1")


def test_moving(mgm):
    mgm.grow(2)
    mgm.do("fs mv", fs="2", target="spare")
    mgm.do("fs mv", fs="1", target="default.5")
    assert [one["schedgroup"] for one in mgm.do("fs ls").records] == ["default.5", "spare.0"]


def register(mgm, identity=FST, **changed):
    message = {"node": "fst1:1095", "uuid": UUID, "path": "/data/1", "space": "default", **changed}
    found, reply = fs.register(mgm, FsRegister(**message), identity)
    mgm.apply(*found)
    return len(found), reply.fsid


def test_an_fst_registers_its_own_and_gets_the_same_id_again(mgm):
    assert register(mgm) == (3, 1)
    assert register(mgm) == (0, 1)
    assert mgm.do("fs ls").records[0]["schedgroup"] == "default.0"


def test_a_disk_that_was_carried_to_another_node_is_known_by_its_uuid(mgm, refused):
    register(mgm)
    mgm.beat("fst1:1095", mgm.report(1))
    refused(errno.EEXIST, "online at fst1:1095", register, mgm, node="fst2:1095")
    mgm.now_s += 10
    assert register(mgm, node="fst2:1095", path="/other") == (1, 1)
    assert mgm.view.filesystems()[0].record.node == "fst2:1095"


@pytest.mark.parametrize(
    ("changed", "number"),
    [
        ({"identity": ROOT}, errno.EPERM),
        ({"configstatus": "fine"}, errno.EINVAL),
        ({"fsid": 70000}, errno.EINVAL),
        ({"fsid": -1}, errno.EINVAL),
        ({"uuid": ""}, errno.EINVAL),
        ({"path": "relative"}, errno.EINVAL),
        ({"node": "fst1"}, errno.EINVAL),
    ],
)
def test_what_is_not_registered(mgm, refused, changed, number):
    refused(number, "", register, mgm, **changed)
    assert mgm.view.filesystems() == []


def test_people_without_the_role_change_nothing(mgm, refused, alice):
    mgm.grow(1)
    for command in ("fs rm", "fs config", "fs boot", "fs add", "fs mv", "fs dropdeletion"):
        refused(errno.EPERM, "is for root", mgm.do, command, identity=alice, fs="1")
    assert mgm.do("fs ls", identity=alice).records
