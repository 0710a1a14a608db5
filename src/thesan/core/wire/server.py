"""The server's side of one XRootD connection, without I/O: bytes in, requests and own answers out.

The session answers the handshake, kXR_protocol and malformed requests itself (`take_output`);
everything else goes up as a value of `requests`. It stops parsing after a login, an auth or a bind
until `conclude` says how that ended, so that a request sent too early can't slip through.
What may come when is in two plain tables, TRANSITIONS and ADMITTED.
"""

from collections.abc import Container
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Final, NoReturn

from thesan.core.model.errors import WireError, Xrd
from thesan.core.model.limits import (
    AUTH_ROUNDS_MAX,
    HANDSHAKE_BODY_BYTES_MAX,
    REQUEST_BODY_BYTES_MAX,
    SKIP_BYTES_MAX,
    WINDOW_BYTES_MIN,
    WRITE_BODY_BYTES_MAX,
    WRITEV_ITEMS_MAX,
)
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_protocol
from thesan.core.wire.framing import Framing
from thesan.core.wire.numbers import (
    FST_FLAGS,
    HANDSHAKE,
    MGM_FLAGS,
    NO_SID,
    PROTOCOL_VERSION,
    REQUEST_HEAD_BYTES,
    RequestId,
    ServerType,
)
from thesan.core.wire.request_codec import DECODERS, HEAD, decode, decode_writev, writev_items
from thesan.core.wire.requests import Protocol, Request


class State(Enum):
    """Where a connection stands."""

    START = "start"
    """Nothing came yet: the handshake is awaited."""
    GREETED = "greeted"
    LOGGING_IN = "logging-in"
    """A login waits for its verdict; so do AUTHENTICATING and BINDING for theirs."""
    UNPROVEN = "unproven"
    """Logged in, but authentication is wanted."""
    AUTHENTICATING = "authenticating"
    READY = "ready"
    BINDING = "binding"
    BOUND = "bound"
    """A substream: data leave on it, requests do not come."""


class Event(Enum):
    """What moves a connection: the first four come from the peer, the others are verdicts."""

    HANDSHAKE = "handshake"
    LOGIN = "login"
    AUTH = "auth"
    BIND = "bind"
    ACCEPTED = "accepted"
    MORE = "more"
    """The login was answered with a security text, or the auth with kXR_authmore."""
    REFUSED = "refused"
    """kXR_error was answered; the peer may try again."""


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.START, Event.HANDSHAKE): State.GREETED,
    (State.GREETED, Event.LOGIN): State.LOGGING_IN,
    (State.GREETED, Event.BIND): State.BINDING,
    (State.LOGGING_IN, Event.ACCEPTED): State.READY,
    (State.LOGGING_IN, Event.MORE): State.UNPROVEN,
    (State.LOGGING_IN, Event.REFUSED): State.GREETED,
    (State.UNPROVEN, Event.AUTH): State.AUTHENTICATING,
    (State.AUTHENTICATING, Event.ACCEPTED): State.READY,
    (State.AUTHENTICATING, Event.MORE): State.UNPROVEN,
    (State.AUTHENTICATING, Event.REFUSED): State.UNPROVEN,
    (State.BINDING, Event.ACCEPTED): State.BOUND,
    (State.BINDING, Event.REFUSED): State.GREETED,
}
_PEER_EVENTS: Final[dict[int, Event]] = {
    int(RequestId.LOGIN): Event.LOGIN,
    int(RequestId.AUTH): Event.AUTH,
    int(RequestId.BIND): Event.BIND,
}
# Plain names: reading an enum's member costs as much as unpacking a header.
_START: Final = State.START
_READY: Final = State.READY
_BOUND: Final = State.BOUND
_WRITEV: Final = int(RequestId.WRITEV)
_DATA_REQUESTS: Final = frozenset((int(RequestId.WRITE), int(RequestId.PGWRITE), _WRITEV))
_UNCOUNTED: Final = frozenset((RequestId.WRITEV, RequestId.CHKPOINT))
"""Data may follow that dlen does not count: refusing them loses the stream."""
_EARLY: Final = frozenset((int(RequestId.PING), int(RequestId.ENDSESS)))
"""Admitted before login, as native does: endsess is the first request after a reconnect."""
_NONE: Final[frozenset[int]] = frozenset()
ADMITTED: Final[dict[State, frozenset[int]]] = {
    State.START: _NONE,
    State.GREETED: _EARLY,
    State.LOGGING_IN: _NONE,
    State.UNPROVEN: _EARLY,
    State.AUTHENTICATING: _NONE,
    State.READY: frozenset(DECODERS) - _PEER_EVENTS.keys() - _DATA_REQUESTS - {RequestId.PROTOCOL},
    State.BINDING: _NONE,
    State.BOUND: _EARLY,
}
"""Requests that go the fast way in each state. The others are looked at one by one."""

