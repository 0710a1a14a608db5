"""An asyncio event loop without a machine: virtual time, simulated network, seeded, repeatable.

Time jumps to the next timer when nothing is ready. The order of ready callbacks is asyncio's; what
asyncio leaves free (timers due at one instant, arrival of bytes) is decided by the seed. An
exception that nobody handled is recorded as a failure of the run.
"""

import asyncio
import contextvars
import heapq
import random
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, Final, TypeVar

from thesan.worlds.simulated.machine import Machine
from thesan.worlds.simulated.network import Network, NetworkSettings
from thesan.worlds.simulated.process import (
    NumberedTask,
    OwnedFuture,
    SimProcess,
    current_process,
)
from thesan.worlds.simulated.trace import Failure, Trace
from thesan.worlds.simulated.transport import SimServer

_T = TypeVar("_T")

TURNS_AT_ONE_INSTANT_MAX: Final = 100_000
"""More turns without time passing are a livelock, for instance a loop around sleep(0)."""
TURNS_IN_A_SECOND_MAX: Final = 300_000
"""More are a loop around tiny sleeps: a machine would burn a core there."""
TIMERS_CANCELLED_MIN: Final = 256
"""Cancelled timers below this count are not worth a rebuild of the heap."""
WORKER_SECONDS_MEAN: Final = 0.002
"""Mean time of a call that production gives to a thread."""
START_SECONDS: Final = 1000.0
"""Monotonic time at the start: like a machine that has been up for a while."""
CLOCK_GRAIN_SECONDS: Final = 1e-9
"""More than the rounding errors of a conversion between two clocks."""


