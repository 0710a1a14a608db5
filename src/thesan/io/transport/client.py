"""One outgoing connection: many requests in flight, every answer to its caller, death noticed.

A connection never reconnects and never resends: it fails, once, and tells everybody who waits
(OperationError ECONNRESET, Retry.SAME_ID: what was sent may have been done). Who resends what is
decided above, in roles.client.
"""

import asyncio
import errno
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from thesan.core.model.errors import OperationError, Retry, WireError
from thesan.core.model.limits import (
    AUTH_ROUNDS_MAX,
    CLIENT_CLOSE_SECONDS_MAX,
    CLIENT_DIAL_SECONDS_MAX,
    CLIENT_OUTPUT_BYTES_HIGH,
    CLIENT_REQUESTS_MAX,
    CLIENT_SCRATCH_BYTES,
    CLIENT_SILENCE_SECONDS_MAX,
    CLIENT_STAGGER_SECONDS,
)
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import (
    ProtocolInfo,
    errno_in,
    parse_error,
    parse_wait,
    security_protocols,
)
from thesan.core.wire.client import ClientSession, Response, State
from thesan.core.wire.numbers import NO_SID, Ability, ProtocolFlag, Status
from thesan.io.transport.credentials import Method
from thesan.io.transport.outbox import Outbox
from thesan.io.transport.race import first_made
from thesan.io.transport.resolve import addresses_of
from thesan.io.transport.vigil import Vigil
from thesan.io.transport.waiters import Call, GivenUp, Waiter

__all__ = ["Call", "ClientConnection", "GivenUp", "LoginSettings", "Response", "dial", "error_of"]

_USER_BYTES: Final = 8
"""`username` of ClientLoginRequest."""
_ABILITY: Final = int(Ability.FULL_URL | Ability.READ_REDIRECT | Ability.REDIRECT_FLAGS)


@dataclass(frozen=True)
class LoginSettings:
    """Who logs in."""

    user: str = "nobody"
    """Login name, cut to 8 bytes; connections of different names are different."""
    pid: int = 0
    app: str = "thesan"
    """What this program calls itself (`xrd.appname`)."""
    methods: tuple[Method, ...] = ()
    """Ways to authenticate, best first; those that the server does not offer are skipped."""


