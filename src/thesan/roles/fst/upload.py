"""One file being written on one filesystem, by a client (head) or by the head FST (replica).

Operations are done one after the other in the order of arrival, so that a truncate or a close never
overtakes a write. The head forwards each of them to the other replicas while it does it itself; a
write is answered when all replicas that are left have it. A replica that fails is lost: the upload
goes on without it and the commit says so. If the head's own disk fails, the upload has failed.

How an upload ends is in finish.py. Everything here runs between two awaits unless it is `async`.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial
from typing import Final, Protocol

import msgspec

from thesan.core.control.replica import Sealed
from thesan.core.model.errors import OperationError
from thesan.core.model.limits import PGWRITE_ERRORS_TOTAL_MAX
from thesan.io.tasks import TaskOwner
from thesan.ports.disk import Handle
from thesan.ports.log import Log
from thesan.roles.fst.links import Data, Link
from thesan.roles.fst.records import Fmd
from thesan.roles.fst.store import FsStore
from thesan.roles.fst.sums import RunningSums

Done = Callable[[OperationError | None], None]
_OVER: Final = "the upload is over"


class Phase(Enum):
    """How far an upload is."""

    OPEN = "open"
    CLOSING = "closing"
    """No more writes; being made durable and committed."""
    ENDED = "ended"


class Origin(msgspec.Struct, frozen=True):
    """What the capability said."""

    op: int
    """CREATE or UPDATE (a truncate by path counts as UPDATE)."""
    fid: int
    path: str
    uid: int
    gid: int
    layout: int
    grant: bytes
    """Empty for a replica of somebody else's upload."""
    other_fsids: tuple[int, ...]
    """Of the head."""
    nonce: bytes
    client: tuple[str, int, str]
    """(login user, pid, host): who may go on with it after a broken connection."""
    is_head: bool


class Writer(Protocol):
    """The handle that the client writes by."""

    def void(self) -> None:
        """Another connection took the upload over."""
        ...


class _Step:
    """One write: answered when this disk and all forwards are done."""

    __slots__ = ("done", "end", "error", "forwards", "offset", "waits")

    def __init__(self, done: Done, offset: int, end: int) -> None:
        self.done = done
        self.offset = offset
        self.end = end
        self.waits = 1
        self.forwards = 0
        """Replicas that have not answered yet."""
        self.error: OperationError | None = None

    def part_done(self) -> None:
        """The disk, or one of the forwards."""
        self.waits -= 1
        if self.waits == 0:
            self.done(self.error)


