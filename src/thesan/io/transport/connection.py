"""One accepted connection: bytes in, requests to the service, answers out in one write per block.

Requests wait in a backlog and are taken from it only below every limit; reading pauses while any
is left there. So one connection holds at most one received block, one request body, the write
window, and OUTPUT_BYTES_HIGH twice (here and in the transport), whatever its client does.
"""

import asyncio
import errno
from collections import deque
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from thesan.core.model.errors import OperationError, ThesanError, WireError, Xrd
from thesan.core.model.identity import Identity
from thesan.core.model.limits import (
    LOGIN_SECONDS_MAX,
    OUTPUT_BYTES_HIGH,
    OUTPUT_STALL_SECONDS_MAX,
    REQUESTS_PER_TURN_MAX,
    SESSION_IDLE_SECONDS_MAX,
    SESSION_REQUESTS_MAX,
    WRITE_WINDOW_BYTES,
)
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_bind
from thesan.core.wire.numbers import NO_SID, Status
from thesan.core.wire.requests import (
    Auth,
    Bind,
    EndSession,
    Login,
    PgWrite,
    Ping,
    Request,
    Write,
    WriteV,
)
from thesan.core.wire.server import Event, ServerSession
from thesan.io.transport.answers import OpenRequests, error_answer
from thesan.io.transport.outbox import Outbox
from thesan.io.transport.service import Registry, Service
from thesan.io.transport.streams import Streams
from thesan.ports.disk import Disk, Handle

_CARRY_DATA: Final = frozenset((Write, PgWrite, WriteV))
_OF_THE_DRIVER: Final = frozenset((Login, Auth, Bind, EndSession))


