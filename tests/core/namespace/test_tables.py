"""Pending changes over committed ones: what is seen, what is taken, what is counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import StoreError
from thesan.core.namespace import keys
from thesan.core.namespace.tables import Tables
from thesan.worlds.simulated.memory_store import MemoryStore


def _op(tables: Tables, *changes: tuple[bytes, bytes | None]) -> None:
    tables.changes += changes
    tables.seal(tables.op_count + 1)


def _settle(tables: Tables, store: MemoryStore, through: int) -> None:
    changes = tables.take(through, through, 1, 0)
    store.write(changes)
    tables.settle(changes)


def test_pending_changes_are_seen_and_not_in_the_store() -> None:
    store = MemoryStore([(b"a", b"1"), (b"b", b"1")])
    tables = Tables(store)
    _op(tables, (b"a", None), (b"c", b"2"))
    assert [tables.get(key) for key in (b"a", b"b", b"c", b"d")] == [None, b"1", b"2", None]
    assert tables.get_many([b"c", b"a", b"b"]) == [b"2", None, b"1"]
    assert store.get(b"c") is None


def test_a_batch_takes_its_own_ops_only() -> None:
    store = MemoryStore()
    tables = Tables(store)
    _op(tables, (b"k", b"1"), (b"gone", b"1"))
    _op(tables, (b"k", b"2"), (b"gone", None))
    _op(tables, (b"k", None), (b"gone", b"3"))
    _settle(tables, store, 2)
    assert store.get(b"k") == b"2"
    assert store.get(b"gone") is None
    assert tables.get(b"k") is None
    assert tables.get(b"gone") == b"3"
    assert (tables.committed_tag, tables.pending_count) == (2, 1)
    _settle(tables, store, 3)
    assert (store.get(b"k"), store.get(b"gone")) == (None, b"3")
    assert tables.pending_tag(b"gone") == 0


def test_equal_values_of_later_ops_are_not_forgotten_with_the_earlier() -> None:
    """The same bytes object, put, deleted and put again: identity of values would not do."""
    store = MemoryStore()
    tables = Tables(store)
    for value in (b"", None, b"", None):
        _op(tables, (b"k", value))
    for through, wanted in ((1, None), (2, None), (3, None), (4, None)):
        _settle(tables, store, through)
        assert tables.get(b"k") == wanted
    assert store.get(b"k") is None


def test_the_applied_record_goes_with_the_batch() -> None:
    store = MemoryStore()
    tables = Tables(store)
    _op(tables, (b"k", b"1"))
    digest = tables.digest
    _op(tables, (b"k", b"2"))
    store.write(tables.take(1, 7, 3, 99))
    again = Tables(store)
    assert (again.applied.seq, again.applied.epoch, again.applied.chain_crc) == (7, 3, 99)
    assert (again.op_count, again.digest) == (1, digest)


def test_the_digest_does_not_depend_on_batches() -> None:
    digests = []
    for size in (1, 2, 5):
        store = MemoryStore()
        tables = Tables(store)
        for number in range(10):
            _op(tables, (b"k%d" % (number % 3), b"%d" % number))
            if number % size == 0:
                _settle(tables, store, tables.op_count)
        digests.append(tables.digest)
    assert len(set(digests)) == 1
    assert digests[0] != Tables(MemoryStore()).digest


def test_counters_of_a_batch_are_those_after_its_last_op() -> None:
    store = MemoryStore()
    tables = Tables(store)
    key = keys.fs_counters(3)
    for size in (10, 20, 30):
        tables.add(key, 1, size, 0)
        tables.seal(tables.op_count + 1)
    _settle(tables, store, 2)
    assert tables.counters(key, 3) == [3, 60, 0]
    assert Tables(store).counters(key, 3) == [2, 30, 0]
    tables.add(key, -3, -60, 0)
    tables.seal(4)
    _settle(tables, store, 4)
    assert store.get(key) is None, "a counter of zeros is not kept"


def test_damaged_records_are_told() -> None:
    store = MemoryStore([(keys.M_APPLIED, b"\xc1"), (keys.fs_counters(1), b"short")])
    with pytest.raises(StoreError, match="applied"):
        Tables(store)
    store.write([(keys.M_APPLIED, None)])
    with pytest.raises(StoreError, match="counter"):
        Tables(store).counters(keys.fs_counters(1), 3)


_names = st.integers(0, 12).map(lambda number: f"n{number:02}")
_batches = st.lists(st.lists(st.tuples(_names, st.booleans()), max_size=8), max_size=6)


@given(_batches, st.integers(1, 5), st.integers(0, 6))
def test_a_paged_group_scan_sees_what_a_dict_would(
    batches: list[list[tuple[str, bool]]], limit: int, settled: int
) -> None:
    store = MemoryStore([(keys.entry(4, "other"), b"x"), (keys.entry(6, "other"), b"x")])
    tables = Tables(store)
    model: dict[bytes, bytes] = {}
    for batch in batches:
        changes = [(keys.entry(5, name), b"v" if put else None) for name, put in batch]
        _op(tables, *changes)
        for key, value in changes:
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
    _settle(tables, store, min(settled, tables.op_count))
    found: list[tuple[bytes, bytes]] = []
    start: bytes | None = keys.entries(5)
    while start is not None:
        rows, proceed = tables.scan_group(keys.entries(5), start, limit)
        assert rows or proceed is None
        found += rows
        start = proceed
    assert found == sorted(model.items())
    assert tables.merged(keys.entries(5)) == model
