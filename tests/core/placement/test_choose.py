"""Placement against its rules, by property and by statistics."""

import errno
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError
from thesan.core.placement.choose import choose, choose_read, choose_update, explain
from thesan.core.placement.topology import (
    BootState,
    ConfigStatus,
    Filesystem,
    Topology,
    build,
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
    }
    return Filesystem(**{**values, **fields})  # type: ignore[arg-type]


def throws(
    topology: Topology, count: int, *args: object, **fields: object
) -> list[tuple[int, ...]]:
    dice = random.Random(7)
    return [
        choose(topology, *args, dice=dice.getrandbits(64), **fields)  # type: ignore[arg-type]
        for _ in range(count)
    ]


filesystems = st.builds(
    make,
    fsid=st.integers(1, 60),
    node=st.sampled_from([f"n{number}:1095" for number in range(6)]),
    group=st.sampled_from([f"default.{number}" for number in range(3)]),
    geotag=st.sampled_from(["", "a", "b", "a::x"]),
    status=st.sampled_from([ConfigStatus.RW, ConfigStatus.RW, ConfigStatus.WO, ConfigStatus.RO]),
    boot=st.sampled_from([BootState.BOOTED, BootState.BOOTED, BootState.BOOTING]),
    online=st.sampled_from([True, True, True, False]),
    free_bytes=st.sampled_from([0, GIB, 10 * GIB, 1000 * GIB]),
)


@settings(max_examples=300)
@given(
    members=st.lists(filesystems, max_size=20, unique_by=lambda fs: fs.fsid),
    replica_count=st.integers(1, 4),
    size=st.sampled_from([0, GIB, 2 * GIB]),
    client=st.sampled_from(["", "a", "a::x::y", "b"]),
    excluded=st.sets(st.integers(1, 60), max_size=20),
    dice=st.integers(0, 2**64 - 1),
)
def test_every_choice_obeys_the_rules(members, replica_count, size, client, excluded, dice):
    topology = build(members, ["default"])
    fitting: dict[str, list[Filesystem]] = {}
    for fs in members:
        if (
            fs.status in (ConfigStatus.RW, ConfigStatus.WO)
            and fs.boot is BootState.BOOTED
            and fs.online
            and fs.free_bytes > 0
            and fs.free_bytes >= size
            and fs.fsid not in excluded
        ):
            fitting.setdefault(fs.group, []).append(fs)
    possible = any(len(group) >= replica_count for group in fitting.values())
    arguments = (topology, "default", replica_count, size, client, excluded, dice)
    try:
        fsids = choose(*arguments)
    except OperationError:
        fsids = ()
    assert bool(fsids) == possible
    if not possible:
        assert explain(*arguments).fsids == ()
        return
    assert len(set(fsids)) == replica_count
    group = fitting[topology.filesystems[fsids[0]].group]
    chosen = [fs for fs in group if fs.fsid in fsids]
    assert len(chosen) == replica_count, "all in one group, all fit"
    nodes = {fs.node for fs in chosen}
    assert len(nodes) == min(replica_count, len({fs.node for fs in group}))
    assert choose(*arguments) == fsids, "the same dice, the same choice"
    explained = explain(*arguments)
    assert explained.fsids == fsids
    assert len(explained.why) == 1 + len(members)


def test_weights_follow_the_usable_space():
    topology = build([make(number, free_bytes=number * 100 * GIB) for number in (1, 2, 3, 4)])
    counts = dict.fromkeys((1, 2, 3, 4), 0)
    for (fsid,) in throws(topology, 20_000, "default", 1, 0):
        counts[fsid] += 1
    for fsid, count in counts.items():
        # 4 sigma of a binomial with p = fsid / 10.
        assert abs(count - 2000 * fsid) < 4 * (20_000 * 0.1 * fsid * (1 - 0.1 * fsid)) ** 0.5


def test_weights_of_groups_follow_their_sum():
    topology = build(
        [make(number, group=f"default.{number % 2}", free_bytes=GIB << 6) for number in range(1, 4)]
    )
    counts = [0, 0]
    for (fsid,) in throws(topology, 9000, "default", 1, 0):
        counts[fsid % 2] += 1
    assert abs(counts[1] - 6000) < 4 * (9000 * 2 / 9) ** 0.5


def test_a_draw_that_has_to_list_the_candidates_keeps_the_weights():
    # fs 1 is nearly always thrown, and excluded: the rest is drawn from a list.
    topology = build(
        [make(1, free_bytes=GIB << 20), make(2, free_bytes=GIB), make(3, free_bytes=3 * GIB)]
    )
    counts = {2: 0, 3: 0}
    for (fsid,) in throws(topology, 4000, "default", 1, 0, exclude={1}):
        counts[fsid] += 1
    assert abs(counts[3] - 3000) < 4 * (4000 * 3 / 16) ** 0.5


