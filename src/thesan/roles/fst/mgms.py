"""Kept connections to every MGM, and questions to whichever of them is master.

Each MGM has one link: it dials, proves the keytab, and calls its `visit` (the beats) until the
connection dies, for ever. Questions that only the master can answer go to the link that is thought
to be master and are sent again until somebody gives a final answer: an outcome that is not known is
never taken for a failure.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from thesan.core.control.messages import (
    Message,
    Reply,
    Request,
    decode_reply,
    encode_request,
)
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import ControlError, OperationError, WireError
from thesan.core.model.limits import (
    CLIENT_DIAL_SECONDS_MAX,
    COMMIT_RETRY_SECONDS,
    COMMIT_RETRY_SECONDS_MAX,
    CONTROL_CALL_SECONDS_MAX,
    MGM_COUNT_MAX,
    MGM_REDIAL_SECONDS,
    MGM_REDIAL_SECONDS_MAX,
)
from thesan.core.wire.bodies import parse_redirect, parse_wait
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import NO_SID, QueryCode, Status
from thesan.core.wire.requests import Query
from thesan.core.wire.requests import Request as WireRequest
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import error_of
from thesan.ports.log import Log

_R = TypeVar("_R", bound=Message)

FINAL_ERRORS: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.EEXIST,
        errno.ENOTEMPTY,
        errno.EISDIR,
        errno.ENOTDIR,
        errno.ENOTBLK,
        errno.ENODEV,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EDOM,
        errno.EIDRM,
        errno.ESTALE,
        errno.ECANCELED,
        errno.ENOTSUP,
    }
)
"""A master has decided. After any other error (no answer, overloaded, no master, an internal one)
the same question is asked again. ENODEV is what kXR_FSError reads as, among others ESTALE."""


class Connection(Protocol):
    """What is used of io.transport.client.ClientConnection."""

    @property
    def is_closed(self) -> bool: ...

    async def call(self, request: WireRequest, timeout: float) -> Response: ...

    async def close(self) -> None: ...

    def abort(self, reason: str) -> None: ...


Dial = Callable[[str, int], Awaitable[Connection]]
"""(host, port) to a connection that has proved the keytab both ways."""
Visit = Callable[["MgmLink"], Awaitable[None]]
"""What to do on a fresh link until it dies: the beats."""


class MgmLink:
    """The way to one MGM."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.connection: Connection | None = None

    @property
    def is_up(self) -> bool:
        """Connected now."""
        return self.connection is not None and not self.connection.is_closed

    async def ask(self, request: Request, kind: type[_R], timeout: float) -> _R:
        """One question on this link. Raises OperationError; EAGAIN when the MGM says wait.

        A redirect is raised as `NotMaster`.
        """
        if self.connection is None:
            raise OperationError(errno.ECONNRESET, f"{self.address} is not connected")
        query = Query(NO_SID, QueryCode.OPAQUE, args=encode_request(request))
        response = await self.connection.call(query, timeout)
        match response.status:
            case Status.OK:
                return _expect(decode_reply(bytes(response.body)), kind)
            case Status.WAIT:
                seconds, text = parse_wait(bytes(response.body))
                raise OperationError(errno.EAGAIN, text or f"wait {seconds} s")
            case Status.REDIRECT:
                target = parse_redirect(bytes(response.body))
                raise NotMaster(f"{target.host}:{target.port}")
            case _:
                raise error_of(response)


class NotMaster(OperationError):
    """The MGM knows a master that it is not."""

    def __init__(self, address: str) -> None:
        super().__init__(errno.EAGAIN, f"the master is {address}")
        self.address = address


def _expect(reply: Reply, kind: type[_R]) -> _R:
    if not isinstance(reply, kind):
        raise ControlError(f"answer is {type(reply).__name__}, not {kind.__name__}")
    return reply


