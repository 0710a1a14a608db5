"""kXR_query, kXR_stat, kXR_locate and the like: what an FST says of itself and of open files."""

import errno
from collections.abc import Callable
from typing import Final

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.core.model.layouts import CHECKSUM_NAMES, ChecksumKind
from thesan.core.model.limits import READV_ITEM_BYTES_MAX, READV_ITEMS_MAX
from thesan.core.model.paths import normalise, parse_cgi, split_cgi
from thesan.core.model.units import MIB
from thesan.core.wire import responses
from thesan.core.wire.bodies import (
    Location,
    StatInfo,
    VfsInfo,
    build_checksum,
    build_config,
    build_locate,
    build_stat,
    build_vfs,
)
from thesan.core.wire.numbers import QueryCode, StatFlag, StatOption
from thesan.core.wire.requests import Locate, Query, Stat
from thesan.io.transport.server import ServerConnection
from thesan.roles.fst.answers import Answer, LateAnswers
from thesan.roles.fst.fleet import Fleet
from thesan.roles.fst.gate import Gate
from thesan.roles.fst.handles import Reader, Session
from thesan.roles.fst.open import stat_of
from thesan.roles.fst.records import Fmd
from thesan.roles.fst.store import BootState, FsStore
from thesan.roles.fst.upload import Upload

BIND_STREAMS_ANNOUNCED: Final = 15
"""xrdcp -S asks for at most 15."""
_CHECKSUMS: Final = (ChecksumKind.ADLER, ChecksumKind.CRC32C)


