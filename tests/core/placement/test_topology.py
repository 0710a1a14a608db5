"""Why a filesystem is used or not, groups, geotags."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError
from thesan.core.placement.topology import (
    BootState,
    ConfigStatus,
    Filesystem,
    assign_group,
    build,
    check_geotag,
    geotag_match,
    group_key,
    weight_of,
)

GIB = 1 << 30


def make(fsid: int, **fields: object) -> Filesystem:
    values: dict[str, object] = {
        "fsid": fsid,
        "node": f"fst{fsid}:1095",
        "path": "/data",
        "space": "default",
        "group": "default.0",
        "capacity_bytes": 100 * GIB,
        "free_bytes": 50 * GIB,
        "headroom_bytes": GIB,
    }
    return Filesystem(**{**values, **fields})  # type: ignore[arg-type]


GOOD = ""


@pytest.mark.parametrize(
    ("fields", "place", "write", "read"),
    [
        ({}, GOOD, GOOD, GOOD),
        ({"status": ConfigStatus.WO}, GOOD, "wo", GOOD),
        ({"status": ConfigStatus.RO}, "ro", "ro", GOOD),
        ({"status": ConfigStatus.DRAIN}, "drain", "drain", GOOD),
        ({"status": ConfigStatus.DRAINDEAD}, "draindead", "draindead", "draindead"),
        ({"status": ConfigStatus.EMPTY}, "empty", "empty", "empty"),
        ({"status": ConfigStatus.OFF}, "off", "off", "off"),
        ({"online": False}, "offline", "offline", "offline"),
        ({"node_on": False}, "set off", "set off", "set off"),
        ({"boot": BootState.BOOTING}, "booting", "booting", "booting"),
        ({"boot": BootState.OPSERROR}, "opserror", "opserror", "opserror"),
        ({"read_only": True}, "read-only", "read-only", GOOD),
        ({"group_on": False}, "group default.0", GOOD, GOOD),
        ({"space_on": False}, "space default", GOOD, GOOD),
        ({"free_bytes": GIB}, "full", GOOD, GOOD),
        ({"free_bytes": 0}, "full", GOOD, GOOD),
        ({"free_files": 0}, "inode", GOOD, GOOD),
    ],
)
def test_why_not(fields, place, write, read):
    fs = make(1, **fields)
    for reason, expected in (
        (fs.unplaceable_because(), place),
        (fs.unwritable_because(), write),
        (fs.unreadable_because(), read),
    ):
        assert bool(reason) == bool(expected)
        assert expected in reason


def test_the_order_of_configstatus_is_that_of_eos():
    names = ["off", "empty", "draindead", "drain", "ro", "wo", "rw"]
    assert [status.name.lower() for status in sorted(ConfigStatus)] == names


def test_a_snapshot_holds_candidates_only_where_they_are():
    topology = build(
        [
            make(3, group="default.1", status=ConfigStatus.RO),
            make(2, node="b:1", group="default.10", geotag="x"),
            make(1, node="a:1", group="default.2"),
            make(4, node="b:1", group="default.10", geotag="y"),
        ],
        ["spare"],
    )
    assert list(topology.filesystems) == [1, 2, 3, 4]
    assert list(topology.spaces) == ["default", "spare"]
    space = topology.spaces["default"]
    assert [group.name for group in space.groups] == ["default.2", "default.10"]
    group = space.groups[1]
    assert (group.fsids, group.node_count, group.tag_count) == ((2, 4), 1, 2)
    assert space.cumulative == (49 * 1024, 3 * 49 * 1024)
    assert topology.spaces["spare"].groups == ()


def test_the_nodes_that_serve_reads():
    members = [
        make(1),
        make(2, online=False),
        make(3, status=ConfigStatus.DRAIN),
        make(4, status=ConfigStatus.DRAINDEAD),
        make(5, boot=BootState.BOOTING),
    ]
    assert build(members).readable == {1: "fst1:1095", 3: "fst3:1095"}


def test_hosts_as_clients_exclude_them():
    topology = build([make(1, node="a:1095"), make(2, node="a:1096"), make(3, node="[::1]:1095")])
    assert topology.fsids_of_hosts(["a", "unknown"]) == {1, 2}
    assert topology.fsids_of_hosts(["[::1]"]) == {3}
    assert topology.fsids_of_hosts([]) == frozenset()


def test_a_nearly_full_filesystem_still_has_a_weight():
    assert weight_of(make(1, free_bytes=GIB + 1)) == 1


@pytest.mark.parametrize(
    ("geotag", "client", "count"),
    [
        ("a::b::c", "a::b::d", 2),
        ("a::b", "a::b", 2),
        ("a", "ab", 0),
        ("", "", 0),
        ("", "a", 0),
        ("a::b", "a", 1),
    ],
)
def test_geotag_match(geotag, client, count):
    assert geotag_match(geotag, client) == count
    assert geotag_match(client, geotag) == count


@pytest.mark.parametrize("geotag", ["", "a", "cern::513::r-12_b", "12345678"])
def test_geotags(geotag):
    check_geotag(geotag)


@pytest.mark.parametrize(
    "geotag", ["a::", "::", "123456789", "a b", "ü", "a:b", "::".join("abcdefghijkl" * 3)]
)
def test_what_is_no_geotag(geotag):
    with pytest.raises(OperationError) as caught:
        check_geotag(geotag)
    assert caught.value.errno == errno.EINVAL


def test_groups_sort_by_number():
    names = ["default.10", "default.2", "b.1", "loose"]
    assert sorted(names, key=group_key) == ["b.1", "default.2", "default.10", "loose"]


def test_without_group_size_a_space_has_one_group():
    members = {"default.0": ["a:1"] * 100}
    assert assign_group("default", 0, 24, "a:1", members) == "default.0"


def test_a_node_is_spread_over_groups():
    members: dict[str, list[str]] = {}
    names = []
    for node in ["a:1", "a:1", "b:1", "b:1", "c:1", "a:1"]:
        name = assign_group("default", 3, 2, node, members)
        members.setdefault(name, []).append(node)
        names.append(name[-1])
    assert names == ["0", "1", "0", "1", "0", "1"]
    with pytest.raises(OperationError, match="all 2 groups of space default have 3") as caught:
        assign_group("default", 3, 2, "d:1", members)
    assert caught.value.errno == errno.ENOSPC


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.sampled_from("abc"), max_size=40))
def test_groups_never_overflow(size, count, nodes):
    members: dict[str, list[str]] = {}
    for number, node in enumerate(nodes):
        try:
            name = assign_group("s", size, count, node, members)
        except OperationError:
            assert number >= size * count
            return
        members.setdefault(name, []).append(node)
        assert len(members[name]) <= size
        assert int(name.partition(".")[2]) < count
