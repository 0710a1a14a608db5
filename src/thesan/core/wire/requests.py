"""One value class per XRootD request, the same for server and client.

Only values: bytes to values and back is `request_codec`. Fields keep their wire meaning: sizes and
offsets in bytes, file handles (`fh`) as unsigned ints, option bits as plain ints (names in
`numbers`). `sid` is the two-byte stream id, opaque to a server; who builds a request for
`ClientSession.submit` puts NO_SID there. A `path` has its CGI and closing NUL cut off and is valid
UTF-8, but is not normalised: that is core.model.paths' business.
"""

from typing import ClassVar, TypeAlias

import msgspec

from thesan.core.wire.numbers import CAPVER, PROTOCOL_VERSION, RequestId


class Protocol(msgspec.Struct, gc=False):
    """kXR_protocol: first request of a connection. `flags` are ProtocolOption, `expect` Expect."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.PROTOCOL
    sid: bytes
    version: int = PROTOCOL_VERSION
    flags: int = 0
    expect: int = 0


class Login(msgspec.Struct, gc=False):
    """kXR_login. `username` at most 8 bytes; `token` is the client's CGI (xrd.appname=...)."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.LOGIN
    sid: bytes
    username: str
    pid: int = 0
    ability: int = 0
    ability2: int = 0
    capver: int = CAPVER
    token: bytes = b""


class Auth(msgspec.Struct, gc=False):
    """kXR_auth: one round. `credtype` is the protocol name, at most 4 bytes, NULs cut off."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.AUTH
    sid: bytes
    credtype: bytes
    credentials: bytes = b""


class Ping(msgspec.Struct, gc=False):
    """kXR_ping."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.PING
    sid: bytes


class EndSession(msgspec.Struct, gc=False):
    """kXR_endsess: end an earlier session of the same client; first request after a reconnect."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.ENDSESS
    sid: bytes
    session_id: bytes


class Bind(msgspec.Struct, gc=False):
    """kXR_bind: make this connection a substream of the session `session_id` (16 bytes)."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.BIND
    sid: bytes
    session_id: bytes


class Open(msgspec.Struct, gc=False):
    """kXR_open. `mode` permission bits, `options` OpenFlag, `optiont` OpenFlag2.

    `template` is the handle that `optiont` dup or samefs refers to.
    """

    REQUEST_ID: ClassVar[RequestId] = RequestId.OPEN
    sid: bytes
    path: str
    cgi: str = ""
    mode: int = 0
    options: int = 0
    optiont: int = 0
    template: int = 0


class Close(msgspec.Struct, gc=False):
    """kXR_close."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.CLOSE
    sid: bytes
    fh: int


class Read(msgspec.Struct, gc=False):
    """kXR_read. The answer leaves on substream `path_id`."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.READ
    sid: bytes
    fh: int
    offset: int
    length: int
    path_id: int = 0


class ReadV(msgspec.Struct, gc=False):
    """kXR_readv. `items` are (fh, length, offset)."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.READV
    sid: bytes
    items: list[tuple[int, int, int]]
    path_id: int = 0


class PgRead(msgspec.Struct, gc=False):
    """kXR_pgread. `flags` 1 = the client reads bad pages again."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.PGREAD
    sid: bytes
    fh: int
    offset: int
    length: int
    path_id: int = 0
    flags: int = 0


class Write(msgspec.Struct, gc=False):
    """kXR_write. `data` is the session's own copy and belongs to the receiver of the request."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.WRITE
    sid: bytes
    fh: int
    offset: int
    path_id: int = 0
    data: bytes | bytearray = b""


class PgWrite(msgspec.Struct, gc=False):
    """kXR_pgwrite. `data` is the raw body, CRCs inside: `pages.split_pages` checks and strips.

    `flags` are PageFlag.
    """

    REQUEST_ID: ClassVar[RequestId] = RequestId.PGWRITE
    sid: bytes
    fh: int
    offset: int
    path_id: int = 0
    flags: int = 0
    data: bytes | bytearray = b""


class WriteV(msgspec.Struct, gc=False):
    """kXR_writev. `items` are (fh, length, offset); `data` their bytes back to back.

    `options` are WriteVFlag.
    """

    REQUEST_ID: ClassVar[RequestId] = RequestId.WRITEV
    sid: bytes
    options: int
    items: list[tuple[int, int, int]]
    data: bytes | bytearray = b""


class Sync(msgspec.Struct, gc=False):
    """kXR_sync."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.SYNC
    sid: bytes
    fh: int


