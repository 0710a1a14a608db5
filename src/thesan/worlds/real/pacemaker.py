"""`ports.pacemaker` on a real machine: a thread with an event loop and an engine connection of its
own, so that no request, however long it takes, delays a beat."""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from thesan.core.model.errors import Fenced, JournalError
from thesan.core.model.leadership_limits import (
    LOOP_STALL_SECONDS_MAX,
    PACEMAKER_CALL_SECONDS_MAX,
    PACEMAKER_CLOSE_SECONDS_MAX,
    PACEMAKER_SWITCH_SECONDS,
)
from thesan.core.model.limits import JOURNAL_RETRY_SECONDS_MAX
from thesan.ports.clock import Clock
from thesan.ports.engine import Engine, Owner

_PROCESSOR: Final = 36
"""proc(5), /proc/pid/stat field 39, counted from the one behind the name (field 3)."""


@dataclass(frozen=True, eq=False)
class _Order:
    """Beat for this owner."""

    owner: Owner
    beat_s: float
    on_confirmed: Callable[[float], None]
    on_fenced: Callable[[str], None]
    loop: asyncio.AbstractEventLoop
    """The MGM's, where the callbacks run."""


class ThreadPacemaker:
    """One thread, begun at the first `start`. What both threads touch is replaced whole, never
    changed: a reference or a float is read and written in one step."""

    def __init__(self, open_engine: Callable[[], Awaitable[Engine]], clock: Clock) -> None:
        """`open_engine` is called in the thread's loop, again after each failure."""
        self._open_engine = open_engine
        self._clock = clock
        self._order: _Order | None = None
        self._fenced: _Order | None = None
        """The order that was refused: the thread's own note."""
        self._written_s = float("-inf")
        self._turned_s = float("-inf")
        self._ended = False
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._main_stat = Path(f"/proc/self/task/{threading.get_native_id()}/stat")
        self._cpus = os.sched_getaffinity(0)
        self._cpu = -1
        """Where this thread is kept; -1: anywhere."""

    def start(
        self,
        owner: Owner,
        beat_s: float,
        on_confirmed: Callable[[float], None],
        on_fenced: Callable[[str], None],
    ) -> None:
        """See ports.pacemaker, here and below."""
        self.turned()
        loop = asyncio.get_running_loop()
        self._order = _Order(owner, beat_s, on_confirmed, on_fenced, loop)
        if self._thread is None:
            # A beat asks for the interpreter several times; a loop that is always busy gives it
            # away after this time only, and with a share of a core that time is many times longer.
            sys.setswitchinterval(PACEMAKER_SWITCH_SECONDS)
            self._thread = threading.Thread(target=self._main, name="pacemaker", daemon=True)
            self._thread.start()
        self._wake.set()

    def written(self, sent_s: float) -> None:
        self._written_s = max(self._written_s, sent_s)

    def turned(self) -> None:
        self._turned_s = self._clock.boot_s()

    def stop(self) -> None:
        self._order = None

    async def close(self) -> None:
        self.stop()
        self._ended = True
        self._wake.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, PACEMAKER_CLOSE_SECONDS_MAX)

    # -- in the thread ---------------------------------------------------------------------------
    def _main(self) -> None:
        with asyncio.Runner() as runner:
            while not self._ended:
                order = self._order
                if order is None:
                    self._wake.wait()
                    self._wake.clear()
                    continue
                runner.run(self._serve())

    async def _serve(self) -> None:
        """Open an engine and beat through it, until there is nothing to beat for."""
        self._run_anywhere()
        try:
            async with asyncio.timeout(PACEMAKER_CALL_SECONDS_MAX):
                engine = await self._open_engine()
        except (JournalError, TimeoutError, OSError):
            await asyncio.sleep(JOURNAL_RETRY_SECONDS_MAX / 4)
            return
        try:
            while not self._ended:
                order = self._order
                if order is None or order is self._fenced:
                    # The engine stays open for the next term, which may begin any moment.
                    await asyncio.to_thread(self._wake.wait)
                    self._wake.clear()
                    continue
                sent_s = await self._beat(engine, order)
                self._share_cpu()
                rest_s = order.beat_s - (self._clock.boot_s() - sent_s)
                await asyncio.sleep(max(order.beat_s / 4, rest_s))
        finally:
            await engine.close()

    def _run_anywhere(self) -> None:
        """Threads that grpcio makes for a new engine take over this thread's CPUs."""
        if self._cpu >= 0:
            os.sched_setaffinity(0, self._cpus)
            self._cpu = -1

    def _share_cpu(self) -> None:
        """Run where the event loop runs: a CPU quota (of a container, of a unit) is dealt out in
        slices to one CPU at a time, and a busy loop on another one leaves nothing for this thread
        (seen: beats 2.7 s apart at 5 % of a core, and 0.6 s on the same CPU)."""
        try:
            stat = self._main_stat.read_bytes()
            cpu = int(stat.rpartition(b")")[2].split()[_PROCESSOR])
            if cpu != self._cpu:
                os.sched_setaffinity(0, (cpu,))
                self._cpu = cpu
        except (OSError, ValueError, IndexError):
            return  # It may beat from wherever it is.

    async def _beat(self, engine: Engine, order: _Order) -> float:
        """One beat, if one is due; the time from which the next one counts."""
        now_s = self._clock.boot_s()
        if now_s - self._written_s < order.beat_s:
            return self._written_s
        if now_s - self._turned_s > LOOP_STALL_SECONDS_MAX:
            return now_s
        try:
            async with asyncio.timeout(PACEMAKER_CALL_SECONDS_MAX):
                await engine.beat(order.owner)
        except Fenced as error:
            self._fenced = order
            self._tell(order, order.on_fenced, str(error))
        except (JournalError, TimeoutError):
            pass  # The next one follows; whether this one was seen does not matter.
        else:
            self._tell(order, order.on_confirmed, now_s)
        return now_s

    def _tell(self, order: _Order, callback: Callable[..., None], value: object) -> None:
        def call() -> None:
            if self._order is order:  # No callback comes after `stop`.
                callback(value)

        try:
            order.loop.call_soon_threadsafe(call)
        except RuntimeError:
            pass  # The MGM's loop is closed: the process ends.
