"""The journal engine without a disk: for unit tests and for the simulated world.

MemoryJournal is the service, shared by all nodes and durable by nature: it lives outside of them,
so a crash of a node takes nothing from it. MemoryEngine is one line to it: seeded latency on the
way there and back, and every fault that the port allows. What a fault may do is what a network
may do: lose the request, lose the answer, deliver it twice, or long after the caller gave up.

In the simulated world it stands for an etcd of three members as its users see it: while the members
elect a leader, or have lost their majority, calls hang until their deadline, and a request that was
given up may be carried out when there is a leader again.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncGenerator, Callable
from enum import Enum
from functools import partial
from random import Random
from typing import Final, Generic, TypeVar, assert_never, cast

import msgspec

from thesan.core.model.errors import Corrupt, Fenced, JournalError, Trimmed, Unavailable
from thesan.core.model.ids import Seq
from thesan.core.model.limits import JOURNAL_PAGE_BYTES
from thesan.ports.engine import EngineStatus, Observation, Owner

_T = TypeVar("_T")


class MemoryJournal:
    """Entries and owner. Each transaction awaits nothing."""

    def __init__(self) -> None:
        self.owner: Owner | None = None
        self.owners: list[Owner] = []
        """Everybody who ever was, in order. For checkers."""
        self.archive: list[tuple[Owner | None, bytes]] = []
        """Every entry ever appended, trimmed ones too, with the owner at that moment. For
        checkers."""
        self.strays: list[str] = []
        """What somebody did who was not the owner: nothing, ever. For checkers."""
        self.beats = 0
        self.first = Seq(1)
        self._away = 0
        self._elections: list[asyncio.Future[None]] = []
        self._entries: deque[bytes] = deque()
        self._used_bytes = 0
        self._waiters: list[asyncio.Future[None]] = []

    # -- the members behind it: the simulation's ---------------------------------------------------
    @property
    def has_leader(self) -> bool:
        """False: nobody is answered."""
        return not self._away

    @has_leader.setter
    def has_leader(self, wanted: bool) -> None:
        if wanted and self._away:
            self._away = 1
            self.elect()
        elif not wanted:
            self.lose_leader()

    def lose_leader(self) -> None:
        """No majority, or no leader yet. Losses count: each needs its own `elect`."""
        self._away += 1

    def elect(self) -> None:
        """Undo one `lose_leader`; calls that still wait are carried out."""
        self._away -= 1
        assert self._away >= 0, "elected more often than lost"
        if self.has_leader:
            waiting, self._elections = self._elections, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def election(self) -> "asyncio.Future[None]":
        """A future that is done when there is a leader."""
        assert not self.has_leader
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._elections = [other for other in self._elections if not other.done()]
        self._elections.append(future)
        return future

    # -- transactions ------------------------------------------------------------------------------
    @property
    def last(self) -> Seq:
        """Newest entry, 0 when there is none."""
        return Seq(self.first + len(self._entries) - 1)

    def take_over(self, seen: Owner | None, new: Owner, still: Observation | None = None) -> bool:
        """As the port says."""
        if self.owner != seen or (still is not None and self.observe() != still):
            return False
        self.owner = new
        self.owners.append(new)
        return True

    def append(self, owner: Owner, seq: Seq, data: bytes) -> None:
        """As the port says."""
        self._enter(owner, f"entry {seq}")
        if seq > self.last + 1:
            raise Corrupt(f"entry {seq} would leave a hole after entry {self.last}")
        if seq < self.first:
            raise Corrupt(f"entry {seq} was sent again after it was trimmed")
        if seq <= self.last:
            if self._entries[seq - self.first] != data:
                raise Corrupt(f"entry {seq} exists with other bytes")
            return
        self._entries.append(data)
        self.archive.append((self.owner, data))
        self._used_bytes += len(data)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def beat(self, owner: Owner) -> None:
        """As the port says."""
        self._enter(owner, "a beat")
        self.beats += 1

    def read(self, start: Seq, bytes_max: int) -> list[tuple[Seq, bytes]]:
        """As the port says."""
        if start < self.first:
            raise Trimmed(self.first)
        if start > self.last + 1:
            raise Corrupt(f"the journal ends at entry {self.last}, entry {start} was asked for")
        page: list[tuple[Seq, bytes]] = []
        size = 0
        for seq in range(start, self.last + 1):
            data = self._entries[seq - self.first]
            size += len(data)
            if page and size > bytes_max:
                break
            page.append((Seq(seq), data))
        return page

    def trim(self, owner: Owner, before: Seq) -> None:
        """As the port says."""
        self._enter(owner, f"a trim before {before}")
        while self.first < min(before, self.last):
            self._used_bytes -= len(self._entries.popleft())
            self.first = Seq(self.first + 1)

    def observe(self) -> Observation:
        """As the port says."""
        return Observation(self.owner, self.last, self.beats)

    def status(self) -> EngineStatus:
        """As the port says."""
        return EngineStatus(
            "memory", self.first, self.last, self._used_bytes, healthy=True, beats=self.beats
        )

    def untrimmed(self) -> "MemoryJournal":
        """A copy that holds every entry ever appended. For checkers."""
        whole = MemoryJournal()
        whole.owner, whole._entries = self.owner, deque(data for _, data in self.archive)
        return whole

    def waiter(self) -> "asyncio.Future[None]":
        """A future that is done at the next append."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters = [other for other in self._waiters if not other.done()]
        self._waiters.append(waiter)
        return waiter

    def _enter(self, owner: Owner, what: str) -> None:
        self._must_be(owner)
        if self.owner != owner:
            self.strays.append(f"{what} by {owner.node} of epoch {owner.epoch}")

    def _must_be(self, owner: Owner) -> None:
        if self.owner != owner:
            name = "nobody"
            if self.owner is not None:
                name = f"{self.owner.node} (epoch {self.owner.epoch})"
            raise Fenced(f"the journal belongs to {name}")