class Truncate(msgspec.Struct, gc=False):
    """kXR_truncate: by `fh` when `path` is empty."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.TRUNCATE
    sid: bytes
    path: str = ""
    cgi: str = ""
    fh: int = 0
    size: int = 0


class Stat(msgspec.Struct, gc=False):
    """kXR_stat: by `fh` when `path` is empty. `options` are StatOption."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.STAT
    sid: bytes
    path: str = ""
    cgi: str = ""
    options: int = 0
    fh: int = 0
    wants: int = 0


class StatX(msgspec.Struct, gc=False):
    """kXR_statx: one flag byte for each path."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.STATX
    sid: bytes
    paths: list[str]


class DirList(msgspec.Struct, gc=False):
    """kXR_dirlist. `options` are DirListFlag."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.DIRLIST
    sid: bytes
    path: str
    cgi: str = ""
    options: int = 0


class Locate(msgspec.Struct, gc=False):
    """kXR_locate. `path` may be `*` or begin with it (every server). `options` are LocateFlag."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.LOCATE
    sid: bytes
    path: str
    cgi: str = ""
    options: int = 0


class Mkdir(msgspec.Struct, gc=False):
    """kXR_mkdir. `options` are MkdirFlag."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.MKDIR
    sid: bytes
    path: str
    cgi: str = ""
    mode: int = 0
    options: int = 0


class Rm(msgspec.Struct, gc=False):
    """kXR_rm."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.RM
    sid: bytes
    path: str
    cgi: str = ""


class Rmdir(msgspec.Struct, gc=False):
    """kXR_rmdir."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.RMDIR
    sid: bytes
    path: str
    cgi: str = ""


class Mv(msgspec.Struct, gc=False):
    """kXR_mv."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.MV
    sid: bytes
    source: str
    target: str
    source_cgi: str = ""
    target_cgi: str = ""


class Chmod(msgspec.Struct, gc=False):
    """kXR_chmod. `mode` may carry more than the 9 bits that native knows."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.CHMOD
    sid: bytes
    path: str
    cgi: str = ""
    mode: int = 0


class Query(msgspec.Struct, gc=False):
    """kXR_query. `infotype` is QueryCode; `args` raw, for text kinds the closing NUL is cut off."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.QUERY
    sid: bytes
    infotype: int
    fh: int = 0
    args: bytes = b""


class Set(msgspec.Struct, gc=False):
    """kXR_set: client information (`appid ...`, `monitor info ...`)."""

    REQUEST_ID: ClassVar[RequestId] = RequestId.SET
    sid: bytes
    modifier: int = 0
    args: bytes = b""


class FAttr(msgspec.Struct, gc=False):
    """kXR_fattr: by `fh` when `path` is empty. `subcode` FAttrCode, `options` FAttrOption.

    `values` pairs with `names` for set and is empty otherwise; `names` is empty for list.
    """

    REQUEST_ID: ClassVar[RequestId] = RequestId.FATTR
    sid: bytes
    subcode: int
    path: str = ""
    cgi: str = ""
    fh: int = 0
    options: int = 0
    names: list[str] = []
    values: list[bytes] = []


class Prepare(msgspec.Struct, gc=False):
    """kXR_prepare. `options` PrepareFlag, `options_x` PrepareFlagX.

    For cancel `paths` holds the one request id. Paths keep their CGI: it belongs to each.
    """

    REQUEST_ID: ClassVar[RequestId] = RequestId.PREPARE
    sid: bytes
    options: int
    options_x: int = 0
    priority: int = 0
    port: int = 0
    paths: list[str] = []


class Unsupported(msgspec.Struct, gc=False):
    """A request that exists but that thesan does not serve (gpfile, sigver, chkpoint, clone)."""

    sid: bytes
    requestid: int


Request: TypeAlias = (
    Protocol
    | Login
    | Auth
    | Ping
    | EndSession
    | Bind
    | Open
    | Close
    | Read
    | ReadV
    | PgRead
    | Write
    | PgWrite
    | WriteV
    | Sync
    | Truncate
    | Stat
    | StatX
    | DirList
    | Locate
    | Mkdir
    | Rm
    | Rmdir
    | Mv
    | Chmod
    | Query
    | Set
    | FAttr
    | Prepare
    | Unsupported
)
"""Whatever `request_codec.decode` can yield; `match` on it ends with assert_never."""
