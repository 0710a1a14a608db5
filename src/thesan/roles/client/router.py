"""Getting one request answered, wherever that is and however long it takes.

The rules are those of XrdCl (reference of the protocol, section 3) with two differences: nothing is
given up before the caller's deadline while trying again can help, and an address that refuses or
is silent costs seconds, not minutes.

- Every MGM of the list is tried; the one that last answered as master is asked first.
- kXR_wait is obeyed, kXR_redirect followed (at most REDIRECTS_MAX for one request). A redirect
  to a master names its epoch: the next one must name a later one, and none leads to an epoch that
  is over.
- At a change of master everything that is pending at an MGM is sent to the new one at once; until
  somebody says that there is one, silence moves nothing (roles.client.watcher).
- What an FST can't do is asked again at the MGM, with `tried=` naming the FST's host.
- After a lost connection nobody knows whether the request was done. It is sent again as it is: a
  mutation carries its operation id (`thesan.op`), by which a server gives the first answer again.
"""

import asyncio
import errno
from typing import Final

import msgspec

from thesan.core.control.messages import EPOCH_KEY
from thesan.core.model.errors import OperationError, Retry, WireError
from thesan.core.model.limits import (
    CLIENT_BACKOFF_SECONDS,
    CLIENT_BACKOFF_SECONDS_MAX,
    CLIENT_MASTER_WAITS_MAX,
    CLIENT_PROBE_SECONDS,
    CLIENT_SLOW_SECONDS,
    CLIENT_WAIT_SECONDS_MAX,
    CLIENT_WAIT_SECONDS_MIN,
    CLIENT_WATCH_AFTER_SECONDS,
    FST_RETURN_SECONDS_MAX,
)
from thesan.core.model.paths import parse_cgi
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import Redirect, parse_redirect, parse_wait
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import Status
from thesan.io.transport.client import Call, ClientConnection, GivenUp, error_of
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.journey import Journey
from thesan.roles.client.masters import Masters, News
from thesan.roles.client.pool import Pool
from thesan.roles.client.url import Endpoint
from thesan.roles.client.watcher import Watcher

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
_EPOCH_DIGITS_MAX: Final = 19
"""An int64 in decimal."""
_REFUSED_TRIES_MAX: Final = 3
"""An FST refuses a capability: of an epoch before its own, or used up by a request that was lost.
A new one from the MGM may be good (NotAuthorizedRetryLimit of XrdCl)."""


class Answer(msgspec.Struct):
    """A successful answer and where it came from."""

    body: Body
    endpoint: Endpoint
    connection: ClientConnection
    bad_offsets: list[int] = []


