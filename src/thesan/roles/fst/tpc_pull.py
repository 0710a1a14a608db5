"""The destination's half of a third-party copy: read the source, write the upload.

The source is any XRootD server: an FST, an MGM that redirects, a foreign one. It lets us in by the
key that the client registered there (xrootd.md 2.3).
"""

import asyncio
import errno
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec

from thesan.core.model.errors import OperationError, WireError
from thesan.core.model.limits import (
    TPC_CALL_SECONDS_MAX,
    TPC_CHUNK_BYTES,
    TPC_CHUNKS_IN_FLIGHT,
    TPC_REDIRECTS_MAX,
)
from thesan.core.wire.bodies import ProtocolInfo, parse_open, parse_redirect, parse_wait
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import NO_SID, OpenFlag, ProtocolFlag, Status
from thesan.core.wire.requests import Close, Open, PgRead, Read, Request
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import error_of
from thesan.ports.log import Log
from thesan.roles.fst.upload import Upload

_OPTIONS: Final = int(OpenFlag.READ | OpenFlag.RETSTAT)


class SourceConnection(Protocol):
    """What is used of io.transport.client.ClientConnection."""

    @property
    def server(self) -> ProtocolInfo: ...

    async def call(self, request: Request, timeout: float) -> Response: ...

    async def close(self) -> None: ...


DialSource = Callable[[str, int], Awaitable[SourceConnection]]


class Source(msgspec.Struct, frozen=True):
    """Where the bytes come from, as the client said."""

    host: str
    port: int
    path: str
    key: str
    origin: str
    """`user.pid@host` of the client (tpc.org)."""


class Pull:
    """One third-party copy into an upload."""

    def __init__(
        self, upload: Upload, source: Source, dial: DialSource, tasks: TaskOwner, log: Log
    ) -> None:
        self._upload = upload
        self._source = source
        self._dial = dial
        self._tasks = tasks
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._error: OperationError | None = None

    @property
    def is_started(self) -> bool:
        """The client's first kXR_sync starts the copy, the next one waits for its end."""
        return self._task is not None

    @property
    def is_done(self) -> bool:
        """Ended, well or not."""
        return self._task is not None and self._task.done()

    def start(self) -> None:
        """Begin to copy."""
        assert self._task is None, "a copy is started once"
        self._task = self._tasks.start(f"pull {self._upload.origin.fid:08x}", self._run())

    async def finished(self) -> None:
        """Wait for the end. Raises OperationError when the copy failed or was given up."""
        assert self._task is not None, "the copy was not started"
        # Its cancellation must not be that of whoever waits here, nor the other way round.
        await asyncio.gather(asyncio.shield(self._task), return_exceptions=True)
        if self._error is not None:
            raise self._error
        if self._task.cancelled():
            raise OperationError(errno.ECANCELED, "the copy was given up before it began")

    def cancel(self) -> None:
        """The client does not want it any more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        source = self._source
        try:
            connection, fh, size = await self._open_source()
            try:
                await self._copy(connection, fh, size)
                await connection.call(Close(NO_SID, fh), TPC_CALL_SECONDS_MAX)
            finally:
                await connection.close()
        except WireError as error:
            self._fail(OperationError(errno.EPROTO, error.text))
        except OperationError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._fail(OperationError(errno.ECANCELED, "it was given up"))
            raise
        except Exception as error:
            # A fault of ours, which the owner of the task reports: a part must not become a file.
            self._fail(OperationError(errno.EFAULT, repr(error)))
            raise
        else:
            self._log.info("third-party copy done", path=source.path, host=source.host, size=size)

    def _fail(self, error: OperationError) -> None:
        text = f"copy from {self._source.host}:{self._source.port} failed: {error.text}"
        self._error = OperationError(error.errno, text)
        # Errors of this disk were noted by the write that met them.
        self._upload.fail(self._error, is_of_disk=False)

    async def _open_source(self) -> tuple[SourceConnection, int, int]:
        """(connection, handle, size); follows redirects and waits."""
        source = self._source
        host, port = source.host, source.port
        cgi = f"tpc.key={source.key}&tpc.org={source.origin}"
        for _ in range(TPC_REDIRECTS_MAX + 1):
            connection = await self._dial(host, port)
            try:
                request = Open(NO_SID, source.path, cgi, options=_OPTIONS)
                response = await _patient(connection, request)
                if response.status == Status.OK:
                    fh, stat = parse_open(bytes(response.body))
                    if stat is None:
                        raise OperationError(errno.EPROTO, "the source does not say its size")
                    return connection, fh, stat.size
                if response.status != Status.REDIRECT:
                    raise error_of(response)
                target = parse_redirect(bytes(response.body))
            except BaseException:
                await connection.close()
                raise
            await connection.close()
            if target.port < 0:
                raise OperationError(errno.ENOTSUP, "the source redirects to another protocol")
            host, port = target.host.strip("[]"), target.port or port
            given = f"&{target.cgi}" if target.cgi else ""
            cgi = f"tpc.key={source.key}&tpc.org={source.origin}{given}"
        raise OperationError(errno.ELOOP, "the source redirects without end")

    async def _copy(self, connection: SourceConnection, fh: int, size: int) -> None:
        """Read ahead, write in order, with a bounded number of chunks in memory."""
        pages = bool(connection.server.flags & ProtocolFlag.SUPPORTS_PGRW)
        slots = asyncio.Semaphore(TPC_CHUNKS_IN_FLIGHT)
        reads: deque[asyncio.Task[Response]] = deque()
        written: list[OperationError] = []

        def done(error: OperationError | None) -> None:
            slots.release()
            if error is not None:
                written.append(error)

        asked = taken = 0
        try:
            while taken < size:
                while asked < size and (not reads or not slots.locked()):
                    await slots.acquire()
                    length = min(TPC_CHUNK_BYTES, size - asked)
                    kind = PgRead if pages else Read
                    call = _patient(connection, kind(NO_SID, fh, asked, length))
                    reads.append(self._tasks.start("pull read", call))
                    asked += length
                response = await reads.popleft()
                if response.status != Status.OK:
                    raise error_of(response)
                length, wanted = len(response.body), min(TPC_CHUNK_BYTES, size - taken)
                if length < wanted:
                    text = f"the source ended at {taken + length}, not at {size}"
                    raise OperationError(errno.EIO, text)
                if length > wanted:
                    text = f"the source sent {length} bytes at {taken}, not {wanted}"
                    raise OperationError(errno.EPROTO, text)
                self._upload.write(taken, response.body, done)
                taken += length
                if written:
                    raise written[0]
        finally:
            for read in reads:
                read.cancel()
        await self._upload.drain()
        if written:
            raise written[0]


async def _patient(connection: SourceConnection, request: Request) -> Response:
    """Call again as long as the server says wait, within the deadline."""
    try:
        async with asyncio.timeout(TPC_CALL_SECONDS_MAX):
            while True:
                response = await connection.call(request, TPC_CALL_SECONDS_MAX)
                if response.status != Status.WAIT:
                    return response
                await asyncio.sleep(parse_wait(bytes(response.body))[0])
    except TimeoutError as error:
        what = type(request).__name__.lower()
        raise OperationError(errno.ETIMEDOUT, f"the source did not answer {what}") from error