class ClientConnection(asyncio.BufferedProtocol):
    """A logged-in connection. Made by `dial`."""

    def __init__(self, host: str, port: int, silence_seconds_max: float, address: str = "") -> None:
        self.host = host
        self.port = port
        self.address = address or host
        """Which address of `host` it is."""
        self.uploads = 0
        """Files open for writing, as far as whoever opened them says so."""
        self._loop = asyncio.get_running_loop()
        self._session = ClientSession()
        self._scratch = memoryview(bytearray(CLIENT_SCRATCH_BYTES))
        self._in_window = False
        self._outbox: Outbox | None = None
        self._flush_due = False
        self._waiters: dict[bytes, Waiter] = {}
        self._owed = 0
        """Waiters that are no long poll."""
        self._turns: deque[tuple[asyncio.Future[None], Call]] = deque()
        self._reason = "it was closed"
        self._vigil = Vigil(self, silence_seconds_max)
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is gone."""
        self.is_given_up = False
        """It ended by our own `abort`, not by its peer."""

    def __repr__(self) -> str:
        return f"<ClientConnection {self.host}:{self.port}>"

    # -- for callers ---------------------------------------------------------------------------
    @property
    def is_closed(self) -> bool:
        """True once every call fails."""
        return self._outbox is None or self._outbox.is_closed

    @property
    def in_flight(self) -> int:
        """Calls that wait for their answer."""
        return len(self._waiters)

    @property
    def session_id(self) -> bytes:
        """The server's name for this session."""
        return self._session.session_id

    @property
    def server(self) -> ProtocolInfo:
        """What the server said of itself."""
        return self._session.server

    @property
    def is_manager(self) -> bool:
        """The server is an MGM, not an FST."""
        return bool(self._session.server.flags & ProtocolFlag.MANAGER)

    async def call(self, request: rq.Request, timeout: float, call: Call = Call.FIRM) -> Response:
        """Send `request` and wait up to `timeout` seconds for its answer, whatever its status.

        A kXR_waitresp is taken note of: the wait starts anew after the seconds announced. The
        data of a write must not change until the answer is here. Raises OperationError ETIMEDOUT
        or ECONNRESET: Retry.SAME_ID when the request may have been done, else another Retry.
        """
        what = type(request).__name__.lower()
        deadline = self._loop.time() + timeout
        while not self._has_room():
            await self._until_room(what, deadline, call)
        future: asyncio.Future[Response] = self._loop.create_future()
        sid = self._send(request)
        timer = self._loop.call_at(deadline, self._expire, sid, timeout)
        self._waiters[sid] = Waiter(what, call, future, timer)
        if call is not Call.POLL:
            self._owed += 1
            self._vigil.begin()
        try:
            return await future
        except asyncio.CancelledError:
            if self._pop(sid) is not None:
                self._session.forget(sid)
            raise

    def give_up(self, reason: str) -> None:
        """End every MOVABLE call with GivenUp: its outcome here is unknown. The connection
        stays, and answers that still come are dropped."""
        for sid, waiter in list(self._waiters.items()):
            if waiter.call is Call.MOVABLE:
                self._pop(sid)
                self._session.forget(sid)
                if not waiter.future.done():
                    waiter.future.set_exception(self._left(reason, Retry.SAME_ID))
        for turn, call in self._turns:
            if call is Call.MOVABLE and not turn.done():
                turn.set_exception(self._left(reason, Retry.ELSEWHERE))

    def _left(self, reason: str, retry: Retry) -> GivenUp:
        return GivenUp(errno.ECONNRESET, f"{self.host}:{self.port} left: {reason}", retry)

    def _pop(self, sid: bytes) -> Waiter | None:
        """The waiter of that request, which waits no more."""
        waiter = self._waiters.pop(sid, None)
        if waiter is not None:
            waiter.timer.cancel()
            if waiter.call is not Call.POLL:
                self._owed -= 1
        return waiter

    async def close(self) -> None:
        """Close. Calls under way fail with ECONNRESET."""
        if self._outbox is None:
            return
        self._outbox.close()
        try:
            async with asyncio.timeout(CLIENT_CLOSE_SECONDS_MAX):
                await asyncio.shield(self.lost)
        except TimeoutError:
            self.abort("its peer took nothing while it was closed")
            await self.lost

    def abort(self, reason: str) -> None:
        """Drop the connection; `reason` is said in the errors."""
        self._reason = reason
        if self._outbox is not None:
            self.is_given_up = True
            self._outbox.abort()

    # -- login ---------------------------------------------------------------------------------
    async def log_in(self, login: LoginSettings, timeout: float) -> None:
        """Greet, log in and authenticate. Raises OperationError."""
        deadline = self._loop.time() + timeout
        self._put(self._session.hello())
        name = login.user.encode("ascii", "replace")[:_USER_BYTES].decode()
        token = f"xrd.appname={login.app}".encode()
        request = rq.Login(NO_SID, name, login.pid, ability=_ABILITY, token=token)
        response = await self.call(request, timeout)
        if response.status == Status.WAIT:
            raise OperationError(errno.EAGAIN, f"{self.host} takes no login yet")
        if response.status != Status.OK:
            raise error_of(response)
        if self._session.security:
            await self._authenticate(login.methods, deadline)

    async def _authenticate(self, methods: tuple[Method, ...], deadline: float) -> None:
        """Try our methods in turn, as far as they are offered."""
        offered = dict(security_protocols(self._session.security))
        failure = OperationError(
            errno.EBADE,
            f"{self.host} wants one of {', '.join(offered)}; "
            f"there is {', '.join(method.name for method in methods) or 'none'}",
        )
        for method in methods:
            if method.name in offered:
                try:
                    await self._prove(method, offered[method.name], deadline)
                    return
                except OperationError as error:
                    is_over = self._session.state is State.READY
                    if is_over or self.is_closed or error.errno == errno.ETIMEDOUT:
                        raise
                    failure = error
        raise failure

    async def _prove(self, method: Method, parameters: str, deadline: float) -> None:
        exchange = method.begin()
        credentials = exchange.answer(parameters)
        for _ in range(AUTH_ROUNDS_MAX):
            request = rq.Auth(NO_SID, method.name.encode(), credentials)
            response = await self.call(request, deadline - self._loop.time())
            if response.status == Status.OK:
                exchange.check(bytes(response.body))
                return
            if response.status != Status.AUTHMORE:
                raise error_of(response)
            credentials = exchange.more(bytes(response.body))
        raise OperationError(errno.EBADE, f"{method.name}: no end of authentication rounds")

    # -- sending -------------------------------------------------------------------------------
    def _send(self, request: rq.Request) -> bytes:
        if isinstance(request, rq.Write | rq.PgWrite | rq.WriteV):
            sid, head = self._session.submit_head(request)
            self._put(head)
            if request.data:
                self._put(request.data)
        else:
            sid, frame = self._session.submit(request)
            self._put(frame)
        return sid

    def _put(self, data: bytes | bytearray) -> None:
        """Queue bytes; what one round of the loop sends leaves in one write."""
        self._open_outbox().put(data)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._outbox is not None:
            self._outbox.flush()
            self._give_turns()

    def _open_outbox(self) -> Outbox:
        if self._outbox is None or self._outbox.is_closed:
            raise self._broken(Retry.ELSEWHERE)
        return self._outbox

    def _broken(self, retry: Retry) -> OperationError:
        text = f"connection to {self.host}:{self.port} is gone: {self._reason}"
        return OperationError(errno.ECONNRESET, text, retry)

    def _has_room(self) -> bool:
        return (
            self._session.awaited_count < CLIENT_REQUESTS_MAX
            and self._open_outbox().queued_bytes < CLIENT_OUTPUT_BYTES_HIGH
        )

    async def _until_room(self, what: str, deadline: float, call: Call) -> None:
        """Wait, in order, until another request may be sent."""
        turn: asyncio.Future[None] = self._loop.create_future()
        self._turns.append((turn, call))
        self._vigil.begin()
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except TimeoutError:
            text = f"{what} to {self.host}:{self.port} could not be sent: too much is in flight"
            raise OperationError(errno.ETIMEDOUT, text, Retry.LATER) from None

    def _give_turns(self) -> None:
        """Let as many waiting calls go on as there is room for; they check again."""
        while self._turns:
            if self._turns[0][0].done():
                self._turns.popleft()
            elif self.is_closed or self._has_room():
                # One at a time: it takes its room in the next round, and then wakes the next.
                self._turns.popleft()[0].set_result(None)
                self._loop.call_soon(self._give_turns)
                return
            else:
                return

    # -- asyncio -------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._outbox = Outbox(cast("asyncio.Transport", transport))  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._reason = str(exc) or type(exc).__name__
        if self._outbox is not None:
            self._outbox.lost()
            self._outbox = None
        self._vigil.end()
        for sid in list(self._waiters):
            waiter = self._pop(sid)
            if waiter is not None and not waiter.future.done():
                waiter.future.set_exception(self._broken(Retry.SAME_ID))
        for turn, _ in self._turns:
            if not turn.done():
                turn.set_result(None)
        self._turns.clear()
        self.lost.set_result(None)

    def eof_received(self) -> bool:
        self._reason = "the server closed it"
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        window = self._session.window()
        self._in_window = window is not None
        return self._scratch if window is None else window

    def buffer_updated(self, nbytes: int) -> None:
        self._vigil.heard()
        try:
            if self._in_window:
                responses = self._session.filled(nbytes)
            else:
                responses = self._session.receive(self._scratch[:nbytes])
        except WireError as error:
            self.abort(f"the server broke the protocol: {error.text}")
            return
        for response in responses:
            self._deliver(response)
        if self._turns:
            self._give_turns()

    def pause_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.pause()

    def resume_writing(self) -> None:
        self._vigil.heard()
        if self._outbox is not None:
            self._outbox.resume()
            self._flush()

    # -- answers -------------------------------------------------------------------------------
    def _deliver(self, response: Response) -> None:
        if response.status == Status.WAITRESP:
            self._prolong(response)
            return
        waiter = self._pop(response.sid)
        if waiter is not None and not waiter.future.done():
            waiter.future.set_result(response)

    def _prolong(self, response: Response) -> None:
        waiter = self._waiters.get(response.sid)
        if waiter is None or waiter.is_announced:
            return
        waiter.is_announced = True
        seconds = parse_wait(bytes(response.body))[0]
        timeout = seconds + waiter.timer.when() - self._loop.time()
        waiter.timer.cancel()
        waiter.timer = self._loop.call_later(timeout, self._expire, response.sid, timeout)

    def _expire(self, sid: bytes, timeout: float) -> None:
        waiter = self._pop(sid)
        if waiter is not None and not waiter.future.done():
            self._session.forget(sid)
            text = f"no answer to {waiter.what} from {self.host}:{self.port} in {timeout:.1f} s"
            waiter.future.set_exception(OperationError(errno.ETIMEDOUT, text))

    # -- death of the peer ---------------------------------------------------------------------
    @property
    def owes(self) -> bool:
        """The server owes an answer, or room for a request; a long poll is no debt."""
        return self._owed > 0 or bool(self._turns)

    @property
    def carries_upload(self) -> bool:
        """A file is open for writing here."""
        return self.uploads > 0

    @property
    def is_suspicious(self) -> bool:
        """The server does not answer a ping; it may be busy."""
        return self._vigil.is_suspicious

    def check(self) -> None:
        """Find out whether the server is there, by a ping; if not, the connection is dropped."""
        if not self.is_closed:
            self._vigil.check()

    def ping(self) -> bool:
        """Send a ping whose answer nobody waits for: any byte is a sign of life."""
        if self._outbox is None or self._session.awaited_count >= CLIENT_REQUESTS_MAX:
            return False
        sid, frame = self._session.submit(rq.Ping(NO_SID))
        self._session.forget(sid)
        self._put(frame)
        return True


