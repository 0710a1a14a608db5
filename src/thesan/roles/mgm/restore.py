"""Restoring to a point in time: a checkpoint and the segments behind it, into a fresh store.

    newest checkpoint at or before the point ─► pages ─► fresh store
    segments from there to the point ────────► every entry checked, its digest compared ─► store

The data directory that is read is left as it is: its MGM may be running. So the newest, open
segment is taken as far as it is whole.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from thesan.core.journal.entry import START, Chain, Position, decode
from thesan.core.journal.retention import CheckpointInfo, SegmentInfo, parse_checkpoint
from thesan.core.journal.walk import Block
from thesan.core.model.errors import Corrupt, OperationError, StoreError
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace import keys
from thesan.core.namespace.snapshot import applied_of
from thesan.core.namespace.state import Namespace
from thesan.io.journal import segment_files
from thesan.io.journal.replay import Accepter
from thesan.ports.disk import Disk
from thesan.ports.store import Store, StoreHome
from thesan.roles.mgm.replica import Replica
from thesan.roles.mgm.seed_pages import read_page

Tell = Callable[[str], None]
"""Told of progress, in sentences."""


class Past(msgspec.Struct, frozen=True):
    """What a data directory can restore from."""

    segments: list[SegmentInfo]
    """In order; an open one as far as it is whole."""
    checkpoints: list[CheckpointInfo]
    damaged: dict[str, str]
    """Path of a segment that can't be used, and why."""


class Restored(msgspec.Struct, frozen=True):
    """Where a restored store stands."""

    position: Position
    digest: bytes
    op_count: int
    fid_limit: int
    """Fids from here on were not reserved yet."""
    entry: bytes
    """The journal entry at that position: a new journal begins with it."""
    base: CheckpointInfo | None
    """The checkpoint that was used; None: all entries from the first one on."""


async def survey(disk: Disk, home: StoreHome) -> Past:
    """Look at what there is, changing nothing. Raises OperationError, StoreError."""
    found = await segment_files.load(disk)
    segments = found.closed
    for path in found.open_paths:
        info = await segment_files.peek(disk, path)
        if info is not None and (not segments or info.first > segments[-1].last):
            segments.append(info)
    named = [parse_checkpoint(name) for name in await home.checkpoints()]
    checkpoints = sorted(info for info in named if info is not None)
    return Past(segments, checkpoints, found.damaged)


async def verify(disk: Disk, home: StoreHome, past: Past, tell: Tell) -> list[str]:
    """Read every byte of every segment, and compare each checkpoint with the entry at which it
    stands. Faults in words; empty when all is well."""
    faults = list(past.damaged.values())
    marks = {info.seq: info for info in past.checkpoints}
    position: Position | None = None
    for segment in past.segments:
        if position is not None and segment.first != position.seq + 1:
            tell(f"entries {position.seq + 1} to {segment.first - 1} are in no segment")
            position = None
        before = Position(Seq(segment.first - 1), Epoch(0), segment.prev_crc)
        if position is not None and position.crc != segment.prev_crc:
            faults.append(f"{segment.path}: does not chain to the segment before it")
        chain = Chain(before)
        try:
            async with aclosing(segment_files.blocks_of(disk, segment)) as blocks:
                async for block in blocks:
                    for data in block.entries:
                        entry = decode(data)
                        chain.check(entry)
                        if entry.seq in marks:
                            faults += await _compare(
                                home, marks[entry.seq], entry.crc, entry.digest
                            )
        except (Corrupt, OperationError) as error:
            faults.append(str(error))
            position = None
            continue
        position = chain.position
        tell(f"{segment.path}: entries {segment.first} to {segment.last} are whole")
    return faults


async def _compare(home: StoreHome, info: CheckpointInfo, crc: int, digest: bytes) -> list[str]:
    try:
        store = await home.open_checkpoint(info.name)
        applied = applied_of(store)
        await home.release(store)
    except StoreError as error:
        return [str(error)]
    if applied is None or applied.chain_crc != crc or (digest and applied.digest != digest):
        return [f"checkpoint {info.name} is not the state after entry {info.seq}"]
    return []


async def seq_at(disk: Disk, past: Past, time_ns: int) -> Seq:
    """The newest entry that was applied by then, as this MGM's clock said: within a second or so.

    Raises StoreError when nothing here is that old, Corrupt, OperationError.
    """
    found = Seq(0)
    for segment in past.segments:
        if 0 < segment.time_ns <= time_ns:
            found = segment.last
            continue
        async with aclosing(segment_files.blocks_of(disk, segment)) as blocks:
            async for block in blocks:
                if block.time_ns > time_ns:
                    return _some(found)
                if block.time_ns:
                    found = block.after.seq
    return _some(found)


def _some(seq: Seq) -> Seq:
    if seq == 0:
        raise StoreError("no entry that is kept here was applied by then")
    return seq


def check_point(past: Past, to: Seq | None) -> None:
    """Whether `restore` has what leads to that entry. Raises StoreError."""
    _base(past, to if to is not None else _newest(past))


