"""The whole error tree, and the one table that ties errno, XRootD code and retry advice.

ThesanError
├── OperationError      an answer: an errno, said to the caller; the process goes on
├── WireError           the peer broke the XRootD protocol: answer or close
├── ControlError        a control message that can't be read
├── JournalError        the journal engine or an entry in it
│   ├── Fenced          another owner or epoch holds the journal; nothing was written
│   ├── Trimmed         the entry asked for is older than the journal's first
│   ├── Corrupt         crc or chain mismatch; replay stops here
│   │   └── Diverged    this replica is not what the journal makes: it is built anew
│   ├── Rewound         the engine holds another history than was applied here
│   └── Unavailable     the engine did not answer in its deadline; the outcome is unknown
├── CapabilityError     a ticket that is forged, altered, expired, replayed or not for this
├── StoreError          the local key-value store
│   └── StoreDamaged    its files can't be right: it is made anew
└── ConfigError         settings that can't be used; lists every fault at once
"""

import errno
from enum import Enum, IntEnum
from typing import Final


class Xrd(IntEnum):
    """XErrorCode of XProtocol.hh."""

    ARG_INVALID = 3000  # kXR_ArgInvalid
    ARG_MISSING = 3001  # kXR_ArgMissing
    ARG_TOO_LONG = 3002  # kXR_ArgTooLong
    FILE_LOCKED = 3003  # kXR_FileLocked
    FILE_NOT_OPEN = 3004  # kXR_FileNotOpen
    FS_ERROR = 3005  # kXR_FSError
    INVALID_REQUEST = 3006  # kXR_InvalidRequest
    IO_ERROR = 3007  # kXR_IOError
    NO_MEMORY = 3008  # kXR_NoMemory
    NO_SPACE = 3009  # kXR_NoSpace
    NOT_AUTHORIZED = 3010  # kXR_NotAuthorized
    NOT_FOUND = 3011  # kXR_NotFound
    SERVER_ERROR = 3012  # kXR_ServerError
    UNSUPPORTED = 3013  # kXR_Unsupported
    NO_SERVER = 3014  # kXR_noserver
    NOT_FILE = 3015  # kXR_NotFile
    IS_DIRECTORY = 3016  # kXR_isDirectory
    CANCELLED = 3017  # kXR_Cancelled
    ITEM_EXISTS = 3018  # kXR_ItExists
    CHECKSUM_ERROR = 3019  # kXR_ChkSumErr
    IN_PROGRESS = 3020  # kXR_inProgress
    OVER_QUOTA = 3021  # kXR_overQuota
    SIG_VER_ERROR = 3022  # kXR_SigVerErr
    DECRYPT_ERROR = 3023  # kXR_DecryptErr
    OVERLOADED = 3024  # kXR_Overloaded
    FS_READ_ONLY = 3025  # kXR_fsReadOnly
    BAD_PAYLOAD = 3026  # kXR_BadPayload
    ATTR_NOT_FOUND = 3027  # kXR_AttrNotFound
    TLS_REQUIRED = 3028  # kXR_TLSRequired
    NO_REPLICAS = 3029  # kXR_noReplicas
    AUTH_FAILED = 3030  # kXR_AuthFailed
    IMPOSSIBLE = 3031  # kXR_Impossible
    CONFLICT = 3032  # kXR_Conflict
    TOO_MANY_ERRORS = 3033  # kXR_TooManyErrs
    REQUEST_TIMED_OUT = 3034  # kXR_ReqTimedOut
    TIMER_EXPIRED = 3035  # kXR_TimerExpired


class Retry(Enum):
    """What a caller may do after an error."""

    NEVER = "never"
    """The same request gives the same answer."""
    LATER = "later"
    """Nothing was done; the same request may pass later."""
    ELSEWHERE = "elsewhere"
    """Nothing was done; another server may serve it now."""
    SAME_ID = "same-id"
    """Perhaps done: only a resend under the same operation id is safe."""


_XRD_OF_ERRNO: Final[dict[int, Xrd]] = {
    errno.EINVAL: Xrd.ARG_INVALID,
    errno.ENAMETOOLONG: Xrd.ARG_TOO_LONG,
    errno.EDEADLK: Xrd.FILE_LOCKED,
    errno.EBADF: Xrd.FILE_NOT_OPEN,
    errno.ENODEV: Xrd.FS_ERROR,
    errno.EBADRQC: Xrd.INVALID_REQUEST,
    errno.EIO: Xrd.IO_ERROR,
    errno.ENOMEM: Xrd.NO_MEMORY,
    errno.ENOSPC: Xrd.NO_SPACE,
    errno.EACCES: Xrd.NOT_AUTHORIZED,
    errno.EPERM: Xrd.NOT_AUTHORIZED,
    errno.ENOENT: Xrd.NOT_FOUND,
    errno.EFAULT: Xrd.SERVER_ERROR,
    errno.ENOTSUP: Xrd.UNSUPPORTED,
    errno.ENOSYS: Xrd.UNSUPPORTED,
    errno.EHOSTUNREACH: Xrd.NO_SERVER,
    errno.ENOTBLK: Xrd.NOT_FILE,
    errno.EISDIR: Xrd.IS_DIRECTORY,
    errno.ECANCELED: Xrd.CANCELLED,
    errno.EEXIST: Xrd.ITEM_EXISTS,
    errno.ENOTEMPTY: Xrd.ITEM_EXISTS,
    errno.EDOM: Xrd.CHECKSUM_ERROR,
    errno.EINPROGRESS: Xrd.IN_PROGRESS,
    errno.ETXTBSY: Xrd.IN_PROGRESS,
    errno.EDQUOT: Xrd.OVER_QUOTA,
    errno.EUSERS: Xrd.OVERLOADED,
    errno.EROFS: Xrd.FS_READ_ONLY,
    errno.ENODATA: Xrd.ATTR_NOT_FOUND,
    errno.EADDRNOTAVAIL: Xrd.NO_REPLICAS,
    errno.EBADE: Xrd.AUTH_FAILED,
    errno.EIDRM: Xrd.IMPOSSIBLE,
    errno.ENOTTY: Xrd.CONFLICT,
    errno.ETOOMANYREFS: Xrd.TOO_MANY_ERRORS,
    errno.ETIMEDOUT: Xrd.REQUEST_TIMED_OUT,
    errno.ETIME: Xrd.TIMER_EXPIRED,
}

