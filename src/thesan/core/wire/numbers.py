"""Every number of the XRootD protocol that thesan uses, beside its name in the specification.

Only numbers: no layout, no code. Source: XProtocol.hh (protocol 5.2.0). Decoded requests carry
plain ints; these enums are for naming bits and values, since building an IntFlag costs 20 times
more than masking an int.
"""

from enum import IntEnum, IntFlag
from typing import Final

PROTOCOL_VERSION: Final = 0x511
"""kXR_PROTOCOLVERSION that thesan announces: the first with pgread and pgwrite."""
HANDSHAKE: Final = b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\4\0\0\7\xdc"
"""ClientInitHandShake: int32 0, 0, 0, 4, 2012 (ROOTD_PQ)."""
NO_SID: Final = b"\0\0"
"""Stream id of the handshake phase and of kXR_attn."""
REQUEST_HEAD_BYTES: Final = 24
"""sizeof(ClientRequestHdr)."""
RESPONSE_HEAD_BYTES: Final = 8
"""sizeof(ServerResponseHeader)."""
SESSION_ID_BYTES: Final = 16
"""SESSION_ID_BYTES of ServerResponseBody_Login."""


class RequestId(IntEnum):
    """XRequestTypes."""

    AUTH = 3000  # kXR_auth
    QUERY = 3001  # kXR_query
    CHMOD = 3002  # kXR_chmod
    CLOSE = 3003  # kXR_close
    DIRLIST = 3004  # kXR_dirlist
    GPFILE = 3005  # kXR_gpfile
    PROTOCOL = 3006  # kXR_protocol
    LOGIN = 3007  # kXR_login
    MKDIR = 3008  # kXR_mkdir
    MV = 3009  # kXR_mv
    OPEN = 3010  # kXR_open
    PING = 3011  # kXR_ping
    CHKPOINT = 3012  # kXR_chkpoint
    READ = 3013  # kXR_read
    RM = 3014  # kXR_rm
    RMDIR = 3015  # kXR_rmdir
    SYNC = 3016  # kXR_sync
    STAT = 3017  # kXR_stat
    SET = 3018  # kXR_set
    WRITE = 3019  # kXR_write
    FATTR = 3020  # kXR_fattr
    PREPARE = 3021  # kXR_prepare
    STATX = 3022  # kXR_statx
    ENDSESS = 3023  # kXR_endsess
    BIND = 3024  # kXR_bind
    READV = 3025  # kXR_readv
    PGWRITE = 3026  # kXR_pgwrite
    LOCATE = 3027  # kXR_locate
    TRUNCATE = 3028  # kXR_truncate
    SIGVER = 3029  # kXR_sigver
    PGREAD = 3030  # kXR_pgread
    WRITEV = 3031  # kXR_writev
    CLONE = 3032  # kXR_clone


REQUEST_ID_FIRST: Final = 3000
"""kXR_1stRequest; a kXR_status body names the request by its distance from it."""


class Status(IntEnum):
    """XResponseType."""

    OK = 0  # kXR_ok
    OKSOFAR = 4000  # kXR_oksofar
    ATTN = 4001  # kXR_attn
    AUTHMORE = 4002  # kXR_authmore
    ERROR = 4003  # kXR_error
    REDIRECT = 4004  # kXR_redirect
    WAIT = 4005  # kXR_wait
    WAITRESP = 4006  # kXR_waitresp
    STATUS = 4007  # kXR_status


class StatusType(IntEnum):
    """XResponseType of a kXR_status body (`resptype`)."""

    FINAL = 0  # kXR_FinalResult
    PARTIAL = 1  # kXR_PartialResult
    PROGRESS = 2  # kXR_ProgressInfo


class AttnAction(IntEnum):
    """XActionCode; all but kXR_asynresp are dead."""

    ASYNCMS = 5002  # kXR_asyncms
    ASYNRESP = 5008  # kXR_asynresp


class ServerType(IntEnum):
    """Kind in the answer to the handshake."""

    MANAGER = 0  # kXR_LBalServer
    SERVER = 1  # kXR_DataServer


