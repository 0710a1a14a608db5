"""The client's side of one XRootD connection, without I/O: requests to bytes, bytes to answers.

The session numbers requests, collects partial answers, unwraps asynchronous ones and checks page
checksums. It decides nothing: redirect, wait, waitresp, authmore and error go up as they came.
Nothing that a server sends takes more memory than the request that it answers allows.
"""

import errno
from collections.abc import Callable
from enum import Enum
from struct import Struct
from struct import error as StructError
from typing import Any, Final, TypeAlias

import google_crc32c
import msgspec

from thesan.core.model.errors import OperationError, WireError
from thesan.core.model.limits import (
    ANSWER_BYTES_MAX,
    LISTING_BYTES_MAX,
    PGWRITE_ERRORS_MAX,
    SESSION_REQUESTS_MAX,
    WINDOW_BYTES_MIN,
)
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import ProtocolInfo, parse_error, parse_login, parse_protocol
from thesan.core.wire.framing import Framing
from thesan.core.wire.numbers import (
    HANDSHAKE,
    NO_SID,
    REQUEST_ID_FIRST,
    RESPONSE_HEAD_BYTES,
    AttnAction,
    Expect,
    RequestId,
    Status,
    StatusType,
)
from thesan.core.wire.pages import raw_bytes, split_pages
from thesan.core.wire.request_codec import encode, encode_head
from thesan.core.wire.responses import HEAD, STATUS_INFO_BYTES

Body: TypeAlias = bytes | bytearray | memoryview


class State(Enum):
    """Where a connection stands."""

    START = "start"
    GREETING = "greeting"
    """The hello is sent, the answer to the handshake awaited."""
    NEGOTIATING = "negotiating"
    """The answer to kXR_protocol is awaited."""
    GREETED = "greeted"
    UNPROVEN = "unproven"
    """Logged in, but the server wants authentication."""
    READY = "ready"
    BOUND = "bound"
    """A substream: answers to requests of another session arrive on it."""


class Event(Enum):
    """What moves a connection."""

    HELLO_SENT = "hello-sent"
    HANDSHAKE_ANSWERED = "handshake-answered"
    PROTOCOL_ANSWERED = "protocol-answered"
    LOGGED_IN = "logged-in"
    PROOF_WANTED = "proof-wanted"
    PROVEN = "proven"
    BOUND = "bound"


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.START, Event.HELLO_SENT): State.GREETING,
    (State.GREETING, Event.HANDSHAKE_ANSWERED): State.NEGOTIATING,
    (State.NEGOTIATING, Event.PROTOCOL_ANSWERED): State.GREETED,
    (State.GREETED, Event.LOGGED_IN): State.READY,
    (State.GREETED, Event.PROOF_WANTED): State.UNPROVEN,
    (State.GREETED, Event.BOUND): State.BOUND,
    (State.UNPROVEN, Event.PROVEN): State.READY,
}
_ENTRY: Final = frozenset((RequestId.LOGIN, RequestId.BIND, RequestId.ENDSESS, RequestId.PING))
SUBMITTABLE: Final[dict[State, frozenset[RequestId]]] = {
    State.START: frozenset(),
    State.GREETING: _ENTRY,
    State.NEGOTIATING: _ENTRY,
    State.GREETED: _ENTRY,
    State.UNPROVEN: frozenset((RequestId.AUTH, RequestId.ENDSESS, RequestId.PING)),
    State.READY: frozenset(RequestId) - {RequestId.LOGIN, RequestId.AUTH, RequestId.BIND},
    State.BOUND: frozenset((RequestId.PING,)),
}
"""A login may follow the hello at once: one round trip less."""

