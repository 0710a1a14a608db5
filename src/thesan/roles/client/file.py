"""One open file: reads that survive the death of an FST, writes that are whole or not at all.

A file open for reading is reopened through the MGM, at another replica, when its FST is lost or
says that it can't; the caller sees a pause. A file open for writing is bound to its FST: an upload
that breaks is begun anew, since it appears only when it is committed. A small one here (see
roles.client.replay), a large one by whoever has its bytes (roles.client.transfer does).
"""

import asyncio
import errno
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Final

from thesan.core.control.messages import AGAIN_KEY
from thesan.core.model.errors import OperationError, Retry, WireError
from thesan.core.model.limits import (
    PAGE_BYTES,
    PAGE_TRIES_MAX,
)
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import (
    Redirect,
    StatInfo,
    parse_open,
    parse_stat,
)
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import NO_SID, OpenFlag, PageFlag, ProtocolFlag, Status
from thesan.core.wire.pages import interleave
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import error_of
from thesan.roles.client.answers import redirect_of, wait_seconds
from thesan.roles.client.place import Place, close_quietly
from thesan.roles.client.ranges import groups, vector_parts
from thesan.roles.client.replay import Replay, begin_anew, is_committed
from thesan.roles.client.router import ELSEWHERE, Body, Router
from thesan.roles.client.url import Endpoint, set_cgi

MODES: Final[dict[str, int]] = {
    "r": int(OpenFlag.READ | OpenFlag.RETSTAT),
    "w": int(OpenFlag.DELETE | OpenFlag.UPDATE | OpenFlag.RETSTAT),
    "x": int(OpenFlag.NEW | OpenFlag.UPDATE | OpenFlag.RETSTAT),
    "r+": int(OpenFlag.UPDATE | OpenFlag.RETSTAT),
}
"""Read; create or replace; create, EEXIST if it is there; change what is there."""
_PAGES_VERSION_MIN: Final = 0x511
"""First protocol version with pgread and pgwrite."""

Build = Callable[[int], rq.Request]
"""Makes the request for a file handle."""


class _Committed(Exception):
    """The answer to a close was lost; the file is there."""