def test_replicas_are_scattered_over_geotags():
    topology = build([make(number, geotag="a" if number < 9 else "b") for number in range(1, 11)])
    for fsids in throws(topology, 300, "default", 2, 0):
        assert len({topology.filesystems[fsid].geotag for fsid in fsids}) == 2


def test_another_node_comes_before_another_geotag():
    topology = build(
        [
            make(1, node="a:1", geotag="x"),
            make(2, node="a:1", geotag="y"),
            make(3, node="b:1", geotag="x"),
        ]
    )
    for fsids in throws(topology, 300, "default", 2, 0):
        assert len({topology.filesystems[fsid].node for fsid in fsids}) == 2


def test_one_node_takes_both_replicas_when_there_is_no_other():
    topology = build([make(1, node="a:1"), make(2, node="a:1")])
    assert set(choose(topology, "default", 2, 0)) == {1, 2}


def test_who_missed_a_beat_is_left_out_while_others_will_do():
    members = [make(1, missed=1), make(2), make(3)]
    assert {fsid for fsids in throws(build(members), 50, "default", 2, 0) for fsid in fsids} == {
        2,
        3,
    }
    assert reads(build(members), (1, 2)).keys() == {2}
    assert choose_read(build(members), (1,)) == 1


def test_a_missed_beat_costs_no_replica_its_node():
    on_one_node = [make(1, missed=1), make(2, node="b:1"), make(3, node="b:1")]
    for fsids in throws(build(on_one_node), 50, "default", 2, 0):
        assert 1 in fsids
    everybody = build([make(1, missed=1), make(2, missed=1)])
    assert set(choose(everybody, "default", 2, 0)) == {1, 2}
    assert choose_read(everybody, (1, 2), exclude={2}) == 1


def test_when_all_are_late_the_dead_are_later_still():
    members = [make(1, missed=2), make(2, missed=1), make(3, missed=1)]
    for fsids in throws(build(members), 50, "default", 2, 0):
        assert set(fsids) == {2, 3}
    assert reads(build(members), (1, 2)).keys() == {2}


def test_the_head_is_near_the_client():
    topology = build([make(1, geotag="cern::513"), make(2, geotag="wigner::1")])
    for client, head in (("wigner::1::r2", 2), ("cern", 1)):
        for fsids in throws(topology, 50, "default", 2, 0, client):
            assert fsids[0] == head


def test_no_such_space():
    with pytest.raises(OperationError, match="no space 'tape'") as caught:
        choose(build([make(1)]), "tape", 1, 0)
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(OperationError):
        explain(build([make(1)]), "tape", 1, 0)


def test_the_error_says_why():
    topology = build(
        [make(1), make(2, status=ConfigStatus.RO), make(3, online=False), make(4, online=False)]
    )
    with pytest.raises(OperationError) as caught:
        choose(topology, "default", 2, 1000)
    assert caught.value.text == (
        "no group of space default has 2 filesystems for 1.00 kB: the best has 1 "
        "(left out: 1 x configstatus is ro, 2 x its node is offline)"
    )
    with pytest.raises(OperationError, match="space default has no filesystem"):
        choose(build([], ["default"]), "default", 1, 0)


def test_a_forced_group():
    topology = build([make(number, group=f"default.{number % 3}") for number in range(1, 13)])
    for fsids in throws(topology, 100, "default", 2, 0, only_group="default.2"):
        assert {topology.filesystems[fsid].group for fsid in fsids} == {"default.2"}
    assert (
        explain(topology, "default", 2, 0, only_group="default.1")
        .why[0]
        .endswith("group default.1 was drawn.")
    )
    with pytest.raises(OperationError, match=r"group default\.9 has no filesystem"):
        choose(topology, "default", 2, 0, only_group="default.9")
    with pytest.raises(OperationError, match=r"group default\.1 has not 5 filesystems for 0 B"):
        choose(topology, "default", 5, 0, only_group="default.1")


