"""Segment files on a disk: their names, what is in them, what a crash left of the newest one.

`<first seq as %016x>.open` is being written, `.seg` is closed: fsynced, with its foot, renamed
durably. So a `.seg` is whole or the disk has lost something (Corrupt), while an `.open` is good up
to its first damage: it was never synced, and the engine still holds what it held.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec

from thesan.core.journal.entry import Position
from thesan.core.journal.retention import SegmentInfo
from thesan.core.journal.segment import PART_HEAD_BYTES, SegmentHead, decode_foot, decode_head
from thesan.core.journal.walk import Block, Walk
from thesan.core.model.archive_limits import SEGMENT_READ_BYTES
from thesan.core.model.errors import Corrupt, OperationError
from thesan.core.model.ids import Seq
from thesan.ports.disk import Disk, Handle

FOLDER: Final = "segments"
"""Below the MGM's data directory."""
_OPEN: Final = ".open"
_CLOSED: Final = ".seg"


def path_of(first: Seq, *, is_closed: bool) -> str:
    """Path of a segment below the data directory."""
    return f"{FOLDER}/{first:016x}{_CLOSED if is_closed else _OPEN}"


class Found(msgspec.Struct):
    """What is on the disk."""

    closed: list[SegmentInfo]
    """In order; only their ends were read."""
    open_paths: list[str]
    damaged: dict[str, str]
    """Path of a closed segment that can't be used, and why."""


async def load(disk: Disk) -> Found:
    """Look at the ends of every segment. Raises OperationError."""
    found = Found([], [], {})
    for name in await disk.list(FOLDER):
        path = f"{FOLDER}/{name}"
        if name.endswith(_OPEN):
            found.open_paths.append(path)
        elif name.endswith(_CLOSED):
            try:
                info = await _ends(disk, path)
            except Corrupt as error:
                found.damaged[path] = str(error)
                continue
            if found.closed and info.first <= found.closed[-1].last:
                found.damaged[path] = f"{path}: it overlaps {found.closed[-1].path}"
                continue
            found.closed.append(info)
    return found


async def _ends(disk: Disk, path: str) -> SegmentInfo:
    """A closed segment by its head and its foot."""
    handle = await disk.open(path)
    try:
        size = await disk.size(handle)
        head = decode_head(await disk.read(handle, 0, PART_HEAD_BYTES))
        foot = decode_foot(await disk.read(handle, max(0, size - PART_HEAD_BYTES), PART_HEAD_BYTES))
    except Corrupt as error:
        raise Corrupt(f"{path}: {error}") from error
    finally:
        await disk.close(handle)
    if foot.last < head.first or path != path_of(head.first, is_closed=True):
        raise Corrupt(f"{path}: its head names entry {head.first}, its foot entry {foot.last}")
    return SegmentInfo(
        path=path,
        first=head.first,
        last=foot.last,
        prev_crc=head.prev_crc,
        last_crc=foot.last_crc,
        is_closed=True,
        file_bytes=size,
        entry_bytes=foot.entry_bytes,
        begun_ns=head.begun_ns,
        time_ns=foot.time_ns,
    )


async def survey(disk: Disk, path: str) -> tuple[Walk, str]:
    """Walk through a segment to its end or first damage: the walk, and what the damage is ("":
    the file ends after a block or its foot). Raises OperationError."""
    handle = await disk.open(path)
    try:
        walk = Walk()
        try:
            async with aclosing(_blocks(disk, handle, walk)) as blocks:
                async for _ in blocks:
                    pass
        except Corrupt as error:
            return walk, str(error)
        return walk, "" if walk.end == walk.offset else f"it is cut off at byte {walk.end}"
    finally:
        await disk.close(handle)


async def blocks_of(
    disk: Disk, info: SegmentInfo, place: Block | None = None
) -> AsyncGenerator[Block, None]:
    """The blocks of a segment, checked, from its first one on, or from one that was met before.

    Raises Corrupt for damage: in an open segment only as far as it goes (`file_bytes`), since
    more may be written meanwhile. OperationError.
    """
    head = None
    if place is not None:
        head = SegmentHead(info.first, place.before.epoch, info.prev_crc, info.begun_ns)
    walk = Walk(head, place)
    handle = await disk.open(info.path)
    try:
        async with aclosing(_blocks(disk, handle, walk, info.file_bytes)) as blocks:
            async for block in blocks:
                yield block
        if info.is_closed:
            walk.check_end()
        elif walk.end != walk.offset:
            raise Corrupt(f"block at byte {walk.offset} is cut off")
    except Corrupt as error:
        raise Corrupt(f"{info.path}: {error}") from error
    finally:
        await disk.close(handle)


async def _blocks(
    disk: Disk, handle: Handle, walk: Walk, end: int | None = None
) -> AsyncGenerator[Block, None]:
    while True:
        while (block := walk.next_block()) is not None:
            yield block
        count = SEGMENT_READ_BYTES if end is None else min(SEGMENT_READ_BYTES, end - walk.end)
        data = await disk.read(handle, walk.end, count) if count > 0 else b""
        if not data:
            return
        walk.feed(data)


async def mend(disk: Disk, path: str) -> tuple[SegmentInfo, Position, str] | None:
    """Make of an open segment what can be gone on with: cut behind its last whole block, or
    closed when its foot is there. Returns it with the position after it and what was cut (""
    nothing); None when nothing of it was whole, and then it is removed. Raises OperationError.
    """
    walk, damage = await survey(disk, path)
    info = _info_of(walk, path)
    if info is None:
        await disk.remove(path)
        return None
    position = walk.position
    assert position is not None
    handle = await disk.open(path, write=True)
    try:
        if walk.foot is None and await disk.size(handle) > walk.offset:
            damage = damage or "it has bytes behind its last block"
            await disk.truncate(handle, walk.offset)
        if walk.foot is not None:
            await disk.sync(handle)
    finally:
        await disk.close(handle)
    if walk.foot is not None:
        closed = path_of(info.first, is_closed=True)
        await disk.rename(path, closed)
        info = msgspec.structs.replace(info, path=closed, is_closed=True)
    return info, position, damage


async def peek(disk: Disk, path: str) -> SegmentInfo | None:
    """An open segment as far as it is whole, left as it is; None when nothing of it is. Raises
    OperationError."""
    return _info_of((await survey(disk, path))[0], path)


def _info_of(walk: Walk, path: str) -> SegmentInfo | None:
    head, position = walk.head, walk.position
    if head is None or position is None or position.seq < head.first:
        return None
    if path != path_of(head.first, is_closed=False):
        return None
    return SegmentInfo(
        path=path,
        first=head.first,
        last=position.seq,
        prev_crc=head.prev_crc,
        last_crc=position.crc,
        is_closed=False,
        file_bytes=walk.offset,
        entry_bytes=walk.entry_bytes,
        begun_ns=head.begun_ns,
        time_ns=walk.time_ns,
    )


async def discard(disk: Disk, path: str) -> None:
    """Remove a segment file as well as can be: what comes back after a power cut is judged anew."""
    try:
        await disk.remove(path)
    except OperationError:
        return
