"""`ports.pacemaker` in the simulated world: a task, since no simulated loop is ever busy."""

import asyncio
from collections.abc import Callable

from thesan.core.model.errors import Fenced, JournalError
from thesan.core.model.limits import LOOP_STALL_SECONDS_MAX, PACEMAKER_CALL_SECONDS_MAX
from thesan.io.tasks import TaskOwner
from thesan.ports.clock import Clock
from thesan.ports.engine import Engine, Owner


class SimPacemaker:
    """Beats over an engine of its own, or the MGM's: in here nobody is in anybody's way."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._tasks = TaskOwner("pacemaker")
        self._task: asyncio.Task[None] | None = None
        self._written_s = float("-inf")
        self._turned_s = float("-inf")

    def start(
        self,
        owner: Owner,
        beat_s: float,
        on_confirmed: Callable[[float], None],
        on_fenced: Callable[[str], None],
    ) -> None:
        """See ports.pacemaker, here and below."""
        self.stop()
        self.turned()
        work = self._beat(owner, beat_s, on_confirmed, on_fenced)
        self._task = self._tasks.start("beat", work)

    async def _beat(
        self,
        owner: Owner,
        beat_s: float,
        on_confirmed: Callable[[float], None],
        on_fenced: Callable[[str], None],
    ) -> None:
        while True:
            now_s = self._clock.boot_s()
            is_due = now_s - self._written_s >= beat_s
            if is_due and now_s - self._turned_s <= LOOP_STALL_SECONDS_MAX:
                try:
                    async with asyncio.timeout(PACEMAKER_CALL_SECONDS_MAX):
                        await self._engine.beat(owner)
                    on_confirmed(now_s)
                except Fenced as error:
                    on_fenced(str(error))
                    return
                except (JournalError, TimeoutError):
                    pass  # The next one follows; whether this one was seen does not matter.
            await asyncio.sleep(beat_s)

    def written(self, sent_s: float) -> None:
        self._written_s = max(self._written_s, sent_s)

    def turned(self) -> None:
        self._turned_s = self._clock.boot_s()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        self.stop()
        await self._tasks.close()