class Mgms:
    """All MGMs that this FST knows."""

    def __init__(self, addresses: tuple[str, ...], dial: Dial, tasks: TaskOwner, log: Log) -> None:
        self.master = ""
        """`host:port` of the master as last heard; empty when nobody said."""
        self.links: dict[str, MgmLink] = {}
        self._dial = dial
        self._tasks = tasks
        self._log = log
        self._visit: Visit | None = None
        self._changed = asyncio.Event()
        self._first = addresses
        self._turn = 0

    def start(self, visit: Visit) -> None:
        """Begin to connect."""
        self._visit = visit
        for address in self._first:
            self.add(address)

    def add(self, address: str) -> None:
        """Keep a link to one more MGM; bounded by MGM_COUNT_MAX."""
        if address not in self.links and len(self.links) < MGM_COUNT_MAX:
            link = self.links[address] = MgmLink(address)
            self._tasks.start(f"mgm {address}", self._keep(link))

    def heard_master(self, address: str) -> None:
        """An MGM said who is master."""
        if address and address != self.master:
            self._log.info("master", address=address, before=self.master)
            self.master = address
            self.add(address)
            self._wake()

    async def ask_master(self, make: Callable[[], Request], kind: type[_R], what: str) -> _R:
        """Ask until there is a final answer, however long it takes; `what` is for the log.

        The question is made anew for each sending. Raises OperationError of FINAL_ERRORS, and what
        `make` raises.
        """
        pause = COMMIT_RETRY_SECONDS
        failures = 0
        while True:
            link = self._best_link()
            request = make() if link is not None else None
            try:
                if link is None or request is None:
                    raise OperationError(errno.EAGAIN, "no MGM is connected")
                return await link.ask(request, kind, CONTROL_CALL_SECONDS_MAX)
            except NotMaster as error:
                self.heard_master(error.address)
                reason: Exception = error
            except (ControlError, WireError) as error:
                reason = error
            except OperationError as error:
                if error.errno in FINAL_ERRORS:
                    raise
                reason = error
            failures += 1
            if failures % 10 == 1:
                self._log.warning("no answer yet", what=what, tries=failures, reason=str(reason))
            await self._pause(pause)
            pause = min(2 * pause, COMMIT_RETRY_SECONDS_MAX)

    def _best_link(self) -> MgmLink | None:
        """The master's link if it is up, else each of the others in turn."""
        master = self.links.get(self.master)
        if master is not None and master.is_up:
            return master
        up = [link for link in self.links.values() if link.is_up]
        if not up:
            return None
        self._turn += 1
        return up[self._turn % len(up)]

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the moment when a master is heard of or a link comes up."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _wake(self) -> None:
        self._changed.set()

    async def _keep(self, link: MgmLink) -> None:
        """Connect, visit, and again when the connection is gone."""
        host, port = split_address(link.address)
        pause = MGM_REDIAL_SECONDS
        reported = False
        while True:
            try:
                async with asyncio.timeout(2 * CLIENT_DIAL_SECONDS_MAX):
                    link.connection = await self._dial(host, port)
            except (OperationError, TimeoutError) as error:
                if not reported:
                    self._log.warning("MGM not reached", mgm=link.address, reason=str(error))
                    reported = True
                await asyncio.sleep(pause)
                pause = min(2 * pause, MGM_REDIAL_SECONDS_MAX)
                continue
            self._log.info("MGM connected", mgm=link.address)
            pause, reported = MGM_REDIAL_SECONDS, False
            self._wake()
            try:
                assert self._visit is not None
                await self._visit(link)
            except (OperationError, ControlError, WireError) as error:
                self._log.warning("MGM lost", mgm=link.address, reason=str(error))
            except Exception as error:
                # A fault of ours; without beats this node would be dead to everybody.
                self._log.error("beat failed", mgm=link.address, error=repr(error))
            finally:
                link.connection.abort("the visit is over")
                link.connection = None
            # Not at once: an MGM that answers every beat with an error must not be flooded.
            await asyncio.sleep(MGM_REDIAL_SECONDS)