# Plain ints: reading an enum's member costs as much as unpacking a header.
_OK: Final = int(Status.OK)
_OKSOFAR: Final = int(Status.OKSOFAR)
_ATTN_STATUS: Final = int(Status.ATTN)
_STATUS_ANSWER: Final = int(Status.STATUS)
_WAITRESP: Final = int(Status.WAITRESP)
_FINAL: Final = frozenset((Status.ERROR, Status.REDIRECT, Status.WAIT, Status.AUTHMORE))
_PGREAD: Final = RequestId.PGREAD
_PAGED: Final = frozenset((RequestId.PGREAD, RequestId.PGWRITE))
_HANDSHAKE_ANSWER: Final = Struct(">ii")
_ATTN: Final = Struct(">i4x2sHi")
_ACTION: Final = Struct(">i")
_STATUS: Final = Struct(">I2sBB4xiq")
"""ServerResponseBody_Status with its CRC in front and the offset behind."""
_CSE_HEAD_BYTES: Final = 8
_CRC: Final = Struct(">I")
_OFFSET: Final = Struct(">q")


class Response(msgspec.Struct, gc=False):
    """One answer. Final unless `status` is WAITRESP (the answer comes later under this sid).

    OK: `body` is the whole result, parts put together, page checksums checked and cut off;
    `bad_offsets` are file offsets of pages that came (pgread) or arrived there (pgwrite) damaged.
    Other statuses: `body` as sent; `bodies` has the parsers.
    """

    sid: bytes
    status: int
    body: Body = b""
    bad_offsets: list[int] = []


class _Awaited:
    """A request without its final answer."""

    __slots__ = ("bad", "bytes_max", "deferred", "forgotten", "offset", "request_id", "result")

    def __init__(self, request_id: RequestId, bytes_max: int, offset: int) -> None:
        self.request_id = request_id
        self.bytes_max = bytes_max
        """Result bytes that may still come."""
        self.offset = offset
        """File offset of the next byte (pgread)."""
        self.result: bytearray | None = None
        """Parts that came: one buffer, so that a million tiny parts cost no more than one."""
        self.bad: list[int] = []
        self.deferred = False
        """A kXR_waitresp came."""
        self.forgotten = False

    def add(self, part: Body) -> None:
        """Keep a part of the result."""
        if self.forgotten:
            return
        if self.result is None:
            self.result = part if isinstance(part, bytearray) else bytearray(part)
        else:
            try:
                self.result += part
            except BufferError:  # the driver still holds the window through which it came
                self.result = self.result + part


