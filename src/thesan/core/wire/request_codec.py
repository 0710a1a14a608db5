"""Requests to bytes and back: one decode and one encode function per request, side by side.

Decoders raise WireError and nothing else; they see a body whose length was checked already and
allocate nothing that the body does not pay for. Layouts: XProtocol.hh, Client*Request.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from thesan.core.model.errors import WireError, Xrd
from thesan.core.model.limits import (
    CGI_BYTES_MAX,
    READV_ITEM_BYTES_MAX,
    READV_ITEMS_MAX,
    READV_TOTAL_BYTES_MAX,
    WRITE_BODY_BYTES_MAX,
    WRITEV_ITEMS_MAX,
)
from thesan.core.wire import requests as rq
from thesan.core.wire.fattr import decode_fattr, encode_fattr
from thesan.core.wire.numbers import QueryCode, RequestId
from thesan.core.wire.request_paths import cut_path, cut_paths, join_path, refuse

HEAD: Final = Struct(">2sH16si")
"""ClientRequestHdr: sid, requestid, 16 bytes of parameters, dlen."""

_PROTOCOL: Final = Struct(">iBB10x")
_LOGIN: Final = Struct(">i8sBBBx")
_AUTH: Final = Struct(">12x4s")
_OPEN: Final = Struct(">HHH6xI")
_HANDLE: Final = Struct(">I12x")
_READ: Final = Struct(">Iqi")
_PATH_ID_LAST: Final = Struct(">15xB")
_WRITE: Final = Struct(">IqBB2x")
_WRITEV: Final = Struct(">B15x")
_TRUNCATE: Final = Struct(">Iq4x")
_STAT: Final = Struct(">B7xII")
_U16_FIRST: Final = Struct(">H14x")
_MKDIR: Final = Struct(">B13xH")
_U16_LAST: Final = Struct(">14xH")
_QUERY: Final = Struct(">H2xI8x")
_PREPARE: Final = Struct(">BBHH10x")
_ITEM: Final = Struct(">Iiq")
"""readahead_list and write_list: fh, length, offset."""

_NO_PARAMS: Final = bytes(16)
_BINARY_QUERIES: Final = frozenset(
    (QueryCode.OPAQUE, QueryCode.OPAQUE_FILE, QueryCode.OPAQUE_HANDLE)
)

_Decoder = Callable[[bytes, bytes, "bytes | bytearray"], rq.Request]


# -- session requests ----------------------------------------------------------------------------
def _decode_protocol(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Protocol:
    return rq.Protocol(sid, *_PROTOCOL.unpack(params))


def _encode_protocol(r: rq.Protocol) -> tuple[bytes, bytes]:
    return _PROTOCOL.pack(r.version, r.flags, r.expect), b""


def _decode_login(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Login:
    pid, user, ability2, ability, capver = _LOGIN.unpack(params)
    username = user.partition(b"\0")[0].decode("ascii", "replace")
    if len(body) > CGI_BYTES_MAX:
        refuse("login token is too long", Xrd.ARG_TOO_LONG)
    return rq.Login(sid, username, pid, ability, ability2, capver, bytes(body).rstrip(b"\0"))


def _encode_login(r: rq.Login) -> tuple[bytes, bytes]:
    user = r.username.encode("ascii", "replace")
    return _LOGIN.pack(r.pid, user, r.ability2, r.ability, r.capver), r.token


def _decode_auth(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Auth:
    return rq.Auth(sid, _AUTH.unpack(params)[0].rstrip(b"\0"), bytes(body))


def _encode_auth(r: rq.Auth) -> tuple[bytes, bytes]:
    return _AUTH.pack(r.credtype), r.credentials


def _decode_ping(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Ping:
    return rq.Ping(sid)


def _encode_ping(r: rq.Ping) -> tuple[bytes, bytes]:
    return _NO_PARAMS, b""


def _decode_endsess(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.EndSession:
    return rq.EndSession(sid, params)


def _decode_bind(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Bind:
    return rq.Bind(sid, params)


def _encode_session_id(r: rq.EndSession | rq.Bind) -> tuple[bytes, bytes]:
    return r.session_id, b""


# -- file requests -------------------------------------------------------------------------------
def _decode_open(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Open:
    mode, options, optiont, template = _OPEN.unpack(params)
    path, cgi = cut_path(body)
    return rq.Open(sid, path, cgi, mode, options, optiont, template)


def _encode_open(r: rq.Open) -> tuple[bytes, bytes]:
    return _OPEN.pack(r.mode, r.options, r.optiont, r.template), join_path(r.path, r.cgi)


def _decode_close(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Close:
    return rq.Close(sid, _HANDLE.unpack(params)[0])


def _decode_sync(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Sync:
    return rq.Sync(sid, _HANDLE.unpack(params)[0])


def _encode_handle(r: rq.Close | rq.Sync) -> tuple[bytes, bytes]:
    return _HANDLE.pack(r.fh), b""


def _decode_read(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Read:
    # read_args: byte 0 is the path id, 7 reserved, then read-ahead items, which are hints only.
    fh, offset, length = _READ.unpack(params)
    if offset < 0 or length < 0:
        refuse("negative offset or length")
    return rq.Read(sid, fh, offset, length, body[0] if body else 0)


def _encode_read(r: rq.Read) -> tuple[bytes, bytes]:
    args = bytes((r.path_id, 0, 0, 0, 0, 0, 0, 0)) if r.path_id else b""
    return _READ.pack(r.fh, r.offset, r.length), args


def _decode_pgread(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.PgRead:
    fh, offset, length = _READ.unpack(params)
    if offset < 0 or length < 0:
        refuse("negative offset or length")
    path_id, flags = (body[0], body[1]) if len(body) >= 2 else (0, 0)
    return rq.PgRead(sid, fh, offset, length, path_id, flags)


def _encode_pgread(r: rq.PgRead) -> tuple[bytes, bytes]:
    return _READ.pack(r.fh, r.offset, r.length), bytes((r.path_id, r.flags))


def _items(body: bytes | bytearray, items_max: int) -> list[tuple[int, int, int]]:
    if not body:
        refuse("list is missing", Xrd.ARG_MISSING)
    if len(body) % _ITEM.size:
        refuse("list does not hold whole items")
    if len(body) > items_max * _ITEM.size:
        refuse(f"list has more than {items_max} items", Xrd.ARG_TOO_LONG)
    return list(_ITEM.iter_unpack(body))


def _decode_readv(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.ReadV:
    items = _items(body, READV_ITEMS_MAX)
    total = 0
    for _, length, offset in items:
        if length < 0 or offset < 0:
            refuse("negative offset or length")
        if length > READV_ITEM_BYTES_MAX:
            refuse(f"item is longer than {READV_ITEM_BYTES_MAX}", Xrd.ARG_TOO_LONG)
        total += length
    if total > READV_TOTAL_BYTES_MAX:
        refuse(f"items are longer than {READV_TOTAL_BYTES_MAX} in all", Xrd.ARG_TOO_LONG)
    return rq.ReadV(sid, items, _PATH_ID_LAST.unpack(params)[0])


def _encode_readv(r: rq.ReadV) -> tuple[bytes, bytes]:
    body = b"".join([_ITEM.pack(*item) for item in r.items])
    return _PATH_ID_LAST.pack(r.path_id), body


def _decode_write(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Write:
    fh, offset, path_id, _ = _WRITE.unpack(params)
    if offset < 0:
        refuse("negative offset")
    return rq.Write(sid, fh, offset, path_id, body)


def _encode_write(r: rq.Write) -> bytes:
    return _WRITE.pack(r.fh, r.offset, r.path_id, 0)


def _decode_pgwrite(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.PgWrite:
    fh, offset, path_id, flags = _WRITE.unpack(params)
    if offset < 0:
        refuse("negative offset")
    return rq.PgWrite(sid, fh, offset, path_id, flags, body)


def _encode_pgwrite(r: rq.PgWrite) -> bytes:
    return _WRITE.pack(r.fh, r.offset, r.path_id, r.flags)


def writev_items(body: bytes | bytearray) -> tuple[list[tuple[int, int, int]], int]:
    """(items, data bytes that follow the list uncounted) of a kXR_writev body.

    Raises a fatal WireError: who can't tell how much data follows has lost the stream.
    """
    try:
        items = _items(body, WRITEV_ITEMS_MAX)
    except WireError as error:
        raise WireError(error.text, error.code, fatal=True) from None
    total = 0
    for _, length, offset in items:
        if length < 0 or offset < 0:
            raise WireError("negative offset or length", Xrd.ARG_INVALID, fatal=True)
        total += length
    if total > WRITE_BODY_BYTES_MAX:
        raise WireError("vector write is too long", Xrd.ARG_TOO_LONG, fatal=True)
    return items, total


def decode_writev(
    sid: bytes, params: bytes, items: list[tuple[int, int, int]], data: bytes | bytearray
) -> rq.WriteV:
    """A kXR_writev from `writev_items` and the data that followed."""
    return rq.WriteV(sid, _WRITEV.unpack(params)[0], items, data)


def _decode_truncate(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Truncate:
    fh, size = _TRUNCATE.unpack(params)
    if size < 0:
        refuse("negative size")
    path, cgi = cut_path(body) if body else ("", "")
    return rq.Truncate(sid, path, cgi, fh, size)


def _encode_truncate(r: rq.Truncate) -> tuple[bytes, bytes]:
    return _TRUNCATE.pack(r.fh, r.size), join_path(r.path, r.cgi)


# -- namespace requests --------------------------------------------------------------------------
def _decode_stat(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Stat:
    options, wants, fh = _STAT.unpack(params)
    path, cgi = cut_path(body) if body else ("", "")
    return rq.Stat(sid, path, cgi, options, fh, wants)


def _encode_stat(r: rq.Stat) -> tuple[bytes, bytes]:
    return _STAT.pack(r.options, r.wants, r.fh), join_path(r.path, r.cgi)


def _decode_statx(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.StatX:
    return rq.StatX(sid, [path.partition("?")[0] for path in cut_paths(body)])


def _encode_statx(r: rq.StatX) -> tuple[bytes, bytes]:
    return _NO_PARAMS, "\n".join(r.paths).encode()


def _decode_dirlist(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.DirList:
    path, cgi = cut_path(body)
    return rq.DirList(sid, path, cgi, params[15])


def _encode_dirlist(r: rq.DirList) -> tuple[bytes, bytes]:
    return _PATH_ID_LAST.pack(r.options), join_path(r.path, r.cgi)


def _decode_locate(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Locate:
    path, cgi = cut_path(body)
    return rq.Locate(sid, path, cgi, _U16_FIRST.unpack(params)[0])


def _encode_locate(r: rq.Locate) -> tuple[bytes, bytes]:
    return _U16_FIRST.pack(r.options), join_path(r.path, r.cgi)


def _decode_mkdir(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Mkdir:
    options, mode = _MKDIR.unpack(params)
    path, cgi = cut_path(body)
    return rq.Mkdir(sid, path, cgi, mode, options)


def _encode_mkdir(r: rq.Mkdir) -> tuple[bytes, bytes]:
    return _MKDIR.pack(r.options, r.mode), join_path(r.path, r.cgi)


def _decode_rm(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Rm:
    return rq.Rm(sid, *cut_path(body))


def _decode_rmdir(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Rmdir:
    return rq.Rmdir(sid, *cut_path(body))


def _encode_path(r: rq.Rm | rq.Rmdir) -> tuple[bytes, bytes]:
    return _NO_PARAMS, join_path(r.path, r.cgi)


def _decode_mv(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Mv:
    split = _U16_LAST.unpack(params)[0]
    if split == 0:
        split = body.find(b" ")
    if split <= 0 or split >= len(body) - 1 or body[split] != 0x20:
        refuse("two paths with a blank between are expected")
    source, source_cgi = cut_path(body[:split])
    target, target_cgi = cut_path(body[split + 1 :])
    return rq.Mv(sid, source, target, source_cgi, target_cgi)


def _encode_mv(r: rq.Mv) -> tuple[bytes, bytes]:
    source = join_path(r.source, r.source_cgi)
    return _U16_LAST.pack(len(source)), source + b" " + join_path(r.target, r.target_cgi)


def _decode_chmod(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Chmod:
    path, cgi = cut_path(body)
    return rq.Chmod(sid, path, cgi, _U16_LAST.unpack(params)[0])


def _encode_chmod(r: rq.Chmod) -> tuple[bytes, bytes]:
    return _U16_LAST.pack(r.mode), join_path(r.path, r.cgi)


def _decode_query(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Query:
    infotype, fh = _QUERY.unpack(params)
    args = bytes(body)
    if infotype not in _BINARY_QUERIES:
        args = args.rstrip(b"\0")
    return rq.Query(sid, infotype, fh, args)


def _encode_query(r: rq.Query) -> tuple[bytes, bytes]:
    return _QUERY.pack(r.infotype, r.fh), r.args


def _decode_set(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Set:
    return rq.Set(sid, params[15], bytes(body).rstrip(b"\0"))


def _encode_set(r: rq.Set) -> tuple[bytes, bytes]:
    return _PATH_ID_LAST.pack(r.modifier), r.args


def _decode_prepare(sid: bytes, params: bytes, body: bytes | bytearray) -> rq.Prepare:
    options, priority, port, options_x = _PREPARE.unpack(params)
    return rq.Prepare(sid, options, options_x, priority, port, cut_paths(body))


def _encode_prepare(r: rq.Prepare) -> tuple[bytes, bytes]:
    params = _PREPARE.pack(r.options, r.priority, r.port, r.options_x)
    return params, "\n".join(r.paths).encode()


# -- dispatch ------------------------------------------------------------------------------------
DECODERS: Final[dict[int, _Decoder]] = {
    int(RequestId.AUTH): _decode_auth,
    int(RequestId.QUERY): _decode_query,
    int(RequestId.CHMOD): _decode_chmod,
    int(RequestId.CLOSE): _decode_close,
    int(RequestId.DIRLIST): _decode_dirlist,
    int(RequestId.PROTOCOL): _decode_protocol,
    int(RequestId.LOGIN): _decode_login,
    int(RequestId.MKDIR): _decode_mkdir,
    int(RequestId.MV): _decode_mv,
    int(RequestId.OPEN): _decode_open,
    int(RequestId.PING): _decode_ping,
    int(RequestId.READ): _decode_read,
    int(RequestId.RM): _decode_rm,
    int(RequestId.RMDIR): _decode_rmdir,
    int(RequestId.SYNC): _decode_sync,
    int(RequestId.STAT): _decode_stat,
    int(RequestId.SET): _decode_set,
    int(RequestId.WRITE): _decode_write,
    int(RequestId.FATTR): decode_fattr,
    int(RequestId.PREPARE): _decode_prepare,
    int(RequestId.STATX): _decode_statx,
    int(RequestId.ENDSESS): _decode_endsess,
    int(RequestId.BIND): _decode_bind,
    int(RequestId.READV): _decode_readv,
    int(RequestId.PGWRITE): _decode_pgwrite,
    int(RequestId.LOCATE): _decode_locate,
    int(RequestId.TRUNCATE): _decode_truncate,
    int(RequestId.PGREAD): _decode_pgread,
}
"""Decoder of (sid, params, body) by request id; kXR_writev has its own way."""
_UNSUPPORTED: Final = frozenset(
    (RequestId.GPFILE, RequestId.CHKPOINT, RequestId.SIGVER, RequestId.CLONE)
)
_XEQ: Final = 4
"""kXR_ckpXeq: opcode of kXR_chkpoint."""


def decode(sid: bytes, requestid: int, params: bytes, body: bytes | bytearray) -> rq.Request:
    """One request from its header fields and whole body (kXR_writev: use `decode_writev`).

    `params` has 16 bytes. Raises WireError: InvalidRequest for an unknown id, Arg* for bad
    arguments; fatal where data follow that the header does not count.
    """
    decoder = DECODERS.get(requestid)
    if decoder is not None:
        return decoder(sid, params, body)
    if requestid in _UNSUPPORTED:
        if requestid == RequestId.CHKPOINT and params[15] == _XEQ:
            # The data of the wrapped write follow uncounted: the stream is lost with them.
            raise WireError("chkpoint is not supported", Xrd.UNSUPPORTED, fatal=True)
        return rq.Unsupported(sid, requestid)
    raise WireError(f"invalid request code {requestid}", Xrd.INVALID_REQUEST)


def encode_head(request: rq.Request, sid: bytes | None = None) -> bytes:
    """Header and body without the data of a Write, PgWrite or WriteV (dlen counts them anyway,
    except for kXR_writev, where the protocol counts the list only)."""
    if sid is None:
        sid = request.sid
    if isinstance(request, rq.Unsupported):
        return HEAD.pack(sid, request.requestid, _NO_PARAMS, 0)
    encoder = _ENCODERS.get(type(request))
    if encoder is not None:
        params, body = encoder(request)
        return HEAD.pack(sid, request.REQUEST_ID, params, len(body)) + body
    if isinstance(request, rq.Write):
        return HEAD.pack(sid, RequestId.WRITE, _encode_write(request), len(request.data))
    if isinstance(request, rq.PgWrite):
        return HEAD.pack(sid, RequestId.PGWRITE, _encode_pgwrite(request), len(request.data))
    assert isinstance(request, rq.WriteV), "every other request has an encoder"
    body = b"".join([_ITEM.pack(*item) for item in request.items])
    params = _WRITEV.pack(request.options)
    return HEAD.pack(sid, RequestId.WRITEV, params, len(body)) + body


def encode(request: rq.Request, sid: bytes | None = None) -> bytes:
    """The whole frame; `sid` replaces the request's own.

    Raises UnicodeEncodeError for a path that is not UTF-8: check it with core.model.paths first.
    """
    head = encode_head(request, sid)
    data = getattr(request, "data", None)
    return head if data is None else head + data


_ENCODERS: Final[dict[type, Callable[..., tuple[bytes, bytes]]]] = {
    rq.Protocol: _encode_protocol,
    rq.Login: _encode_login,
    rq.Auth: _encode_auth,
    rq.Ping: _encode_ping,
    rq.EndSession: _encode_session_id,
    rq.Bind: _encode_session_id,
    rq.Open: _encode_open,
    rq.Close: _encode_handle,
    rq.Sync: _encode_handle,
    rq.Read: _encode_read,
    rq.ReadV: _encode_readv,
    rq.PgRead: _encode_pgread,
    rq.Truncate: _encode_truncate,
    rq.Stat: _encode_stat,
    rq.StatX: _encode_statx,
    rq.DirList: _encode_dirlist,
    rq.Locate: _encode_locate,
    rq.Mkdir: _encode_mkdir,
    rq.Rm: _encode_path,
    rq.Rmdir: _encode_path,
    rq.Mv: _encode_mv,
    rq.Chmod: _encode_chmod,
    rq.Query: _encode_query,
    rq.Set: _encode_set,
    rq.FAttr: encode_fattr,
    rq.Prepare: _encode_prepare,
}
