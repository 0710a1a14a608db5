"""The state machine as its users see it: tags, batches, restarts, failures."""

import typing

import pytest

from thesan.core.model.errors import OperationError, StoreError
from thesan.core.namespace import queries, state
from thesan.core.namespace.ops import ConfigSet, CreateFile, MakeDirectory, Op, ReserveFids
from thesan.core.namespace.state import Namespace
from thesan.worlds.simulated.memory_store import MemoryStore


def test_every_op_has_a_handler() -> None:
    assert set(state._HANDLERS) == set(typing.get_args(Op))


def test_a_fresh_namespace_has_a_root() -> None:
    ns = Namespace(MemoryStore())
    assert (ns.op_count, ns.applied_seq, ns.fid_limit, ns.cached_count) == (0, 0, 2, 0)
    assert queries.counters(ns) == queries.Counters(0, 1, 0, 0, 0, 0)
    assert ns.tree.root.mode == 0o040755


def test_positions_are_those_of_the_store(instance) -> None:
    instance.mkdir("/d")
    ns = instance.ns
    changes = ns.take_changes(ns.op_count, 17, 4, 0xABCD)
    instance.store.write(changes)
    ns.settle(changes)
    again = Namespace(instance.store)
    for one in (ns, again):
        assert (one.applied_seq, one.applied_epoch, one.applied_crc) == (17, 4, 0xABCD)
        assert one.applied_op == ns.op_count
    assert (again.op_count, again.digest) == (ns.op_count, ns.digest)


def test_tags_say_what_waits_for_a_commit(instance) -> None:
    instance.mkdir("/d")
    instance.commit("/d/f")
    instance.settle()
    ns = instance.ns
    assert ns.committed_tag == ns.op_count
    assert instance.at("/d/f").seq <= ns.committed_tag
    instance.commit("/d/g")
    assert instance.at("/d/g").seq > ns.committed_tag
    assert instance.at("/d").seq > ns.committed_tag
    assert instance.at("/d/f").seq <= ns.committed_tag
    assert ns.tree_tag <= ns.committed_tag
    instance.rename("/d", "/e")
    assert ns.tree_tag > ns.committed_tag, "/e/f is an answer that shows the rename"


def test_a_part_of_the_pending_ops_is_committed(instance) -> None:
    instance.mkdir("/a")
    instance.mkdir("/b")
    ns = instance.ns
    changes = ns.take_changes(ns.op_count - 1, 1)
    instance.store.write(changes)
    ns.settle(changes)
    assert instance.at("/a").seq <= ns.committed_tag < instance.at("/b").seq
    survivor = Namespace(instance.store)
    assert set(survivor.tree.root.children) == set()
    assert survivor.tree.child(survivor.tree.root, "a") is not None
    assert survivor.tree.child(survivor.tree.root, "b") is None


def test_the_text_of_an_inode_goes_with_any_change(instance) -> None:
    instance.mkdir("/d")
    instance.commit("/d/f")
    for path, change in (
        ("/d/f", lambda: instance.xattr("/d/f", "user.a", b"")),
        ("/d/f", lambda: instance.link("/d/f", "/g")),
        ("/d", lambda: instance.commit("/d/h")),
    ):
        instance.at(path).text = b"stat"
        change()
        assert instance.at(path).text is None


def test_an_op_that_breaks_half_way_stops_the_namespace(instance, monkeypatch) -> None:
    def broken(tree, op, tag):
        tree.tables.changes.append((b"x", b"y"))
        raise OperationError(5, "late")

    monkeypatch.setitem(state._HANDLERS, ConfigSet, broken)
    with pytest.raises(StoreError, match="half-way"):
        instance.apply(ConfigSet("s", "k", b""))
    with pytest.raises(StoreError, match="stopped"):
        instance.mkdir("/d")


def test_any_other_exception_stops_it_too(instance, monkeypatch) -> None:
    def broken(tree, op, tag):
        raise ZeroDivisionError

    monkeypatch.setitem(state._HANDLERS, ConfigSet, broken)
    with pytest.raises(ZeroDivisionError):
        instance.apply(ConfigSet("s", "k", b""))
    with pytest.raises(StoreError, match="ZeroDivisionError"):
        instance.apply(ReserveFids(1 << 40))


def test_an_op_may_refer_to_what_the_op_before_it_made(instance) -> None:
    outer, inner = instance.fid(), instance.fid()
    instance.apply_all(
        [
            MakeDirectory(1, "a", outer, 0o755, 0, 0, 1),
            MakeDirectory(outer, "b", inner, 0o755, 0, 0, 1),
            CreateFile(inner, "f", instance.fid(), 0o644, 0, 0, 1, 0),
        ]
    )
    assert instance.at("/a/b/f").is_file


def test_a_follower_with_other_batches_has_the_same_digest(make_instance) -> None:
    one, two = make_instance(), make_instance(cache_entries_max=2)
    for step in range(12):
        for each in (one, two):
            each.mkdir(f"/d{step}")
            each.commit(f"/d{step}/f", locations=(1 + step % 3,))
        if step % 4 == 0:
            two.settle()
        assert one.ns.digest == two.ns.digest
    assert one.ns.evict(5) > 0
    one.mkdir("/x")
    assert one.ns.digest != two.ns.digest