def error_of(response: Response) -> OperationError:
    """The error that an answer stands for; EPROTO for a status that makes no sense here."""
    if response.status != Status.ERROR:
        return OperationError(errno.EPROTO, f"unexpected answer of status {response.status}")
    try:
        code, text = parse_error(bytes(response.body))
    except WireError as error:
        return OperationError(errno.EPROTO, error.text)
    return OperationError(*errno_in(code, text))


async def dial(
    host: str,
    port: int,
    login: LoginSettings,
    *,
    timeout: float = CLIENT_DIAL_SECONDS_MAX,
    silence_seconds_max: float = CLIENT_SILENCE_SECONDS_MAX,
) -> ClientConnection:
    """Connect and log in within `timeout` seconds, at the first address of `host` that answers.

    An address that is silent for CLIENT_STAGGER_SECONDS holds nobody up: the next is tried beside
    it. Raises OperationError: ECONNREFUSED and its like (Retry.ELSEWHERE), EBADE, EACCES,
    ETIMEDOUT.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    addresses = await addresses_of(host, port, deadline)

    async def reach(address: str) -> ClientConnection:
        connection = ClientConnection(host, port, silence_seconds_max, address)
        await _connect(connection, deadline)
        try:
            await connection.log_in(login, max(0.0, deadline - loop.time()))
        except BaseException:
            connection.abort("login failed")
            raise
        return connection

    def drop(connection: ClientConnection) -> None:
        connection.abort("another address was faster")

    if len(addresses) == 1:
        return await reach(addresses[0])
    attempts = [partial(reach, address) for address in addresses]
    return await first_made(attempts, CLIENT_STAGGER_SECONDS, drop)


async def _connect(connection: ClientConnection, deadline: float) -> None:
    """Raises OperationError, Retry.ELSEWHERE."""
    host, port = connection.host, connection.port
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout_at(deadline):
            await loop.create_connection(lambda: connection, connection.address, port)
    except TimeoutError:
        text = f"{host}:{port} does not answer (waited {loop.time() - began:.1f} s)"
        raise OperationError(errno.EHOSTUNREACH, text, Retry.ELSEWHERE) from None
    except OSError as error:
        number = error.errno if error.errno and error.errno > 0 else errno.EHOSTUNREACH
        text = f"{host}:{port}: {error.strerror or error}"
        raise OperationError(number, text, Retry.ELSEWHERE) from error
