"""kXR_write, kXR_pgwrite, kXR_writev, kXR_sync, kXR_truncate, kXR_close, and a head's orders.

Data go into the upload's queue and are answered from there; whatever ends an upload is answered
when its outcome is known.
"""

import asyncio
import errno
from collections.abc import Awaitable, Coroutine
from functools import partial
from typing import Any, assert_never

from thesan.core.authority.capability import Op
from thesan.core.control.replica import (
    Done,
    Outcome,
    Seal,
    Settle,
    decode_order,
    encode_outcome,
)
from thesan.core.model.errors import CapabilityError, OperationError
from thesan.core.model.paths import normalise, parse_cgi
from thesan.core.wire import responses
from thesan.core.wire.numbers import WriteVFlag
from thesan.core.wire.pages import pgwrite_answer, split_pages
from thesan.core.wire.requests import Close, PgWrite, Query, Sync, Truncate, Write, WriteV
from thesan.io.tasks import TaskOwner
from thesan.io.transport.server import ServerConnection
from thesan.roles.fst.answers import Answer, LateAnswers
from thesan.roles.fst.finish import Finisher
from thesan.roles.fst.gate import Gate, client_of
from thesan.roles.fst.handles import Reader, Session
from thesan.roles.fst.open import Opener
from thesan.roles.fst.tpc import Rendezvous
from thesan.roles.fst.upload import Phase, Upload
from thesan.roles.fst.uploads import Uploads


