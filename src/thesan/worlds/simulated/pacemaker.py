"""`ports.pacemaker` in the simulated world: a thread of the MGM's process, with its own line to the
journal, that goes on when the MGM's loop is stuck."""

import asyncio
import contextvars
from collections.abc import Callable

from thesan.core.model.errors import Fenced, JournalError
from thesan.core.model.leadership_limits import (
    LOOP_STALL_SECONDS_MAX,
    PACEMAKER_CALL_SECONDS_MAX,
)
from thesan.io.tasks import TaskOwner
from thesan.ports.clock import Clock
from thesan.ports.engine import Engine, Owner
from thesan.worlds.simulated.process import SimProcess


class SimPacemaker:
    """Beats over `engine`."""

    def __init__(self, engine: Engine, clock: Clock, thread: SimProcess | None = None) -> None:
        """`thread` is of the MGM's process (Network.thread); None: where nothing is ever stuck, a
        task of the caller's does."""
        self._engine = engine
        self._clock = clock
        self._thread = thread
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
        loop, home = asyncio.get_running_loop(), contextvars.copy_context()

        def tell(callback: Callable[..., None], value: object) -> None:
            """Call back in the MGM's loop, unless this term is over by then."""
            if self._thread is None:
                callback(value)
            else:
                loop.call_soon(self._call, task, callback, value, context=home)

        work = self._beat(owner, beat_s, tell, on_confirmed, on_fenced)
        if self._thread is None:
            task = self._tasks.start("beat", work)
        else:
            task = self._thread.context.run(self._tasks.start, "beat", work)
        self._task = task

    async def _beat(
        self,
        owner: Owner,
        beat_s: float,
        tell: Callable[[Callable[..., None], object], None],
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
                    tell(on_confirmed, now_s)
                except Fenced as error:
                    tell(on_fenced, str(error))
                    return
                except (JournalError, TimeoutError):
                    pass  # The next one follows; whether this one was seen does not matter.
            await asyncio.sleep(beat_s)

    def _call(self, task: object, callback: Callable[..., None], value: object) -> None:
        if self._task is task:
            callback(value)

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
