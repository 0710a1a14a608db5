"""What the memory store has beyond the contract: crashes."""

import pytest

from thesan.core.model.errors import StoreError
from thesan.worlds.simulated.memory_store import MemoryStore


def test_a_crash_keeps_what_was_flushed_and_a_prefix_of_the_rest() -> None:
    for keep in range(4):
        store = MemoryStore()
        store.write([(b"flushed", b"1")])
        store.flush()
        for number in range(3):
            store.write([(b"k%d" % number, b"v"), (b"last", b"%d" % number)])
        assert store.unflushed_count == 3
        after = store.crash(keep_writes=keep)
        assert after.get(b"flushed") == b"1"
        assert [after.get(b"k%d" % number) for number in range(3)] == [b"v"] * keep + [None] * (
            3 - keep
        )
        assert after.get(b"last") == (b"%d" % (keep - 1) if keep else None)
        with pytest.raises(StoreError):
            store.get(b"flushed")


def test_deletes_survive_a_crash_too() -> None:
    store = MemoryStore([(b"a", b"1"), (b"b", b"2")])
    store.write([(b"a", None)])
    assert store.crash(keep_writes=1).scan(b"", b"z", 9) == [(b"b", b"2")]


def test_old_writes_count_as_flushed() -> None:
    store = MemoryStore()
    for number in range(10_005):
        store.write([(b"n", b"%d" % number)])
    assert store.unflushed_count == 10_000
    assert store.crash().get(b"n") == b"4"


def test_checkpoints_survive_a_crash() -> None:
    store = MemoryStore([(b"a", b"1")])
    store.checkpoint("there")
    assert store.crash().checkpoints["there"].get(b"a") == b"1"


def test_a_copy_of_what_is_durable():
    store = MemoryStore()
    store.write([(b"a", b"1")])
    store.flush()
    store.write([(b"b", b"2")])
    copy = store.as_after_crash()
    store.write([(b"a", None)])
    store.flush()
    assert copy.scan(b"", b"z", 9) == [(b"a", b"1")]