class Fault(Enum):
    """What becomes of one call."""

    NONE = "none"
    LOST_REQUEST = "lost-request"
    """Unavailable; the journal never saw it."""
    LOST_ANSWER = "lost-answer"
    """Unavailable; it was done."""
    LATE = "late"
    """Unavailable; it is tried `Weather.late_seconds` later, when the caller may have moved on."""
    TWICE = "twice"
    """Done and answered; and tried once more `Weather.late_seconds` later."""


class Weather(msgspec.Struct):
    """The line's condition. The simulation changes it while nodes run."""

    up: bool = True
    """False: this node is cut off. Calls fail after `silence_seconds`, followers too."""
    latency_seconds_min: float = 0.0
    latency_seconds_max: float = 0.0
    """One way; drawn for each direction of each call."""
    silence_seconds: float = 0.0
    """Time until a caller that gets no answer is told Unavailable."""
    member_seconds: float = 0.0
    """Time until one member is given up and the next one asked; 0: there is only one."""
    late_seconds: float = 1.0
    fault_chance: float = 0.0
    """Share of calls that get a random fault."""
    slow_factor: float = 1.0
    """How much slower than usual it is: a full disk queue, a far leader."""


_FAULTS: Final = (Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.LATE, Fault.TWICE)
_LEFT_BEHIND_CHANCE: Final = 0.3
"""Share of requests at a member without a leader that are carried out when there is one, although
they were given up: they were in the log of a member that the next majority listens to."""
_FORGOTTEN_CHANCE: Final = 0.4
"""Share of them that the member forgets: it drops proposals while it knows no leader."""


