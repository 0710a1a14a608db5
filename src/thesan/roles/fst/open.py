"""kXR_open: a capability becomes a handle.

Reading needs the file and nothing else. Writing begins an upload, or goes on with one: a client
whose connection broke comes back with the same ticket, or with a fresh one for the same fid. The
head opens the other replicas at once; for a new file all must open (the client then tries elsewhere
through its MGM), while an upload that goes on, or a file changed in place, does without those that
fail.
"""

import asyncio
import errno

from thesan.core.authority.capability import Capability, Op, Replica
from thesan.core.model.errors import CapabilityError, OperationError
from thesan.core.model.paths import normalise, parse_cgi
from thesan.core.wire import responses
from thesan.core.wire.bodies import StatInfo, build_open, build_stat
from thesan.core.wire.numbers import OpenFlag, StatFlag
from thesan.core.wire.requests import Open
from thesan.io.tasks import TaskOwner
from thesan.io.transport.server import ServerConnection
from thesan.ports.disk import Handle
from thesan.ports.log import Log
from thesan.roles.fst.answers import Answer
from thesan.roles.fst.finish import marker_of
from thesan.roles.fst.gate import Gate, client_of
from thesan.roles.fst.handles import OpenFile, Reader, Session, UploadHandle
from thesan.roles.fst.links import Link, Peers
from thesan.roles.fst.records import Fmd, Marker
from thesan.roles.fst.recovery import Recovery
from thesan.roles.fst.store import FsStore
from thesan.roles.fst.tpc import Rendezvous
from thesan.roles.fst.upload import Origin, Phase, Upload
from thesan.roles.fst.uploads import Uploads

WRITES = int(
    OpenFlag.UPDATE | OpenFlag.WRITE_ONLY | OpenFlag.APPEND | OpenFlag.DELETE | OpenFlag.NEW
)
"""Any of these asks for more than reading."""
_FRESH = int(OpenFlag.DELETE | OpenFlag.NEW)
"""Begin from nothing; XrdCl leaves them out when it goes on after a broken connection."""
_WAIT_SECONDS = 1


class _Busy(OperationError):
    """Something about this file ends just now: ask again in a second."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EAGAIN, text)


class _Outdated(OperationError):
    """Another FST has seen a later epoch than this ticket's: a fresh one is needed."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.ESTALE, text)