class Router:
    """Routes the requests of one client."""

    def __init__(self, endpoints: tuple[Endpoint, ...], pool: Pool, config: ClientConfig) -> None:
        if not endpoints:
            raise ValueError("no MGM given")
        self.pool = pool
        self.config = config
        self.masters = Masters(endpoints)
        self.watcher = Watcher(pool, self.masters, self._on_news)
        self._news = News()
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._journeys: dict[Journey, None] = {}
        """Requests under way, the oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        self._checked_at = 0.0
        self._reader_shift = config.login.pid

    @property
    def master(self) -> Endpoint:
        """The MGM that is asked first: who last answered as master."""
        return self.masters.current

    def deadline(self) -> float:
        """Loop time until which an operation that begins now may be tried."""
        return self._loop.time() + self.config.patience_seconds

    async def close(self) -> None:
        """Close every connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.watcher.close()
        await self.pool.close()

    async def ask(
        self,
        request: rq.Request,
        *,
        deadline: float | None = None,
        tried: dict[str, str] | None = None,
        redirect: Redirect | None = None,
        any_mgm: bool = False,
    ) -> Answer:
        """Send `request` until somebody answers it with ok; `redirect` is where to go first.

        `any_mgm`: a standby may answer, if the request says so too. Raises OperationError: the
        server's last word, or ETIMEDOUT at the deadline.
        """
        now = self._loop.time()
        if deadline is None:
            deadline = now + self.config.patience_seconds
        journey = Journey(request, now, deadline, dict(tried or {}), any_mgm=any_mgm)
        if tried:
            # The caller lost them just now: they may be back, as if this request had lost them.
            journey.lost_at = now
        if redirect is not None:
            journey.follow(redirect)
        self._journeys[journey] = None
        if self._timer is None:
            self._timer = self._loop.call_later(CLIENT_SLOW_SECONDS, self._look)
        if now - self._began > CLIENT_WATCH_AFTER_SECONDS and not self.watcher.is_on:
            self.watcher.begin()
        try:
            return await self._travel(journey)
        finally:
            del self._journeys[journey]

    async def _travel(self, journey: Journey) -> Answer:
        while True:
            endpoint = journey.target or self._home(journey)
            connection = self.pool.find(endpoint)
            was_sent = False
            try:
                if connection is None:
                    connection = await self._dial(journey, endpoint)
                    if connection is None:
                        continue
                timeout = self._left(journey)
                was_sent = True
                response = await connection.call(journey.outgoing(), timeout, Call.MOVABLE)
            except GivenUp as error:
                self._turn(journey, error)
                continue
            except asyncio.CancelledError:
                self._left_alone(journey.request, endpoint, connection)
                raise
            except OperationError as error:
                self._left_alone(journey.request, endpoint, connection)
                await self._lost(journey, endpoint, error, was_sent=was_sent)
                continue
            if response.status == Status.OK:
                self._arrived(journey, endpoint, connection)
                return Answer(response.body, endpoint, connection, response.bad_offsets)
            await self._judge(journey, endpoint, connection, response)

    def _left_alone(
        self, request: rq.Request, endpoint: Endpoint, connection: ClientConnection | None
    ) -> None:
        """Nobody waits for the answer any more. An open that is done all the same leaves a handle
        that nobody knows: the FST is rid of it with the connection, as soon as no other file
        needs that."""
        if connection is None or connection.is_closed or connection.is_manager:
            return
        if isinstance(request, rq.Open):
            self.pool.hold(endpoint, connection)
            self.pool.retire(endpoint, connection)
            self.pool.release(endpoint, connection)

    def _home(self, journey: Journey) -> Endpoint:
        """The MGM to ask. Clients that take any answer spread over all MGMs, each at its own."""
        if not journey.any_mgm:
            return self.masters.current
        mgms = self.masters.mgms
        return mgms[self._reader_shift % len(mgms)]

    # -- change of master ------------------------------------------------------------------------
    def _on_news(self, master: Endpoint | None) -> None:
        """There is a new master (None: an MGM is back): nobody waits for the old one any more.

        Also what is pending at the new master's own address was sent before it was master.
        """
        if master is not None:
            for endpoint in self.masters.mgms:
                connection = self.pool.find(endpoint)
                if connection is not None:
                    connection.give_up(f"{master} is master of epoch {self.masters.epoch}")
        self._news.tell()

    def _turn(self, journey: Journey, error: OperationError) -> None:
        """The request was taken back from a server, to be sent to the new master at once."""
        if error.retry is Retry.SAME_ID:
            journey.maybe_done = True
        journey.reason = error.text
        journey.pause = CLIENT_BACKOFF_SECONDS
        journey.paused()
        journey.go_back("")

    def _look(self) -> None:
        """Does a request wait for longer than it should? Then hear what the other MGMs know."""
        self._timer = None
        oldest = next(iter(self._journeys), None)
        if oldest is None:
            return
        now = self._loop.time()
        if now - oldest.began >= CLIENT_SLOW_SECONDS:
            self.watcher.begin()
            if now - self._checked_at >= CLIENT_PROBE_SECONDS:
                self._checked_at = now
                self.watcher.check()
        self._timer = self._loop.call_later(CLIENT_SLOW_SECONDS, self._look)

    # -- time ----------------------------------------------------------------------------------
    def _left(self, journey: Journey) -> float:
        """Seconds until the deadline. Raises OperationError ETIMEDOUT when there are none."""
        left = journey.deadline - self._loop.time()
        if left <= 0:
            retry = Retry.SAME_ID if journey.maybe_done else Retry.LATER
            text = f"{journey.what}: given up at the deadline; last: {journey.reason}"
            raise OperationError(errno.ETIMEDOUT, text, retry)
        return left

    async def _sleep(self, journey: Journey, seconds: float) -> None:
        """Wait, but not beyond news of a master."""
        if await self._news.sleep(min(seconds, self._left(journey))):
            journey.pause = CLIENT_BACKOFF_SECONDS
        journey.paused()

    async def _back_off(self, journey: Journey) -> None:
        pause, journey.pause = journey.pause, min(2 * journey.pause, CLIENT_BACKOFF_SECONDS_MAX)
        await self._sleep(journey, pause)

    # -- connections ---------------------------------------------------------------------------
    async def _dial(self, journey: Journey, endpoint: Endpoint) -> ClientConnection | None:
        """A connection to `endpoint`; None when news came first. Raises OperationError."""
        left = self._left(journey)
        is_mgm = self.masters.is_mgm(endpoint)
        dial = self.pool.dialling(endpoint, is_mgm=is_mgm)
        await self._news.until(dial, left)
        if dial.done():
            return dial.result()
        if self._loop.time() >= journey.deadline:
            text = f"{endpoint} was not reached in {left:.1f} s"
            raise OperationError(errno.ETIMEDOUT, text, Retry.LATER)
        if is_mgm:
            journey.go_back("")
        return None

    async def _lost(
        self, journey: Journey, endpoint: Endpoint, error: OperationError, *, was_sent: bool
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
        is_mgm = self.masters.is_mgm(endpoint)
        if is_mgm:
            self._mgm_failed(journey, endpoint)
        if journey.target is not None:
            journey.go_back("" if is_mgm else "srverr")
            # The chain is broken off: what follows is a new one, though not a busy one.
            journey.redirects = 0
            if journey.losses > 1:
                await self._back_off(journey)
            return
        journey.mgm_failures += 1
        if journey.mgm_failures % len(self.masters.mgms) == 0:
            await self._back_off(journey)

    def _mgm_failed(self, journey: Journey, endpoint: Endpoint) -> None:
        self.watcher.begin()
        self.masters.failed(endpoint, self.pool.live)
        self._read_elsewhere(journey, endpoint)

    def _read_elsewhere(self, journey: Journey, endpoint: Endpoint) -> None:
        """This MGM can't serve a reader that takes any answer: another one may."""
        if journey.any_mgm and endpoint == self._home(journey):
            self._reader_shift += 1

    def _arrived(self, journey: Journey, endpoint: Endpoint, connection: ClientConnection) -> None:
        """Remember who is master: the manager that did the work."""
        if journey.target == endpoint and connection.is_manager and not journey.any_mgm:
            self.masters.arrived(endpoint)

    # -- answers that are not ok -----------------------------------------------------------------
    async def _judge(
        self,
        journey: Journey,
        endpoint: Endpoint,
        connection: ClientConnection,
        response: Response,
    ) -> None:
        """Act on an answer so that the next try is right, or raise it."""
        body = bytes(response.body)
        try:
            if response.status == Status.REDIRECT:
                await self._redirected(journey, endpoint, connection, parse_redirect(body))
                return
            if response.status == Status.WAIT:
                seconds, text = parse_wait(body)
                journey.reason = f"{endpoint} says wait: {text or f'{seconds} s'}"
                seconds_bound = min(max(seconds, CLIENT_WAIT_SECONDS_MIN), CLIENT_WAIT_SECONDS_MAX)
                await self._wait(journey, endpoint, connection, seconds_bound)
                return
        except WireError as error:
            raise OperationError(errno.EPROTO, f"{endpoint}: {error.text}") from error
        await self._refused(journey, connection, error_of(response))

    async def _redirected(
        self,
        journey: Journey,
        endpoint: Endpoint,
        connection: ClientConnection,
        redirect: Redirect,
    ) -> None:
        """Go where we are sent, unless we know better."""
        target = Endpoint(redirect.host.strip("[]"), redirect.port)
        epoch = _epoch_in(redirect.cgi)
        if epoch is None:
            if not connection.is_manager and self.masters.is_mgm(target):
                journey.come_home(redirect)
                if journey.returns > 1:
                    await self._back_off(journey)
            else:
                journey.follow(redirect)
            return
        journey.reason = f"{endpoint} says that {target} is master of epoch {epoch}"
        if epoch <= journey.epoch or self.masters.is_old(epoch):
            # Nobody is master just now, or not everybody knows who: no ping-pong.
            journey.go_back("")
            self.masters.failed(endpoint, self.pool.live)
            self._read_elsewhere(journey, endpoint)
            await self._back_off(journey)
            return
        if self.masters.heard(epoch, str(target)):
            self._on_news(self.masters.master)
        if not journey.any_mgm:
            self.masters.arrived(target)
        journey.follow(redirect)
        journey.epoch = epoch

    async def _wait(
        self, journey: Journey, endpoint: Endpoint, connection: ClientConnection, seconds: float
    ) -> None:
        """Obey a kXR_wait. That of an MGM ends with news, and is not waited out at first: it is
        said while a new master gets ready, which takes a fraction of the least wait."""
        if not connection.is_manager:
            await self._sleep(journey, seconds)
            return
        self._read_elsewhere(journey, endpoint)
        journey.go_back("")
        journey.waits += 1
        if endpoint != self.masters.master or journey.waits % CLIENT_MASTER_WAITS_MAX == 0:
            self.masters.failed(endpoint, self.pool.live)
        pause, journey.pause = journey.pause, min(2 * journey.pause, CLIENT_WAIT_SECONDS_MAX)
        await self._sleep(journey, min(pause, seconds))

    async def _refused(
        self, journey: Journey, connection: ClientConnection, error: OperationError
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

    def _may_return(self, journey: Journey) -> bool:
        return (
            journey.lost_at is not None
            and self._loop.time() - journey.lost_at < FST_RETURN_SECONDS_MAX
        )


def _epoch_in(cgi: str) -> int | None:
    """The epoch that a standby's redirect names; None in any other redirect."""
    text = parse_cgi(cgi).get(EPOCH_KEY, "")
    return (
        int(text) if text.isascii() and text.isdecimal() and len(text) < _EPOCH_DIGITS_MAX else None
    )
