"""Each checker passes what is right and names what is wrong."""

import asyncio

import pytest
from google_crc32c import value as crc32c
from zlib_ng.zlib_ng import adler32

from thesan.core.journal.entry import decode, encode
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace.ops import CommitFile, ReserveFids, Unlink, encode_op
from thesan.core.namespace.state import Namespace
from thesan.ports.engine import Owner
from thesan.roles.fst.records import data_path, marker_path, orphan_path
from thesan.worlds.simulated import checkers
from thesan.worlds.simulated.memory_engine import MemoryJournal
from thesan.worlds.simulated.memory_store import MemoryStore
from thesan.worlds.simulated.platter import Inode, Platter

CONTENT = b"what was put"
NODE = Owner("mgm", Epoch(1), "mgm:1094")


def _commit(fid: int, name: str, data: bytes = CONTENT) -> CommitFile:
    return CommitFile(
        1, name, fid, 0o644, 0, 0, 0x100112, len(data), adler32(data), crc32c(data), (1, 2), 5, 5
    )


@pytest.fixture
def namespace() -> Namespace:
    """One file, fid 2, with replicas on fs 1 and 2."""
    store = MemoryStore()
    namespace = Namespace(store)
    for op in (ReserveFids(100), _commit(2, "a")):
        namespace.apply(op, namespace.op_count + 1)
    _settle(namespace, store)
    return namespace


def _settle(namespace: Namespace, store: MemoryStore) -> None:
    changes = namespace.take_changes(namespace.op_count, 1)
    store.write(changes)
    namespace.settle(changes)


def _disk(fsid: int, **files: bytes) -> Platter:
    platter = Platter(f"fst{fsid}:/d")
    _put(platter, ".thesan/fsid", f"{fsid}\n".encode())
    _put(platter, ".thesan/uuid", b"x\n")
    for name, data in files.items():
        _put(platter, data_path(int(name[1:])), data)
    return platter


def _put(platter: Platter, path: str, data: bytes) -> None:
    inode = Inode()
    inode.write(0, data)
    platter.link(path, inode)


def _judge(namespace: Namespace, *platters: Platter) -> tuple[list[str], list[str]]:
    disks = [checkers.look_at(platter) for platter in platters]
    return checkers.check_disks(namespace, disks), checkers.check_rest(namespace, disks)


def test_all_well(namespace):
    assert checkers.check_namespace(namespace) == []
    assert _judge(namespace, _disk(1, f2=CONTENT), _disk(2, f2=CONTENT)) == ([], [])


def test_a_lost_replica(namespace):
    damage, rest = _judge(namespace, _disk(1, f2=CONTENT), _disk(2))
    assert damage == ["fid 2 (/a) on fst2:/d: the registered replica is not there"]
    assert rest == []


def test_damaged_bytes(namespace):
    damage, _ = _judge(namespace, _disk(1, f2=CONTENT), _disk(2, f2=b"WHAT was put"))
    assert len(damage) == 3
    damage, _ = _judge(namespace, _disk(1, f2=CONTENT[:-1]), _disk(2, f2=CONTENT))
    assert "11 bytes on disk, 12 in the namespace" in damage[0]


def test_what_should_go_away(namespace):
    one, two = _disk(1, f2=CONTENT, f7=b"half an upload"), _disk(2, f2=CONTENT)
    _put(one, marker_path(7), b"marker")
    _put(two, "stray", b"")
    damage, rest = _judge(namespace, one, two)
    assert damage == []
    assert rest == [
        "fst1:/d: data of fid 7 are registered nowhere",
        "fst1:/d: marker of fid 7",
        "fst2:/d: stray name stray",
    ]
    _put(one, orphan_path(8), b"")
    assert _judge(namespace, one, two)[0] == ["fst1:/d: orphaned data of fid 8"]


def test_pending_deletions(namespace):
    store = MemoryStore()
    namespace = Namespace(store)
    for op in (ReserveFids(100), _commit(2, "a"), Unlink(1, "a", 6)):
        namespace.apply(op, namespace.op_count + 1)
    _settle(namespace, store)
    _, rest = _judge(namespace, _disk(1, f2=CONTENT), _disk(2))
    assert rest == [
        "fst1:/d: data of fid 2 are registered nowhere",
        "fst1:/d: fid 2 still awaits deletion",
        "fst2:/d: fid 2 still awaits deletion",
    ]


def _journal(*batches: list) -> MemoryJournal:
    journal = MemoryJournal()
    journal.take_over(None, NODE)
    crc = 0
    for seq, batch in enumerate(batches, 1):
        data = encode(Epoch(1), Seq(seq), crc, [encode_op(op) for op in batch])
        journal.append(NODE, Seq(seq), data)
        crc = decode(data).crc
    return journal


def test_the_journal_is_replayed(namespace):
    journal = _journal([ReserveFids(100)], [_commit(2, "a")])
    assert asyncio.run(checkers.check_journal(journal, namespace)) == []
    assert asyncio.run(checkers.check_journal(journal, None)) == []
    short = _journal([ReserveFids(100)])
    faults = asyncio.run(checkers.check_journal(short, namespace))
    assert "the master's op 2" in faults[0]


def test_a_journal_that_can_not_be_replayed():
    journal = _journal([Unlink(1, "never there", 5)])
    faults = asyncio.run(checkers.check_journal(journal, None))
    assert "can't be replayed" in faults[0]


def _journal_of(*epochs: int) -> MemoryJournal:
    """One entry for each epoch, appended by its owner."""
    journal = MemoryJournal()
    crc = 0
    for seq, epoch in enumerate(epochs, start=1):
        owner = Owner(f"mgm{epoch}", Epoch(epoch), f"mgm{epoch}:1094")
        if owner not in journal.owners:
            journal.owners.append(owner)
        data = encode(Epoch(epoch), Seq(seq), crc, [b"x"], b"")
        crc = decode(data).crc
        journal.archive.append((owner, data))
    return journal


def test_epochs_that_grow_are_fine():
    assert checkers.check_epochs(_journal_of(1, 1, 2, 5)) == []


def test_an_entry_of_an_old_epoch_is_noticed():
    assert any("came after" in fault for fault in checkers.check_epochs(_journal_of(1, 2, 1)))


def test_an_epoch_with_two_owners_is_noticed():
    journal = _journal_of(1, 2)
    journal.owners.append(Owner("other", Epoch(2), "other:1094"))
    assert any("owners" in fault for fault in checkers.check_epochs(journal))


def test_an_entry_by_somebody_else_is_noticed():
    journal = _journal_of(1, 2)
    journal.archive[1] = (NODE, journal.archive[1][1])
    assert any("was owner" in fault for fault in checkers.check_epochs(journal))


def test_replicas_are_equal_and_at_the_head(namespace):
    journal = MemoryJournal()
    other = Namespace(MemoryStore())
    assert checkers.check_replicas(journal, {"mgm1": None}) == ["mgm1 has no namespace at rest"]
    journal.archive.append((NODE, b""))
    journal.owner = NODE
    journal.append(NODE, Seq(1), b"x")
    assert checkers.check_replicas(journal, {"mgm1": namespace}) == []
    assert checkers.check_replicas(journal, {"mgm1": namespace, "mgm2": other}) == [
        "mgm2 stands at entry 0 of 1"
    ]
    store = MemoryStore()
    wrong = Namespace(store)
    wrong.apply(ReserveFids(7), 1)
    _settle(wrong, store)
    faults = checkers.check_replicas(journal, {"mgm1": namespace, "mgm2": wrong})
    assert faults == ["replicas differ: [['mgm1'], ['mgm2']]"]
