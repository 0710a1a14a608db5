"""Is a silent peer busy, hung or gone? Asked only while it owes an answer.

Silence alone proves nothing: a process that flushes a disk or copies a large snapshot says nothing
for seconds and is well. So a silent peer is pinged first, and if that is not answered either, its
host is asked by a second connection, which its kernel accepts however busy the process is:

    the host does not answer     it is gone, or the way to it: the connection is dropped
    it does, the process not     busy or hung: we go on waiting, up to the limit of silence
    the process answers others   this connection is broken on the way (a forgetful firewall): an
                                 MGM's is dropped; an FST may have stopped reading it for a while

Dropping costs a caller nothing but a resend, except the writer of an upload, who loses the upload:
its connection is given more time.
"""

import asyncio
from enum import Enum
from typing import Protocol, assert_never, cast

from thesan.core.model.limits import (
    CLIENT_DARK_UPLOAD_SECONDS,
    CLIENT_PROBE_SECONDS,
    CLIENT_SILENCE_SECONDS_MAX,
)
from thesan.core.wire.client import ClientSession
from thesan.io.tasks import TaskOwner


class Verdict(Enum):
    """What a second connection found."""

    DARK = "dark"
    """Nothing at that address takes a connection."""
    BUSY = "busy"
    """The kernel takes it, the process says nothing."""
    AWAKE = "awake"
    """The process answers."""


class Suspect(Protocol):
    """What a Vigil asks of its connection."""

    address: str
    port: int

    @property
    def is_manager(self) -> bool: ...

    @property
    def owes(self) -> bool:
        """The peer owes an answer."""
        ...

    @property
    def carries_upload(self) -> bool: ...

    def ping(self) -> bool:
        """Send a ping whose answer nobody waits for; False when there is no room for it."""
        ...

    def abort(self, reason: str) -> None: ...


class _Greeting(asyncio.Protocol):
    """Says hello and notes whether anything comes back."""

    def __init__(self, answered: "asyncio.Future[None]") -> None:
        self._answered = answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(ClientSession().hello())

    def data_received(self, data: bytes) -> None:
        if not self._answered.done():
            self._answered.set_result(None)


async def examine(address: str, port: int, seconds_max: float) -> Verdict:
    """Connect and greet, without a login."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()
    try:
        async with asyncio.timeout(seconds_max):
            transport, _ = await loop.create_connection(lambda: _Greeting(answered), address, port)
    except OSError:  # TimeoutError is one
        return Verdict.DARK
    try:
        async with asyncio.timeout(seconds_max):
            await answered
    except TimeoutError:
        return Verdict.BUSY
    finally:
        transport.abort()
    return Verdict.AWAKE


class Vigil:
    """Watches one connection."""

    def __init__(self, suspect: Suspect, silence_seconds_max: float) -> None:
        self._suspect = suspect
        self._silence_seconds_max = silence_seconds_max
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskOwner("vigil")
        self._timer: asyncio.TimerHandle | None = None
        self._alive_at = 0.0
        self._pinged_at: float | None = None
        self._examined_at = 0.0
        self._gap = CLIENT_PROBE_SECONDS
        self._examination: asyncio.Task[None] | None = None

    @property
    def is_suspicious(self) -> bool:
        """A ping was not answered in time."""
        return self._pinged_at is not None and (
            self._loop.time() - self._pinged_at >= CLIENT_PROBE_SECONDS
        )

    def heard(self) -> None:
        """The peer gave a sign of life."""
        self._alive_at = self._loop.time()
        self._pinged_at = None

    def begin(self) -> None:
        """The peer owes something from now on."""
        if self._timer is None:
            self._alive_at = max(self._alive_at, self._loop.time())
            self._again(CLIENT_PROBE_SECONDS)

    def check(self) -> None:
        """Find out now whether it is there, though it owes nothing."""
        if self._pinged_at is None:
            self.begin()
            self._ping()

    def end(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._examination is not None:
            self._examination.cancel()

    def _again(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._look)

    def _ping(self) -> None:
        if self._suspect.ping():
            self._pinged_at = self._examined_at = self._loop.time()
            self._gap = CLIENT_PROBE_SECONDS

    def _look(self) -> None:
        self._timer = None
        if self._pinged_at is None and not self._suspect.owes:
            return
        now = self._loop.time()
        silence = now - self._alive_at
        if silence >= self._silence_seconds_max:
            self._suspect.abort(f"silent for {silence:.1f} s")
            return
        if self._pinged_at is None:
            due = self._alive_at + CLIENT_PROBE_SECONDS
            if now >= due:
                self._ping()
                due = now + CLIENT_PROBE_SECONDS
        else:
            due = self._examined_at + self._gap
            if now >= due:
                self._examine_soon()
                due = now + self._gap
        limit = self._alive_at + self._silence_seconds_max
        self._again(max(0.0, min(due, limit) - now))

    # -- a second connection -------------------------------------------------------------------
    def _examine_soon(self) -> None:
        if self._examination is None or self._examination.done():
            work = self._examine()
            self._examination = self._tasks.start(f"examine {self._suspect.address}", work)

    async def _examine(self) -> None:
        suspect = self._suspect
        began = self._pinged_at
        verdict = await examine(suspect.address, suspect.port, CLIENT_PROBE_SECONDS)
        if self._pinged_at is None or self._pinged_at != began:
            return  # it was heard meanwhile
        now = self._loop.time()
        self._examined_at = now
        # A hung server must not be asked by all its clients each second.
        self._gap = min(2 * self._gap, CLIENT_SILENCE_SECONDS_MAX)
        silence = now - self._alive_at
        match verdict:
            case Verdict.DARK:
                if not suspect.carries_upload or silence >= CLIENT_DARK_UPLOAD_SECONDS:
                    suspect.abort(f"silent for {silence:.1f} s, and so is its host")
                self._gap = CLIENT_PROBE_SECONDS
            case Verdict.AWAKE:
                if suspect.is_manager:
                    suspect.abort(f"silent for {silence:.1f} s, though it answers others")
            case Verdict.BUSY:
                pass
            case _:
                assert_never(verdict)