async def restore(
    disk: Disk, home: StoreHome, past: Past, to: Seq | None, fresh: Store, tell: Tell
) -> Restored:
    """Bring `fresh`, an empty store, to the state after entry `to` (None: the newest there is).

    Raises StoreError when the entry can't be reached, Corrupt (Diverged too) for damage on the
    way, OperationError. The store is useless then.
    """
    target = to if to is not None else _newest(past)
    base = _base(past, target)
    if base is not None:
        tell(f"copies the checkpoint at entry {base.seq}")
        await _copy(home, base, fresh)
    replica = Replica(Namespace(fresh), fresh)
    start = replica.position if base is not None else START
    accepter = Accepter(start, replica.apply)
    tell(f"applies entries {start.seq + 1} to {target}")
    last = await _apply(disk, past, accepter, target)
    return _checked(accepter, replica.namespace, target, last, base)


async def _apply(disk: Disk, past: Past, accepter: Accepter, target: Seq) -> bytes:
    """Apply entries up to `target`, whose bytes are returned: empty when it is not there."""
    start, last = accepter.position.seq, b""
    async with aclosing(_entries(disk, past, Seq(max(1, start)), target)) as entries:
        async for seq, data in entries:
            if seq > start:
                accepter.accept(seq, data)
            last = data
    return last


def _checked(
    accepter: Accepter,
    namespace: Namespace,
    target: Seq,
    last: bytes,
    base: CheckpointInfo | None,
) -> Restored:
    """Whether the state is the one that the master had after entry `target`."""
    if accepter.position.seq != target or not last:
        raise StoreError(f"the segments end at entry {accepter.position.seq}")
    entry = decode(last)
    if entry.crc != accepter.position.crc:
        raise Corrupt(f"the store stands at another entry {target} than the segments'")
    if entry.digest and entry.digest != namespace.digest:
        raise Corrupt(f"the state after entry {target} is not the master's")
    return Restored(
        accepter.position,
        namespace.digest,
        namespace.op_count,
        namespace.fid_limit,
        last,
        base,
    )


async def catch_up(disk: Disk, past: Past, store: Store) -> Restored:
    """Bring a store that holds a namespace to the newest entry of the segments.

    Raises StoreError when they do not lead there, Corrupt, OperationError.
    """
    replica = Replica(Namespace(store), store)
    start = replica.position
    target = _newest(past)
    if start.seq == 0 or _run_start(past.segments, start.seq) is None:
        raise StoreError(
            f"entry {start.seq} was applied here, but the segments end at entry {target}: the"
            " entry itself is needed; restore into another directory instead"
        )
    accepter = Accepter(start, replica.apply)
    last = await _apply(disk, past, accepter, target)
    return _checked(accepter, replica.namespace, target, last, None)


def _newest(past: Past) -> Seq:
    if not past.segments:
        raise StoreError("there is no segment to restore from")
    return past.segments[-1].last


def _base(past: Past, target: Seq) -> CheckpointInfo | None:
    """The newest checkpoint from which the segments lead to `target`; None: begin with nothing."""
    start = _run_start(past.segments, target)
    if start is None:
        raise StoreError(f"entry {target} is in no segment here")
    # The entry at which the checkpoint stands must be held too: it proves the checkpoint.
    usable = [info for info in past.checkpoints if start <= info.seq <= target]
    if usable:
        return usable[-1]
    if start == 1:
        return None
    raise StoreError(
        f"entry {target} can't be reached: segments without a hole begin at entry {start}, and"
        " there is no checkpoint between"
    )


def _run_start(segments: list[SegmentInfo], target: Seq) -> Seq | None:
    """First entry of the run without a hole that holds `target`."""
    start: Seq | None = None
    end = Seq(0)
    for segment in segments:
        if start is None or segment.first != end + 1:
            start = segment.first
        end = segment.last
        if segment.first <= target <= segment.last:
            return start
    return None


async def _copy(home: StoreHome, info: CheckpointInfo, fresh: Store) -> None:
    checkpoint = await home.open_checkpoint(info.name)
    try:
        applied = checkpoint.get(keys.M_APPLIED)
        if applied is None:
            raise StoreError(f"checkpoint {info.name} holds no namespace")
        after, last = b"", False
        while not last:
            pairs, last = await read_page(home, checkpoint, after)
            if pairs:
                fresh.write(list(pairs))
                after = pairs[-1][0]
        fresh.write([(keys.M_APPLIED, applied)])
    finally:
        await home.release(checkpoint)


async def _entries(
    disk: Disk, past: Past, first: Seq, last: Seq
) -> AsyncGenerator[tuple[Seq, bytes], None]:
    for segment in past.segments:
        if segment.last < first or segment.first > last:
            continue
        async with aclosing(segment_files.blocks_of(disk, segment)) as blocks:
            async for block in blocks:
                for seq, data in _numbered(block):
                    if first <= seq <= last:
                        yield seq, data
                if block.after.seq >= last:
                    break


def _numbered(block: Block) -> list[tuple[Seq, bytes]]:
    return [(Seq(seq), data) for seq, data in enumerate(block.entries, block.first)]