_HANDSHAKE_ANSWER: Final = Struct(">ii")
_FH: Final = Struct(">I")
_WRITE_PATH_ID: Final = 12
"""Position of pathid in the parameters of write and pgwrite."""
_WRITEV_LIST_BYTES_MAX: Final = 16 * WRITEV_ITEMS_MAX


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What a server says of itself."""

    flags: int
    """ProtocolFlag of the kXR_protocol answer."""
    server_type: ServerType
    version: int = PROTOCOL_VERSION
    write_bytes_max: int = WRITE_BODY_BYTES_MAX
    """Longest data of one write request; a longer one is refused and its data skipped."""


MGM_SETTINGS: Final = ServerSettings(
    flags=MGM_FLAGS, server_type=ServerType.MANAGER, write_bytes_max=REQUEST_BODY_BYTES_MAX
)
FST_SETTINGS: Final = ServerSettings(flags=FST_FLAGS, server_type=ServerType.SERVER)


def _head(view: memoryview, position: int) -> tuple[bytes, int, bytes, int]:
    sid, requestid, params, length = HEAD.unpack_from(view, position)
    return sid, requestid, params, length


class ServerSession(Framing[Request]):
    """One connection. The driver calls `receive` (or `window` and `filled`) and `take_output`.

    `writable` may be set to the container of handles that are open for writing: the data of a
    write to another handle are then skipped, without memory for them, and answered FileNotOpen.
    """

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__()
        self._settings = settings
        self._state = State.START
        self._admitted = ADMITTED[State.START]
        self._body_max = HANDSHAKE_BODY_BYTES_MAX
        self.output: list[bytes] = []
        """What `take_output` has to give; to be looked at only."""
        self._attempts = 0
        self._announced: tuple[bytes, int, bytes] = (NO_SID, 0, b"")
        """(sid, requestid, params) of the request whose body is awaited."""
        self._items: list[tuple[int, int, int]] = []
        """List of the kXR_writev whose data are awaited."""
        self.writable: Container[int] | None = None
        self.client_version = 0
        """Of the client's kXR_protocol; 0 before."""
        self.client_flags = 0
        """ProtocolOption of the client."""

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._state

    def take_output(self) -> bytes:
        """Answers that the session made itself since the last call; send them first."""
        if not self.output:
            return b""
        output = b"".join(self.output)
        self.output.clear()
        return output

    def conclude(self, verdict: Event) -> list[Request]:
        """How the login, auth or bind that `receive` returned last was answered.

        Call it once the answer is on its way: what the peer had sent behind it is parsed now, and
        returned and raised as by `receive`.
        """
        self._move(verdict)
        return self._release()

    def _move(self, event: Event) -> None:
        self._state = TRANSITIONS[self._state, event]
        self._admitted = ADMITTED[self._state]
        if self._state is _READY:
            self._body_max = REQUEST_BODY_BYTES_MAX

    # -- framing ---------------------------------------------------------------------------------
    def _parse(self, view: memoryview, out: list[Request]) -> int:
        position, end = 0, len(view)
        if self._state is _START:
            position = self._greet(view)
            if not position:
                return 0
        unpack, decoders = HEAD.unpack_from, DECODERS
        admitted, body_max = self._admitted, self._body_max
        while end - position >= REQUEST_HEAD_BYTES:
            sid, requestid, params, length = unpack(view, position)
            start = position + REQUEST_HEAD_BYTES
            stop = start + length
            if requestid not in admitted or not 0 <= length <= body_max:
                after = self._take_special(view, position, out)
                if after is None:
                    return position
                position = after
                if self._held:
                    break
                continue
            if stop > end:
                if stop - end >= WINDOW_BYTES_MIN:
                    self._announced = (sid, requestid, params)
                    self._await_body(length, view[start:])
                    return end
                self._await_frame(REQUEST_HEAD_BYTES + length)
                return position
            body = view[start:stop].tobytes() if length else b""
            try:
                out.append(decoders[requestid](sid, params, body))
            except WireError as error:
                self._refuse(sid, error)
            position = stop
        if position != end:
            self._await_frame(REQUEST_HEAD_BYTES)
        return position

    def _greet(self, view: memoryview) -> int:
        """Take the 20 bytes of the handshake; 0 when they are not whole yet."""
        if view[: len(HANDSHAKE)] != HANDSHAKE[: len(view)]:
            raise WireError("this is not an XRootD client", fatal=True)
        if len(view) < len(HANDSHAKE):
            self._await_frame(len(HANDSHAKE))
            return 0
        settings = self._settings
        body = _HANDSHAKE_ANSWER.pack(settings.version, settings.server_type)
        self.output.append(responses.ok(NO_SID, body))
        self._move(Event.HANDSHAKE)
        return len(HANDSHAKE)

    def _take_special(self, view: memoryview, position: int, out: list[Request]) -> int | None:
        """A request off the fast way; the position after it, None when it is not whole yet."""
        sid, requestid, params, length = _head(view, position)
        if length < 0:
            self._give_up(sid, "negative length")
        start = position + REQUEST_HEAD_BYTES
        if self._state is _READY and requestid in _DATA_REQUESTS:
            if requestid == _WRITEV:
                return self._take_writev(view, position, out)
            return self._take_write(view, position, out)
        if requestid in _UNCOUNTED and self._state is not _READY:
            self._give_up(sid, "log in first")
        if length > self._body_max:
            text = f"body of {length} bytes is too long"
            return self._skip_body(view, start, sid, length, WireError(text, Xrd.ARG_TOO_LONG))
        if start + length > len(view):
            self._await_frame(REQUEST_HEAD_BYTES + length)
            return None
        self._take_session_request(
            sid, requestid, params, view[start : start + length].tobytes(), out
        )
        return start + length

    def _take_session_request(
        self, sid: bytes, requestid: int, params: bytes, body: bytes, out: list[Request]
    ) -> None:
        """protocol, login, auth, bind, what is unknown, and what comes too early."""
        event = _PEER_EVENTS.get(requestid)
        try:
            if requestid == RequestId.PROTOCOL:
                self._answer_protocol(decode(sid, requestid, params, body))
            elif event is not None:
                self._admit(event)
                out.append(decode(sid, requestid, params, body))
                self._move(event)
                self._hold()
            elif self._state is _READY:
                out.append(decode(sid, requestid, params, body))
            elif self._state is _BOUND:
                raise WireError("no requests are taken on a substream")
            else:
                raise WireError("log in first", Xrd.INVALID_REQUEST)
        except WireError as error:
            self._refuse(sid, error)

    def _admit(self, event: Event) -> None:
        if (self._state, event) not in TRANSITIONS:
            raise WireError(f"{event.value} is not possible now: {self._state.value}")
        self._attempts += 1
        if self._attempts > AUTH_ROUNDS_MAX:
            raise WireError("too many tries to log in", Xrd.AUTH_FAILED, fatal=True)

    def _answer_protocol(self, request: Request) -> None:
        assert isinstance(request, Protocol)
        self.client_version = request.version
        self.client_flags = request.flags
        body = build_protocol(self._settings.flags, self._settings.version)
        self.output.append(responses.ok(request.sid, body))

    # -- data ------------------------------------------------------------------------------------
    def _take_write(self, view: memoryview, position: int, out: list[Request]) -> int | None:
        sid, requestid, params, length = _head(view, position)
        start = position + REQUEST_HEAD_BYTES
        if params[_WRITE_PATH_ID]:
            # The data would come on that substream, though dlen counts them here.
            self._give_up(sid, "writes by substream are not supported", Xrd.UNSUPPORTED)
        error = self._write_error(_FH.unpack_from(params)[0], length)
        if error is not None:
            return self._skip_body(view, start, sid, length, error)
        stop = start + length
        if stop > len(view):
            if stop - len(view) >= WINDOW_BYTES_MIN:
                self._announced = (sid, requestid, params)
                self._await_body(length, view[start:])
                return len(view)
            self._await_frame(REQUEST_HEAD_BYTES + length)
            return None
        try:
            out.append(decode(sid, requestid, params, view[start:stop].tobytes()))
        except WireError as failure:
            self._refuse(sid, failure)
        return stop

    def _take_writev(self, view: memoryview, position: int, out: list[Request]) -> int | None:
        sid, requestid, params, length = _head(view, position)
        start = position + REQUEST_HEAD_BYTES
        if length > _WRITEV_LIST_BYTES_MAX:
            self._give_up(sid, "vector write has too many items", Xrd.ARG_TOO_LONG)
        if start + length > len(view):
            self._await_frame(REQUEST_HEAD_BYTES + length)
            return None
        try:
            items, data_bytes = writev_items(view[start : start + length].tobytes())
        except WireError as error:
            self._refuse(sid, error)
            raise
        start += length
        for fh, _, _ in items:
            refusal = self._write_error(fh, data_bytes)
            if refusal is not None:
                return self._skip_body(view, start, sid, data_bytes, refusal)
        if start + data_bytes > len(view):
            self._announced = (sid, requestid, params)
            self._items = items
            self._await_body(data_bytes, view[start:])
            return len(view)
        stop = start + data_bytes
        out.append(decode_writev(sid, params, items, view[start:stop].tobytes()))
        return stop

    def _write_error(self, fh: int, data_bytes: int) -> WireError | None:
        if data_bytes > self._settings.write_bytes_max:
            return WireError(f"write of {data_bytes} bytes is too long", Xrd.ARG_TOO_LONG)
        if self.writable is not None and fh not in self.writable:
            return WireError("file is not open for writing", Xrd.FILE_NOT_OPEN)
        return None

    def _body_complete(self, body: bytearray, out: list[Request]) -> None:
        sid, requestid, params = self._announced
        try:
            if requestid == _WRITEV:
                out.append(decode_writev(sid, params, self._items, body))
                self._items = []
            else:
                out.append(decode(sid, requestid, params, body))
        except WireError as error:
            self._refuse(sid, error)

    # -- refusals --------------------------------------------------------------------------------
    def _skip_body(
        self, view: memoryview, start: int, sid: bytes, length: int, error: WireError
    ) -> int:
        """Answer with an error and throw the body away, unless that could go on for ever."""
        if length > SKIP_BYTES_MAX or self._state is not _READY:
            error.fatal = True
        self._refuse(sid, error)
        available = min(length, len(view) - start)
        self._await_skip(length - available)
        return start + available

    def _refuse(self, sid: bytes, error: WireError) -> None:
        self.output.append(responses.error_of(sid, error))
        if error.fatal:
            raise error

    def _give_up(self, sid: bytes, text: str, code: Xrd = Xrd.INVALID_REQUEST) -> NoReturn:
        error = WireError(text, code, fatal=True)
        self.output.append(responses.error_of(sid, error))
        raise error