class ClientSession(Framing[Response]):
    """One connection. `submit` gives bytes to send; `receive` (or `window`, `filled`) answers."""

    def __init__(self) -> None:
        super().__init__()
        self._state = State.START
        self._submittable = SUBMITTABLE[State.START]
        self._awaited: dict[bytes, _Awaited] = {}
        self._sid_last = 0
        self._announced: tuple[bytes, int, tuple[int, int, int] | None] = (NO_SID, 0, None)
        """(sid, status, page information) of the frame whose body is awaited."""
        self.server_type = -1
        """ServerType of the answer to the handshake."""
        self.server = ProtocolInfo(0, 0)
        """Answer to kXR_protocol."""
        self.session_id = b""
        """Given by the login answer; what kXR_bind and kXR_endsess want."""
        self.security = ""
        """`&P=...` text of the login answer when the server wants authentication."""

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._state

    @property
    def awaited_count(self) -> int:
        """Requests without a final answer, forgotten ones among them."""
        return len(self._awaited)

    @property
    def held_bytes(self) -> int:
        """Memory that input and the parts of unfinished answers hold now."""
        parts = sum(len(a.result) for a in self._awaited.values() if a.result is not None)
        return super().held_bytes + parts

    def hello(self, *, flags: int = 0, expect: Expect = Expect.LOGIN) -> bytes:
        """The first bytes of the connection: handshake and kXR_protocol in one segment."""
        self._move(Event.HELLO_SENT)
        return HANDSHAKE + encode(rq.Protocol(NO_SID, flags=flags, expect=expect))

    def submit(self, request: rq.Request) -> tuple[bytes, bytes]:
        """(sid given to the request, whole frame to send).

        Calling it in a state that SUBMITTABLE forbids, or with SESSION_REQUESTS_MAX requests under
        way, is the caller's mistake. OperationError when the request can't be said on the wire:
        EILSEQ for text that is not UTF-8, EINVAL for a number out of range; nothing is awaited.
        """
        return self._submit(request, encode)

    def submit_head(self, request: rq.Write | rq.PgWrite | rq.WriteV) -> tuple[bytes, bytes]:
        """As `submit`, but without the data, which the caller sends next: no copy of them."""
        return self._submit(request, encode_head)

    def _submit(
        self, request: rq.Request, encoded: Callable[[rq.Request, bytes], bytes]
    ) -> tuple[bytes, bytes]:
        # Encoded first: what can't be said must not wait for an answer.
        sid, request_id = self._next_sid(request)
        try:
            data = encoded(request, sid)
        except (UnicodeEncodeError, StructError) as error:
            raise _unsayable(error) from error
        self._expect(sid, request_id, request)
        return sid, data

    def forget(self, sid: bytes) -> None:
        """Nobody waits for this answer any more; it is dropped when it comes."""
        awaited = self._awaited.get(sid)
        if awaited is not None:
            awaited.forgotten = True
            awaited.result = None

    def attach(self, main: "ClientSession") -> None:
        """This connection was bound: it receives answers to requests submitted to `main`."""
        assert self._state is State.BOUND, "attach() before kXR_bind was answered"
        assert not self._awaited, "attach() with requests under way"
        self._awaited = main._awaited

    def _next_sid(self, request: rq.Request) -> tuple[bytes, RequestId]:
        assert not isinstance(request, rq.Unsupported), "this request has no encoding"
        request_id = request.REQUEST_ID
        assert request_id in self._submittable, (
            f"{request_id.name} can't be sent while {self._state.value}"
        )
        assert len(self._awaited) < SESSION_REQUESTS_MAX, "too many requests under way"
        number = self._sid_last
        while True:
            number = number % 0xFFFF + 1
            sid = number.to_bytes(2, "big")
            if sid not in self._awaited:
                break
        self._sid_last = number
        return sid, request_id

    def _expect(self, sid: bytes, request_id: RequestId, request: rq.Request) -> None:
        bound = _RESULT_BYTES_MAX.get(request_id)
        bytes_max = ANSWER_BYTES_MAX if bound is None else bound(request)
        offset = request.offset if isinstance(request, rq.PgRead) else 0
        self._awaited[sid] = _Awaited(request_id, bytes_max, offset)

    def _move(self, event: Event) -> None:
        state = TRANSITIONS.get((self._state, event))
        if state is None:
            raise WireError(f"{event.value} while {self._state.value}", fatal=True)
        self._state = state
        self._submittable = SUBMITTABLE[state]

    # -- framing ---------------------------------------------------------------------------------
    def _parse(self, view: memoryview, out: list[Response]) -> int:
        position, end = 0, len(view)
        unpack = HEAD.unpack_from
        while end - position >= RESPONSE_HEAD_BYTES:
            sid, status, length = unpack(view, position)
            start = position + RESPONSE_HEAD_BYTES
            pages = None
            if status == _STATUS_ANSWER:
                if length != STATUS_INFO_BYTES:
                    raise WireError("status answer of an unknown length", fatal=True)
                if end - start < STATUS_INFO_BYTES:
                    self._await_frame(RESPONSE_HEAD_BYTES + STATUS_INFO_BYTES)
                    return position
                pages = self._read_status(sid, view[start : start + STATUS_INFO_BYTES])
                start += STATUS_INFO_BYTES
                length = pages[1]
            elif not 0 <= length <= self._bytes_max(sid, status):
                raise WireError(f"answer of {length} bytes is too long", fatal=True)
            stop = start + length
            if stop > end:
                if stop - end >= WINDOW_BYTES_MIN:
                    self._announced = (sid, status, pages)
                    self._await_body(length, view[start:])
                    return end
                self._await_frame(stop - position)
                return position
            self._take(sid, status, pages, view[start:stop].tobytes(), out)
            position = stop
        self._await_frame(RESPONSE_HEAD_BYTES)
        return position

    def _body_complete(self, body: bytearray, out: list[Response]) -> None:
        self._take(*self._announced, body, out)

    def _find(self, sid: bytes) -> _Awaited:
        awaited = self._awaited.get(sid)
        if awaited is None:
            raise WireError(f"answer to no request of ours: {sid.hex()}", fatal=True)
        return awaited

    def _bytes_max(self, sid: bytes, status: int) -> int:
        """Longest body that is taken for this header, before anything is allocated."""
        if status in (_OK, _OKSOFAR):
            if sid == NO_SID:
                return ANSWER_BYTES_MAX
            return self._find(sid).bytes_max
        if status == _ATTN_STATUS:
            deferred = (a.bytes_max for a in self._awaited.values() if a.deferred)
            return _ATTN.size + max(deferred, default=ANSWER_BYTES_MAX)
        return ANSWER_BYTES_MAX

    def _take(
        self,
        sid: bytes,
        status: int,
        pages: tuple[int, int, int] | None,
        body: bytes | bytearray,
        out: list[Response],
    ) -> None:
        if pages is not None:
            self._take_pages(sid, pages, body, out)
        elif status == _ATTN_STATUS:
            self._take_attn(body, out)
        elif sid == NO_SID:
            self._take_hello(status, body)
        else:
            self._take_answer(sid, status, body, out)

    def _take_hello(self, status: int, body: bytes | bytearray) -> None:
        if self._state not in (State.GREETING, State.NEGOTIATING):
            raise WireError("answer to no request of ours: 0000", fatal=True)
        if status == Status.ERROR:
            raise WireError(f"the server refuses: {parse_error(body)[1]}", fatal=True)
        if status != _OK:
            raise WireError(f"hello answered by status {status}", fatal=True)
        if self._state is State.GREETING:
            if len(body) != _HANDSHAKE_ANSWER.size:
                raise WireError("this is not an XRootD server", fatal=True)
            self.server_type = _HANDSHAKE_ANSWER.unpack(body)[1]
            self._move(Event.HANDSHAKE_ANSWERED)
        else:
            self.server = parse_protocol(body)
            self._move(Event.PROTOCOL_ANSWERED)

    def _take_attn(self, body: bytes | bytearray, out: list[Response]) -> None:
        if len(body) < _ACTION.size:
            raise WireError("attn without an action", fatal=True)
        if _ACTION.unpack_from(body)[0] != AttnAction.ASYNRESP:
            return  # kXR_asyncms and its like: clients may ignore them, and XrdCl does
        if len(body) < _ATTN.size:
            raise WireError("asynchronous answer is cut short", fatal=True)
        _, sid, status, length = _ATTN.unpack_from(body)
        if length != len(body) - _ATTN.size or status in (_ATTN_STATUS, _STATUS_ANSWER):
            raise WireError("asynchronous answer that can't be", fatal=True)
        if not self._find(sid).deferred:
            raise WireError("asynchronous answer to a request that does not wait", fatal=True)
        if length > self._bytes_max(sid, status):
            raise WireError(f"answer of {length} bytes is too long", fatal=True)
        self._take_answer(sid, status, body[_ATTN.size :], out)

    def _take_answer(
        self, sid: bytes, status: int, body: bytes | bytearray, out: list[Response]
    ) -> None:
        awaited = self._find(sid)
        if status in (_OK, _OKSOFAR):
            if awaited.request_id in _PAGED:
                raise WireError("page request answered without checksums", fatal=True)
            awaited.bytes_max -= len(body)
            if status == _OK:
                self._finish(sid, awaited, body, out)
            else:
                awaited.add(body)
        elif status == _WAITRESP:
            awaited.deferred = True
            if not awaited.forgotten:
                out.append(Response(sid, status, body))
        elif status in _FINAL:
            del self._awaited[sid]
            if not awaited.forgotten:
                out.append(Response(sid, status, body))
        else:
            raise WireError(f"unknown status {status}", fatal=True)

    def _finish(self, sid: bytes, awaited: _Awaited, last: Body, out: list[Response]) -> None:
        del self._awaited[sid]
        if awaited.result is not None:
            awaited.add(last)
            last = awaited.result
        handler = _ON_SUCCESS.get(awaited.request_id)
        if handler is not None:
            handler(self, bytes(last))
        if not awaited.forgotten:
            out.append(Response(sid, _OK, last, awaited.bad))

    def _logged_in(self, body: bytes) -> None:
        self.session_id, self.security = parse_login(body)
        self._move(Event.PROOF_WANTED if self.security else Event.LOGGED_IN)

    # -- pages -----------------------------------------------------------------------------------
    def _read_status(self, sid: bytes, info: memoryview) -> tuple[int, int, int]:
        """(type, bytes of data that follow, offset) of a kXR_status, checked in every respect."""
        crc, inner_sid, request, kind, data_bytes, offset = _STATUS.unpack(info)
        if google_crc32c.value(info[4:].tobytes()) != crc:
            raise WireError("checksum of a status answer is wrong", fatal=True)
        awaited = self._find(sid)
        if inner_sid != sid or request + REQUEST_ID_FIRST != awaited.request_id:
            raise WireError("status answer to another request", fatal=True)
        if kind not in (StatusType.FINAL, StatusType.PARTIAL):
            raise WireError(f"unknown status type {kind}", fatal=True)
        if awaited.request_id is _PGREAD:
            if offset != awaited.offset:
                raise WireError("pages out of order", fatal=True)
            bytes_max = raw_bytes(offset, awaited.bytes_max)
        else:
            bytes_max = _CSE_HEAD_BYTES + _OFFSET.size * PGWRITE_ERRORS_MAX
        if not 0 <= data_bytes <= bytes_max:
            raise WireError("status answer with too much data", fatal=True)
        return kind, data_bytes, offset

    def _take_pages(
        self,
        sid: bytes,
        pages: tuple[int, int, int],
        raw: bytes | bytearray,
        out: list[Response],
    ) -> None:
        kind, _, offset = pages
        awaited = self._find(sid)
        data: Body = b""
        if awaited.request_id is _PGREAD:
            data, bad = split_pages(raw, offset)
            awaited.bad += bad
            awaited.offset += len(data)
            awaited.bytes_max -= len(data)
        elif raw:
            awaited.bad += _read_correction(raw)
        if kind == StatusType.FINAL:
            self._finish(sid, awaited, data, out)
        else:
            awaited.add(data)


