"""Getting one request answered, wherever that is and however long it takes.

The rules are those of XrdCl (reference of the protocol, section 3) with two differences: nothing is
given up before the caller's deadline while trying again can help, and an address that refuses or
is silent costs seconds, not minutes.

- Every MGM of the list is tried; the one that last answered as master is asked first.
- kXR_wait is obeyed, kXR_redirect followed (at most REDIRECTS_MAX for one request).
- What an FST can't do is asked again at the MGM, with `tried=` naming the FST's host.
- After a lost connection nobody knows whether the request was done. It is sent again as it is: a
  mutation carries its operation id (`thesan.op`), by which a server gives the first answer again.
"""

import asyncio
import errno
from typing import Final

import msgspec

from thesan.core.model.errors import OperationError, Retry, WireError
from thesan.core.model.limits import (
    CLIENT_BACKOFF_SECONDS,
    CLIENT_BACKOFF_SECONDS_MAX,
    CLIENT_TRIED_MAX,
    CLIENT_WAIT_SECONDS_MAX,
    CLIENT_WAIT_SECONDS_MIN,
    FST_RETURN_SECONDS_MAX,
    REDIRECTS_MAX,
)
from thesan.core.model.paths import parse_cgi
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import Redirect, parse_redirect, parse_wait
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import QueryCode, Status
from thesan.io.transport.client import ClientConnection, error_of
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.pool import Pool
from thesan.roles.client.url import Endpoint, merge_cgi, parse_url, set_cgi

Body = bytes | bytearray | memoryview

ELSEWHERE: Final[dict[int, str]] = {
    errno.ENOENT: "enoent",
    errno.EIO: "ioerr",
    errno.ENODEV: "fserr",
    errno.EFAULT: "srverr",
    errno.ENOMEM: "srverr",
    errno.EUSERS: "srverr",
    errno.ENOSPC: "fserr",
    errno.EROFS: "fserr",
    errno.EDOM: "ioerr",
}
"""Errors of an FST after which another one may do better, with XrdCl's word in `triedrc=`."""
_REFUSED_TRIES_MAX: Final = 3
"""An FST refuses a capability: of an epoch before its own, or used up by a request that was lost.
A new one from the MGM may be good (NotAuthorizedRetryLimit of XrdCl)."""


class Answer(msgspec.Struct):
    """A successful answer and where it came from."""

    body: Body
    endpoint: Endpoint
    connection: ClientConnection
    bad_offsets: list[int] = []


class _Journey:
    """What is known of one request on its way."""

    def __init__(self, request: rq.Request, deadline: float, tried: dict[str, str]) -> None:
        self.request = request
        self.deadline = deadline
        self.tried = tried
        """Hosts that could not serve it: word for `triedrc`."""
        self.target: Endpoint | None = None
        """Where a redirect sent us; None: to the MGM."""
        self.given_cgi = ""
        self.redirects = 0
        self.refused = 0
        self.maybe_done = False
        self.losses = 0
        self.lost_at: float | None = None
        """When a server was lost first."""
        self.pause = CLIENT_BACKOFF_SECONDS
        self.mgm_failures = 0
        self.reason = "nothing was tried"
        """Why the last try failed: what an error at the deadline says."""
        self.refusal = ""
        """What the last FST said that could not serve it."""

    @property
    def what(self) -> str:
        """For error texts: `stat /a/b`."""
        path = getattr(self.request, "path", "") or getattr(self.request, "source", "")
        return f"{type(self.request).__name__.lower()} {path}".rstrip()

    def outgoing(self) -> rq.Request:
        """The request as it is to be sent to the current target."""
        cgi = self.given_cgi
        if self.target is None and self.tried:
            hosts = list(self.tried)[-CLIENT_TRIED_MAX:]
            words = ",".join(self.tried[host] for host in hosts)
            cgi = set_cgi(set_cgi(cgi, "tried", ",".join(hosts)), "triedrc", words)
        return with_cgi(self.request, cgi) if cgi else self.request

    def follow(self, redirect: Redirect) -> None:
        """Take up a kXR_redirect. Raises OperationError ELOOP, EINVAL or EPROTONOSUPPORT."""
        self.redirects += 1
        if self.redirects > REDIRECTS_MAX:
            text = f"{self.what}: {REDIRECTS_MAX} redirects and no end; the last to {redirect.host}"
            raise OperationError(errno.ELOOP, text)
        if redirect.port < 0:
            url = parse_url(redirect.host + ("?" + redirect.cgi if redirect.cgi else ""))
            self.target, self.given_cgi = url.endpoints[0], url.cgi
        else:
            self.target = Endpoint(redirect.host.strip("[]"), redirect.port)
            self.given_cgi = redirect.cgi
        # A server that sends us back names itself in `tried=`: keep that beside our own list.
        for host in parse_cgi(self.given_cgi).get("tried", "").split(","):
            if host:
                self.tried.setdefault(host, "srverr")

    def go_back(self, word: str) -> None:
        """Ask the MGM again; without `word` the server that we come from is not to blame."""
        assert self.target is not None
        if word:
            self.tried.pop(self.target.host, None)
            self.tried[self.target.host] = word
        self.target = None
        self.given_cgi = ""