def test_an_explanation_reads_like_this():
    topology = build(
        [
            make(1, node="a:1", geotag="x"),
            make(2, node="a:1", geotag="x"),
            make(3, node="b:1", geotag="y"),
            make(4, node="c:1", geotag="y"),
            make(5, node="d:1", status=ConfigStatus.DRAIN),
            make(6, node="e:1", free_bytes=10),
            make(7, node="f:1", group="default.1"),
            make(8, node="g:1", group="other.0", space="other"),
            make(9, node="h:1"),
        ]
    )
    dice = next(n for n in range(99) if choose(topology, "default", 2, 1000, "x", {9}, n) == (1, 3))
    choice = explain(topology, "default", 2, 1000, "x", {9}, dice)
    assert choice.fsids == (1, 3)
    assert choice.why == [
        "2 x 1.00 kB in space default: group default.0 was drawn.",
        "fs 1 on a:1 in default.0: taken as head, 53.69 GB usable "
        "(20.0% of the weight in its group).",
        "fs 2 on a:1 in default.0: left out, on the same node as fs 1 "
        "(20.0% of the weight in its group).",
        "fs 3 on b:1 in default.0: taken, 53.69 GB usable (20.0% of the weight in its group).",
        "fs 4 on c:1 in default.0: left out, in the same geotag y as fs 3 "
        "(20.0% of the weight in its group).",
        "fs 5 on d:1 in default.0: left out, configstatus is drain.",
        "fs 6 on e:1 in default.0: left out, only 10 B usable (0.0% of the weight in its group).",
        "fs 9 on h:1 in default.0: left out, excluded by the request "
        "(20.0% of the weight in its group).",
        "fs 7 on f:1 in default.1: left out, group default.0 was drawn "
        "(100.0% of the weight in its group).",
    ]


def reads(topology: Topology, *args: object, **fields: object) -> dict[int, int]:
    dice = random.Random(7)
    counts: dict[int, int] = {}
    for _ in range(2000):
        fsid = choose_read(topology, *args, dice=dice.getrandbits(64), **fields)  # type: ignore[arg-type]
        counts[fsid] = counts.get(fsid, 0) + 1
    return counts


def test_reads_are_shared():
    counts = reads(build([make(1), make(2), make(3)]), (1, 2))
    assert set(counts) == {1, 2}
    assert abs(counts[1] - 1000) < 4 * 500**0.5


def test_reads_go_near():
    topology = build([make(1, geotag="a::b"), make(2, geotag="a::c"), make(3, geotag="d")])
    assert set(reads(topology, (1, 2, 3), "a::c::e")) == {2}
    assert set(reads(topology, (1, 2, 3), "a")) == {1, 2}
    assert set(reads(topology, (1, 2, 3), "z")) == {1, 2, 3}


def test_a_busy_disk_is_read_less_but_not_never():
    counts = reads(build([make(1, load=0.9), make(2), make(3, load=7.0)]), (1, 2))
    assert 100 < counts[1] < 300
    assert reads(build([make(1), make(3, load=7.0)]), (1, 3))[3] > 0


def test_a_draining_replica_is_the_last_resort():
    topology = build([make(1, geotag="a", status=ConfigStatus.DRAIN), make(2, geotag="b")])
    assert set(reads(topology, (1, 2), "a")) == {2}
    assert choose_read(topology, (1,)) == 1
    assert choose_read(topology, (1, 2), exclude={2}) == 1


def test_tried_hosts_are_not_tried_again():
    topology = build([make(1), make(2)])
    assert set(reads(topology, (1, 2), "", topology.fsids_of_hosts(["fst1"]))) == {2}
    assert choose_read(topology, (1,), exclude={2}) == 1


def test_no_replica_to_read_says_why():
    topology = build([make(1, online=False), make(2, status=ConfigStatus.OFF), make(3)])
    with pytest.raises(OperationError) as caught:
        choose_read(topology, (1, 2, 3, 99), exclude={3})
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert caught.value.text == (
        "no replica can be read: fs 1: its node is offline; fs 2: configstatus is off; "
        "fs 3: tried by the client; fs 99: not configured"
    )
    with pytest.raises(OperationError, match="the file has none"):
        choose_read(topology, ())


def test_an_update_needs_all_replicas():
    topology = build(
        [
            make(1, geotag="a"),
            make(2, geotag="b"),
            make(3, status=ConfigStatus.WO),
            make(4, free_bytes=0),
        ]
    )
    assert choose_update(topology, (1, 2)) == (1, 2)
    assert choose_update(topology, (1, 2), "b::c") == (2, 1)
    assert choose_update(topology, (4,)) == (4,), "a full disk may be written in place"
    for replicas, reason in (
        ((1, 3), "replica on fs 3: configstatus is wo"),
        ((1, 99), "replica on fs 99: it is not configured"),
        ((), "no replica"),
    ):
        with pytest.raises(OperationError, match=reason) as caught:
            choose_update(topology, replicas)
        assert caught.value.errno == errno.EADDRNOTAVAIL
