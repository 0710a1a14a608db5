"""kXR_read, kXR_pgread, kXR_readv: bytes of open files.

What is small and in the page cache is answered at once, in the event loop; what is large leaves
past the event loop (ports.bulk); the rest waits for the disk. A disk that fails to read does not
fail the client: it is sent back to the master, which knows other replicas.
"""

import errno
from collections.abc import Callable, Coroutine
from typing import Any

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import (
    INLINE_READ_BYTES_MAX,
    READ_BYTES_MAX,
    READV_TOTAL_BYTES_MAX,
)
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_readv
from thesan.core.wire.pages import pgread_answer
from thesan.core.wire.requests import PgRead, Read, ReadV
from thesan.io.tasks import TaskOwner
from thesan.io.transport.server import ServerConnection
from thesan.ports.disk import Disk, Handle
from thesan.roles.fst.answers import Answer
from thesan.roles.fst.gate import Gate
from thesan.roles.fst.handles import OpenFile, Reader, Session

_Item = tuple[OpenFile, int, int, int]
"""(file, fh, offset, length) of a readv."""
_Send = Callable[[bytes, Disk, Handle, int, int, int], Coroutine[Any, Any, None]]
"""`ServerConnection.send_file` or `send_pages`."""


class Reads:
    """Serves reads. One for the FST; its methods are those of io.transport Service.handle."""

    def __init__(self, gate: Gate, own_host: str, tasks: TaskOwner) -> None:
        """`own_host`: this node's host name as clients know it."""
        self._gate = gate
        self._own_host = own_host
        self._tasks = tasks

    # -- read --------------------------------------------------------------------------------
    def read(self, connection: ServerConnection, session: Session, request: Read) -> Answer | None:
        """Bytes at an offset; fewer only at the end of the file. Raises OperationError."""
        file = session.file(request.fh)
        length = _clipped(file, request.offset, request.length)
        if not length:
            return self._now(connection, request, responses.ok(request.sid))
        if length <= INLINE_READ_BYTES_MAX:
            try:
                data = file.store.disk.read_now(file.handle, request.offset, length)
            except OperationError as error:
                return self._now(connection, request, self._failed(request.sid, file, error))
            if data is not None:
                return self._now(connection, request, responses.ok(request.sid, data))
            self._start(file, self._read_slowly(connection, request, file, length))
        else:
            self._start_bulk(connection.send_file, connection, request, file, length)
        return None

    async def _read_slowly(
        self, connection: ServerConnection, request: Read, file: OpenFile, length: int
    ) -> None:
        try:
            data = await file.store.disk.read(file.handle, request.offset, length)
            answer = responses.ok(request.sid, data)
        except OperationError as error:
            answer = self._failed(request.sid, file, error)
        _reply(connection, request.sid, answer, request.path_id)

    # -- pgread ------------------------------------------------------------------------------
    def pgread(
        self, connection: ServerConnection, session: Session, request: PgRead
    ) -> Answer | None:
        """As `read`, with a checksum for each page."""
        file = session.file(request.fh)
        length = _clipped(file, request.offset, request.length)
        if length > INLINE_READ_BYTES_MAX:
            self._start_bulk(connection.send_pages, connection, request, file, length)
            return None
        data: bytes | None = b""
        if length:
            try:
                data = file.store.disk.read_now(file.handle, request.offset, length)
            except OperationError as error:
                return self._now(connection, request, self._failed(request.sid, file, error))
        if data is None:
            self._start(file, self._pgread_slowly(connection, request, file, length))
            return None
        answer = pgread_answer(request.sid, request.offset, data)
        return self._now(connection, request, answer)

    async def _pgread_slowly(
        self, connection: ServerConnection, request: PgRead, file: OpenFile, length: int
    ) -> None:
        try:
            data = await file.store.disk.read(file.handle, request.offset, length)
            answer: Answer = pgread_answer(request.sid, request.offset, data)
        except OperationError as error:
            answer = self._failed(request.sid, file, error)
        _reply(connection, request.sid, answer, request.path_id)

    # -- readv -------------------------------------------------------------------------------
    def readv(
        self, connection: ServerConnection, session: Session, request: ReadV
    ) -> Answer | None:
        """Many pieces at once, perhaps of several files; each must be there in full.

        Raises OperationError: EBADF, EINVAL for a piece beyond the end of its file or too many
        bytes in all.
        """
        items: list[_Item] = []
        total = 0
        for fh, length, offset in request.items:
            file = session.file(fh)
            total += length
            if total > READV_TOTAL_BYTES_MAX:
                raise OperationError(errno.EINVAL, f"more than {READV_TOTAL_BYTES_MAX} bytes")
            if offset < 0 or length < 0 or offset + length > file.size:
                text = f"{length} bytes at {offset} reach beyond the end of the file"
                raise OperationError(errno.EINVAL, text)
            items.append((file, fh, offset, length))
        if total <= INLINE_READ_BYTES_MAX:
            parts = self._readv_now(items)
            if parts is not None:
                answer = responses.ok(request.sid, build_readv(parts))
                return self._now(connection, request, answer)
        self._tasks.start("readv", self._readv_slowly(connection, request, items))
        for file, *_ in items:
            file.reads += 1
        return None

    def _readv_now(self, items: list[_Item]) -> list[tuple[int, int, bytes]] | None:
        """All pieces from the page cache, None when one of them is not there."""
        parts = []
        for file, fh, offset, length in items:
            try:
                data = file.store.disk.read_now(file.handle, offset, length)
            except OperationError:
                return None  # the slow way meets the error again and answers it
            if data is None:
                return None
            parts.append((fh, offset, data))
        return parts

    async def _readv_slowly(
        self, connection: ServerConnection, request: ReadV, items: list[_Item]
    ) -> None:
        """Pieces of one file that follow each other in the list are read in one go."""
        parts: list[tuple[int, int, bytes]] = []
        answer: Answer
        file = items[0][0] if items else None
        try:
            index = 0
            while index < len(items):
                file = items[index][0]
                stop = index
                while stop < len(items) and items[stop][0] is file:
                    stop += 1
                run = items[index:stop]
                pieces = [(offset, length) for _, _, offset, length in run]
                found = await file.store.disk.readv(file.handle, pieces)
                parts += [
                    (fh, offset, data) for (_, fh, offset, _), data in zip(run, found, strict=True)
                ]
                index = stop
            answer = responses.ok(request.sid, build_readv(parts))
        except OperationError as error:
            assert file is not None
            answer = self._failed(request.sid, file, error)
        finally:
            for used, *_ in items:
                await used.read_done()
        _reply(connection, request.sid, answer, request.path_id)

    # -- inside ------------------------------------------------------------------------------
    def _start(self, file: OpenFile, work: Coroutine[Any, Any, None]) -> None:
        """Do it in a task; the file stays open until it is done."""
        file.reads += 1
        self._tasks.start("read", self._counted(file, work))

    async def _counted(self, file: OpenFile, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            await file.read_done()

    def _start_bulk(
        self,
        send: _Send,
        connection: ServerConnection,
        request: Read | PgRead,
        file: OpenFile,
        length: int,
    ) -> None:
        file.reads += 1
        self._tasks.start("read", self._bulk(send, connection, request, file, length))

    async def _bulk(
        self,
        send: _Send,
        connection: ServerConnection,
        request: Read | PgRead,
        file: OpenFile,
        length: int,
    ) -> None:
        sid, store = request.sid, file.store
        try:
            await send(sid, store.disk, file.handle, request.offset, length, request.path_id)
        except OperationError as error:
            store.note_error(error)
            if error.errno == errno.EINVAL:
                # No such substream: nothing was sent, and the main one can say so.
                connection.reply(responses.error_of(sid, error))
            # Else the connection is gone, or was aborted in the middle of the answer.
        finally:
            await file.read_done()

    def _now(
        self, connection: ServerConnection, request: Read | PgRead | ReadV, answer: Answer
    ) -> Answer | None:
        """An answer that is ready: on the main stream it leaves with the others of its block."""
        if not request.path_id:
            return answer
        connection.reply(answer, request.path_id)
        return None

    def _failed(self, sid: bytes, file: OpenFile, error: OperationError) -> bytes:
        """The disk did not give the bytes: another replica may."""
        file.store.note_error(error)
        redirect = None
        if error.errno == errno.EIO and isinstance(file, Reader):
            redirect = self._gate.to_master(sid, self._own_host, "ioerr")
        return redirect if redirect is not None else responses.error_of(sid, error)


def _clipped(file: OpenFile, offset: int, length: int) -> int:
    """Bytes to send: not beyond the end of the file. Raises OperationError EINVAL."""
    if offset < 0 or length < 0:
        raise OperationError(errno.EINVAL, "negative offset or length")
    return max(0, min(length, file.size - offset, READ_BYTES_MAX))


def _reply(connection: ServerConnection, sid: bytes, answer: Answer, path_id: int) -> None:
    """On the substream that was asked for, or the main one when that is gone."""
    try:
        connection.reply(answer, path_id)
    except OperationError as error:
        connection.reply(responses.error_of(sid, error))