class SimLoop(asyncio.BaseEventLoop):
    """One whole cluster in one thread."""

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(
        self,
        seed: int | str = 0,
        *,
        network: NetworkSettings | None = None,
        story: bool = False,
    ) -> None:
        super().__init__()
        self.set_debug(False)
        self.seed = str(seed)
        self.trace = Trace(story=story)
        self.now = START_SECONDS
        """True virtual seconds: what the world itself goes by, whatever a machine believes."""
        self._drifts = False
        self._turns_here = 0
        self._turns_this_second = 0
        self._next_second = START_SECONDS
        self._timers: list[tuple[float, int, int, asyncio.TimerHandle]] = []
        self._timer_count = 0
        self._cancelled_count = 0
        self._task_count = 0
        self._order = random.Random(f"{self.seed} order").getrandbits(62)
        self._worker_random = random.Random(f"{self.seed} worker")
        self._outside = contextvars.Context()
        self._buried: list[NumberedTask[Any]] = []
        self.network = Network(self, self.seed, network or NetworkSettings())
        self.set_task_factory(self._make_task)

    # -- time ----------------------------------------------------------------------------------
    def time(self) -> float:
        """Virtual monotonic seconds, as the machine of the running callback counts them."""
        return self._time_of(current_process.get()) if self._drifts else self.now

    def _time_of(self, process: SimProcess | None) -> float:
        if process is None:
            return self.now
        return START_SECONDS + (self.now - START_SECONDS) * process.machine.clock_rate

    def drift(self, machine: Machine, rate: float) -> None:
        """A machine's monotonic clock runs `rate` times as fast as it should, from the start on."""
        assert self.now == START_SECONDS, "a clock that changes its rate would jump"
        machine.clock_rate = rate
        self._drifts = True

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """After `delay` seconds of whoever the callback belongs to."""
        now = self.now
        if self._drifts:
            owner = current_process.get() if context is None else context.get(current_process)
            now = self._time_of(owner)
        return self.call_at(now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Timers due at one instant run in seeded order, those of one process in call order."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        process = current_process.get() if context is None else context.get(current_process)
        self._timer_count += 1
        if self._drifts and process is not None:
            # Rounded up: a timer that came too early would find that it is not yet due.
            passed = (when - START_SECONDS) / process.machine.clock_rate
            when = START_SECONDS + passed + CLOCK_GRAIN_SECONDS
        rank = 0 if process is None else hash((process.number, when, self._order))
        heapq.heappush(self._timers, (when, rank, self._timer_count, handle))
        handle._scheduled = True  # type: ignore[attr-defined]
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if handle._scheduled:  # type: ignore[attr-defined]
            self._cancelled_count += 1

    def outside_at(self, when: float, callback: Callable[..., object], *args: Any) -> None:
        """Run a callback of the world itself: of no process, so nobody's death stops it.

        `when` is true time (`now`).
        """
        self.call_at(when, callback, *args, context=self._outside)

    def requeue(self, handles: Iterable[asyncio.Handle]) -> None:
        """Run parked callbacks of a process that goes on."""
        self._ready.extend(handles)

    # -- the turn ------------------------------------------------------------------------------
    def _run_once(self) -> None:
        """One turn: move time if nothing is ready, then run what is."""
        ready = self._ready
        timers = self._timers
        if ready or self._stopping:
            self._turns_here += 1
            if self._turns_here > TURNS_AT_ONE_INSTANT_MAX:
                raise Failure(f"livelock: time stands still at {self.now}: {self.waiting()}")
        else:
            self._advance()
        while timers and timers[0][0] <= self.now:
            handle = heapq.heappop(timers)[3]
            handle._scheduled = False  # type: ignore[attr-defined]
            if handle.cancelled():
                self._cancelled_count -= 1
            else:
                ready.append(handle)
        for _ in range(len(ready)):
            due = ready.popleft()
            if due.cancelled():
                continue
            process = due._context.get(current_process)  # type: ignore[attr-defined]
            if process is None or not process.stopped:
                due._run()
            elif process.alive:
                process.parked.append(due)

    def _advance(self) -> None:
        timers = self._timers
        count = self._cancelled_count
        if count > TIMERS_CANCELLED_MIN and count * 2 > len(timers):
            self._timers[:] = [timer for timer in timers if not timer[3].cancelled()]
            heapq.heapify(timers)
            self._cancelled_count = 0
        while timers and timers[0][3].cancelled():
            heapq.heappop(timers)[3]._scheduled = False  # type: ignore[attr-defined]
            self._cancelled_count -= 1
        if not timers:
            raise Failure(f"deadlock: nothing is left to happen: {self.waiting()}")
        self._turns_this_second += 1
        if timers[0][0] > self.now:
            if timers[0][0] >= self._next_second:
                self._next_second = timers[0][0] + 1.0
                self._turns_this_second = 0
            elif self._turns_this_second > TURNS_IN_A_SECOND_MAX:
                raise Failure(f"busy: time creeps at {self.now}: {self.waiting()}")
            self.now = timers[0][0]
            self._turns_here = 0

    def waiting(self) -> str:
        """The unfinished tasks, for an error text."""
        tasks = sorted(asyncio.all_tasks(self), key=hash)
        names = [f"{task.get_name()} ({_where(task)})" for task in tasks[:12]]
        return f"{len(tasks)} tasks wait: {', '.join(names)}"

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of the running process."""
        return OwnedFuture(loop=self)

    # -- tasks and failures --------------------------------------------------------------------
    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        context: contextvars.Context | None = None,
        name: str | None = None,
        **_options: Any,
    ) -> NumberedTask[_T]:
        self._task_count += 1
        return NumberedTask(coro, number=self._task_count, loop=loop, context=context, name=name)

    def start(
        self, process: SimProcess, work: Coroutine[Any, Any, _T], name: str
    ) -> asyncio.Task[_T]:
        """The first task of a process."""
        return self.create_task(work, name=name, context=process.context)

    def bury(self, process: SimProcess) -> None:
        """Keep the tasks of a dead process until the end: their `finally` must never run."""
        for task in sorted(asyncio.all_tasks(self), key=hash):
            if isinstance(task, NumberedTask) and task.process is process:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                self._buried.append(task)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Whatever asyncio would log as an unhandled error fails the run."""
        error = context.get("exception")
        task = context.get("task") or context.get("future")
        process = current_process.get()
        if isinstance(task, NumberedTask | OwnedFuture):
            process = task.process
        if self.is_closed() or (process is not None and not process.alive):
            return
        text = str(context.get("message", "unhandled error"))
        if isinstance(error, BaseException):
            text = f"{text}: {''.join(traceback.format_exception(error))}"
        self.trace.failure(self.now, process, text)

    # -- network -------------------------------------------------------------------------------
    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
        sock: object = None,
        **_options: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect from the machine of the calling process."""
        if ssl or sock is not None:
            raise NotImplementedError("TLS and ready-made sockets are not simulated")
        return await self.network.connect(protocol_factory, host or "", int(port or 0))

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: object = None,
        sock: object = None,
        **_options: Any,
    ) -> SimServer:
        """Listen on the machine of the calling process, whatever `host` says."""
        if ssl or sock is not None:
            raise NotImplementedError("TLS and ready-made sockets are not simulated")
        return self.network.listen(protocol_factory, int(port or 0))

    async def getaddrinfo(  # type: ignore[override]
        self, host: str | None, port: int | str | None, **_options: Any
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        """One IPv4 stream address; (2, 1, 6) is (AF_INET, SOCK_STREAM, IPPROTO_TCP)."""
        machine = self.network.resolve(host or "", self.network.here().machine)
        return [(2, 1, 6, "", (machine.address, int(port or 0)))]

    # -- threads -------------------------------------------------------------------------------
    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., _T], *args: Any
    ) -> "asyncio.Future[_T]":
        """Run the call here, at a seeded moment; its result comes at a later one."""
        if executor is not None:
            raise NotImplementedError("no thread pools in the simulation")
        future: asyncio.Future[_T] = self.create_future()

        def work() -> None:
            result: _T | None = None
            error: Exception | None = None
            try:
                result = func(*args)
            except Exception as caught:
                error = caught
            self.call_later(self._worker_seconds(), answer, result, error)

        def answer(result: Any, error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(self._worker_seconds(), work)
        return future

    def _worker_seconds(self) -> float:
        return self._worker_random.expovariate(2.0 / WORKER_SECONDS_MEAN)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    def _write_to_self(self) -> None:
        """Nothing sleeps in a selector."""

    def close(self) -> None:
        """Drop everything that is still scheduled, and what died in the run."""
        if self.is_closed():
            return
        for task in sorted(asyncio.all_tasks(self), key=hash):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            if isinstance(task, NumberedTask):
                self._buried.append(task)
        self._timers.clear()
        super().close()
        with warnings.catch_warnings():
            # "never awaited": what a dead process was just about to do.
            warnings.simplefilter("ignore", RuntimeWarning)
            for task in self._buried:
                _discard(task)
            self._buried.clear()


def _where(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    if not frames:
        return "not started"
    return f"{frames[0].f_code.co_name}:{frames[0].f_lineno}"


def _discard(task: asyncio.Task[Any]) -> None:
    """End a coroutine whose process is dead, whatever its `finally` says about that."""
    coro: Any = task.get_coro()  # None since 3.12 where an eager task has ended
    if coro is None:
        return
    try:
        coro.close()
    except BaseException:
        return


def run(
    main: Coroutine[Any, Any, _T], seed: int | str = 0, *, network: NetworkSettings | None = None
) -> _T:
    """Run a coroutine in a fresh simulated world, as asyncio.run does in the real one.

    Raises Failure when anything in the run ended by an unhandled exception.
    """
    loop = SimLoop(seed, network=network)
    try:
        result = loop.run_until_complete(main)
        if loop.trace.failures:
            raise Failure("\n".join(loop.trace.failures))
        return result
    finally:
        loop.close()