class ProtocolFlag(IntFlag):
    """Flags in the answer to kXR_protocol."""

    SERVER = 0x0000_0001  # kXR_isServer
    MANAGER = 0x0000_0002  # kXR_isManager
    ATTR_CACHE = 0x0000_0080  # kXR_attrCache
    ATTR_META = 0x0000_0100  # kXR_attrMeta
    ATTR_PROXY = 0x0000_0200  # kXR_attrProxy
    ATTR_SUPER = 0x0000_0400  # kXR_attrSuper
    ATTR_VIRTUAL = 0x0000_0800  # kXR_attrVirtRdr
    SUPPORTS_POSC = 0x0010_0000  # kXR_supposc
    SUPPORTS_PGRW = 0x0020_0000  # kXR_suppgrw
    SUPPORTS_GPF = 0x0040_0000  # kXR_supgpf
    TLS_DATA = 0x0100_0000  # kXR_tlsData
    TLS_LOGIN = 0x0400_0000  # kXR_tlsLogin
    TLS_SESSION = 0x0800_0000  # kXR_tlsSess
    TLS_TPC = 0x1000_0000  # kXR_tlsTPC
    GOTO_TLS = 0x4000_0000  # kXR_gotoTLS
    HAVE_TLS = 0x8000_0000  # kXR_haveTLS


MGM_FLAGS: Final = int(ProtocolFlag.MANAGER)
"""Manager and not server: with both, XrdCl excludes the MGM itself by `tried=`."""
FST_FLAGS: Final = int(
    ProtocolFlag.SERVER | ProtocolFlag.SUPPORTS_POSC | ProtocolFlag.SUPPORTS_PGRW
)
"""What native 5.5.3 data servers say (0x300001)."""


class ProtocolOption(IntFlag):
    """Flags of the kXR_protocol request (RequestFlags)."""

    SECREQS = 0x01  # kXR_secreqs
    ABLE_TLS = 0x02  # kXR_ableTLS
    WANT_TLS = 0x04  # kXR_wantTLS
    BIFREQS = 0x08  # kXR_bifreqs


class Expect(IntEnum):
    """What the client means to do next (ExpectFlags)."""

    NONE = 0  # kXR_ExpNone
    BIND = 1  # kXR_ExpBind
    GPF = 2  # kXR_ExpGPF
    LOGIN = 3  # kXR_ExpLogin
    TPC = 4  # kXR_ExpTPC


class Ability(IntFlag):
    """XLoginAbility."""

    FULL_URL = 1  # kXR_fullurl
    MULTI_PROTOCOL = 3  # kXR_multipr
    READ_REDIRECT = 4  # kXR_readrdok
    HAS_IPV64 = 8  # kXR_hasipv64
    ONLY_IPV4 = 16  # kXR_onlyprv4
    ONLY_IPV6 = 32  # kXR_onlyprv6
    LOCAL_FILE = 64  # kXR_lclfile
    REDIRECT_FLAGS = 128  # kXR_redirflags


CAPVER: Final = 0x85
"""XLoginCapVer: kXR_asyncap and version 5, as XrdCl and xrdclient send."""


class OpenFlag(IntFlag):
    """XOpenRequestOption."""

    COMPRESS = 0x0001  # kXR_compress
    DELETE = 0x0002  # kXR_delete
    FORCE = 0x0004  # kXR_force
    NEW = 0x0008  # kXR_new
    READ = 0x0010  # kXR_open_read
    UPDATE = 0x0020  # kXR_open_updt
    ASYNC = 0x0040  # kXR_async
    REFRESH = 0x0080  # kXR_refresh
    MKPATH = 0x0100  # kXR_mkpath
    APPEND = 0x0200  # kXR_open_apnd
    RETSTAT = 0x0400  # kXR_retstat
    REPLICA = 0x0800  # kXR_replica
    POSC = 0x1000  # kXR_posc
    NOWAIT = 0x2000  # kXR_nowait
    SEQIO = 0x4000  # kXR_seqio
    WRITE_ONLY = 0x8000  # kXR_open_wrto


