"""Checkpoints of this MGM's store: made, kept for restores, and handed to peers page by page.

A peer's pages all come from one checkpoint, a consistent copy on disk made of hard links: the store
goes on meanwhile, a broken connection or a restart on either side costs one page. Everything that
touches the disk is done off the loop.
"""

import asyncio
import errno
from collections.abc import Callable

from thesan.core.control.messages import (
    CheckpointPage,
    CheckpointReply,
    JournalPage,
    JournalReply,
)
from thesan.core.journal.retention import (
    CheckpointInfo,
    Keep,
    Surplus,
    parse_checkpoint,
    surplus,
)
from thesan.core.model.archive_limits import (
    CHECKPOINT_IDLE_SECONDS,
    CHECKPOINT_PAGE_BYTES,
    CHECKPOINT_REUSE_SECONDS,
    CHECKPOINTS_SERVED_MAX,
)
from thesan.core.model.errors import Corrupt, OperationError, StoreError, Trimmed
from thesan.core.model.ids import Seq
from thesan.core.model.units import NS_PER_S
from thesan.core.namespace import keys
from thesan.core.namespace.snapshot import applied_of, page_digest
from thesan.io.journal.archive import Archive
from thesan.ports.clock import Clock
from thesan.ports.log import Log
from thesan.ports.store import Store, StoreHome
from thesan.roles.mgm.seed_pages import read_page


class _Served:
    """A checkpoint that peers read."""

    def __init__(self, store: Store, applied: bytes) -> None:
        self.store = store
        self.applied = applied
        self.readers = 0
        self.used_s = 0.0
        """Monotonic time of the last question."""


class CheckpointService:
    """One per MGM, in every role. `store` gives the current store."""

    def __init__(
        self,
        home: StoreHome,
        archive: Archive,
        store: Callable[[], Store],
        clock: Clock,
        log: Log,
        keep: Keep | None = None,
    ) -> None:
        self._home = home
        self._archive = archive
        self._store = store
        self._clock = clock
        self._log = log
        self._keep = keep if keep is not None else Keep()
        self._served: dict[str, _Served] = {}
        self._lock = asyncio.Lock()
        """One checkpoint is made, opened or removed at a time."""

    # -- for peers -----------------------------------------------------------------------------
    async def page(self, message: CheckpointPage) -> CheckpointReply:
        """One page. Raises OperationError: ENOENT for a checkpoint that is not here (any more),
        EAGAIN when too many are served, EIO."""
        try:
            name = message.checkpoint or await self._offer()
            served = await self._serve(name)
            try:
                pairs, last = await read_page(
                    self._home, served.store, message.after, CHECKPOINT_PAGE_BYTES
                )
            finally:
                served.readers -= 1
                served.used_s = asyncio.get_running_loop().time()
        except StoreError as error:
            raise OperationError(errno.EIO, str(error)) from error
        return CheckpointReply(name, served.applied, pairs, page_digest(pairs), last)

    async def entries(self, message: JournalPage) -> JournalReply:
        """Entries from the segments, none when `start` is not held. Raises OperationError."""
        archive = self._archive
        try:
            found = await archive.read(Seq(max(1, message.start)), CHECKPOINT_PAGE_BYTES)
        except Trimmed:
            found = []
        except Corrupt as error:
            raise OperationError(errno.EIO, str(error)) from error
        entries = [data for _, data in found]
        return JournalReply(entries, int(archive.first), int(archive.last))

    async def _offer(self) -> str:
        """Name of a checkpoint that is young enough, made now if there is none."""
        newest = (await self.all())[-1:]
        age_ns = CHECKPOINT_REUSE_SECONDS * NS_PER_S
        if newest and 0 <= self._clock.now_ns() - newest[0].time_ns < age_ns:
            return newest[0].name
        return (await self.make()).name

    async def _serve(self, name: str) -> _Served:
        """The open checkpoint, with one more reader."""
        async with self._lock:
            served = self._served.get(name)
            if served is None:
                if parse_checkpoint(name) is None or name not in await self._home.checkpoints():
                    raise OperationError(errno.ENOENT, f"there is no checkpoint {name[:80]!r} here")
                await self._close_idle(0.0, CHECKPOINTS_SERVED_MAX - 1)
                if len(self._served) >= CHECKPOINTS_SERVED_MAX:
                    raise OperationError(errno.EAGAIN, "other MGMs are being seeded")
                store = await self._home.open_checkpoint(name)
                served = self._served[name] = _Served(store, store.get(keys.M_APPLIED) or b"")
            served.readers += 1
            return served

    # -- for restores --------------------------------------------------------------------------
    async def all(self) -> list[CheckpointInfo]:
        """What there is, oldest first. Raises StoreError."""
        found = [parse_checkpoint(name) for name in await self._home.checkpoints()]
        return sorted(info for info in found if info is not None)

    async def make(self) -> CheckpointInfo:
        """A checkpoint of the store as it is now. Raises StoreError."""
        async with self._lock:
            now_ns = self._clock.now_ns()
            started_s = asyncio.get_running_loop().time()

            def name_of(copy: Store) -> str:
                applied = applied_of(copy)
                if applied is None:
                    raise StoreError("the store holds no namespace yet")
                return CheckpointInfo(Seq(applied.seq), now_ns).name

            name = await self._home.checkpoint(self._store(), name_of)
            info = parse_checkpoint(name)
            assert info is not None
            took_s = asyncio.get_running_loop().time() - started_s
            self._log.info("checkpoint made", seq=info.seq, seconds=round(took_s, 3))
            return info

    async def tend(self) -> None:
        """Make a checkpoint that is due, remove segments and checkpoints that may go. Raises
        StoreError, OperationError."""
        applied = applied_of(self._store())
        if applied is None:
            return
        found = await self._judge(Seq(applied.seq))
        if found.is_due:
            await self.make()
            found = await self._judge(Seq(applied.seq))
        for segment in found.segments:
            await self._archive.remove(segment)
            self._log.info("segment removed", first=segment.first, last=segment.last)
        async with self._lock:
            await self._close_idle(CHECKPOINT_IDLE_SECONDS, 0)
            for info in found.checkpoints:
                if info.name not in self._served:
                    await self._home.remove_checkpoint(info.name)
                    self._log.info("checkpoint removed", seq=info.seq)

    async def _judge(self, applied: Seq) -> Surplus:
        segments, now_ns = self._archive.segments(), self._clock.now_ns()
        return surplus(segments, await self.all(), applied, now_ns, self._keep)

    async def close(self) -> None:
        """Close what is open. Nothing may be asked afterwards."""
        async with self._lock:
            for served in self._served.values():
                await self._home.release(served.store)
            self._served.clear()

    async def _close_idle(self, seconds: float, count_max: int) -> None:
        """Close checkpoints that nobody asked for lately, as long as more than `count_max` are
        open, the longest unused first."""
        now_s = asyncio.get_running_loop().time()
        idle = sorted(
            (served.used_s, name)
            for name, served in self._served.items()
            if served.readers == 0 and now_s - served.used_s >= seconds
        )
        for _, name in idle[: max(0, len(self._served) - count_max)]:
            await self._home.release(self._served.pop(name).store)
