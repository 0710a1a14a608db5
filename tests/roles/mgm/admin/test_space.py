"""`space` verbs, placement explained."""

import errno

import pytest


def test_spaces_in_eos_keys(mgm):
    mgm.grow(4)
    mgm.do("fs config", fs="1", key="configstatus", value="ro")
    mgm.do("space define", space="spare", groupsize=8, groupmod=12)
    records = mgm.do("space ls").records
    assert [one["name"] for one in records] == ["default", "spare"]
    first = records[0]
    assert list(first)[:5] == ["type", "name", "cfg.groupsize", "cfg.groupmod", "nofs"]
    assert first["sum.<n>?configstatus@rw"] == 3
    assert first["sum.stat.statfs.capacity"] == 400 << 30
    assert first["sum.stat.statfs.capacity?configstatus@rw"] == 300 << 30
    assert first["sum.stat.statfs.freebytes?configstatus@rw"] == 150 << 30
    assert first["sched.capacity"] == 3 * ((50 << 30) - (64 << 20))
    assert first["usage"] == 50.0
    assert (records[1]["cfg.groupsize"], records[1]["cfg.groupmod"]) == (8, 12)
    assert [one["name"] for one in mgm.do("space ls", match="spare").records] == ["spare"]


def test_placement_is_explained(mgm, alice, refused):
    mgm.grow(4)
    mgm.do("fs config", fs="4", key="configstatus", value="drain")
    reply = mgm.do("space place", identity=alice, space="default", replicas=2, size="1G")
    (record,) = reply.records
    assert len(record["fsids"]) == 2
    assert len(record["why"]) == 5
    assert record["why"][4].endswith("left out, configstatus is drain.")
    assert reply.text == ", ".join(f"fs {fsid}" for fsid in record["fsids"])
    assert mgm.do("space place", exclude="1,2,3").records[0]["fsids"] == []
    assert mgm.do("space place", exclude=[1, 2, 3]).text.startswith("no group of space default")
    refused(errno.ENOENT, "no space", mgm.do, "space place", space="tape")
    refused(errno.EINVAL, "at least one", mgm.do, "space place", replicas=0)
    refused(errno.EINVAL, "geotag", mgm.do, "space place", geotag="::")


def test_a_forced_group_is_explained_too(mgm):
    mgm.grow(4)
    record = mgm.do("space place", group="default.9").records[0]
    assert record["fsids"] == []
    assert record["why"][0] == "group default.9 has no filesystem."


def test_defining_again_keeps_the_rest(mgm, refused):
    mgm.do("space define", space="default")
    mgm.do("space config", space="default", key="nominalsize", value="10T")
    mgm.do("space define", space="default", groupsize=4, groupmod=0)
    values = {one["key"]: one["value"] for one in mgm.do("space status", space="default").records}
    assert values == {
        "groupsize": 4,
        "groupmod": 1,
        "nominalsize": 10**13,
        "status": "on",
    }
    refused(errno.EINVAL, "space name", mgm.do, "space define", space="a.b")


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("groupsize", "5", 5),
        ("groupmod", "7", 7),
        ("space.groupmod", "7", 7),
        ("nominalsize", "1Gi", 1 << 30),
        ("policy.layout", "replica", "replica"),
        ("policy.nstripes", "3", "3"),
    ],
)
def test_configuration(mgm, key, value, shown):
    mgm.do("space define", space="default")
    mgm.do("space config", space="default", key=key, value=value)
    values = {one["key"]: one["value"] for one in mgm.do("space status", space="default").records}
    assert values[key.removeprefix("space.")] == shown


def test_a_policy_is_taken_back(mgm):
    mgm.do("space define", space="default")
    mgm.do("space config", space="default", key="policy.nstripes", value="3")
    mgm.do("space config", space="default", key="policy.nstripes", value="<none>")
    assert mgm.view.spaces()["default"].settings == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("policy.layout", "raid6"),
        ("policy.nstripes", "0"),
        ("policy.nstripes", "17"),
        ("groupsize", "x"),
        ("groupmod", "99999"),
        ("nominalsize", "big"),
        ("colour", "red"),
        ("fs.colour", "red"),
    ],
)
def test_what_can_t_be_configured(mgm, refused, key, value):
    mgm.grow(1)
    refused(errno.EINVAL, "", mgm.do, "space config", space="default", key=key, value=value)


def test_a_key_of_all_filesystems_at_once(mgm):
    mgm.grow(3)
    mgm.grow(1, space="spare")
    mgm.do("space config", space="default", key="fs.configstatus", value="ro")
    states = [one["configstatus"] for one in mgm.do("fs ls").records]
    assert states == ["ro", "ro", "ro", "rw"]


def test_a_space_is_switched(mgm):
    mgm.grow(2)
    mgm.do("space set", space="default", status="off")
    assert not mgm.view.topology(mgm.now_s).spaces["default"].groups
    assert mgm.do("space ls").records[0]["cfg.status"] == "off"


def test_only_an_empty_space_goes(mgm, refused):
    mgm.grow(1)
    refused(errno.EBUSY, "filesystems 1", mgm.do, "space rm", space="default")
    mgm.do("space define", space="spare")
    mgm.do("space rm", space="spare")
    refused(errno.ENOENT, "no space", mgm.do, "space rm", space="spare")