class Writes:
    """Serves what changes files. One for the FST."""

    def __init__(
        self,
        gate: Gate,
        opener: Opener,
        uploads: Uploads,
        finisher: Finisher,
        rendezvous: Rendezvous,
        late: LateAnswers,
        tasks: TaskOwner,
    ) -> None:
        self._gate = gate
        self._opener = opener
        self._uploads = uploads
        self._finisher = finisher
        self._rendezvous = rendezvous
        self._late = late
        self._tasks = tasks

    # -- data --------------------------------------------------------------------------------
    def write(self, connection: ServerConnection, session: Session, request: Write) -> None:
        """Raises OperationError EBADF, EINVAL."""
        upload = session.upload(request.fh)
        _check_range(request.offset)
        done = partial(_answer_write, connection, request.sid)
        upload.write(request.offset, request.data, done)

    def pgwrite(self, connection: ServerConnection, session: Session, request: PgWrite) -> None:
        """Pages with a wrong checksum are written, reported, and awaited again before the close.

        Raises OperationError EBADF, EINVAL, ETOOMANYREFS; WireError for data that end in a CRC.
        """
        upload = session.upload(request.fh)
        _check_range(request.offset)
        data, bad = split_pages(request.data, request.offset)
        upload.note_pages(request.offset, len(data), bad)
        done = partial(_answer_pages, connection, request.sid, request.offset, len(data), bad)
        upload.write(request.offset, data, done)

    def writev(
        self, connection: ServerConnection, session: Session, request: WriteV
    ) -> Answer | None:
        """All pieces, answered once. Raises OperationError before anything was written."""
        uploads = [session.upload(fh) for fh, _, _ in request.items]
        for _, _, offset in request.items:
            _check_range(offset)
        if not uploads:
            return responses.ok(request.sid)
        wants_sync = bool(request.options & WriteVFlag.SYNC)
        left = len(uploads)
        failures: list[OperationError] = []

        def done(error: OperationError | None) -> None:
            nonlocal left
            left -= 1
            if error is not None:
                failures.append(error)
            if left:
                return
            if failures or not wants_sync:
                _answer_write(connection, request.sid, failures[0] if failures else None)
            else:
                syncs = [upload.sync() for upload in dict.fromkeys(uploads)]
                self._late.later(connection, request.sid, _all_done(request.sid, syncs))

        view = memoryview(request.data)
        position = 0
        for upload, (_, length, offset) in zip(uploads, request.items, strict=True):
            upload.write(offset, view[position : position + length], done)
            position += length
        return None

    # -- sync and truncate -------------------------------------------------------------------
    def sync(self, connection: ServerConnection, session: Session, request: Sync) -> Answer | None:
        """Durable data; of a third-party copy's destination, the start or the end of the copy."""
        file = session.file(request.fh)
        if isinstance(file, Reader):
            return responses.ok(request.sid)
        pull = file.pull
        if pull is None:
            work = _done(request.sid, file.upload.sync())
        elif pull.is_started:
            work = _done(request.sid, pull.finished())
        else:
            pull.start()
            return responses.ok(request.sid)
        self._late.later(connection, request.sid, work)
        return None

    def truncate(
        self, connection: ServerConnection, session: Session, request: Truncate
    ) -> Answer | None:
        """By handle, or by path with a capability. Raises OperationError EBADF, EINVAL."""
        _check_range(request.size)
        if request.path:
            work = self._truncate_path(connection, request)
        else:
            # Takes its turn now, not when the answer's task begins.
            work = _done(request.sid, session.upload(request.fh).truncate(request.size))
        self._late.later(connection, request.sid, work)
        return None

    async def _truncate_path(self, connection: ServerConnection, request: Truncate) -> Answer:
        """An update that has no handle: begun, cut and committed in one request.

        A file without replicas yet (`touch`) comes with a CREATE: its first ones are made here.
        """
        path = normalise(request.path)
        cgi = parse_cgi(request.cgi)
        try:
            capability, store = self._gate.check(connection, (Op.TRUNCATE, Op.CREATE), path, cgi)
        except CapabilityError as error:
            redirect = self._gate.refused(request.sid, error)
            if redirect is None:
                raise
            return redirect
        if not capability.grant:
            raise CapabilityError("this capability is for the head's use: ask the MGM")
        if self._uploads.find(store.fsid, capability.fid) is not None:
            raise OperationError(errno.EDEADLK, "another client is writing the file")
        client = client_of(connection)
        fresh = capability.op == Op.CREATE
        upload = await self._opener.start(capability, store, path, client, fresh=fresh)
        try:
            await upload.truncate(request.size)
        finally:
            await self._uploads.commit(upload)
        return responses.ok(request.sid)

    # -- close -------------------------------------------------------------------------------
    def close(
        self, connection: ServerConnection, session: Session, request: Close
    ) -> Answer | None:
        """A written file is committed first. Raises OperationError EBADF."""
        try:
            file = session.file(request.fh)
        finally:
            session.remove(request.fh)
        if isinstance(file, Reader):
            self._tasks.start("close", self._opener.let_go(file))
            return responses.ok(request.sid)
        upload = file.upload
        if upload.phase is not Phase.OPEN:
            raise OperationError(errno.EBADF, "the file is being closed")
        if not upload.origin.is_head:
            # Only the head's last word ends a replica; without it the MGM is asked, in time.
            self._uploads.detach(upload, file)
            return responses.ok(request.sid)
        if file.pull is not None and not file.pull.is_done:
            file.pull.cancel()
            upload.fail(OperationError(errno.ECANCELED, "closed before the copy was complete"))
        # From here on, in this same turn, nothing more is accepted for this upload.
        upload.phase = Phase.CLOSING
        self._late.later(connection, request.sid, self._close(request.sid, upload))
        return None

    async def _close(self, sid: bytes, upload: Upload) -> Answer:
        await self._uploads.commit(upload)
        return responses.ok(sid)

    # -- orders of a head FST ----------------------------------------------------------------
    def order(self, connection: ServerConnection, session: Session, request: Query) -> None:
        """What the head says of our replica of its upload.

        Raises OperationError EBADF, EACCES; ControlError for what is no order.
        """
        order = decode_order(request.args)
        upload = session.upload(request.fh)
        if upload.origin.is_head:
            raise OperationError(errno.EACCES, "this server is the head of that upload")
        work: Coroutine[Any, Any, Outcome]
        match order:
            case Seal():
                work = self._seal(upload, order)
            case Settle():
                session.remove(request.fh)
                upload.phase = Phase.CLOSING
                work = self._settle(upload, order)
            case _:
                assert_never(order)
        self._late.later(connection, request.sid, _outcome(request.sid, work))

    async def _seal(self, upload: Upload, order: Seal) -> Outcome:
        return await self._finisher.seal(upload, order.mtime_ns)

    async def _settle(self, upload: Upload, order: Settle) -> Outcome:
        await self._uploads.settle(upload, keep=order.keep)
        return Done()


async def _done(sid: bytes, work: Awaitable[None]) -> Answer:
    await work
    return responses.ok(sid)


async def _all_done(sid: bytes, works: "list[asyncio.Future[None]]") -> Answer:
    for work in works:
        await work
    return responses.ok(sid)


async def _outcome(sid: bytes, work: Coroutine[Any, Any, Outcome]) -> Answer:
    return responses.ok(sid, encode_outcome(await work))


def _check_range(offset: int) -> None:
    if offset < 0:
        raise OperationError(errno.EINVAL, "negative offset or size")


def _answer_write(connection: ServerConnection, sid: bytes, error: OperationError | None) -> None:
    connection.reply(responses.ok(sid) if error is None else responses.error_of(sid, error))


def _answer_pages(
    connection: ServerConnection,
    sid: bytes,
    offset: int,
    byte_count: int,
    bad: list[int],
    error: OperationError | None,
) -> None:
    if error is not None:
        connection.reply(responses.error_of(sid, error))
    else:
        connection.reply(pgwrite_answer(sid, offset, byte_count, bad))
