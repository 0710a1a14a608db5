"""Entries into namespace and store, whole or not at all."""

import pytest

from thesan.core.journal.entry import Chain, Position, decode, encode
from thesan.core.model.errors import Diverged
from thesan.core.namespace import queries
from thesan.core.namespace.ops import ConfigSet, MakeDirectory, ReserveFids, encode_op
from thesan.core.namespace.state import Namespace
from thesan.roles.mgm.replica import Replica
from thesan.worlds.simulated.memory_store import MemoryStore


def entry(seq: int, *ops, prev: int = 0, digest: bytes = b""):
    return decode(encode(1, seq, prev, [encode_op(op) for op in ops], digest))


def directory(name: str, fid: int) -> MakeDirectory:
    return MakeDirectory(parent=1, name=name, fid=fid, mode=0o755, uid=0, gid=0, time_ns=1)


def test_an_entry_is_in_the_store_with_its_position():
    store = MemoryStore()
    replica = Replica(Namespace(store), store)
    told = []
    replica.on_applied = lambda entry, sections: told.append((entry.seq, list(sections)))
    first = entry(1, ReserveFids(100), directory("a", 2))
    digest = replica.apply(first)
    assert digest == replica.namespace.digest
    assert replica.position == Position(1, 1, first.crc)
    second = entry(2, ConfigSet("x", "k", b"v"), ConfigSet("vid", "k", b"0"), prev=first.crc)
    Chain(replica.position).check(second)
    replica.apply(second)
    assert told == [(1, []), (2, ["x", "vid"])]
    again = Namespace(store)
    assert (again.applied_seq, again.digest) == (2, replica.namespace.digest)
    assert queries.config(again, "x") == {"k": b"v"}


def test_an_op_that_does_not_apply_means_that_this_replica_is_wrong():
    store = MemoryStore()
    replica = Replica(Namespace(store), store)
    with pytest.raises(Diverged, match="entry 1"):
        replica.apply(entry(1, directory("a", 2), directory("a", 3)))
    assert Namespace(store).applied_seq == 0, "nothing of it was stored"


def test_a_replica_that_has_diverged_finds_so_again_after_a_restart():
    """Nobody remembers that it was seen once: the store must not hold the entry that shows it."""
    store = MemoryStore()
    for _ in range(2):
        replica = Replica(Namespace(store), store)
        with pytest.raises(Diverged, match="state after entry 1 differs"):
            replica.apply(entry(1, ReserveFids(100), digest=b"d" * 16))
        assert Namespace(store).applied_seq == 0
    good = Replica(Namespace(MemoryStore()), MemoryStore()).apply(entry(1, ReserveFids(100)))
    assert Replica(Namespace(store), store).apply(entry(1, ReserveFids(100), digest=good)) == good