class Opener:
    """Opens files. One for the FST."""

    def __init__(
        self,
        gate: Gate,
        uploads: Uploads,
        recovery: Recovery,
        peers: Peers,
        rendezvous: Rendezvous,
        tasks: TaskOwner,
        log: Log,
    ) -> None:
        self._gate = gate
        self._uploads = uploads
        self._recovery = recovery
        self._peers = peers
        self._rendezvous = rendezvous
        self._tasks = tasks
        self._log = log

    async def open(self, connection: ServerConnection, request: Open) -> Answer:
        """Answer a kXR_open. Raises OperationError or CapabilityError."""
        path = normalise(request.path)
        cgi = parse_cgi(request.cgi)
        try:
            file = await self._file(connection, request, path, cgi)
        except _Busy as error:
            return responses.wait(request.sid, _WAIT_SECONDS, error.text)
        except _Outdated:
            return self._gate.send_back(request.sid)
        except CapabilityError as error:
            redirect = self._gate.refused(request.sid, error)
            if redirect is None:
                raise
            return redirect
        return await self._handle_of(connection, request, file)

    async def _file(
        self, connection: ServerConnection, request: Open, path: str, cgi: dict[str, str]
    ) -> OpenFile:
        if not request.options & WRITES:
            pulled = await self._rendezvous.meet(path, cgi)
            if pulled is not None:
                return await self._reader(pulled[0], pulled[1], path)
            capability, store = self._gate.check(connection, (Op.READ,), path, cgi)
            reader = await self._reader(store, capability.fid, path)
            try:
                self._rendezvous.register(reader, cgi)
            except OperationError:
                await reader.close()
                raise
            return reader
        ops = (Op.CREATE, Op.UPDATE, Op.TRUNCATE)
        capability, store = self._gate.check(connection, ops, path, cgi)
        _check_writer(connection, capability)
        source = self._rendezvous.source_of(connection, path, cgi)
        fresh = bool(request.options & _FRESH) and capability.op == Op.CREATE
        upload = await self._upload(connection, capability, store, path, fresh=fresh)
        file = UploadHandle(upload)
        self._uploads.attach(upload, file)
        if source is not None:
            file.pull = self._rendezvous.pull(upload, source)
        return file

    async def _handle_of(
        self, connection: ServerConnection, request: Open, file: OpenFile
    ) -> Answer:
        """Put the file into the session, unless the client left meanwhile."""
        session = connection.state
        if connection.is_closed or not isinstance(session, Session):
            await self.let_go(file)
            return b""
        try:
            fh = session.add(file)
        except OperationError:
            await self.let_go(file)
            raise
        stat = build_stat(stat_of(file)) if request.options & OpenFlag.RETSTAT else None
        return responses.ok(request.sid, build_open(fh, stat))

    async def let_go(self, file: OpenFile) -> None:
        """The client is gone without a close."""
        match file:
            case Reader():
                self._rendezvous.withdraw(file)
                await file.close()
            case UploadHandle():
                self._uploads.detach(file.upload, file)

    # -- reading -----------------------------------------------------------------------------
    async def _reader(self, store: FsStore, fid: int, path: str) -> Reader:
        store.check_readable()
        opened, found = await asyncio.gather(
            store.open_data(fid), store.fmd(fid), return_exceptions=True
        )
        if isinstance(opened, BaseException):
            if isinstance(opened, OperationError):
                store.note_error(opened)
            raise opened
        fmd = found if isinstance(found, Fmd) else None
        upload = self._uploads.find(store.fsid, fid)
        size = upload.size if upload is not None else await store.disk.size(opened)
        if upload is None and fmd is not None and fmd.size != size:
            try:
                await self._check_whole(store, fid, opened)
            except OperationError:
                await store.disk.close(opened)
                raise
        reader = Reader(store, fid, path, opened, size, fmd)
        store.add_reader(fid, reader)
        return reader

    async def _check_whole(self, store: FsStore, fid: int, handle: Handle) -> None:
        """The size is not what the record says. Raises OperationError ENODEV, after which the
        client asks for another replica, unless an upload explains it: one that ended or began since
        the first look, or whose end is not known (of a file with one replica that is all there is).
        """
        if await store.read_marker(fid) is not None or fid in self._recovery.pending(store.fsid):
            return
        fmd, size = await store.fmd(fid), await store.disk.size(handle)
        if fmd is None or fmd.size == size or self._uploads.find(store.fsid, fid) is not None:
            return
        text = f"the replica has {size} bytes, its record says {fmd.size}"
        self._log.warning("replica is damaged", fsid=store.fsid, fid=fid, reason=text)
        raise OperationError(errno.ENODEV, text)

    # -- writing -----------------------------------------------------------------------------
    async def _upload(
        self,
        connection: ServerConnection,
        capability: Capability,
        store: FsStore,
        path: str,
        *,
        fresh: bool,
    ) -> Upload:
        """The upload to go on with, or a new one."""
        fid = capability.fid
        if self._uploads.is_opening(store.fsid, fid):
            raise _Busy("the file is being opened")
        if self._recovery.is_resolving(store.fsid, fid):
            raise _Busy("the file's last upload is being resolved")
        upload = self._uploads.find(store.fsid, fid)
        if upload is not None:
            if upload.phase is not Phase.OPEN:
                raise _Busy("the file is being closed")
            if upload.is_sealing:
                # An open of the head that was long under way, while another one of it did the work.
                raise _Busy("the replica is sealed and awaits its head's last word")
            _check_take_over(upload, capability, client_of(connection))
            if fresh and upload.size:
                await upload.truncate(0)
            return upload
        return await self.start(capability, store, path, client_of(connection), fresh=fresh)

    async def start(
        self,
        capability: Capability,
        store: FsStore,
        path: str,
        client: tuple[str, int, str],
        *,
        fresh: bool,
    ) -> Upload:
        """Begin an upload on this filesystem, or go on with one of before a restart.

        Raises OperationError; then nothing is left of it.
        """
        is_create = capability.op == Op.CREATE
        store.check_writable(capability.booking_size if is_create else None)
        fid = capability.fid
        origin = Origin(
            op=Op.CREATE if is_create else Op.UPDATE,
            fid=fid,
            path=path,
            uid=capability.uid,
            gid=capability.gid,
            layout=capability.layout,
            grant=capability.grant,
            other_fsids=tuple([replica.fsid for replica in capability.replicas]),
            nonce=capability.nonce,
            client=client,
            is_head=bool(capability.grant),
        )
        self._uploads.begin_open(store.fsid, fid)
        try:
            leftover = self._recovery.take(store, fid)
            if leftover is None and fid in self._recovery.pending(store.fsid):
                raise OperationError(errno.ESTALE, "the last upload of this file is lost")
            if leftover is None and is_create and not fresh:
                # The client goes on from the middle: what it wrote before is not here.
                raise OperationError(errno.ESTALE, "there is no upload to go on with")
            try:
                handle = await self._open_data(store, origin, is_new=leftover is None)
            except OperationError as error:
                store.note_error(error)
                if error.errno != errno.ESTALE:
                    await self._undo(store, origin, leftover)
                raise
            upload = await self._begin(store, origin, handle, capability, leftover, fresh=fresh)
            self._uploads.add(upload)
        finally:
            self._uploads.end_open(store.fsid, fid)
        return upload

    async def _open_data(self, store: FsStore, origin: Origin, *, is_new: bool) -> Handle:
        """Open the file; its marker comes first, so that a crash leaves no file without one."""
        if not is_new and origin.op == Op.CREATE:
            return await store.create_data(origin.fid)
        marker = marker_of(origin, store.fsid)
        if origin.op == Op.UPDATE:
            handle = await store.open_data(origin.fid, write=True)
            try:
                # Durable: after a power cut it is all that tells of changed bytes. A leftover's
                # has another grant, which may say other things of other replicas.
                await store.mark(marker)
            except OperationError:
                await store.disk.close(handle)
                raise
            return handle
        try:
            return await store.create_marked(marker)
        except OperationError as error:
            if error.errno != errno.EEXIST:
                raise
            # A ticket shown again after its upload was committed must not destroy the file.
            text = "this file was written already: open it anew"
            raise OperationError(errno.ESTALE, text) from error

    async def _begin(
        self,
        store: FsStore,
        origin: Origin,
        handle: Handle,
        capability: Capability,
        leftover: Marker | None,
        *,
        fresh: bool,
    ) -> Upload:
        """Open the other replicas and make the upload; if that fails nothing is left of it."""
        resumed = leftover is not None
        try:
            size = await store.disk.size(handle)
        except OperationError as error:
            store.note_error(error)
            await store.disk.close(handle)
            await self._undo(store, origin, leftover)
            raise
        upload = Upload(
            store, origin, handle, size, [], capability.booking_size, self._tasks, self._log
        )
        # What was written before a restart is not in the namespace yet.
        upload.is_dirty = resumed and origin.op == Op.UPDATE
        begins = fresh or not resumed
        outdated = await self._open_links(upload, capability.replicas, fresh=begins)
        try:
            if outdated:
                raise _Outdated(outdated)
            if upload.lost_fsids and origin.op == Op.CREATE and not resumed:
                text = f"replica on fs {upload.lost_fsids[0]} can't be written"
                raise OperationError(errno.ENODEV, text)
            if fresh and size:
                await upload.truncate(0)
        except OperationError:
            await asyncio.gather(*[_settled(link) for link in upload.links])
            await upload.end()
            await self._undo(store, origin, leftover)
            raise
        return upload

    async def _undo(self, store: FsStore, origin: Origin, leftover: Marker | None) -> None:
        """The open failed: a new file is removed, one that was there is as it was."""
        if leftover is not None or origin.op == Op.CREATE:
            marker = leftover or marker_of(origin, store.fsid)
            self._recovery.add(store, origin.fid, marker, 0.0)
            return
        try:
            await store.unmark(origin.fid)
        except OperationError as error:
            store.note_error(error)

    async def _open_links(
        self, upload: Upload, replicas: tuple[Replica, ...], *, fresh: bool
    ) -> str:
        """Open all other replicas at once; those that fail are lost to this upload.

        Not empty when one failed only because the ticket is old: why.
        """
        outdated: list[str] = []

        async def opened(replica: Replica) -> None:
            try:
                link = await self._peers.open(replica, upload.origin.path, fresh=fresh)
            except OperationError as error:
                upload.lost_fsids.append(replica.fsid)
                if error.errno == errno.ESTALE:
                    outdated.append(f"{replica.node}: {error.text}")
                self._log.warning(
                    "replica not opened",
                    fid=upload.origin.fid,
                    fsid=replica.fsid,
                    node=replica.node,
                    reason=error.text,
                )
            else:
                upload.links.append(link)

        await asyncio.gather(*[opened(replica) for replica in replicas])
        # In the order of the capability, not of the answers: the commit lists them so.
        order = {replica.fsid: index for index, replica in enumerate(replicas)}
        upload.links.sort(key=lambda link: order[link.fsid])
        return "; ".join(outdated)