class Router:
    """Routes the requests of one client."""

    def __init__(self, endpoints: tuple[Endpoint, ...], pool: Pool, config: ClientConfig) -> None:
        if not endpoints:
            raise ValueError("no MGM given")
        self.pool = pool
        self.config = config
        self._mgms = endpoints
        self._current = endpoints[0]
        self._loop = asyncio.get_running_loop()

    @property
    def master(self) -> Endpoint:
        """The MGM that is asked first: who last answered as master."""
        return self._current

    def deadline(self) -> float:
        """Loop time until which an operation that begins now may be tried."""
        return self._loop.time() + self.config.patience_seconds

    async def ask(
        self,
        request: rq.Request,
        *,
        deadline: float | None = None,
        tried: dict[str, str] | None = None,
        redirect: Redirect | None = None,
    ) -> Answer:
        """Send `request` until somebody answers it with ok; `redirect` is where to go first.

        Raises OperationError: the server's last word, or ETIMEDOUT at the deadline.
        """
        if deadline is None:
            deadline = self.deadline()
        journey = _Journey(request, deadline, dict(tried or {}))
        if tried:
            # The caller lost them just now: they may be back, as if this request had lost them.
            journey.lost_at = self._loop.time()
        if redirect is not None:
            journey.follow(redirect)
        while True:
            endpoint = journey.target or self._current
            connection: ClientConnection | None = None
            try:
                connection = self.pool.find(endpoint)
                if connection is None:
                    connection = await self._dial(journey, endpoint)
                timeout = self._left(journey)
                response = await connection.call(journey.outgoing(), timeout)
            except OperationError as error:
                await self._lost(journey, endpoint, error, was_sent=connection is not None)
                continue
            if response.status == Status.OK:
                self._arrived(endpoint, connection)
                return Answer(response.body, endpoint, connection, response.bad_offsets)
            await self._judge(journey, endpoint, connection, response)

    # -- time ----------------------------------------------------------------------------------
    def _left(self, journey: _Journey) -> float:
        """Seconds until the deadline. Raises OperationError ETIMEDOUT when there are none."""
        left = journey.deadline - self._loop.time()
        if left <= 0:
            retry = Retry.SAME_ID if journey.maybe_done else Retry.LATER
            text = f"{journey.what}: given up at the deadline; last: {journey.reason}"
            raise OperationError(errno.ETIMEDOUT, text, retry)
        return left

    async def _sleep(self, journey: _Journey, seconds: float) -> None:
        await asyncio.sleep(min(seconds, self._left(journey)))

    async def _back_off(self, journey: _Journey) -> None:
        await self._sleep(journey, journey.pause)
        journey.pause = min(2 * journey.pause, CLIENT_BACKOFF_SECONDS_MAX)

    # -- connections ---------------------------------------------------------------------------
    async def _dial(self, journey: _Journey, endpoint: Endpoint) -> ClientConnection:
        left = self._left(journey)
        try:
            async with asyncio.timeout(left):
                return await self.pool.get(endpoint)
        except TimeoutError:
            text = f"{endpoint} was not reached in {left:.1f} s"
            raise OperationError(errno.ETIMEDOUT, text, Retry.LATER) from None

    async def _lost(
        self, journey: _Journey, endpoint: Endpoint, error: OperationError, *, was_sent: bool
    ) -> None:
        """The way to a server failed, or the server: choose where to go next."""
        if error.retry is Retry.NEVER:
            raise error
        if was_sent and error.retry is Retry.SAME_ID:
            journey.maybe_done = True
        journey.reason = error.text
        self._left(journey)
        journey.losses += 1
        if journey.lost_at is None:
            journey.lost_at = self._loop.time()
        if journey.target is not None:
            journey.go_back("" if endpoint in self._mgms else "srverr")
            # The chain is broken off: what follows is a new one, though not a busy one.
            journey.redirects = 0
            if journey.losses > 1:
                await self._back_off(journey)
            return
        journey.mgm_failures += 1
        if endpoint == self._current:
            self._current = self._after(endpoint)
        if journey.mgm_failures % len(self._mgms) == 0:
            await self._back_off(journey)

    def _after(self, endpoint: Endpoint) -> Endpoint:
        """The next MGM of the list."""
        if endpoint not in self._mgms:
            return self._mgms[0]
        return self._mgms[(self._mgms.index(endpoint) + 1) % len(self._mgms)]

    def _arrived(self, endpoint: Endpoint, connection: ClientConnection) -> None:
        """Remember who is master: the manager that did the work."""
        if endpoint != self._current and connection.is_manager:
            self._current = endpoint

    # -- answers that are not ok -----------------------------------------------------------------
    async def _judge(
        self,
        journey: _Journey,
        endpoint: Endpoint,
        connection: ClientConnection,
        response: Response,
    ) -> None:
        """Act on an answer so that the next try is right, or raise it."""
        body = bytes(response.body)
        try:
            if response.status == Status.REDIRECT:
                journey.follow(parse_redirect(body))
                return
            if response.status == Status.WAIT:
                seconds, text = parse_wait(body)
                journey.reason = f"{endpoint} says wait: {text or f'{seconds} s'}"
                seconds_bound = min(max(seconds, CLIENT_WAIT_SECONDS_MIN), CLIENT_WAIT_SECONDS_MAX)
                await self._sleep(journey, seconds_bound)
                return
        except WireError as error:
            raise OperationError(errno.EPROTO, f"{endpoint}: {error.text}") from error
        await self._refused(journey, connection, error_of(response))

    async def _refused(
        self, journey: _Journey, connection: ClientConnection, error: OperationError
    ) -> None:
        """A server answered with an error: raise it, unless it may be different another time."""
        journey.reason = error.text
        if journey.target is not None and not connection.is_manager:
            word = ELSEWHERE.get(error.errno)
            if word is not None:
                journey.refusal = f"{journey.target.host}: {error.text}"
                journey.go_back(word)
                return
            if error.errno == errno.EACCES and journey.refused < _REFUSED_TRIES_MAX:
                journey.refused += 1
                journey.go_back("")
                return
        elif error.errno == errno.EUSERS:
            await self._back_off(journey)
            return
        elif error.errno == errno.EADDRNOTAVAIL and self._may_return(journey):
            # The MGM has no other FST to offer than those that we lost: perhaps they are back.
            journey.tried.clear()
            await self._back_off(journey)
            return
        if journey.refusal and connection.is_manager:
            # "Nobody else is left" alone would hide why: a full disk, a read-only one.
            raise OperationError(error.errno, f"{error.text}; {journey.refusal}", error.retry)
        raise error

    def _may_return(self, journey: _Journey) -> bool:
        return (
            journey.lost_at is not None
            and self._loop.time() - journey.lost_at < FST_RETURN_SECONDS_MAX
        )


def with_cgi(request: rq.Request, cgi: str) -> rq.Request:
    """A copy of `request` with `cgi` merged into its own; what has no CGI stays as it is."""
    match request:
        case (
            rq.Open()
            | rq.Truncate()
            | rq.Stat()
            | rq.DirList()
            | rq.Locate()
            | rq.Mkdir()
            | rq.Rm()
            | rq.Rmdir()
            | rq.Chmod()
            | rq.FAttr()
        ):
            return msgspec.structs.replace(request, cgi=merge_cgi(request.cgi, cgi))
        case rq.Mv():
            return msgspec.structs.replace(request, source_cgi=merge_cgi(request.source_cgi, cgi))
        case rq.Query(infotype=QueryCode.CHECKSUM | QueryCode.SPACE | QueryCode.XATTR):
            path, _, own = request.args.decode(errors="surrogateescape").partition("?")
            args = f"{path}?{merge_cgi(own, cgi)}".encode(errors="surrogateescape")
            return msgspec.structs.replace(request, args=args)
        case _:
            return request
