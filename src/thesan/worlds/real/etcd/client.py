"""Calls to an etcd of several members: each tried at the best member first, then at the next ones.

    call ─► verified member, leader first ─► answer
              │ 0.5 s without one, no leader, no connection
              ▼
            the next member ... the pause of an election ... until the call's deadline

A member's version and cluster are looked at before it is used. The leader is asked first, since
every other member only passes writes on to it; who it is, is learned when the raft term changes.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from thesan.core.model.errors import ConfigError, JournalError, Unavailable
from thesan.core.model.etcd_limits import (
    ETCD_CALL_SECONDS_MAX,
    ETCD_CALLS_SECONDS_MAX,
    ETCD_FILES_SECONDS,
    ETCD_LEARN_SECONDS,
    ETCD_PAUSE_SECONDS,
)
from thesan.io.tasks import TaskOwner
from thesan.worlds.real.etcd import messages
from thesan.worlds.real.etcd.credentials import Credentials
from thesan.worlds.real.etcd.endpoint import (
    AUTHENTICATE,
    STATUS,
    TXN,
    WATCH,
    Endpoint,
    EtcdError,
    Failure,
    Metadata,
    Method,
    Stream,
)
from thesan.worlds.real.etcd.spec import EtcdSpec
from thesan.worlds.real.etcd.versions import Verdict, judge

_HAS_LEADER: Final = ("hasleader", "true")
"""A member without a leader then refuses at once, and ends its watches, instead of waiting."""


class Answer(NamedTuple):
    """What a call brought."""

    response: Any
    is_resend: bool
    """An earlier try of this call got no answer: what it did or will do is unknown."""


class Client:
    """All members of one etcd. Used by one event loop. Call `start` first."""

    def __init__(
        self,
        spec: EtcdSpec,
        warn: Callable[[str], None] | None = None,
        *,
        is_alone: bool = False,
    ) -> None:
        """`is_alone`: nothing else runs in this loop, so a transaction may block its thread.

        Raises ConfigError when a certificate file can't be used.
        """
        self.spec = spec
        self._is_alone = is_alone
        self.endpoints = [Endpoint(address) for address in spec.endpoints]
        """As in the spec, whatever their state."""
        self.cluster_id = 0
        """0 until the first answer."""
        self._credentials = Credentials(spec)
        if spec.is_secure:
            for endpoint in self.endpoints:
                endpoint.replace_channel(self._credentials.channel)()
        self._order = list(self.endpoints)
        self._warn = warn or (lambda _: None)
        self._tasks = TaskOwner("etcd")
        self._learning: asyncio.Task[None] | None = None
        self._learn_timer: asyncio.TimerHandle | None = None
        self._files_timer: asyncio.TimerHandle | None = None
        self._term = 0
        self._token: Metadata = ()
        self._closed = False
        self._calls_seconds_max = max(
            ETCD_CALLS_SECONDS_MAX, ETCD_CALL_SECONDS_MAX * (len(self.endpoints) + 1)
        )

    async def start(self) -> None:
        """Look for the members. None of them has to be there yet.

        Raises JournalError when one that is there must not be used.
        """
        if self.spec.is_secure:
            self._files_timer = asyncio.get_running_loop().call_later(
                ETCD_FILES_SECONDS, self._look_at_files
            )
        await self._learn()
        refusals = [endpoint.refusal for endpoint in self.endpoints if endpoint.refusal]
        if refusals:
            raise JournalError("; ".join(refusals))

    async def close(self) -> None:
        """Calls under way fail; safe to call twice."""
        self._closed = True
        for timer in (self._learn_timer, self._files_timer):
            if timer is not None:
                timer.cancel()
        await self._tasks.close()
        for endpoint in self.endpoints:
            endpoint.close()

    def check_open(self) -> None:
        """Raises Unavailable after `close`."""
        if self._closed:
            raise Unavailable("the journal engine is closed")

    # -- calls -----------------------------------------------------------------------------------
    async def call(self, method: Method, request: Any) -> Answer:
        """One call, at whichever member serves it. Raises EtcdError, Unavailable."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._calls_seconds_max
        is_resend = False
        last_error = EtcdError(Failure.SILENT, f"{self.spec}: no member may be used")
        while True:
            for endpoint in self.usable():
                self.check_open()
                left = give_up_at - loop.time()
                if left <= 0:
                    raise last_error
                try:
                    response = await self.call_at(
                        endpoint, method, request, min(left, ETCD_CALL_SECONDS_MAX)
                    )
                except EtcdError as error:
                    if error.kind is not Failure.SILENT:
                        raise
                    is_resend = True
                    last_error = error
                else:
                    return Answer(response, is_resend)
            self.check_open()
            if loop.time() + ETCD_PAUSE_SECONDS > give_up_at:
                raise last_error
            await asyncio.sleep(ETCD_PAUSE_SECONDS)

    async def call_at(
        self, endpoint: Endpoint, method: Method, request: Any, seconds: float
    ) -> Any:
        """One call at one member, which is verified first. Raises EtcdError."""
        if not endpoint.is_known:
            await self._verify(endpoint, seconds)
        response = await self._ask(endpoint, method, request, seconds)
        self._saw(endpoint, response.header)
        return response

    async def open_watch(self, endpoint: Endpoint, request: Any) -> Stream:
        """A watch at one member. Raises EtcdError."""
        self.check_open()
        if not endpoint.is_known:
            await self._verify(endpoint, ETCD_CALL_SECONDS_MAX)
        return endpoint.stream(WATCH, request, (_HAS_LEADER, *self._token))

    def usable(self) -> list[Endpoint]:
        """Members to try, best first."""
        return [endpoint for endpoint in self._order if not endpoint.refusal]

    def demote(self, endpoint: Endpoint) -> None:
        """This one did not answer: ask it last until it is known to be back."""
        endpoint.failed = True
        endpoint.is_known = False  # It may come back as another version.
        self._order.remove(endpoint)
        self._order.append(endpoint)
        if self._learn_timer is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._learn_timer = loop.call_later(ETCD_LEARN_SECONDS, self._learn_soon)

    async def log_in(self, endpoint: Endpoint) -> None:
        """Get a new token. Raises EtcdError, also when the password file can't be read: somebody
        may be writing it just now."""
        if not self.spec.user:
            raise EtcdError(Failure.REFUSED, f"{self.spec} wants a user: add user=")
        try:
            password = self._credentials.password()
        except ConfigError as error:
            raise EtcdError(Failure.SILENT, str(error)) from error
        request = messages.AuthenticateRequest(name=self.spec.user, password=password)
        answer = await endpoint.call(AUTHENTICATE, request, ETCD_CALL_SECONDS_MAX)
        self._token = (("token", answer.token),)

    # -- what is known of the members ------------------------------------------------------------
    async def _ask(self, endpoint: Endpoint, method: Method, request: Any, seconds: float) -> Any:
        """One call with the token that we have, or else a new one. Raises EtcdError."""
        token = self._token
        try:
            if self._is_alone and method is TXN:
                return endpoint.call_here(method, request, seconds, (_HAS_LEADER, *token))
            return await endpoint.call(method, request, seconds, (_HAS_LEADER, *token))
        except EtcdError as error:
            if error.kind is Failure.SILENT:
                self.demote(endpoint)
            if error.kind is not Failure.TOKEN:
                raise
        if token == self._token:  # Another call may have fetched a new one meanwhile.
            await self.log_in(endpoint)
        return await endpoint.call(method, request, seconds, (_HAS_LEADER, *self._token))

    async def _verify(self, endpoint: Endpoint, seconds: float) -> None:
        """Look at a member's version and cluster. Raises EtcdError when it must not be used."""
        status = await self._ask(endpoint, STATUS, messages.StatusRequest(), seconds)
        judgement = judge(status.version)
        match judgement.verdict:
            case Verdict.REFUSE:
                self._refuse(endpoint, judgement.text)
            case Verdict.WARN:
                self._warn(f"{endpoint.address}: {judgement.text}")
            case Verdict.GOOD:
                pass
        self._saw(endpoint, status.header, status.leader)
        endpoint.is_known = True

    def _saw(self, endpoint: Endpoint, header: Any, leader: int = 0) -> None:
        """Note what an answer tells of the cluster. Raises EtcdError for one of another cluster."""
        if not header.cluster_id:
            return  # etcd leaves the header of some answers empty (Alarm).
        if header.cluster_id != self.cluster_id:
            if self.cluster_id:
                self._refuse(endpoint, f"{endpoint.address} belongs to another etcd cluster")
            self.cluster_id = header.cluster_id
        endpoint.member_id = header.member_id
        endpoint.failed = False
        if header.raft_term > self._term:
            if self._term and not leader:
                self._learn_soon()
            self._term = header.raft_term
        if leader:
            self._order.sort(key=lambda one: (one.failed, one.member_id != leader))

    def _refuse(self, endpoint: Endpoint, text: str) -> None:
        endpoint.refusal = text
        self._warn(f"{text}: not used")
        raise EtcdError(Failure.REFUSED, text)

    def _learn_soon(self) -> None:
        self._learn_timer = None
        if not self._closed and (self._learning is None or self._learning.done()):
            self._learning = self._start("learn", self._learn())

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return self._tasks.start(name, work)

    async def _learn(self) -> None:
        """Ask every member who leads, so that the leader is asked first from now on."""
        await asyncio.gather(*map(self._ask_who_leads, self.endpoints))

    async def _ask_who_leads(self, endpoint: Endpoint) -> None:
        if endpoint.refusal:
            return
        try:
            await self._verify(endpoint, ETCD_CALL_SECONDS_MAX)
        except EtcdError:
            pass  # It is last in the order now, and asked again later.

    def _look_at_files(self) -> None:
        """New certificates: new channels; the old ones stay for the calls that are under way."""
        loop = asyncio.get_running_loop()
        if self._credentials.has_changed():
            for endpoint in self.endpoints:
                close = endpoint.replace_channel(self._credentials.channel)
                loop.call_later(2 * ETCD_CALL_SECONDS_MAX, close)
        self._files_timer = loop.call_later(ETCD_FILES_SECONDS, self._look_at_files)