async def _settled(link: Link) -> None:
    try:
        await link.settle(keep=False)
    except OperationError:
        return  # the replica resolves it by itself


def _check_writer(connection: ServerConnection, capability: Capability) -> None:
    """A ticket without a grant is a fan-out token: it lies open in its head's ticket, and only the
    head may use it. Raises CapabilityError."""
    if capability.grant:
        if capability.op == Op.TRUNCATE:
            raise CapabilityError("capability allows a truncate by path, not an open")
    elif connection.identity is None or not connection.identity.daemon:
        raise CapabilityError("capability is for the head of the upload")


def _check_take_over(upload: Upload, capability: Capability, client: tuple[str, int, str]) -> None:
    """Only the client that writes, on a new connection, may go on while it still seems to."""
    if upload.writer is None:
        return
    if capability.nonce != upload.origin.nonce and client != upload.origin.client:
        raise OperationError(errno.EDEADLK, "another client is writing the file")


def stat_of(file: OpenFile) -> StatInfo:
    """kXR_stat of an open file."""
    flags = int(StatFlag.READABLE)
    mtime_ns, uid, gid = 0, 0, 0
    match file:
        case Reader():
            if file.fmd is not None:
                mtime_ns, uid, gid = file.fmd.mtime_ns, file.fmd.uid, file.fmd.gid
        case UploadHandle():
            flags |= StatFlag.WRITABLE
            uid, gid = file.upload.origin.uid, file.upload.origin.gid
    mtime = mtime_ns // 1_000_000_000
    return StatInfo(
        id=file.fid,
        size=file.size,
        flags=flags,
        mtime=mtime,
        ctime=mtime,
        atime=mtime,
        mode=0o644,
        owner=str(uid),
        group=str(gid),
    )