def _read_correction(raw: bytes | bytearray) -> list[int]:
    """File offsets of the pages that a server wants again (ServerResponseBody_pgWrCSE)."""
    if len(raw) <= _CSE_HEAD_BYTES or (len(raw) - _CSE_HEAD_BYTES) % _OFFSET.size:
        raise WireError("list of bad pages is cut short", fatal=True)
    if google_crc32c.value(bytes(raw[_CRC.size :])) != _CRC.unpack_from(raw)[0]:
        raise WireError("checksum of the list of bad pages is wrong", fatal=True)
    return [bad for (bad,) in _OFFSET.iter_unpack(raw[_CSE_HEAD_BYTES:])]


_RESULT_BYTES_MAX: Final[dict[RequestId, Callable[[Any], int]]] = {
    RequestId.READ: lambda request: int(request.length),
    RequestId.PGREAD: lambda request: int(request.length),
    RequestId.READV: lambda request: sum(length + 16 for _, length, _ in request.items),
    RequestId.DIRLIST: lambda request: LISTING_BYTES_MAX,
    RequestId.QUERY: lambda request: LISTING_BYTES_MAX,
}
"""Longest result that a server may send for a request; ANSWER_BYTES_MAX for all others."""


def _set_bound(session: ClientSession, body: bytes) -> None:
    session._move(Event.BOUND)


def _set_proven(session: ClientSession, body: bytes) -> None:
    session._move(Event.PROVEN)


_ON_SUCCESS: Final[dict[RequestId, Callable[[ClientSession, bytes], None]]] = {
    RequestId.LOGIN: ClientSession._logged_in,
    RequestId.AUTH: _set_proven,
    RequestId.BIND: _set_bound,
}


def _unsayable(error: Exception) -> OperationError:
    """What is wrong with a request that has no encoding."""
    if isinstance(error, UnicodeEncodeError):
        return OperationError(errno.EILSEQ, f"not UTF-8: {error.object[:80]!r}")
    return OperationError(errno.EINVAL, f"a number is out of range: {error}")