class OpenFlag2(IntFlag):
    """XOpenRequestOption2: `optiont` of kXR_open."""

    DUP = 1  # kXR_dup
    SAMEFS = 2  # kXR_samefs
    RETSTATX = 4  # kXR_retstatx
    DIRECT_IO = 8  # kXR_directio


class MkdirFlag(IntFlag):
    """XMkdirOptions."""

    PARENTS = 1  # kXR_mkdirpath


class DirListFlag(IntFlag):
    """XDirlistRequestOption."""

    ONLINE = 1  # kXR_online
    STAT = 2  # kXR_dstat
    CHECKSUM = 4  # kXR_dcksm
    STATX = 8  # kXR_dstatx


class StatOption(IntFlag):
    """XStatRequestOption."""

    VFS = 1  # kXR_vfs


class StatFlag(IntFlag):
    """XStatRespFlags: `flags` in a stat text."""

    XSET = 1  # kXR_xset
    IS_DIR = 2  # kXR_isDir
    OTHER = 4  # kXR_other
    OFFLINE = 8  # kXR_offline
    READABLE = 16  # kXR_readable
    WRITABLE = 32  # kXR_writable
    POSC_PENDING = 64  # kXR_poscpend
    BACKUP_EXISTS = 128  # kXR_bkpexist
    CACHE_RESPONSE = 512  # kXR_cachersp


class LocateFlag(IntFlag):
    """Options of kXR_locate (XLocateRequestOption and shared open bits)."""

    UNIQUE_HOSTS = 0x0001  # kXR_compress
    REFRESH = 0x0080  # kXR_refresh
    PREFER_NAME = 0x0100  # kXR_prefname
    FOR_DIRLIST = 0x0400  # kXR_4dirlist
    NOWAIT = 0x2000  # kXR_nowait


class QueryCode(IntEnum):
    """XQueryType."""

    STATS = 1  # kXR_QStats
    PREPARE = 2  # kXR_QPrep
    CHECKSUM = 3  # kXR_Qcksum
    XATTR = 4  # kXR_Qxattr
    SPACE = 5  # kXR_Qspace
    CHECKSUM_CANCEL = 6  # kXR_Qckscan
    CONFIG = 7  # kXR_Qconfig
    VISA = 8  # kXR_Qvisa
    FINFO = 9  # kXR_QFinfo
    FSINFO = 10  # kXR_QFSinfo
    OPAQUE = 16  # kXR_Qopaque
    OPAQUE_FILE = 32  # kXR_Qopaquf
    OPAQUE_HANDLE = 64  # kXR_Qopaqug


class FAttrCode(IntEnum):
    """xfaSubcode."""

    DELETE = 0  # kXR_fattrDel
    GET = 1  # kXR_fattrGet
    LIST = 2  # kXR_fattrList
    SET = 3  # kXR_fattrSet


class FAttrOption(IntFlag):
    """Options of kXR_fattr."""

    IS_NEW = 0x01  # ClientFattrRequest::isNew
    WITH_DATA = 0x10  # ClientFattrRequest::aData


class PrepareFlag(IntFlag):
    """XPrepRequestOption."""

    CANCEL = 1  # kXR_cancel
    NOTIFY = 2  # kXR_notify
    NO_ERRORS = 4  # kXR_noerrs
    STAGE = 8  # kXR_stage
    WRITE_MODE = 16  # kXR_wmode
    COLOCATE = 32  # kXR_coloc
    FRESH = 64  # kXR_fresh
    USE_TCP = 128  # kXR_usetcp


class PrepareFlagX(IntFlag):
    """`optionX` of kXR_prepare."""

    EVICT = 1  # kXR_evict


class PageFlag(IntFlag):
    """`reqflags` of kXR_pgwrite."""

    RETRY = 1  # kXR_pgRetry


class WriteVFlag(IntFlag):
    """Options of kXR_writev."""

    SYNC = 1  # ClientWriteVRequest::doSync
