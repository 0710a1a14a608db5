"""Looking at the journal: who owns it, and is it alive? One task per MGM, in every role but master.

Whoever wants to act on what is seen waits for the next look.
"""

import asyncio

from thesan.core.leadership.detector import Detector
from thesan.core.leadership.timing import Timing
from thesan.core.model.errors import JournalError
from thesan.core.model.leadership_limits import (
    LEADER_FRESH_SECONDS_MAX,
    OBSERVE_SECONDS_MAX,
)
from thesan.ports.clock import Clock
from thesan.ports.engine import Engine, Observation, Owner


class Observer:
    """The detector, fed."""

    def __init__(self, engine: Engine, timing: Timing, clock: Clock) -> None:
        self.seen: Observation | None = None
        """The last look that succeeded."""
        self.trouble = ""
        """Why the last look failed; empty when it did not."""
        self.is_idle = False
        """True while this MGM is master: it knows without looking."""
        self.pause_s = timing.probe_s
        """Time between this look and the next."""
        self.detector = Detector(timing)
        self._engine = engine
        self._timing = timing
        self._clock = clock
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def is_fresh(self) -> bool:
        """The last look is young enough to tell a client of."""
        return self.detector.age_s(self._clock.boot_s()) < LEADER_FRESH_SECONDS_MAX

    def living_owner(self) -> Owner | None:
        """The owner, when it wrote something a moment ago; None in any doubt."""
        if self.seen is None or self.seen.owner is None or not self.is_fresh:
            return None
        if self.detector.silence_s >= self._timing.silence_s:
            return None
        return self.seen.owner

    async def next_look(self) -> None:
        """Wait until somebody has looked again, in vain or not."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    async def look(self) -> Observation | None:
        """Look once; None when the engine did not answer."""
        sent_s = self._clock.boot_s()
        try:
            async with asyncio.timeout(OBSERVE_SECONDS_MAX):
                seen = await self._engine.observe()
        except (JournalError, TimeoutError) as error:
            self.trouble = str(error) or "the journal engine did not answer in time"
            return None
        self.trouble = ""
        self.detector.saw(seen, sent_s, self._clock.boot_s())
        self.seen = seen
        return seen

    async def run(self) -> None:
        """For ever, each `probe_s`, or when a waiter said that it is worth it."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            self.pause_s = self._timing.probe_s
            if not self.is_idle:
                await self.look()
                waiting, self._waiting = self._waiting, []
                for waiter in waiting:
                    if not waiter.done():
                        waiter.set_result(None)
            await asyncio.sleep(0)  # Who waited for the look says when the next one is wanted.
            await asyncio.sleep(max(0.0, began_s + self.pause_s - loop.time()))
