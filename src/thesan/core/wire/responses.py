"""Answers as frames: what a server sends, whole, ready for one write.

Header: sid[2], u16 status, i32 dlen (ServerResponseHeader). What the bodies hold is in `bodies`
and `fattr`; kXR_status frames, whose data follow uncounted, are at the end.
"""

from struct import Struct
from typing import Final

import google_crc32c

from thesan.core.model.errors import OperationError, WireError, errno_of, xrd_code_of
from thesan.core.model.limits import ERROR_TEXT_BYTES_MAX
from thesan.core.wire.numbers import (
    NO_SID,
    REQUEST_ID_FIRST,
    RESPONSE_HEAD_BYTES,
    AttnAction,
    RequestId,
    Status,
    StatusType,
)

HEAD: Final = Struct(">2sHi")
"""ServerResponseHeader: sid, status, dlen."""
_I32: Final = Struct(">i")
_ATTN: Final = Struct(">2sHii4x2sHi")
"""kXR_attn header, kXR_asynresp, 4 reserved, inner ServerResponseHeader."""
_STATUS: Final = Struct(">2sBB4xiq")
"""ServerResponseBody_Status without its CRC (sid, request - 3000, type, dlen), and the offset."""
STATUS_INFO_BYTES: Final = 4 + _STATUS.size
"""dlen of a kXR_status header: CRC, status body and the offset."""
_U32: Final = Struct(">I")
_CSE: Final = Struct(">Ihh")
"""ServerResponseBody_pgWrCSE: crc of the rest, dlFirst, dlLast."""

# Plain ints: reading an enum's member costs as much as packing a header.
_OK: Final = int(Status.OK)
_OKSOFAR: Final = int(Status.OKSOFAR)
_ERROR: Final = int(Status.ERROR)
_REDIRECT: Final = int(Status.REDIRECT)
_WAIT: Final = int(Status.WAIT)
_STATUS_ANSWER: Final = int(Status.STATUS)
_FINAL: Final = int(StatusType.FINAL)
_PARTIAL: Final = int(StatusType.PARTIAL)
_EMPTY_OK: Final = b"\0\0" + bytes(4)
_PGREAD: Final = RequestId.PGREAD - REQUEST_ID_FIRST
_PGWRITE: Final = RequestId.PGWRITE - REQUEST_ID_FIRST


def ok(sid: bytes, body: bytes = b"") -> bytes:
    """kXR_ok."""
    if not body:
        return sid + _EMPTY_OK
    return HEAD.pack(sid, _OK, len(body)) + body


def ok_head(sid: bytes, body_bytes: int) -> bytes:
    """Header of a kXR_ok whose body is sent separately."""
    return HEAD.pack(sid, _OK, body_bytes)


def oksofar(sid: bytes, body: bytes) -> bytes:
    """kXR_oksofar: a part of the result; more follows under the same sid."""
    return HEAD.pack(sid, _OKSOFAR, len(body)) + body


def error(sid: bytes, code: int, text: str) -> bytes:
    """kXR_error. `code` is an Xrd code; the text is cut at ERROR_TEXT_BYTES_MAX."""
    message = text.encode(errors="replace")[:ERROR_TEXT_BYTES_MAX]
    head = HEAD.pack(sid, _ERROR, 5 + len(message))
    return b"".join((head, _I32.pack(code), message, b"\0"))


def tell_errno(errno_value: int, text: str) -> str:
    """The text with its errno at the end, in EOS' form, where the XRootD code does not tell it.

    EBUSY, ENOTDIR, ENOTEMPTY and others have no code of their own; `bodies.errno_in` reads it.
    """
    if errno_of(xrd_code_of(errno_value)) == errno_value:
        return text
    return f"{text} (errc={errno_value})"


def error_of(sid: bytes, failure: OperationError | WireError) -> bytes:
    """kXR_error for one of our own errors."""
    if isinstance(failure, WireError):
        return error(sid, failure.code, failure.text)
    return error(sid, failure.xrd_code, tell_errno(failure.errno, failure.text))


def redirect(sid: bytes, host: str, port: int, cgi: str = "") -> bytes:
    """kXR_redirect to `host:port`; the client adds `cgi` to that of its request."""
    target = f"{host}?{cgi}".encode() if cgi else host.encode()
    return HEAD.pack(sid, _REDIRECT, 4 + len(target)) + _I32.pack(port) + target


def wait(sid: bytes, seconds: int, text: str = "") -> bytes:
    """kXR_wait: send the same request again in `seconds`."""
    message = text.encode(errors="replace")[:ERROR_TEXT_BYTES_MAX]
    return HEAD.pack(sid, _WAIT, 4 + len(message)) + _I32.pack(seconds) + message


def waitresp(sid: bytes, seconds: int) -> bytes:
    """kXR_waitresp: the answer follows as `async_response` within about `seconds`."""
    return HEAD.pack(sid, Status.WAITRESP, 4) + _I32.pack(seconds)


def async_response(sid: bytes, status: int, body: bytes = b"") -> bytes:
    """kXR_attn / kXR_asynresp: the answer to a request that got a waitresp."""
    length = _ATTN.size - RESPONSE_HEAD_BYTES + len(body)
    return (
        _ATTN.pack(NO_SID, Status.ATTN, length, AttnAction.ASYNRESP, sid, status, len(body)) + body
    )


def as_async(frame: bytes) -> bytes:
    """Wrap a finished answer frame (ok, error, redirect, ...) into kXR_attn / kXR_asynresp."""
    sid, status, _ = HEAD.unpack_from(frame)
    return async_response(sid, status, frame[RESPONSE_HEAD_BYTES:])


def authmore(sid: bytes, challenge: bytes) -> bytes:
    """kXR_authmore: the next round of authentication."""
    return HEAD.pack(sid, Status.AUTHMORE, len(challenge)) + challenge


def pgread_head(sid: bytes, offset: int, data_bytes: int, *, final: bool) -> bytes:
    """kXR_status head of one part of a kXR_pgread answer; `pages.interleave`d data follow.

    `data_bytes` counts them with their CRCs, `offset` is where in the file they begin.
    """
    kind = _FINAL if final else _PARTIAL
    return _status(sid, _PGREAD, kind, data_bytes, offset)


def pgwrite_ok(sid: bytes, offset: int) -> bytes:
    """kXR_status: every page of the kXR_pgwrite at `offset` was good."""
    return _status(sid, _PGWRITE, _FINAL, 0, offset)


def pgwrite_bad(
    sid: bytes, offset: int, bad_offsets: list[int], first_bytes: int, last_bytes: int
) -> bytes:
    """kXR_status: the pages at `bad_offsets` are to be sent again with PageFlag.RETRY.

    `first_bytes` and `last_bytes` are the data lengths of the first and last bad page, since both
    may be short (ServerResponseBody_pgWrCSE dlFirst, dlLast).
    """
    tail = _CSE.pack(0, first_bytes, last_bytes)[4:] + b"".join(
        [bad.to_bytes(8, "big") for bad in bad_offsets]
    )
    correction = _U32.pack(google_crc32c.value(tail)) + tail
    return _status(sid, _PGWRITE, _FINAL, len(correction), offset) + correction


def _status(sid: bytes, request: int, kind: int, data_bytes: int, offset: int) -> bytes:
    body = _STATUS.pack(sid, request, kind, data_bytes, offset)
    head = HEAD.pack(sid, _STATUS_ANSWER, STATUS_INFO_BYTES)
    return b"".join((head, _U32.pack(google_crc32c.value(body)), body))
