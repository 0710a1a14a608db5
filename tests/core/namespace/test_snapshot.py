"""Snapshots: the same bytes, and nothing but the same bytes."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.model.errors import Corrupt, StoreError
from thesan.core.namespace import invariants, keys, queries, snapshot
from thesan.core.namespace.ops import ConfigSet, QuotaSet
from thesan.core.namespace.state import Namespace
from thesan.worlds.simulated.memory_store import MemoryStore


@pytest.fixture
def stream(instance) -> bytes:
    instance.mkdir("/d")
    for number in range(300):
        instance.commit(f"/d/f{number}")
    instance.link("/d/f1", "/d/linked")
    instance.symlink("f1", "/d/l")
    instance.unlink("/d/f2")
    instance.xattr("/d", "sys.acl", b"u:1:r")
    instance.apply(QuotaSet(instance.at("/d").fid, "u", 0, 10**9, None))
    instance.apply(ConfigSet("fs", "1", b"x" * 60000, b"op"))
    instance.settle()
    return b"".join(snapshot.dump(instance.store))


def _restore_into(store: MemoryStore, *chunks: bytes) -> MemoryStore:
    for changes in snapshot.restore(chunks):
        store.write(changes)
    return store


def _restore(*chunks: bytes) -> MemoryStore:
    return _restore_into(MemoryStore(), *chunks)


def test_a_restored_namespace_is_the_same(instance, stream: bytes) -> None:
    store = _restore(stream)
    assert b"".join(snapshot.dump(store)) == stream
    ns = Namespace(store)
    assert (ns.op_count, ns.digest, ns.applied_seq) == (
        instance.ns.op_count,
        instance.ns.digest,
        instance.ns.applied_seq,
    )
    assert queries.counters(ns) == queries.counters(instance.ns)
    assert invariants.check(ns) == []
    assert ns.remembered(b"op") is not None


@given(data=st.data())
@settings(max_examples=20)
def test_chunks_may_be_cut_anywhere(data: st.DataObject) -> None:
    stream = _small()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    assert b"".join(snapshot.dump(_restore(*pieces))) == stream


def _small() -> bytes:
    store = MemoryStore()
    ns = Namespace(store)
    store.write(ns.take_changes(0, 1))
    return b"".join(snapshot.dump(store))


def test_any_damage_is_corrupt_and_leaves_no_namespace() -> None:
    stream = _small()
    for index in range(len(stream)):
        for damaged in (
            stream[:index] + bytes([stream[index] ^ 0x20]) + stream[index + 1 :],
            stream[:index],
        ):
            store = MemoryStore()
            with pytest.raises(Corrupt):
                _restore_into(store, damaged)
            assert store.get(keys.M_APPLIED) is None
    with pytest.raises(Corrupt):
        _restore(stream, b"x")


@given(st.binary(max_size=64))
def test_random_bytes_are_corrupt(data: bytes) -> None:
    for head in (b"", snapshot.MAGIC):
        with pytest.raises(Corrupt):
            _restore(head + data)


def test_a_huge_length_is_not_believed() -> None:
    with pytest.raises(Corrupt, match="frame of"):
        _restore(snapshot.MAGIC + b"\xff\xff\xff\xff" + bytes(4))


def test_pairs_must_be_in_order(instance) -> None:
    first = _small()
    swapped = MemoryStore([(b"b", b"1"), (b"a", b"2")])
    rows = [(b"b", b"1"), (b"a", b"2")]
    applied = _read_applied(first)
    swapped.scan = lambda start, end, limit: rows if not start else []  # type: ignore[method-assign]
    swapped.write([(keys.M_APPLIED, applied)])
    with pytest.raises(Corrupt, match="order"):
        _restore(*snapshot.dump(swapped))


def _read_applied(stream: bytes) -> bytes:
    value = _restore(stream).get(keys.M_APPLIED)
    assert value is not None
    return value


def test_an_interrupted_restore_is_not_opened(stream: bytes) -> None:
    store = MemoryStore()
    batches = list(snapshot.restore([stream]))
    for changes in batches[:-1]:
        store.write(changes)
        with pytest.raises(StoreError, match="interrupted"):
            Namespace(store)
    with pytest.raises(StoreError):
        list(snapshot.dump(store))


def test_long_values_make_short_frames(monkeypatch, stream: bytes, instance) -> None:
    monkeypatch.setattr(snapshot, "SNAPSHOT_BYTES", 500)
    chunks = list(snapshot.dump(instance.store))
    assert max(map(len, chunks)) < 61000
    assert _restore(*chunks).scan(b"", b"\xff", 10**6) == instance.store.scan(b"", b"\xff", 10**6)


def test_what_a_store_is_can_be_read_without_a_namespace(instance, stream: bytes) -> None:
    applied = snapshot.applied_of(instance.store)
    assert applied is not None
    assert (applied.op_count, applied.digest) == (instance.ns.op_count, instance.ns.digest)
    assert snapshot.applied_of(MemoryStore()) is None
    with pytest.raises(StoreError):
        snapshot.applied_of(MemoryStore([(keys.M_APPLIED, b"\xc1")]))


def test_page_digests_are_chained() -> None:
    one, two = [(b"a", b"1")], [(b"b", b"2")]
    chained = snapshot.page_digest(two, snapshot.page_digest(one))
    assert chained != snapshot.page_digest(two)
    assert chained != snapshot.page_digest(one, snapshot.page_digest(two))
    assert snapshot.page_digest(one) != snapshot.page_digest([(b"a1", b"")])


def test_spans_are_all_keys_but_the_two_that_say_what_a_store_is() -> None:
    for key in (b"A", b"D" + bytes(8), b"Mfid", b"Mformat", b"Mresults", b"Nq", b"r\xff"):
        assert sum(first <= key < end for first, end in snapshot.SPANS) == 1
    for key in (keys.M_APPLIED, keys.M_SEED):
        assert not any(first <= key < end for first, end in snapshot.SPANS)