_ERRNO_OF_XRD: Final[dict[int, int]] = {
    Xrd.ARG_MISSING: errno.EINVAL,
    Xrd.SIG_VER_ERROR: errno.EILSEQ,
    Xrd.DECRYPT_ERROR: errno.ERANGE,
    Xrd.BAD_PAYLOAD: errno.EINVAL,
    Xrd.TLS_REQUIRED: errno.EPROTOTYPE,
    Xrd.ITEM_EXISTS: errno.EEXIST,
    Xrd.NOT_AUTHORIZED: errno.EACCES,
    Xrd.UNSUPPORTED: errno.ENOTSUP,
    Xrd.IN_PROGRESS: errno.EINPROGRESS,
}
for _number, _code in _XRD_OF_ERRNO.items():
    _ERRNO_OF_XRD.setdefault(_code, _number)

_RETRY_OF_ERRNO: Final[dict[int, Retry]] = {
    errno.EAGAIN: Retry.LATER,
    errno.EINPROGRESS: Retry.LATER,
    errno.EUSERS: Retry.LATER,
    errno.ENOSPC: Retry.ELSEWHERE,
    errno.EIO: Retry.ELSEWHERE,
    errno.EHOSTUNREACH: Retry.ELSEWHERE,
    errno.EADDRNOTAVAIL: Retry.LATER,
    errno.ETIMEDOUT: Retry.SAME_ID,
    errno.ECONNRESET: Retry.SAME_ID,
}


def xrd_code_of(errno_value: int) -> Xrd:
    """XRootD error code for an errno; what has no code of its own is kXR_FSError."""
    return _XRD_OF_ERRNO.get(errno_value, Xrd.FS_ERROR)


def errno_of(xrd_code: int) -> int:
    """errno for an XRootD error code; an unknown code is EIO."""
    return _ERRNO_OF_XRD.get(xrd_code, errno.EIO)


class ThesanError(Exception):
    """Root of all errors that thesan raises on purpose."""

    errno: int = errno.EIO
    retry: Retry = Retry.NEVER

    @property
    def exit_status(self) -> int:
        """Exit status of a command that ends with this error: the errno, as EOS does."""
        return self.errno if 0 < self.errno < 134 else 1


class OperationError(ThesanError):
    """An operation's answer is an errno. `text` is one sentence for a person."""

    def __init__(self, errno_value: int, text: str, retry: Retry | None = None) -> None:
        super().__init__(text)
        self.errno = errno_value
        self.text = text
        self.retry = retry if retry is not None else _RETRY_OF_ERRNO.get(errno_value, Retry.NEVER)

    @property
    def xrd_code(self) -> Xrd:
        """The XRootD error code to send."""
        return xrd_code_of(self.errno)


class WireError(ThesanError):
    """The peer sent bytes that the XRootD protocol does not allow here.

    `fatal` says that the stream is out of step, so that only closing helps.
    """

    errno = errno.EBADRQC

    def __init__(self, text: str, code: Xrd = Xrd.INVALID_REQUEST, *, fatal: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.fatal = fatal


class ControlError(ThesanError):
    """A control message can't be read, or is not one that this daemon takes."""

    errno = errno.EBADMSG


class JournalError(ThesanError):
    """The journal engine, or an entry in it."""

    retry = Retry.LATER


class Fenced(JournalError):
    """Another owner or epoch holds the journal. Nothing was written, nothing ever will be."""

    errno = errno.EROFS
    retry = Retry.ELSEWHERE


class Trimmed(JournalError):
    """The entry asked for was trimmed; `first` is the oldest that is left."""

    errno = errno.ENODATA

    def __init__(self, first: int) -> None:
        super().__init__(f"journal is trimmed: its first entry is {first}")
        self.first = first


class Corrupt(JournalError):
    """An entry's crc or chain does not match: replay stops, nothing after it is trusted."""

    errno = errno.EIO
    retry = Retry.NEVER


class Diverged(Corrupt):
    """The journal is right and this replica is not: an op does not apply, or the state's digest
    differs from the master's. Its store is to be replaced, see roles.mgm.reseed."""


class Rewound(JournalError):
    """The engine's head is behind what was applied here, or its entry is another one: it was
    restored from a backup, emptied, or belongs to another instance. A person has to say which
    history counts (`thesan journal adopt`); until then nothing is followed."""

    errno = errno.ESTALE
    retry = Retry.NEVER


class Unavailable(JournalError):
    """The engine did not answer in its deadline: the outcome is unknown until read back."""

    errno = errno.ETIMEDOUT
    retry = Retry.SAME_ID


class CapabilityError(ThesanError):
    """A capability that must not be honoured; `text` says why, without saying the secret."""

    def __init__(self, text: str, number: int = errno.EACCES) -> None:
        super().__init__(text)
        self.text = text
        self.errno = number


class StoreError(ThesanError):
    """The local key-value store failed or is not what this process expects."""


class StoreDamaged(StoreError):
    """Its files are not what it wrote: it has to be made anew, from the journal or another MGM."""


class ConfigError(ThesanError):
    """Settings that can't be used; the text lists every fault."""

    errno = errno.EINVAL