class Queries:
    """Answers questions. One for the FST."""

    def __init__(
        self,
        gate: Gate,
        fleet: Fleet,
        late: LateAnswers,
        node: str,
        sitename: str,
        version: str,
        statistics: Callable[[], bytes],
    ) -> None:
        """`statistics`: body of the answer to kXR_QStats."""
        self._gate = gate
        self._fleet = fleet
        self._late = late
        self._node = node
        self._statistics = statistics
        names = [CHECKSUM_NAMES[kind] for kind in _CHECKSUMS]
        self._config: dict[str, str] = {
            "version": f"v{version}",
            "role": "server",
            "chksum": ",".join([f"{index}:{name}" for index, name in enumerate(names)]),
            "tpc": "1",
            "bind_max": str(BIND_STREAMS_ANNOUNCED),
            "pio_max": str(BIND_STREAMS_ANNOUNCED + 1),
            "readv_ior_max": str(READV_ITEM_BYTES_MAX),
            "readv_iov_max": str(READV_ITEMS_MAX),
            "sitename": sitename or node.rpartition(":")[0],
            "cms": "none|",
        }

    # -- query -------------------------------------------------------------------------------
    def query(
        self, connection: ServerConnection, session: Session, request: Query
    ) -> Answer | None:
        """All but orders of head FSTs. Raises OperationError, ENOTSUP for most kinds."""
        match request.infotype:
            case QueryCode.CONFIG:
                keys = request.args.decode(errors="replace").split()
                body = build_config([(key, self._config.get(key)) for key in keys])
                return responses.ok(request.sid, body)
            case QueryCode.SPACE:
                return responses.ok(request.sid, self._space())
            case QueryCode.STATS:
                return responses.ok(request.sid, self._statistics())
            case QueryCode.CHECKSUM:
                return self._checksum(connection, session, request)
            case _:
                raise OperationError(errno.ENOTSUP, f"query {request.infotype} is not served here")

    def _booted(self) -> list[FsStore]:
        return [store for store in self._fleet.stores if store.state is BootState.BOOTED]

    def _space(self) -> bytes:
        usages = [store.usage for store in self._booted()]
        total = sum(usage.capacity_bytes for usage in usages)
        free = sum(usage.free_bytes for usage in usages)
        largest = max([usage.free_bytes for usage in usages], default=0)
        return (
            f"oss.cgroup=public&oss.space={total}&oss.free={free}&oss.maxf={largest}"
            f"&oss.used={total - free}&oss.quota=-1\0"
        ).encode()

    # -- checksums ---------------------------------------------------------------------------
    def _checksum(
        self, connection: ServerConnection, session: Session, request: Query
    ) -> Answer | None:
        """By path with a capability (`path?cks.type=T&cap=...`), or by handle without a path."""
        path, text = split_cgi(request.args.decode(errors="replace").rstrip("\0"))
        cgi = parse_cgi(text)
        kind = _kind_of(cgi.get("cks.type", ""))
        if not path:
            file = session.file(request.fh)
            if isinstance(file, Reader):
                work = self._file_checksum(request.sid, file.store, file.fid, kind)
            else:
                work = self._upload_checksum(request.sid, file.upload, kind)
        else:
            ops = (Op.CHECKSUM, Op.READ)
            capability, store = self._gate.check(connection, ops, normalise(path), cgi)
            store.check_readable()
            work = self._file_checksum(request.sid, store, capability.fid, kind)
        self._late.later(connection, request.sid, work)
        return None

    async def _file_checksum(
        self, sid: bytes, store: FsStore, fid: int, kind: ChecksumKind
    ) -> Answer:
        """The recorded one while it can be right, else that of the bytes on the disk."""
        handle = await store.open_data(fid)
        try:
            size = await store.disk.size(handle)
            fmd = await store.fmd(fid)
            if fmd is not None and fmd.size == size:
                sums = fmd.adler32, fmd.crc32c
            else:
                sums = await store.disk.checksums(handle, size)
        except OperationError as error:
            store.note_error(error)
            raise
        finally:
            await store.disk.close(handle)
        return _checksum_answer(sid, kind, sums)

    async def _upload_checksum(self, sid: bytes, upload: Upload, kind: ChecksumKind) -> Answer:
        await upload.drain()
        sums = upload.sums.of(upload.size)
        if sums is None:
            sums = await upload.store.disk.checksums(upload.handle, upload.size)
        return _checksum_answer(sid, kind, sums)

    # -- stat and locate ---------------------------------------------------------------------
    def stat(self, connection: ServerConnection, session: Session, request: Stat) -> Answer | None:
        """Of a handle, of the disks (kXR_vfs), or of a path with a capability."""
        if request.options & StatOption.VFS:
            return responses.ok(request.sid, self._vfs())
        if not request.path:
            return responses.ok(request.sid, build_stat(stat_of(session.file(request.fh))))
        path, cgi = normalise(request.path), parse_cgi(request.cgi)
        # Who may write a file may know that it is there.
        ops = (Op.STAT, Op.READ, Op.UPDATE, Op.CREATE, Op.CHECKSUM)
        capability, store = self._gate.check(connection, ops, path, cgi)
        store.check_readable()
        work = self._stat_path(request.sid, store, capability.fid)
        self._late.later(connection, request.sid, work)
        return None

    async def _stat_path(self, sid: bytes, store: FsStore, fid: int) -> Answer:
        handle = await store.open_data(fid)
        try:
            size = await store.disk.size(handle)
            fmd = await store.fmd(fid)
        finally:
            await store.disk.close(handle)
        return responses.ok(sid, build_stat(_info_of(fid, size, fmd)))

    def _vfs(self) -> bytes:
        stores = self._booted()
        free = sum(store.usage.free_bytes for store in stores)
        total = sum(store.usage.capacity_bytes for store in stores)
        use = (total - free) * 100 // total if total else 0
        return build_vfs(VfsInfo(rw_nodes=1, rw_free_mib=free // MIB, rw_use=use))

    def locate(self, request: Locate) -> Answer:
        """Every file that this server was asked for by a redirect is here."""
        return responses.ok(
            request.sid, build_locate([Location(self._node, writable=bool(self._booted()))])
        )


def _kind_of(name: str) -> ChecksumKind:
    """Raises OperationError ENOTSUP for a kind that is not kept; adler32 when none is named."""
    if not name:
        return ChecksumKind.ADLER
    for kind in _CHECKSUMS:
        if CHECKSUM_NAMES[kind] == name or (kind is ChecksumKind.ADLER and name == "adler"):
            return kind
    raise OperationError(errno.ENOTSUP, f"checksum {name[:20]!r} is not supported")


def _checksum_answer(sid: bytes, kind: ChecksumKind, sums: tuple[int, int]) -> Answer:
    value = sums[0] if kind is ChecksumKind.ADLER else sums[1]
    return responses.ok(sid, build_checksum(CHECKSUM_NAMES[kind], f"{value:08x}"))


def _info_of(fid: int, size: int, fmd: Fmd | None) -> StatInfo:
    mtime = fmd.mtime_ns // 1_000_000_000 if fmd is not None else 0
    return StatInfo(
        id=fid,
        size=size,
        flags=int(StatFlag.READABLE),
        mtime=mtime,
        ctime=mtime,
        atime=mtime,
        mode=0o644,
        owner=str(fmd.uid) if fmd is not None else "",
        group=str(fmd.gid) if fmd is not None else "",
    )
