"""Kept connections to every MGM, and questions to whichever of them is master.

Each MGM has one link: it dials, proves the keytab, and calls its `visit` (the beats) until the
connection dies, for ever; beside the beats a long poll waits for news of a master. Questions that
only the master can answer go to the link that is thought to be master and are sent again until
somebody gives a final answer: an outcome that is not known is never taken for a failure. At a
change of master they are taken back and sent to the new one at once.

An MGM has one link, not one for each of its names: it takes the later of two for the FST's only one
and drops the other. The settings may know the MGMs by other names than they call themselves (an IP
address, a short name, one name for all of them), so what is in them and not among the members that
the master named is only the way in: closed while a member is connected, dialled while none is.

Epochs only rise: what an MGM says for an epoch below the highest one heard is not obeyed.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

from thesan.core.control.messages import (
    EPOCH_KEY,
    Leader,
    Message,
    Reply,
    Request,
    Watch,
    decode_reply,
    encode_request,
)
from thesan.core.model.addresses import is_address, join_address, split_address
from thesan.core.model.errors import ControlError, OperationError, WireError
from thesan.core.model.limits import (
    BEAT_SECONDS,
    CLIENT_DIAL_SECONDS_MAX,
    CLIENT_MGM_DIAL_SECONDS,
    CLIENT_WATCH_GRACE_SECONDS,
    CLIENT_WATCH_PAUSE_SECONDS,
    CLIENT_WATCH_SECONDS,
    COMMIT_RETRY_SECONDS,
    COMMIT_RETRY_SECONDS_MAX,
    CONTROL_CALL_SECONDS_MAX,
    MGM_COUNT_MAX,
    MGM_REDIAL_SECONDS,
    MGM_REDIAL_SECONDS_MAX,
)
from thesan.core.model.paths import parse_cgi
from thesan.core.wire.bodies import parse_redirect, parse_wait
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import NO_SID, QueryCode, Status
from thesan.core.wire.requests import Query
from thesan.core.wire.requests import Request as WireRequest
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import Call, GivenUp, error_of
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

    async def call(
        self, request: WireRequest, timeout: float, call: Call = Call.FIRM
    ) -> Response: ...

    def give_up(self, reason: str) -> None: ...

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
        self.keeper: asyncio.Task[None] | None = None
        self.connection: Connection | None = None

    @property
    def is_up(self) -> bool:
        """Connected now."""
        return self.connection is not None and not self.connection.is_closed

    async def ask(
        self, request: Request, kind: type[_R], timeout: float, call: Call = Call.FIRM
    ) -> _R:
        """One question on this link. Raises OperationError; EAGAIN when the MGM says wait.

        A redirect is raised as `NotMaster`.
        """
        if self.connection is None:
            raise OperationError(errno.ECONNRESET, f"{self.address} is not connected")
        query = Query(NO_SID, QueryCode.OPAQUE, args=encode_request(request))
        response = await self.connection.call(query, timeout, call)
        match response.status:
            case Status.OK:
                return _expect(decode_reply(bytes(response.body)), kind)
            case Status.WAIT:
                seconds, text = parse_wait(bytes(response.body))
                raise OperationError(errno.EAGAIN, text or f"wait {seconds} s")
            case Status.REDIRECT:
                target = parse_redirect(bytes(response.body))
                raise NotMaster(join_address(target.host.strip("[]"), target.port), target.cgi)
            case _:
                raise error_of(response)


class NotMaster(OperationError):
    """The MGM knows a master that it is not."""

    def __init__(self, address: str, cgi: str = "") -> None:
        super().__init__(errno.EAGAIN, f"the master is {address}")
        self.address = address
        epoch = parse_cgi(cgi).get(EPOCH_KEY, "")
        self.epoch = int(epoch) if epoch.isascii() and epoch.isdecimal() else 0
        """Epoch of that master, 0 when it was not named."""


def _expect(reply: Reply, kind: type[_R]) -> _R:
    if not isinstance(reply, kind):
        raise ControlError(f"answer is {type(reply).__name__}, not {kind.__name__}")
    return reply


class Mgms:
    """All MGMs that this FST knows."""

    def __init__(self, addresses: tuple[str, ...], dial: Dial, tasks: TaskOwner, log: Log) -> None:
        self.epoch = 0
        """Highest epoch that an MGM has shown; what comes from older ones is refused."""
        self.master = ""
        """`host:port` of the master of that epoch; empty when nobody said."""
        self._master_before = ""
        """The last one that was named, of whatever epoch."""
        self.links: dict[str, MgmLink] = {}
        self._dial = dial
        self._tasks = tasks
        self._log = log
        self._visit: Visit | None = None
        self._changed = asyncio.Event()
        self._news_count = 0
        self._first = tuple(dict.fromkeys(addresses))
        self._members: frozenset[str] = frozenset()
        """As a master named them; empty until then."""
        self._turn = 0

    def start(self, visit: Visit) -> None:
        """Begin to connect."""
        self._visit = visit
        for address in self._first:
            self.add(address)

    def add(self, address: str) -> None:
        """Keep a link to one more MGM; bounded by MGM_COUNT_MAX, beside the ways in."""
        if address in self.links or not is_address(address):
            return
        if not self._is_way_in(address):
            count = sum(not self._is_way_in(one) for one in self.links)
            if count >= MGM_COUNT_MAX:
                return
        link = self.links[address] = MgmLink(address)
        link.keeper = self._tasks.start(f"mgm {address}", self._keep(link))

    def heard_members(self, addresses: Sequence[str]) -> None:
        """The master said which MGMs there are: follow."""
        if not addresses:
            return
        self._members = frozenset(addresses)
        kept = frozenset((*self._first, *addresses, self.master))
        for address in [address for address in self.links if address not in kept]:
            self._drop(address, "MGM left")
        for address in addresses:
            self.add(address)
        self._match_ways_in()

    def heard_of(self, addresses: Sequence[str]) -> None:
        """Another MGM names them: places to look for a master, as long as none was found. It may
        know only those of its settings, whose names may be others, too."""
        if not self._members:
            for address in addresses:
                self.add(address)

    def _is_way_in(self, address: str) -> bool:
        """Of the settings, and no member: perhaps another name of one."""
        is_other = address not in self._members and address != self.master
        return bool(self._members) and is_other and address in self._first

    def _match_ways_in(self) -> None:
        """Called whenever a link came up or was lost, or the members are others."""
        if any(link.is_up for link in self.links.values() if not self._is_way_in(link.address)):
            for address in [address for address in self.links if self._is_way_in(address)]:
                self._drop(address, "MGM is connected by its own name")
        else:
            for address in self._first:
                self.add(address)

    def _drop(self, address: str, event: str) -> None:
        link = self.links.pop(address)
        if link.keeper is not None:
            link.keeper.cancel()
        if link.connection is not None:
            # Now, and not when the keeper runs: nothing may be said on it after what comes next.
            link.connection.abort(event)
        self._log.info(event, mgm=address)

    def heard(self, epoch: int, address: str) -> None:
        """Somebody said who is master of an epoch, empty for nobody."""
        if epoch < self.epoch:
            return
        if epoch > self.epoch:
            self._log.info("epoch", epoch=epoch, before=self.epoch)
            self.epoch, self.master = epoch, ""
        if not address or address == self.master:
            return
        before = self._master_before
        self._log.info("master", address=address, before=before, epoch=epoch)
        self.master = self._master_before = address
        self.add(address)
        if before:
            # At its own address too: what is pending there was asked before it was master.
            for link in self.links.values():
                if link.connection is not None:
                    link.connection.give_up(f"{address} is master of epoch {epoch}")
        self._wake()

    async def ask_master(self, make: Callable[[], Request], kind: type[_R], what: str) -> _R:
        """Ask until there is a final answer, however long it takes; `what` is for the log.

        The question is made anew for each sending. Raises OperationError of FINAL_ERRORS, and what
        `make` raises.
        """
        pause = COMMIT_RETRY_SECONDS
        failures = 0
        while True:
            seen, epoch = self._news_count, self.epoch
            link = self._best_link()
            request = make() if link is not None else None
            try:
                if link is None or request is None:
                    raise OperationError(errno.EAGAIN, "no MGM is connected")
                reply = await link.ask(request, kind, CONTROL_CALL_SECONDS_MAX, Call.MOVABLE)
                said = getattr(reply, "epoch", self.epoch)
                if said >= self.epoch:
                    return reply
                reason: object = f"{link.address} answered for epoch {said}, now is {self.epoch}"
            except GivenUp:
                continue
            except NotMaster as error:
                self.heard(error.epoch or self.epoch, error.address)
                reason = error
            except (ControlError, WireError) as error:
                reason = error
            except OperationError as error:
                # What was decided while the master changed may be the old one's mistake.
                if error.errno in FINAL_ERRORS and epoch == self.epoch:
                    raise
                reason = error
            failures += 1
            if failures % 10 == 1:
                self._log.warning("no answer yet", what=what, tries=failures, reason=str(reason))
            if await self._pause(pause, seen):
                pause = COMMIT_RETRY_SECONDS
            else:
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

    async def _pause(self, seconds: float, seen: int) -> bool:
        """Wait, but not beyond the moment when a master is heard of or a link comes up: True then.

        `seen` is `_news_count` of before the question: what came meanwhile counts too.
        """
        if self._news_count == seen:
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                pass
        return self._news_count != seen

    def _wake(self) -> None:
        self._news_count += 1
        self._changed.set()

    # -- links ---------------------------------------------------------------------------------
    async def _keep(self, link: MgmLink) -> None:
        """Connect, visit, and again when the connection is gone."""
        pause = MGM_REDIAL_SECONDS
        bound = CLIENT_MGM_DIAL_SECONDS
        reported = False
        while True:
            try:
                async with asyncio.timeout(bound):
                    link.connection = await self._dial(*split_address(link.address))
            except (OperationError, TimeoutError) as error:
                if isinstance(error, TimeoutError):
                    # Short at first: a host that returns is not found by a dial of before.
                    bound = min(2 * bound, CLIENT_DIAL_SECONDS_MAX)
                if not reported:
                    self._log.warning("MGM not reached", mgm=link.address, reason=str(error))
                    reported = True
                await asyncio.sleep(pause)
                pause = min(2 * pause, MGM_REDIAL_SECONDS_MAX)
                continue
            self._log.info("MGM connected", mgm=link.address)
            self._match_ways_in()
            pause, bound, reported = MGM_REDIAL_SECONDS, CLIENT_MGM_DIAL_SECONDS, False
            try:
                await self._until_lost(link)
            finally:
                link.connection.abort("the visit is over")
                link.connection = None
            self._match_ways_in()
            # Not at once: an MGM that answers every beat with an error must not be flooded.
            await asyncio.sleep(MGM_REDIAL_SECONDS)

    async def _until_lost(self, link: MgmLink) -> None:
        """Beat, and listen for news, until the connection breaks."""
        visit = self._tasks.start(f"visit {link.address}", self._visited(link))
        watch = self._tasks.start(f"watch {link.address}", self._watch(link, visit))
        self._wake()  # after the first beat: the MGM should know who asks
        try:
            await asyncio.gather(visit, return_exceptions=True)
        finally:
            visit.cancel()
            watch.cancel()
        self._log.warning("MGM lost", mgm=link.address)

    async def _visited(self, link: MgmLink) -> None:
        assert self._visit is not None
        try:
            await self._visit(link)
        except (OperationError, ControlError, WireError) as error:
            self._log.info("no more beats", mgm=link.address, reason=str(error))
        except Exception as error:
            # A fault of ours; without beats this node would be dead to everybody.
            self._log.error("beat failed", mgm=link.address, error=repr(error))

    async def _watch(self, link: MgmLink, visit: "asyncio.Task[None]") -> None:
        """Hear of a new master in the moment when there is one; a lost connection ends `visit`."""
        loop = asyncio.get_running_loop()
        timeout = CLIENT_WATCH_SECONDS + CLIENT_WATCH_GRACE_SECONDS
        while True:
            began, known = loop.time(), (self.epoch, self.master)
            # An epoch may be heard of before its master: who that is, is news still.
            epoch = self.epoch if self.master else max(0, self.epoch - 1)
            question = Watch(epoch, int(CLIENT_WATCH_SECONDS * 1000))
            try:
                leader = await link.ask(question, Leader, timeout, Call.POLL)
                self.heard(leader.epoch, leader.master_address)
            except (OperationError, ControlError, WireError) as error:
                if not link.is_up:
                    visit.cancel()
                    return
                if isinstance(error, OperationError) and error.errno == errno.ENOTSUP:
                    return
            is_news = known != (self.epoch, self.master)
            if not is_news and loop.time() - began < CLIENT_WATCH_PAUSE_SECONDS:
                # It does not let us wait: not to be asked all the time.
                await asyncio.sleep(BEAT_SECONDS)
