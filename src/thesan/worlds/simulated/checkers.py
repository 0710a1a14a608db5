"""What must be true of an instance at rest: the namespace, the journal and every disk agree.

The namespace that is judged is rebuilt from the journal alone, by other code than the MGM's own
start: what the MGM believes of itself is one more witness, compared by digest.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from google_crc32c import value as crc32c
from zlib_ng.zlib_ng import adler32

from thesan.core.journal.entry import Entry, Position
from thesan.core.journal.entry import decode as decode_entry
from thesan.core.model.errors import OperationError, ThesanError
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace import invariants, queries
from thesan.core.namespace.inode import Inode as File
from thesan.core.namespace.ops import decode_op
from thesan.core.namespace.state import Namespace
from thesan.io.journal.replay import replay
from thesan.roles.fst.records import LABEL_FSID, ORPHANS, PENDING, fid_of_name
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal
from thesan.worlds.simulated.memory_store import MemoryStore
from thesan.worlds.simulated.platter import Platter


async def rebuild(journal: MemoryJournal) -> Namespace:
    """The namespace that the journal says. Raises Corrupt when its chain or a digest is wrong."""
    store = MemoryStore()
    namespace = Namespace(store)

    def apply(entry: Entry) -> bytes:
        for data in entry.ops:
            namespace.apply(decode_op(data), namespace.op_count + 1)
        changes = namespace.take_changes(namespace.op_count, entry.seq, entry.epoch, entry.crc)
        store.write(changes)
        namespace.settle(changes)
        return namespace.digest

    await replay(
        MemoryEngine(journal.untrimmed(), random.Random(0)), Position(Seq(0), Epoch(0), 0), apply
    )
    return namespace


@dataclass(frozen=True)
class DiskContent:
    """What lies on one filesystem of an FST."""

    label: str
    """Machine and path, for texts."""
    fsid: int
    """0 when it has no label."""
    files: dict[int, bytes]
    markers: tuple[int, ...]
    orphans: tuple[int, ...]
    strangers: tuple[str, ...]
    """Names that are none of an FST's."""


def look_at(platter: Platter) -> DiskContent:
    """Read a disk as a person would: names and bytes, without any FST."""
    files: dict[int, bytes] = {}
    found: dict[str, list[int]] = {PENDING: [], ORPHANS: []}
    strangers = []
    label = 0
    for path, inode in platter.names.items():
        head, _, name = path.rpartition("/")
        fid = fid_of_name(name)
        if path == LABEL_FSID:
            label = int(inode.data)
        elif fid is not None and head in found:
            found[head].append(fid)
        elif fid is not None and fid_of_name(head) is not None:
            files[fid] = bytes(inode.data)
        elif head != LABEL_FSID.rpartition("/")[0]:
            strangers.append(path)
    return DiskContent(
        platter.label,
        label,
        files,
        tuple(sorted(found[PENDING])),
        tuple(sorted(found[ORPHANS])),
        tuple(sorted(strangers)),
    )


def check_namespace(namespace: Namespace) -> list[str]:
    """The namespace's own invariants."""
    return [f"namespace: {fault}" for fault in invariants.check(namespace)]


def check_disks(namespace: Namespace, disks: Iterable[DiskContent]) -> list[str]:
    """Damage: what no waiting can mend. A registered replica is absent or has other bytes."""
    faults = []
    contents: dict[int, bytes] = {}
    for disk in disks:
        for fid in _registered(namespace, disk.fsid):
            file = queries.inode_of(namespace, fid)
            assert file is not None, f"fid {fid} is registered on fs {disk.fsid} and has no inode"
            data = disk.files.get(fid)
            where = f"fid {fid} ({queries.path_of(namespace, fid)}) on {disk.label}"
            if data is None:
                faults.append(f"{where}: the registered replica is not there")
                continue
            faults += [f"{where}: {fault}" for fault in _compare(file, data)]
            if contents.setdefault(fid, data) != data:
                faults.append(f"{where}: differs from another replica")
        faults += [f"{disk.label}: orphaned data of fid {fid}" for fid in disk.orphans]
    return faults


def check_rest(namespace: Namespace, disks: Iterable[DiskContent]) -> list[str]:
    """What must go away by itself once nothing happens any more."""
    faults = []
    for disk in disks:
        registered = set(_registered(namespace, disk.fsid))
        lost = sorted(set(disk.files) - registered)
        faults += [f"{disk.label}: data of fid {fid} are registered nowhere" for fid in lost]
        faults += [f"{disk.label}: marker of fid {fid}" for fid in disk.markers]
        faults += [f"{disk.label}: stray name {name}" for name in disk.strangers]
        awaiting = queries.deletions_on(namespace, disk.fsid)
        faults += [f"{disk.label}: fid {fid} still awaits deletion" for fid in awaiting]
    return faults


async def check_journal(journal: MemoryJournal, live: Namespace | None) -> list[str]:
    """The journal can be replayed, and says what the master has in memory."""
    try:
        namespace = await rebuild(journal)
    except (ThesanError, OperationError) as error:
        return [f"journal: it can't be replayed: {error!r}"]
    if live is not None and (live.op_count, live.digest) != (namespace.op_count, namespace.digest):
        return [
            f"journal: op {namespace.op_count} has digest {namespace.digest.hex()},"
            f" the master's op {live.op_count} has {live.digest.hex()}"
        ]
    return []


def check_epochs(journal: MemoryJournal) -> list[str]:
    """One writer: epochs have one owner each and only grow, and so do the entries'."""
    faults = [f"journal: it took {what}" for what in journal.strays]
    epochs = [int(owner.epoch) for owner in journal.owners]
    if epochs != sorted(set(epochs)):
        faults.append(f"journal: the epochs of its owners were {epochs}")
    newest = 0
    for number, (owner, data) in enumerate(journal.archive, start=1):
        epoch = decode_entry(data).epoch
        if owner not in journal.owners or owner.epoch != epoch:
            faults.append(f"journal: entry {number} of epoch {epoch} came when {owner} was owner")
        if epoch < newest:
            faults.append(f"journal: entry {number} of epoch {epoch} came after epoch {newest}")
        newest = max(newest, epoch)
    return faults


def check_replicas(journal: MemoryJournal, namespaces: dict[str, Namespace | None]) -> list[str]:
    """All MGMs that are at the head have the same state."""
    faults = []
    told: dict[tuple[int, bytes], list[str]] = {}
    for name, namespace in namespaces.items():
        if namespace is None:
            faults.append(f"{name} has no namespace at rest")
        elif namespace.applied_seq != journal.last:
            faults.append(f"{name} stands at entry {namespace.applied_seq} of {journal.last}")
        else:
            told.setdefault((namespace.op_count, namespace.digest), []).append(name)
    if len(told) > 1:
        faults.append(f"replicas differ: {sorted(told.values())}")
    return faults


def _registered(namespace: Namespace, fsid: int) -> list[int]:
    fids: list[int] = []
    while page := queries.replicas_on(namespace, fsid, after=fids[-1] if fids else 0):
        fids += page
    return fids


def _compare(file: File, data: bytes) -> list[str]:
    faults = []
    if len(data) != file.size:
        faults.append(f"{len(data)} bytes on disk, {file.size} in the namespace")
    if file.adler32 is not None and adler32(data) != file.adler32:
        faults.append("adler32 differs from the namespace's")
    if file.crc32c is not None and crc32c(data) != file.crc32c:
        faults.append("crc32c differs from the namespace's")
    return faults