class Upload:
    """Made by open.py when handle, marker and links exist."""

    def __init__(
        self,
        store: FsStore,
        origin: Origin,
        handle: Handle,
        size: int,
        links: list[Link],
        booked_bytes: int,
        tasks: TaskOwner,
        log: Log,
    ) -> None:
        """`booked_bytes`: what the client said it will write."""
        self.store = store
        self.origin = origin
        self.handle = handle
        self.size = size
        """Bytes, all accepted writes included that the disk has."""
        self.links = links
        """Replicas that are not lost."""
        self.lost_fsids: list[int] = []
        self.lost_links: list[Link] = []
        """Their FSTs may live, and have what was sent so far."""
        self._booked_bytes = max(0, booked_bytes - size)
        store.booked_bytes += self._booked_bytes
        self.phase = Phase.OPEN
        self.error: OperationError | None = None
        """Why nothing more can be written; final."""
        self.is_dirty = False
        """Something was changed."""
        self.is_sealing = False
        """The head has sent everything and asked for what it is: nobody may change it any more."""
        self.is_sealed = False
        """The head has heard that this replica is durable: it may be committed at any time."""
        self.bad_pages: dict[int, None] = {}
        """Offsets of pages that came with a wrong checksum and not yet again."""
        self.sums = RunningSums(is_valid=size == 0)
        self.writer: Writer | None = None
        self.used_at = asyncio.get_running_loop().time()
        """Loop time of the last operation."""
        self.reads = 0
        """Reads in progress on `handle`."""
        self._reads_idle: asyncio.Future[None] | None = None
        self._tasks = tasks
        self._log = log
        self._queue: deque[Callable[[], Awaitable[None]]] = deque()
        self._is_running = False
        self._forwarded: dict[_Step, None] = {}
        self._forward_end = 0
        self._forward_idle: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Upload {self.store.fsid}:{self.origin.fid:08x} {self.phase.value}>"

    # -- operations --------------------------------------------------------------------------
    def write(self, offset: int, data: Data, done: Done) -> None:
        """Write in turn; `done` gets None or the error. `data` must not change before."""
        if self.error is not None or self.phase is not Phase.OPEN:
            done(self.error or OperationError(errno.EBADF, _OVER))
            return
        step = _Step(done, offset, offset + len(data))
        self._put(partial(self._write, step, data))

    def truncate(self, size: int) -> "asyncio.Future[None]":
        """Set the size on all replicas, in turn: what is asked from now on comes after it.

        The future raises OperationError. So do those of `sync` and `drain`.
        """

        async def here() -> None:
            self.is_dirty = True  # The other replicas may be cut although this one can't be.
            await self.store.disk.truncate(self.handle, size)
            self._resize(size)
            self.sums.truncated(size)

        return self._on_all(here, lambda link: link.truncate(size))

    def sync(self) -> "asyncio.Future[None]":
        """Make everything asked before durable on all replicas."""
        return self._on_all(lambda: self.store.disk.sync(self.handle), lambda link: link.sync())

    def drain(self) -> "asyncio.Future[None]":
        """Done when everything asked before is done."""
        return self._on_all(_nothing, None)

    async def seal(self, mtime_ns: int) -> Sealed:
        """Make this replica durable, with its record; after `drain`. Raises OperationError."""
        if self.error is not None:
            raise self.error
        disk, origin = self.store.disk, self.origin
        try:
            sums = self.sums.of(self.size)
            if sums is None:
                sums = await disk.checksums(self.handle, self.size)
            await self.store.seal(
                self.handle,
                Fmd(
                    fid=origin.fid,
                    path=origin.path,
                    uid=origin.uid,
                    gid=origin.gid,
                    layout=origin.layout,
                    size=self.size,
                    adler32=sums[0],
                    crc32c=sums[1],
                    mtime_ns=mtime_ns,
                ),
            )
        except OperationError as error:
            self.fail(error)
            raise
        return Sealed(self.size, *sums)

    # -- pages -------------------------------------------------------------------------------
    def note_pages(self, offset: int, byte_count: int, bad_offsets: list[int]) -> None:
        """Pages came: those in `bad_offsets` are awaited again, the others are good.

        Raises OperationError ETOOMANYREFS when too many are awaited.
        """
        if self.bad_pages:
            for page in [page for page in self.bad_pages if offset <= page < offset + byte_count]:
                del self.bad_pages[page]
        if bad_offsets:
            self.bad_pages.update(dict.fromkeys(bad_offsets))
            if len(self.bad_pages) > PGWRITE_ERRORS_TOTAL_MAX:
                text = f"more than {PGWRITE_ERRORS_TOTAL_MAX} pages with a wrong checksum"
                raise OperationError(errno.ETOOMANYREFS, text)

    # -- who writes --------------------------------------------------------------------------
    def attach(self, writer: Writer) -> None:
        """`writer` writes from now on; a former one can't any more."""
        if self.writer is not None:
            self.writer.void()
        self.writer = writer

    def detach(self, writer: Writer) -> bool:
        """The client is gone; True when it was the one who writes."""
        if self.writer is not writer:
            return False
        self.writer = None
        return True

    # -- the end -----------------------------------------------------------------------------
    def read_done(self) -> None:
        """A read on `handle` is over."""
        self.reads -= 1
        if self.reads == 0 and self._reads_idle is not None:
            self._reads_idle.set_result(None)
            self._reads_idle = None

    async def end(self) -> None:
        """Close the file, after the reads in progress. The upload takes nothing more."""
        if self.phase is Phase.ENDED:
            return
        self.phase = Phase.ENDED
        self._unbook(self._booked_bytes)
        if self.writer is not None:
            self.writer.void()
            self.writer = None
        if self.reads:
            self._reads_idle = asyncio.get_running_loop().create_future()
            await self._reads_idle
        try:
            await self.store.disk.close(self.handle)
        except OperationError as error:
            # Everything that counts was fsynced before.
            self.store.note_error(error)

    # -- failure -----------------------------------------------------------------------------
    def fail(self, error: OperationError, *, is_of_disk: bool = True) -> None:
        """This replica is no good: nothing more is accepted.

        An EIO of elsewhere (`is_of_disk` False) must not take the filesystem out of service.
        """
        if self.error is None:
            self.error = error
            if is_of_disk:
                self.store.note_error(error)
            self._log.warning(
                "upload failed",
                fid=self.origin.fid,
                fsid=self.store.fsid,
                path=self.origin.path,
                reason=error.text,
            )

    def lose(self, link: Link, error: OperationError) -> None:
        """Go on without a replica."""
        if link in self.links:
            self.links.remove(link)
            self.lost_fsids.append(link.fsid)
            self.lost_links.append(link)
            self._log.warning(
                "replica lost",
                fid=self.origin.fid,
                fsid=link.fsid,
                path=self.origin.path,
                reason=error.text,
            )

    async def on_links(self, action: Callable[[Link], Awaitable[None]]) -> None:
        """Do something on every replica that is left; those that fail are lost."""
        await asyncio.gather(*[self._guarded(link, action) for link in list(self.links)])

    # -- inside ------------------------------------------------------------------------------
    def _put(self, work: Callable[[], Awaitable[None]]) -> None:
        self.used_at = asyncio.get_running_loop().time()
        self._queue.append(work)
        if not self._is_running:
            self._is_running = True
            self._tasks.start(f"upload {self.origin.fid:08x}", self._run())

    async def _run(self) -> None:
        """Do what is queued, in order. Work answers for its own errors."""
        try:
            while self._queue:
                work = self._queue.popleft()
                try:
                    await work()
                except Exception as error:
                    self._break_off(error)
        finally:
            self._is_running = False

    def _break_off(self, error: Exception) -> None:
        """A fault of ours: the world hears of it, and nobody waits for ever."""
        self.fail(OperationError(errno.EFAULT, f"upload broken off: {error!r}"))
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"{self!r} failed", "exception": error}
        )

    async def _write(self, step: _Step, data: Data) -> None:
        step.error = self.error or OperationError(errno.EFAULT, "write broken off")
        try:
            if self.error is None:
                if self.links:
                    await self._forward(step, data)
                await self._write_here(step.offset, data)
                step.error = None
        except OperationError as error:
            self.fail(error)
            step.error = error
        finally:
            step.part_done()

    async def _write_here(self, offset: int, data: Data) -> None:
        disk, sums = self.store.disk, self.sums
        self.is_dirty = True
        if sums.continues(offset):
            values = await disk.write_summed(self.handle, offset, data, sums.values)
            sums.advance(len(data), values)
        else:
            sums.spoil()
            await disk.write(self.handle, offset, data)
        if offset + len(data) > self.size:
            self._resize(offset + len(data))

    def _resize(self, size: int) -> None:
        self._unbook(size - self.size)
        self.size = size
        self.store.set_size(self.origin.fid, size)

    def _unbook(self, byte_count: int) -> None:
        """Booked bytes were written, or never will be."""
        used = min(max(0, byte_count), self._booked_bytes)
        self._booked_bytes -= used
        self.store.booked_bytes -= used

    async def _forward(self, step: _Step, data: Data) -> None:
        """Send a write to the other replicas, behind those that it overlaps."""
        if step.offset < self._forward_end and any(
            step.offset < other.end and other.offset < step.end for other in self._forwarded
        ):
            await self._until_forwarded()
        if not self.links:
            return
        step.waits += len(self.links)
        step.forwards = len(self.links)
        self._forwarded[step] = None
        self._forward_end = max(self._forward_end, step.end)
        for link in list(self.links):
            self._tasks.start(f"forward {self.origin.fid:08x}", self._forward_to(link, step, data))

    async def _forward_to(self, link: Link, step: _Step, data: Data) -> None:
        try:
            await self._guarded(link, lambda link: link.write(step.offset, data))
        finally:
            step.forwards -= 1
            if step.forwards == 0:
                del self._forwarded[step]
                self._note_forwarded()
            step.part_done()

    def _note_forwarded(self) -> None:
        if self._forwarded:
            return
        self._forward_end = 0
        if self._forward_idle is not None and not self._forward_idle.done():
            self._forward_idle.set_result(None)

    async def _until_forwarded(self) -> None:
        """Wait until no forward is under way. Only the runner waits here."""
        while self._forwarded:
            self._forward_idle = asyncio.get_running_loop().create_future()
            await self._forward_idle

    async def _guarded(self, link: Link, action: Callable[[Link], Awaitable[None]]) -> None:
        try:
            await action(link)
        except OperationError as error:
            self.lose(link, error)

    def _on_all(
        self,
        here: Callable[[], Awaitable[None]],
        there: Callable[[Link], Awaitable[None]] | None,
    ) -> "asyncio.Future[None]":
        """In turn, on this disk and on all replicas at once."""
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever asked may be gone when the answer comes.
        finished.add_done_callback(_look_at)
        if self.phase is Phase.ENDED:
            finished.set_exception(OperationError(errno.EBADF, _OVER))
            return finished

        async def work() -> None:
            try:
                await self._until_forwarded()
                if self.error is not None:
                    raise self.error
                there_too = self.on_links(there) if there is not None else _nothing()
                results = await asyncio.gather(here(), there_too, return_exceptions=True)
                for result in results:
                    if isinstance(result, BaseException):
                        raise result
            except OperationError as error:
                self.fail(error)
                if not finished.done():
                    finished.set_exception(error)
            except BaseException:
                finished.cancel()
                raise
            else:
                if not finished.done():
                    finished.set_result(None)

        self._put(work)
        return finished


def _look_at(finished: "asyncio.Future[None]") -> None:
    if not finished.cancelled():
        finished.exception()


async def _nothing() -> None:
    return