class File:
    """Made by `Filesystem.open`. Offsets and lengths in bytes.

    `async with` closes it; when the block is left by an exception, an upload is given up instead:
    what was written is not committed.
    """

    def __init__(self, router: Router, request: rq.Open, *, is_readonly: bool) -> None:
        self.path = request.path
        self.size = 0
        """At the time of open; for an upload, the end of what was written."""
        self.recoveries = 0
        """Times it was opened again elsewhere."""
        self._router = router
        self._config = router.config
        self._request = request
        self._is_readonly = is_readonly
        is_upload = bool(request.options & (OpenFlag.DELETE | OpenFlag.NEW))
        self._replay = Replay() if is_upload else None
        self._is_synced = False
        self._is_closing = False
        self._is_dear = not is_readonly and self._replay is None
        """Losing its FST loses what was written: a silent host gets more time."""
        self._place: Place | None = None
        self._lock = asyncio.Lock()
        self._tasks = TaskOwner(f"file {request.path}")
        self._loop = asyncio.get_running_loop()
        self.inode = 0
        """As the FST gave it at open; 0 when it did not."""
        self.after_close: Callable[[], Awaitable[None]] | None = None
        """Called once at its end."""

    async def open(self) -> "File":
        """Open it at an FST. Raises OperationError."""
        self._place = await self._open(self._router.deadline(), {}, None)
        return self

    async def _open(
        self, deadline: float, tried: dict[str, str], redirect: Redirect | None
    ) -> Place:
        router = self._router
        answer = await router.ask(
            self._request,
            deadline=deadline,
            tried=tried,
            redirect=redirect,
            any_mgm=self._is_readonly and self._config.any_mgm,
        )
        try:
            handle, info = parse_open(bytes(answer.body))
        except WireError as error:
            raise OperationError(errno.EPROTO, f"{answer.endpoint}: {error.text}") from error
        if info is not None and (self._is_readonly or self._place is None):
            self.size, self.inode = info.size, info.id
        server = answer.connection.server
        pages = (
            self._config.page_checksums
            and server.version >= _PAGES_VERSION_MIN
            and bool(server.flags & ProtocolFlag.SUPPORTS_PGRW)
        )
        router.pool.hold(answer.endpoint, answer.connection, is_upload=self._is_dear)
        return Place(answer.endpoint, answer.connection, handle, pages)

    def can_begin_again(self) -> None:
        """The writer has everything that it writes: nothing need be kept of it here."""
        self._replay = None

    def _wrote(self, replay: Replay) -> None:
        """Something was written: with more than is kept, the upload is dear from now on."""
        if not replay.is_whole and not self._is_dear:
            self._replay = None
            self._is_dear = True
            self._open_place().connection.uploads += 1

    def _leave(self) -> Place | None:
        """Forget the place. Its connection may be closed by the pool now."""
        place, self._place = self._place, None
        if place is not None:
            self._router.pool.release(place.endpoint, place.connection, is_upload=self._is_dear)
        return place

    def _open_place(self) -> Place:
        if self._place is None:
            raise OperationError(errno.EBADF, f"{self.path} is not open")
        return self._place

    @property
    def chunk_bytes(self) -> int:
        """Size of one request."""
        return self._config.chunk_bytes

    @property
    def is_open(self) -> bool:
        """Until close, discard, or the loss of an upload."""
        return self._place is not None

    @property
    def endpoint(self) -> Endpoint:
        """The FST that serves it now."""
        return self._open_place().endpoint

    # -- one request ---------------------------------------------------------------------------
    async def _ask(self, build: Build, what: str) -> Response:
        """Send the request for this file until it is answered by ok."""
        deadline = self._router.deadline()
        tried: dict[str, str] = {}
        while True:
            place = self._open_place()
            left = deadline - self._loop.time()
            if left <= 0:
                raise OperationError(errno.ETIMEDOUT, f"{what} {self.path}: given up", Retry.LATER)
            try:
                response = await place.connection.call(build(place.handle), left)
            except OperationError as error:
                await self._lost(place, error, deadline, tried, "srverr")
                continue
            match response.status:
                case Status.OK if await self._counts(place):
                    return response
                case Status.OK:
                    continue
                case Status.WAIT:
                    seconds = wait_seconds(response)
                    await asyncio.sleep(min(seconds, deadline - self._loop.time()))
                case Status.REDIRECT if self._is_readonly:
                    redirect = redirect_of(response)
                    await self._move(place, deadline, tried, redirect)
                case _:
                    failure = error_of(response)
                    word = ELSEWHERE.get(failure.errno)
                    if word is None:
                        raise failure
                    await self._lost(place, failure, deadline, tried, word)

    async def _counts(self, place: Place) -> bool:
        """Whether an ok from there is one for this file. While an upload is begun anew elsewhere
        it is not: what the old FST takes late is not in the new upload, and is sent there."""
        if self._is_readonly or self._is_closing:
            return True
        if self._lock.locked():
            async with self._lock:
                pass
        return self._place is place

    async def _lost(
        self,
        place: Place,
        error: OperationError,
        deadline: float,
        tried: dict[str, str],
        word: str,
    ) -> None:
        """The FST can't go on. Read elsewhere, begin an upload anew, or raise `error`."""
        if not self._is_readonly:
            replay = self._replay
            if replay is None:
                raise error
            await self._unless_committed(deadline)
        tried[place.endpoint.host] = word
        try:
            await self._move(place, deadline, tried, None, error)
        except OperationError as failure:
            if failure.errno == errno.EEXIST:
                # By ourselves: the commit was under way when we looked.
                await self._unless_committed(deadline)
            raise

    async def _unless_committed(self, deadline: float) -> None:
        """Raise _Committed when a close without an answer was done all the same."""
        replay = self._replay
        if not self._is_closing or replay is None:
            return
        if await is_committed(self._router, self.path, replay, deadline):
            raise _Committed

    async def _move(
        self,
        place: Place,
        deadline: float,
        tried: dict[str, str],
        redirect: Redirect | None,
        error: OperationError | None = None,
    ) -> None:
        """Open the file again, once for all requests that lost `place`. Raises `error` for an
        upload of which not everything is kept: more was written while this waited for its turn."""
        async with self._lock:
            if self._place is not place:
                self._open_place()
                return
            pool = self._router.pool
            if not self._is_readonly and (self._replay is None or not self._replay.is_whole):
                raise error or OperationError(errno.EIO, f"{self.path}: its FST is lost")
            if self._replay is not None:
                if not place.connection.is_closed:
                    # Not closed: that would commit it.
                    pool.retire(place.endpoint, place.connection)
                self._request.cgi = set_cgi(self._request.cgi, AGAIN_KEY, "1")
                self._place = await begin_anew(
                    self._replay,
                    lambda: self._open(deadline, tried, None),
                    pool,
                    deadline,
                    tried,
                    self._config.chunk_bytes,
                    is_synced=self._is_synced,
                )
                pool.release(place.endpoint, place.connection)
                self.recoveries += 1
                return
            if not place.connection.is_closed:
                self._tasks.start("leave", close_quietly(place, self._config.dial_seconds_max))
            before = (self.size, self.inode)
            self._place = await self._open(deadline, tried, redirect)
            pool.release(place.endpoint, place.connection)
            self.recoveries += 1
            if before != (self.size, self.inode):
                self._leave()
                raise OperationError(errno.ESTALE, f"{self.path} was replaced while it was read")

    # -- reading -------------------------------------------------------------------------------
    async def read(self, offset: int = 0, length: int | None = None) -> Body:
        """`length` bytes at `offset` (None: all), fewer only at the end of the file."""
        if length is None:
            length = max(0, self.size - offset)
        if length <= self._config.chunk_bytes:
            return await self._read_chunk(offset, length)
        return b"".join([piece async for piece in self.pieces(offset, length)])

    async def pieces(self, offset: int = 0, length: int | None = None) -> AsyncIterator[Body]:
        """The bytes in order, in pieces of `chunk_bytes`, several requests ahead."""
        end = self.size if length is None else offset + length
        step = self._config.chunk_bytes
        ahead: deque[tuple[int, asyncio.Task[Body]]] = deque()
        try:
            while ahead or offset < end:
                while offset < end and len(ahead) < self._config.chunks_in_flight:
                    size = min(step - offset % step, end - offset)
                    work = self._read_chunk(offset, size)
                    ahead.append((size, self._tasks.start(f"read {offset}", work)))
                    offset += size
                size, task = ahead.popleft()
                piece = await task
                if piece:
                    yield piece
                if len(piece) < size:
                    return
        finally:
            for _, task in ahead:
                task.cancel()
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)

    async def _read_chunk(self, offset: int, length: int) -> Body:
        """At most `chunk_bytes`; asks again for what a server cut off."""
        parts: list[Body] = []
        while length > 0:
            part = await self._read_once(offset, length)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
            # A short answer is the end of the file, unless the file is known to go on.
            if length and offset >= self.size:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _read_once(self, offset: int, length: int) -> Body:
        if not self._open_place().pages:
            response = await self._ask(lambda fh: rq.Read(NO_SID, fh, offset, length), "read")
            return response.body
        bad: list[int] = []
        for _ in range(PAGE_TRIES_MAX):
            response = await self._ask(lambda fh: self._read_request(fh, offset, length), "read")
            bad = response.bad_offsets
            if not bad:
                return response.body
        text = f"{self.path}: page at {bad[0]} arrives with a wrong checksum each time"
        raise OperationError(errno.EIO, text)

    def _read_request(self, handle: int, offset: int, length: int) -> rq.Request:
        # After a move the new place may be one without page checksums.
        if self._open_place().pages:
            return rq.PgRead(NO_SID, handle, offset, length)
        return rq.Read(NO_SID, handle, offset, length)

    async def readv(self, items: list[tuple[int, int]]) -> list[Body]:
        """`items` are (offset, length), answered in order in as few requests as may be.

        OperationError EINVAL for a range that passes the end of the file.
        """
        results: list[Body] = []
        for group in groups(items):
            response = await self._ask(
                lambda fh, group=group: rq.ReadV(  # type: ignore[misc]
                    NO_SID, [(fh, length, offset) for offset, length in group]
                ),
                "readv",
            )
            results += vector_parts(response.body, group, self.path)
        return results

    # -- writing -------------------------------------------------------------------------------
    async def write(self, offset: int, data: Body) -> None:
        """Write all of `data`, which must not change until this returns."""
        view = memoryview(data).cast("B")
        step = self._config.chunk_bytes
        if len(view) <= step:
            await self._write(offset, view)
            return
        # Tasks start in the order of their making: the requests leave in the order of the file.
        ahead: deque[asyncio.Task[None]] = deque()
        try:
            while view or ahead:
                while view and len(ahead) < self._config.chunks_in_flight:
                    work = self._write(offset, view[:step])
                    ahead.append(self._tasks.start(f"write {offset}", work))
                    offset += step
                    view = view[step:]
                await ahead.popleft()
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def _write(self, offset: int, data: memoryview) -> None:
        if self._open_place().pages:
            await self._write_pages(offset, data)
        else:
            body: bytes = data  # type: ignore[assignment]
            await self._ask(lambda fh: rq.Write(NO_SID, fh, offset, data=body), "write")
        self.size = max(self.size, offset + len(data))
        if self._replay is not None:
            self._replay.wrote(offset, data)
            self._wrote(self._replay)

    async def _write_pages(self, offset: int, data: memoryview) -> None:
        """pgwrite; pages that arrived damaged are sent again. All to one FST: an upload that is
        begun anew meanwhile has none of them."""
        raw = interleave(data, offset)
        place = None
        while place is None or self._place is not place:
            response = await self._ask(lambda fh: rq.PgWrite(NO_SID, fh, offset, data=raw), "write")
            place = self._place
            if response.bad_offsets:
                await self._mend(offset, data, response.bad_offsets)

    async def _mend(self, offset: int, data: memoryview, bad: list[int]) -> None:
        """Send these pages of a write again until none is damaged. Raises OperationError EIO."""
        for _ in range(PAGE_TRIES_MAX):
            again: list[int] = []
            for start in bad:
                stop = min((start // PAGE_BYTES + 1) * PAGE_BYTES, offset + len(data))
                if not offset <= start < stop:
                    raise OperationError(errno.EPROTO, f"{self.path}: a page that was not written")
                page = interleave(data[start - offset : stop - offset], start)
                response = await self._ask(
                    lambda fh, start=start, page=page: rq.PgWrite(  # type: ignore[misc]
                        NO_SID, fh, start, flags=PageFlag.RETRY, data=page
                    ),
                    "write",
                )
                again += response.bad_offsets
            bad = again
            if not bad:
                return
        text = f"{self.path}: page at {bad[0]} arrives damaged each time"
        raise OperationError(errno.EIO, text)

    async def truncate(self, size: int) -> None:
        """Set the size of a file that is open for writing."""
        await self._ask(lambda fh: rq.Truncate(NO_SID, fh=fh, size=size), "truncate")
        self.size = size
        if self._replay is not None:
            self._replay.truncated(size)
            self._wrote(self._replay)

    async def sync(self) -> None:
        """Make what was written durable at the FST; only `close` makes it visible."""
        await self._ask(lambda fh: rq.Sync(NO_SID, fh), "sync")
        self._is_synced = True

    async def stat(self) -> StatInfo:
        """As the FST sees it now."""
        response = await self._ask(lambda fh: rq.Stat(NO_SID, fh=fh), "stat")
        try:
            return parse_stat(bytes(response.body))
        except WireError as error:
            raise OperationError(errno.EPROTO, error.text) from error

    # -- the end -------------------------------------------------------------------------------
    async def close(self) -> None:
        """Close; for writing this is the commit, durable when it returns. Safe to call twice.

        Raises OperationError; with Retry.SAME_ID nobody knows whether it was committed.
        """
        if self._place is None:
            return
        try:
            if self._is_readonly:
                await close_quietly(self._place, self._config.dial_seconds_max)
            else:
                self._is_closing = True
                await self._ask(lambda fh: rq.Close(NO_SID, fh), "close")
        except _Committed:
            pass
        finally:
            await self._end()

    async def discard(self) -> None:
        """Give an upload up: nothing is committed. A file open for reading is just closed."""
        if self._is_readonly:
            await self.close()
            return
        place = self._place
        if place is not None and not place.connection.is_closed:
            # XRootD has no word for it: a close commits. The FST drops what its client leaves.
            self._router.pool.retire(place.endpoint, place.connection)
        await self._end()

    async def _end(self) -> None:
        self._leave()
        await self._tasks.close()
        after, self.after_close = self.after_close, None
        if after is not None:
            await after()

    async def __aenter__(self) -> "File":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.close()
        else:
            await self.discard()