class ServerConnection(asyncio.BufferedProtocol):
    """The transport's side of a session. A Service sees the public attributes and methods."""

    def __init__(self, service: Service, registry: Registry) -> None:
        self.peer_host = ""
        """Address of the client."""
        self.peer_port = 0
        self.identity: Identity | None = None
        """Set by the service; None until the caller is authenticated."""
        self.session_id = b""
        self.user = ""
        """Login name; says nothing about identity."""
        self.pid = 0
        self.state: Any = None
        """For the service alone."""
        self._service = service
        self._registry = registry
        self._session = ServerSession(service.settings)
        self._loop = asyncio.get_running_loop()
        self._outbox: Outbox | None = None
        self._in_window = False
        self._is_ready = False
        self._is_known = False
        self._verdict_due = False
        self._backlog: deque[Request] = deque()
        self._unanswered = OpenRequests()
        self._is_reading = True
        self._is_working = False
        self._turn_due = False
        self._streams: Streams[ServerConnection] = Streams()
        self._main: ServerConnection | None = None
        self._login_timer: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()

    def __repr__(self) -> str:
        return f"<ServerConnection {self.user or '-'}@{self.peer_host}:{self.peer_port}>"

    # -- for the service -----------------------------------------------------------------------
    @property
    def is_closed(self) -> bool:
        """True once the connection is gone or going: answers lead nowhere."""
        return self._outbox is None or self._outbox.is_closed

    @property
    def unanswered_count(self) -> int:
        """Requests that have no final answer yet."""
        return len(self._unanswered)

    @property
    def idle_seconds(self) -> float:
        """Time since the client last sent anything."""
        return self._loop.time() - self._heard_at

    @property
    def queued_bytes(self) -> int:
        """Answers that wait for their write."""
        return 0 if self._outbox is None else self._outbox.queued_bytes

    @property
    def unsent_bytes(self) -> int:
        """Answers that the socket has not taken: who streams a long one looks here."""
        return 0 if self._outbox is None else self._outbox.unsent_bytes

    def reply(self, data: bytes | bytearray, path_id: int = 0) -> None:
        """Send whole answer frames, of one request or several, in the next write.

        A request announced by `wait_then_answer` gets its frame as kXR_attn. On a closed
        connection nothing happens. `path_id` names the substream that the client asked for;
        OperationError EINVAL when there is none.
        """
        if self.is_closed:
            return
        stream = self.stream(path_id) if path_id else self
        stream._put(self._unanswered.settle(data))
        if self._verdict_due:
            self._conclude(data)
        if not self._is_working:
            self._turn_soon()

    def wait_then_answer(self, sid: bytes, seconds: int) -> None:
        """Tell the client now that the answer to `sid` takes up to `seconds` (kXR_waitresp).

        Once per request, before its `reply`. Not for reads: a bulk answer can't be wrapped.
        """
        if self.is_closed:
            return
        self._unanswered.announce(sid)
        self._put(responses.waitresp(sid, seconds))

    async def send_file(
        self, sid: bytes, disk: Disk, handle: Handle, offset: int, length: int, path_id: int = 0
    ) -> None:
        """Answer `sid` with kXR_ok and `length` bytes of a file, past the transport's buffer.

        Sends of one connection leave in the order of the calls. The caller has checked that the
        file is long enough. Raises OperationError: ECONNRESET when the client is gone, EIO when
        the file failed in the middle (the connection is then aborted), EINVAL for an unknown
        `path_id`.
        """
        async with self._bulk(sid, path_id) as transport:
            head = responses.ok_head(sid, length)
            await self._registry.bulk.send_file(transport, head, disk, handle, offset, length)

    async def send_pages(
        self, sid: bytes, disk: Disk, handle: Handle, offset: int, length: int, path_id: int = 0
    ) -> None:
        """Answer a kXR_pgread with kXR_status frames. Otherwise as `send_file`."""
        async with self._bulk(sid, path_id) as transport:
            await self._registry.bulk.send_pages(transport, sid, disk, handle, offset, length)

    @asynccontextmanager
    async def _bulk(self, sid: bytes, path_id: int) -> AsyncIterator[asyncio.Transport]:
        """The turn of one bulk answer. Where it can't be sent whole, the client hears of it by the
        end of its connections: it would wait for ever."""
        stream = self.stream(path_id)
        outbox = stream._open_outbox()
        try:
            transport = await outbox.acquire()
        except OperationError:
            self._abort_both(stream)
            raise
        try:
            yield transport
        except BaseException:
            self._abort_both(stream)
            raise
        finally:
            stream._release(outbox)
        self._finish_bulk(sid)

    def stream(self, path_id: int) -> "ServerConnection":
        """The substream `path_id` of this session, itself for 0. OperationError EINVAL if none."""
        return self._streams.find(path_id) if path_id else self

    def limit_writes(self, handles: Container[int]) -> None:
        """Accept the data of writes to these handles only; others are refused unread."""
        self._session.writable = handles

    def close(self) -> None:
        """Send what is queued, then close. Open requests stay unanswered."""
        self._backlog.clear()
        if self._outbox is not None:
            self._stop_reading()
            self._outbox.close()

    def abort(self) -> None:
        """Drop the connection and what is queued."""
        self._backlog.clear()
        if self._outbox is not None:
            self._outbox.abort()

    # -- asyncio: the connection ---------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._outbox = Outbox(cast("asyncio.Transport", transport))  # uvloop's is no subclass
        peer = transport.get_extra_info("peername") or ("", 0)
        self.peer_host, self.peer_port = peer[0], peer[1]
        if self._registry.opened(self):
            self._login_timer = self._loop.call_later(LOGIN_SECONDS_MAX, self.abort)
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._outbox is not None:
            self._outbox.lost()
            self._outbox = None
        self._stop_login_timer()
        self._backlog.clear()
        self._unanswered.clear()
        if self._main is not None:
            self._main._forget_stream(self)
        self._streams.close()
        self._registry.closed(self)
        if self._is_known:
            self._is_known = False
            self._service.closed(self)

    def eof_received(self) -> bool:
        """Close: a half-closed client gets no more answers, and no XRootD client does that."""
        return False

    def _stop_login_timer(self) -> None:
        if self._login_timer is not None:
            self._login_timer.cancel()
            self._login_timer = None

    # -- asyncio: bytes in ---------------------------------------------------------------------
    def get_buffer(self, sizehint: int) -> memoryview:
        window = self._session.window()
        self._in_window = window is not None
        return self._registry.scratch if window is None else window

    def buffer_updated(self, nbytes: int) -> None:
        self._heard_at = self._loop.time()
        session = self._session
        try:
            if self._in_window:
                requests = session.filled(nbytes)
            else:
                requests = session.receive(self._registry.scratch[:nbytes])
        except WireError:
            self._give_up()
            return
        if session.output:
            self._take_session_output()
        elif not requests:
            return
        self._backlog.extend(requests)
        self._work()

    def _take_session_output(self) -> None:
        output = self._session.take_output()
        if output and self._outbox is not None:
            self._outbox.put(output)

    def _give_up(self) -> None:
        """The stream is out of step: the session has said why, where that makes sense."""
        self._take_session_output()
        self.close()

    # -- requests ------------------------------------------------------------------------------
    def _is_at_limit(self, outbox: Outbox) -> bool:
        queued = outbox.queued_bytes + self._streams.queued_bytes
        return queued >= OUTPUT_BYTES_HIGH or self._unanswered.is_at_limit

    def _work(self) -> None:
        """Answer the backlog as far as the limits and the turn allow, then write once."""
        self._turn_due = False
        outbox = self._outbox
        if outbox is None or outbox.is_closed:
            return
        backlog = self._backlog
        self._is_working = True
        turn = REQUESTS_PER_TURN_MAX
        has_room = not self._is_at_limit(outbox)
        while has_room and backlog and turn:
            turn -= 1
            answer = self._answer(backlog.popleft())
            if answer is None:
                has_room = not self._is_at_limit(outbox)
                continue
            # An answer at once changes nothing but the output.
            outbox.put(answer)
            has_room = outbox.queued_bytes < OUTPUT_BYTES_HIGH
            if self._verdict_due:
                self._conclude(answer)
        self._is_working = False
        outbox.flush()
        if self._main is not None:
            self._main._turn_if_due()  # It may wait for what was sent just now.
        if backlog or not has_room or not self._is_reading:
            if backlog and not self._is_at_limit(outbox):
                self._turn_soon()
            self._adjust_reading(outbox)

    def _answer(self, request: Request) -> bytes | bytearray | None:
        """One request's answer, None when it comes later. Never raises."""
        sid = request.sid
        kind = type(request)
        sizes = self._unanswered.sizes
        if sid in sizes:
            self._put(responses.error(NO_SID, Xrd.INVALID_REQUEST, "stream id is in use"))
            self.close()
            return None
        if kind is Ping:
            return responses.ok(sid)
        if kind in _CARRY_DATA:
            self._unanswered.begin(sid, len(request.data))  # type: ignore[union-attr]
        else:
            sizes[sid] = 0
        try:
            if self._is_ready and kind not in _OF_THE_DRIVER:
                answer = self._service.handle(self, request)
            else:
                answer = self._answer_session(request)
        except ThesanError as error:
            answer = error_answer(sid, error)
        except Exception as error:
            self._report(error, request)
            answer = responses.error(sid, Xrd.SERVER_ERROR, "internal error; it is in the log")
        if answer is not None:
            self._unanswered.held_bytes -= sizes.pop(sid, 0)
        return answer

    def _report(self, error: Exception, request: Request) -> None:
        """A fault of ours goes to the world's exception handler; the client gets an error."""
        self._loop.call_exception_handler(
            {
                "message": f"{type(request).__name__} failed on {self!r}",
                "exception": error,
                "protocol": self,
            }
        )

    def _answer_session(self, request: Request) -> bytes | bytearray | None:
        """Requests that concern the connection itself."""
        match request:
            case EndSession():
                return self._end_session(request)
            case Bind():
                self._verdict_due = True
                return self._bind(request)
            case Login():
                self._verdict_due = True
                return self._login(request)
            case Auth():
                self._verdict_due = True
                return self._service.auth(self, request)
            case _:
                raise OperationError(errno.EACCES, "log in first")

    def _login(self, request: Login) -> bytes:
        if self._registry.is_full:
            self._loop.call_soon(self.close)
            raise OperationError(errno.EUSERS, "too many connections")
        self.session_id = self._registry.new_session_id()
        self.user = request.username
        self.pid = request.pid
        self._is_known = True
        return self._service.login(self, request)

    def _conclude(self, answer: bytes | bytearray) -> None:
        """Tell the session how the login, auth or bind ended; take what came behind it."""
        self._verdict_due = False
        status = responses.HEAD.unpack_from(answer)[1]
        if status == Status.OK and (self.identity is not None or self._main is not None):
            verdict = Event.ACCEPTED
            self._stop_login_timer()
            if self._main is None:
                self._is_ready = True
                self._registry.entered(self)
        elif status in (Status.OK, Status.AUTHMORE):
            verdict = Event.MORE
        else:
            verdict = Event.REFUSED
        try:
            requests = self._session.conclude(verdict)
        except WireError:
            self._give_up()
            return
        self._take_session_output()
        self._backlog.extend(requests)

    def _end_session(self, request: EndSession) -> bytes:
        """End an earlier session of the same host; one that is not there has ended already."""
        other = self._registry.find(request.session_id)
        if other is not None and other is not self and other.peer_host == self.peer_host:
            other.abort()
        return responses.ok(request.sid)

    def _bind(self, request: Bind) -> bytes:
        """Become a substream of a logged-in session of the same host."""
        if self._is_known or self._main is not None:
            raise OperationError(errno.EINVAL, "this connection has a session already")
        main = self._registry.find(request.session_id)
        if main is None or main.is_closed or main.peer_host != self.peer_host:
            raise OperationError(errno.ENOENT, "no such session to bind to")
        path_id = main._streams.add(self)
        self._main = main
        self.user = main.user
        return responses.ok(request.sid, build_bind(path_id))

    def _forget_stream(self, stream: "ServerConnection") -> None:
        self._streams.forget(stream)
        self._turn_soon()

    # -- answers -------------------------------------------------------------------------------
    def _finish_bulk(self, sid: bytes) -> None:
        if not self.is_closed:
            self._unanswered.finish(sid)
            self._turn_if_due()

    def _put(self, data: bytes | bytearray) -> None:
        """Queue frames; while requests are worked off the write comes at their end."""
        if self._outbox is not None:
            self._outbox.put(data)
            if not self._is_working:
                self._turn_soon()

    def _turn_soon(self) -> None:
        """One write for all answers of this round of the loop."""
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._work)

    def _turn_if_due(self) -> None:
        """After a bulk answer: a round of the loop only if there is something to do in it."""
        outbox = self._outbox
        if outbox is not None and (outbox.queued_bytes or self._backlog or not self._is_reading):
            self._turn_soon()

    def _open_outbox(self) -> Outbox:
        if self._outbox is None:
            raise OperationError(errno.ECONNRESET, "the client is gone")
        return self._outbox

    def _release(self, outbox: Outbox) -> None:
        outbox.release()
        self._turn_if_due()

    def _abort_both(self, stream: "ServerConnection") -> None:
        """A half-sent answer can't be taken back, on whichever stream it was."""
        stream.abort()
        self.abort()

    # -- asyncio: flow -------------------------------------------------------------------------
    def pause_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.pause()

    def resume_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.resume()
            self._turn_soon()

    def _adjust_reading(self, outbox: Outbox) -> None:
        """Read only while nothing waits; resume well below the limits, not at every answer."""
        if outbox.is_closed:
            return
        if self._is_reading:
            if self._backlog or self._is_at_limit(outbox):
                self._stop_reading()
        elif (
            not self._backlog
            and outbox.queued_bytes + self._streams.queued_bytes <= OUTPUT_BYTES_HIGH // 2
            and len(self._unanswered) <= SESSION_REQUESTS_MAX // 2
            and self._unanswered.held_bytes < WRITE_WINDOW_BYTES
        ):
            self._is_reading = True
            outbox.transport.resume_reading()

    def _stop_reading(self) -> None:
        if self._is_reading and self._outbox is not None and not self._outbox.is_closed:
            self._is_reading = False
            self._outbox.transport.pause_reading()

    def sweep(self, now: float) -> None:
        """Drop a peer that takes nothing; close a session that has asked nothing for long."""
        outbox = self._outbox
        if outbox is None:
            return
        if outbox.has_stalled(now, OUTPUT_STALL_SECONDS_MAX):
            self.abort()
        elif (
            self._main is None
            and not self._unanswered
            and not self._backlog
            and now - self._heard_at > SESSION_IDLE_SECONDS_MAX
        ):
            self.close()
