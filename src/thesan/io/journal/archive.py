"""The archive: every applied entry in segment files of this MGM, to trim the engine by, to seed
peers from and to restore to any point.

    take(seq, data) ─► queue ─► block ─► open segment ─► foot, fsync, rename ─► closed_through
          │ overflow, hole, start                ▲
          └────────► engine.read ────────────────┘

`take` only queues: the disk never stands in the way of an answer. What the queue can't hold, and
what was not archived when this process died, is read from the engine, which keeps every entry until
a closed segment has it. A failed disk stops the archive and with it trimming, and nothing else.
"""

import asyncio
import errno
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import msgspec

from thesan.core.journal.entry import Position, prev_crc_of, step
from thesan.core.journal.retention import SegmentInfo, run_start
from thesan.core.journal.segment import Foot, SegmentHead, encode_block, encode_foot, encode_head
from thesan.core.journal.walk import Block
from thesan.core.model.archive_limits import (
    SEGMENT_BLOCK_BYTES,
    SEGMENT_BLOCK_ENTRIES_MAX,
    SEGMENT_BLOCK_SECONDS,
    SEGMENT_BYTES,
    SEGMENT_QUEUE_BYTES,
    SEGMENT_RETRY_SECONDS,
    SEGMENT_SECONDS,
)
from thesan.core.model.errors import JournalError, OperationError, Trimmed
from thesan.core.model.ids import Epoch, Seq
from thesan.io.journal import segment_files
from thesan.io.tasks import TaskOwner
from thesan.ports.clock import Clock
from thesan.ports.disk import Disk, Handle
from thesan.ports.log import Log

ReadEngine = Callable[[Seq, int], Awaitable[list[tuple[Seq, bytes]]]]
"""`Engine.read`."""
_PLACES_MAX: Final = 8
"""Readers whose place in a segment is remembered, so that their next page is not searched."""


@dataclass(frozen=True)
class ArchiveSettings:
    """When blocks and segments end."""

    segment_bytes: int = SEGMENT_BYTES
    segment_seconds: float = SEGMENT_SECONDS
    block_bytes: int = SEGMENT_BLOCK_BYTES
    block_seconds: float = SEGMENT_BLOCK_SECONDS
    queue_bytes: int = SEGMENT_QUEUE_BYTES
    retry_seconds: float = SEGMENT_RETRY_SECONDS


class _Open:
    """The segment that is being written."""

    __slots__ = ("handle", "info", "since")

    def __init__(self, info: SegmentInfo, handle: Handle, since: float) -> None:
        self.info = info
        self.handle = handle
        self.since = since
        """`loop.time()` at which it was begun."""