class MemoryEngine:
    """`ports.engine.Engine` of one node. `dice` is the node's own seeded generator."""

    def __init__(
        self, journal: MemoryJournal, dice: Random, weather: Weather | None = None
    ) -> None:
        self.weather = weather if weather is not None else Weather()
        self.planned: deque[Fault] = deque()
        """Faults of the next calls, one each, before chance is asked. For tests of one story."""
        self._journal = journal
        self._dice = dice
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False

    async def owner(self) -> Owner | None:
        """See ports.engine.Engine, here and below."""
        return await self._call(lambda: self._journal.owner)

    async def observe(self) -> Observation:
        return await self._call(self._journal.observe)

    async def take_over(
        self, seen: Owner | None, new: Owner, still: Observation | None = None
    ) -> bool:
        if new.epoch <= (0 if seen is None else seen.epoch):
            raise ValueError(f"epoch {new.epoch} does not raise the epoch of {seen}")
        # A second one would find that the first one was faster.
        return await self._call(lambda: self._journal.take_over(seen, new, still), repeats=False)

    async def append(self, owner: Owner, seq: Seq, data: bytes) -> None:
        if seq < 1:
            raise ValueError(f"seq {seq}")
        await self._call(lambda: self._journal.append(owner, seq, data))

    async def beat(self, owner: Owner) -> None:
        await self._call(lambda: self._journal.beat(owner))

    async def read(self, start: Seq, bytes_max: int) -> list[tuple[Seq, bytes]]:
        if start < 1:
            raise ValueError(f"seq {start}")
        return await self._call(lambda: self._journal.read(start, bytes_max))

    async def follow(self, start: Seq) -> AsyncGenerator[tuple[Seq, bytes], None]:
        at = start
        while True:
            page = await self.read(at, JOURNAL_PAGE_BYTES)
            for seq, data in page:
                yield seq, data
            at = Seq(at + len(page))
            if not page and self._journal.last < at:
                self._waiting = [waiter for waiter in self._waiting if not waiter.done()]
                self._waiting.append(self._journal.waiter())
                await self._waiting[-1]

    async def trim(self, owner: Owner, before: Seq) -> None:
        await self._call(lambda: self._journal.trim(owner, before))

    async def status(self) -> EngineStatus:
        return await self._call(self._journal.status)

    async def close(self) -> None:
        self._closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def _call(self, effect: Callable[[], _T], *, repeats: bool = True) -> _T:
        """Ask member after member. `repeats`: done twice is as good as done once."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.weather.silence_seconds
        while True:
            if self._closed:
                raise Unavailable("the journal engine is closed")
            answer = await self._ask(effect)
            if answer is not None:
                return answer.get()
            if not repeats or not self.weather.member_seconds or loop.time() >= until:
                raise Unavailable("the journal engine did not answer")

    async def _ask(self, effect: Callable[[], _T]) -> "_Answer[_T] | None":
        """Ask one member; None when it was silent until its deadline."""
        fault = self._draw()
        await self._travel()
        match fault:
            case Fault.LOST_REQUEST:
                await self._silence()
                return None
            case Fault.LATE:
                self._try_later(effect)
                await self._silence()
                return None
            case Fault.NONE | Fault.LOST_ANSWER | Fault.TWICE:
                if not await self._arrive(effect):
                    return None
                if fault is Fault.TWICE:
                    self._try_later(effect)
            case _:
                assert_never(fault)
        answer = _Answer(effect)
        await self._travel()
        if fault is Fault.LOST_ANSWER or not self._is_reached():
            await self._silence()
            return None
        return answer

    def _try_later(self, effect: Callable[[], object]) -> None:
        # In the network's context, not in the node's: its crash does not stop a message.
        asyncio.get_running_loop().call_later(
            self.weather.late_seconds, _try, effect, context=contextvars.Context()
        )

    async def _arrive(self, effect: Callable[[], object]) -> bool:
        """True when a leader has the request, False when there was none in time."""
        if not self.weather.up or self._closed:
            await self._silence()
            return False
        if self._journal.has_leader:
            return True
        election = self._journal.election()
        fate = self._dice.random()
        if fate < _LEFT_BEHIND_CHANCE + _FORGOTTEN_CHANCE:
            if fate < _LEFT_BEHIND_CHANCE:
                election.add_done_callback(
                    partial(_left_behind, effect), context=contextvars.Context()
                )
            await self._silence()
            return False
        try:
            async with asyncio.timeout(self._deadline):
                await election
        except TimeoutError:
            return False
        return True

    def _draw(self) -> Fault:
        if self.planned:
            return self.planned.popleft()
        if self.weather.fault_chance and self._dice.random() < self.weather.fault_chance:
            return self._dice.choice(_FAULTS)
        return Fault.NONE

    def _is_reached(self) -> bool:
        return self.weather.up and self._journal.has_leader and not self._closed

    async def _travel(self) -> None:
        low, high = self.weather.latency_seconds_min, self.weather.latency_seconds_max
        seconds = self._dice.uniform(low, high) * self.weather.slow_factor if high > 0 else 0
        await asyncio.sleep(seconds)

    @property
    def _deadline(self) -> float:
        return self.weather.member_seconds or self.weather.silence_seconds

    async def _silence(self) -> None:
        await asyncio.sleep(self._deadline)


class _Answer(Generic[_T]):
    """What a member has done, on its way back."""

    def __init__(self, effect: Callable[[], _T]) -> None:
        self._refusal: JournalError | None = None
        self._result: _T | None = None
        try:
            self._result = effect()
        except JournalError as error:
            self._refusal = error

    def get(self) -> _T:
        """The result, or what was refused."""
        if self._refusal is not None:
            raise self._refusal
        return cast("_T", self._result)


def _left_behind(effect: Callable[[], object], election: "asyncio.Future[None]") -> None:
    if not election.cancelled():
        _try(effect)


def _try(effect: Callable[[], object]) -> None:
    try:
        effect()
    except JournalError:
        pass  # Nobody waits for this answer any more.