class Archive:
    """Segments of one MGM. `open` it before the first `take`; `close` it at the end."""

    def __init__(
        self,
        disk: Disk,
        clock: Clock,
        log: Log,
        read_engine: ReadEngine,
        settings: ArchiveSettings | None = None,
    ) -> None:
        self.closed_through = Seq(0)
        """Newest entry in a closed segment: what the engine has up to here is durable here."""
        self.position: Position | None = None
        """After the newest archived entry; None when there is none."""
        self.failure = ""
        """Why nothing is archived now; empty when all is well."""
        self._disk = disk
        self._clock = clock
        self._log = log
        self._read_engine = read_engine
        self._settings = settings if settings is not None else ArchiveSettings()
        self._closed: list[SegmentInfo] = []
        self._open: _Open | None = None
        self._queue: deque[tuple[Seq, bytes]] = deque()
        self._queue_bytes = 0
        self._head = Seq(0)
        self._hole_after = Seq(0)
        """The last hole that was told of."""
        self._places: OrderedDict[Seq, tuple[str, Block]] = OrderedDict()
        self._waiters: deque[tuple[Seq, asyncio.Future[None]]] = deque()
        self._wake: asyncio.Event | None = None
        self._is_urgent = False
        self._rollers: list[asyncio.Future[None]] = []
        """Who waits for the open segment to be closed."""
        self._tasks = TaskOwner("archive", self._crashed)

    # -- life ----------------------------------------------------------------------------------
    async def open(self) -> None:
        """Find what there is, mend what a crash left, begin to write. A closed segment that is
        damaged is left where it is and not counted. Raises OperationError."""
        found = await segment_files.load(self._disk)
        self._closed = found.closed
        for reason in found.damaged.values():
            self._log.warning("segment damaged", reason=reason)
        for path in found.open_paths:
            await self._adopt(path, is_newest=path == found.open_paths[-1])
        if self._closed:
            self.closed_through = self._closed[-1].last
        if self.position is None:
            self.position = self._closed_position()
        self._head = max(self._head, self.last)
        self._wake = asyncio.Event()
        self._tasks.start("write", self._run())

    async def close(self) -> None:
        """Write what was taken, without closing the segment: the next process goes on with it."""
        if self._wake is not None and not self.failure:
            try:
                async with asyncio.timeout(self._settings.retry_seconds):
                    await self.written()
            except TimeoutError:
                self._log.warning("archive closed with entries unwritten", head=self._head)
        await self._tasks.close()
        if self._open is not None:
            handle, self._open = self._open.handle, None
            await self._disk.close(handle)

    # -- writing -------------------------------------------------------------------------------
    @property
    def last(self) -> Seq:
        """Newest archived entry, written but perhaps not yet durable; 0 when there is none."""
        return self.position.seq if self.position is not None else Seq(0)

    def take(self, seq: Seq, data: bytes) -> None:
        """An entry that the journal holds and that is applied here. Never waits, never raises;
        one that is known already, or whose predecessor is not, is fine."""
        if seq <= self._head:
            return
        self._head = seq
        self._queue.append((seq, data))
        self._queue_bytes += len(data)
        if self._queue_bytes > self._settings.queue_bytes:
            # The disk is slower than the journal: it is read again from the engine.
            self._queue.clear()
            self._queue_bytes = 0
        if self._wake is not None:
            self._wake.set()

    async def written(self) -> None:
        """Wait until all that was taken is in its file."""
        if self.last >= self._head:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((self._head, future))
        self._hurry()
        await future

    async def roll(self) -> None:
        """Write all that was taken and close the segment, if it holds anything."""
        await self.written()
        if self._open is None:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rollers.append(future)
        self._hurry()
        await future

    def _hurry(self) -> None:
        self._is_urgent = True
        if self._wake is not None:
            self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._until_due()
                await self._step()
            except (OperationError, JournalError) as error:
                await self._abandon(error)
                await asyncio.sleep(self._settings.retry_seconds)
            except Exception as error:
                # Without closed segments nobody trims the journal: in the end the engine is full.
                self._log.error("archive failed and begins anew", reason=repr(error))
                await self._abandon(OperationError(errno.EIO, repr(error)))
                await asyncio.sleep(self._settings.retry_seconds)

    async def _until_due(self) -> None:
        """Until there is enough for a block, or it has waited long enough, or the segment has."""
        wake = self._wake
        assert wake is not None
        while self.last >= self._head and not self._is_segment_due():
            wake.clear()
            await _wait(wake, self._until_segment_due())
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.block_seconds
        while (
            not self._is_urgent
            and self.last < self._head
            and self._queue_bytes < self._settings.block_bytes
            and self._queue
            and loop.time() < deadline
        ):
            wake.clear()
            await _wait(wake, deadline - loop.time())

    async def _step(self) -> None:
        if self.last < self._head:
            entries, time_ns = await self._next_entries()
            if entries:
                await self._write(entries, time_ns)
                self.failure = ""
            else:
                # A lagging member of the engine does not have it yet.
                await asyncio.sleep(self._settings.block_seconds)
        if self._is_segment_due():
            await self._finish()
        if self.last >= self._head:
            self._is_urgent = False
        while self._waiters and self._waiters[0][0] <= self.last:
            _wake_up(self._waiters.popleft()[1])

    async def _next_entries(self) -> tuple[list[bytes], int]:
        """Entries that follow the newest archived one, and when they were applied (0: unknown)."""
        while self._queue and self._queue[0][0] <= self.last:
            self._queue_bytes -= len(self._queue.popleft()[1])
        if self._queue and self._queue[0][0] == self.last + 1:
            return self._from_queue(), self._clock.now_ns()
        try:
            page = await self._read_engine(Seq(self.last + 1), self._settings.block_bytes)
        except Trimmed as error:
            if self.position is not None:
                if self._hole_after != self.last:
                    self._hole_after = self.last
                    text = "hole in the archive"
                    self._log.warning(text, after=self.last, goes_on_at=error.first)
                await self._finish()
            page = await self._read_engine(Seq(error.first), self._settings.block_bytes)
            self.position = None
        return [data for _, data in page[:SEGMENT_BLOCK_ENTRIES_MAX]], 0

    def _from_queue(self) -> list[bytes]:
        entries: list[bytes] = []
        size, wanted = 0, self._queue[0][0]
        while (
            self._queue
            and self._queue[0][0] == wanted
            and size < self._settings.block_bytes
            and len(entries) < SEGMENT_BLOCK_ENTRIES_MAX
        ):
            data = self._queue.popleft()[1]
            entries.append(data)
            size += len(data)
            wanted = Seq(wanted + 1)
        self._queue_bytes -= size
        return entries

    async def _write(self, entries: Sequence[bytes], time_ns: int) -> None:
        position = self.position
        for data in entries:
            position = step(position, data)
        assert position is not None
        first = Seq(position.seq - len(entries) + 1)
        current = self._open
        if current is None:
            current = self._open = await self._begin(first, entries[0])
        block = encode_block(first, entries, time_ns)
        info = current.info
        await self._disk.write(current.handle, info.file_bytes, block)
        current.info = _grown(info, position, len(block), sum(map(len, entries)), time_ns)
        self.position = position

    async def _begin(self, first: Seq, data: bytes) -> _Open:
        path = segment_files.path_of(first, is_closed=False)
        epoch = step(None, data).epoch
        head = SegmentHead(first, epoch, prev_crc_of(data), self._clock.now_ns())
        encoded = encode_head(head)
        await segment_files.discard(self._disk, path)
        handle = await self._disk.open(path, create=True, write=True)
        info = SegmentInfo(
            path=path,
            first=first,
            last=Seq(first - 1),
            prev_crc=head.prev_crc,
            last_crc=head.prev_crc,
            is_closed=False,
            file_bytes=len(encoded),
            entry_bytes=0,
            begun_ns=head.begun_ns,
            time_ns=0,
        )
        current = self._open = _Open(info, handle, asyncio.get_running_loop().time())
        await self._disk.write(handle, 0, encoded)
        return current

    def _is_segment_due(self) -> bool:
        current = self._open
        if current is None:
            return False
        return (
            bool(self._rollers)
            or current.info.entry_bytes >= self._settings.segment_bytes
            or self._until_segment_due() == 0.0
        )

    def _until_segment_due(self) -> float | None:
        if self._open is None:
            return None
        end = self._open.since + self._settings.segment_seconds
        return max(0.0, end - asyncio.get_running_loop().time())

    async def _finish(self) -> None:
        """Foot, fsync, name: from here on the entries are durable."""
        current = self._open
        if current is None:
            return
        info = current.info
        foot = encode_foot(Foot(info.last, info.last_crc, info.entry_bytes, info.time_ns))
        await self._disk.write(current.handle, info.file_bytes, foot)
        await self._disk.sync(current.handle)
        path = segment_files.path_of(info.first, is_closed=True)
        await self._disk.rename(info.path, path)
        self._open = None
        self._closed.append(_closed(info, path, len(foot)))
        self.closed_through = info.last
        await self._disk.close(current.handle)
        while self._rollers:
            _wake_up(self._rollers.pop())

    async def _abandon(self, error: OperationError | JournalError) -> None:
        """After a failure the open file can't be trusted: back to the last closed segment, and
        from there by the engine."""
        if str(error) != self.failure:
            self._log.warning("archive stopped", reason=str(error), kind=type(error).__name__)
        self.failure = str(error)
        if not isinstance(error, OperationError):
            return  # The engine did not answer, or what it gave does not follow.
        current, self._open = self._open, None
        if current is not None:
            try:
                await self._disk.close(current.handle)
            except OperationError:
                self.failure = str(error)
            await segment_files.discard(self._disk, current.info.path)
        self.position = self._closed_position()

    # -- reading -------------------------------------------------------------------------------
    def segments(self) -> list[SegmentInfo]:
        """All segments in order, the open one last."""
        return [*self._closed, *([self._open.info] if self._open is not None else [])]

    @property
    def first(self) -> Seq:
        """Oldest entry from which on all are held; 0 when there is none."""
        return run_start(self.segments())

    async def read(self, start: Seq, bytes_max: int) -> list[tuple[Seq, bytes]]:
        """Entries from `start`, contiguous, until about `bytes_max` (at least one if any); none
        when `start` is newer than all. Raises Trimmed (with the oldest that is held after it),
        Corrupt, OperationError."""
        segments = self.segments()
        at = bisect_right(segments, start, key=lambda segment: segment.first) - 1
        if at < 0 or start > segments[at].last:
            if at + 1 < len(segments):
                raise Trimmed(segments[at + 1].first)
            return []
        info = segments[at]
        found: list[tuple[Seq, bytes]] = []
        size = 0
        path, place = self._places.pop(start, ("", None))
        async with aclosing(
            segment_files.blocks_of(self._disk, info, place if path == info.path else None)
        ) as blocks:
            async for block in blocks:
                if block.after.seq < start:
                    continue
                for number, data in enumerate(block.entries, block.first):
                    if number >= start and (size < bytes_max or not found):
                        found.append((Seq(number), data))
                        size += len(data)
                if size >= bytes_max:
                    self._remember(Seq(found[-1][0] + 1), info.path, block)
                    break
        return found

    async def remove(self, segment: SegmentInfo) -> None:
        """Remove the oldest segment, which is closed. Raises OperationError."""
        assert self._closed
        assert self._closed[0].first == segment.first
        await self._disk.remove(segment.path)
        del self._closed[0]

    def _remember(self, start: Seq, path: str, block: Block) -> None:
        self._places[start] = (path, block)
        while len(self._places) > _PLACES_MAX:
            self._places.popitem(last=False)

    async def _adopt(self, path: str, *, is_newest: bool) -> None:
        """Go on with an open segment that an earlier process left."""
        mended = await segment_files.mend(self._disk, path)
        if mended is None:
            return
        info, position, damage = mended
        if damage:
            self._log.warning("segment cut", path=path, after=info.last, reason=damage)
        if (self._closed and info.first <= self._closed[-1].last) or not is_newest:
            # A file that was given up, and came back by a power cut.
            await segment_files.discard(self._disk, info.path)
            return
        self.position = position
        if info.is_closed:
            self._closed.append(info)
            return
        handle = await self._disk.open(info.path, write=True)
        self._open = _Open(info, handle, asyncio.get_running_loop().time())

    def _closed_position(self) -> Position | None:
        if not self._closed:
            return None
        info = self._closed[-1]
        return Position(info.last, Epoch(0), info.last_crc)  # Any epoch may follow.

    def _crashed(self, name: str, error: BaseException) -> None:
        self.failure = f"{name} ended by {error!r}"
        self._log.error("archive stopped", reason=self.failure)
        for future in (*(future for _, future in self._waiters), *self._rollers):
            if not future.done():
                future.set_exception(OperationError(errno.EIO, self.failure))


def _wake_up(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _grown(
    info: SegmentInfo, position: Position, block_bytes: int, entry_bytes: int, time_ns: int
) -> SegmentInfo:
    return msgspec.structs.replace(
        info,
        last=position.seq,
        last_crc=position.crc,
        file_bytes=info.file_bytes + block_bytes,
        entry_bytes=info.entry_bytes + entry_bytes,
        time_ns=max(info.time_ns, time_ns),
    )


def _closed(info: SegmentInfo, path: str, foot_bytes: int) -> SegmentInfo:
    return msgspec.structs.replace(
        info, path=path, is_closed=True, file_bytes=info.file_bytes + foot_bytes
    )
