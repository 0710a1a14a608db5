"""Simulated processes: who runs a callback, and whether it still may.

A process is one run of a daemon on a machine. Every callback carries its process in its context
(`current_process`), inherited by whatever it schedules, so that roles need not know. Killing a
process means that none of its callbacks runs any more: no `finally`, no `except`, as with kill -9.
"""

import asyncio
import contextvars
from collections.abc import Coroutine, Generator
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from thesan.worlds.simulated.machine import Machine

_T = TypeVar("_T")


class ProcessState(Enum):
    """What the loop does with the callbacks of a process."""

    RUNNING = "running"
    PAUSED = "paused"
    """SIGSTOP, or a loop that is stuck: callbacks are parked, the kernel goes on receiving."""
    DEAD = "dead"


class SimProcess:
    """One run of a program on a machine."""

    __slots__ = (
        "context",
        "holds",
        "machine",
        "name",
        "number",
        "parked",
        "state",
        "stopped",
        "threads",
    )

    def __init__(self, number: int, machine: "Machine", name: str) -> None:
        self.number = number
        self.machine = machine
        self.name = name
        self.state = ProcessState.RUNNING
        self.stopped = False
        """Paused or dead: the one flag that the loop reads for every callback."""
        self.holds = 0
        """Reasons why it does not run now; it goes on when the last one ends."""
        self.threads: list[SimProcess] = []
        """Threads beside the loop: they die and pause with it, and go on while the loop is stuck.
        Each is a process of its own here, since it has callbacks of its own."""
        self.parked: list[asyncio.Handle] = []
        self.context = contextvars.Context()
        """What the first task of the process runs in; `current_process` is set there."""
        self.context.run(current_process.set, self)

    def __repr__(self) -> str:
        return f"{self.name}@{self.machine.name}#{self.number}"

    @property
    def alive(self) -> bool:
        """False after a kill."""
        return self.state is not ProcessState.DEAD


current_process: "contextvars.ContextVar[SimProcess | None]" = contextvars.ContextVar(
    "thesan_simulated_process", default=None
)
"""The process that the running callback belongs to; None is the observer outside the cluster."""


class NumberedTask(asyncio.Task[_T]):
    """A task whose hash is its creation number, so that sets of tasks have a stable order."""

    def __init__(
        self,
        coro: "Generator[Any, None, _T] | Coroutine[Any, Any, _T]",
        *,
        number: int,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None = None,
        name: str | None = None,
    ) -> None:
        self.number = number
        self.process = current_process.get() if context is None else context.get(current_process)
        super().__init__(coro, loop=loop, name=name or f"task-{number}", context=context)

    def __hash__(self) -> int:
        return self.number


class OwnedFuture(asyncio.Future[_T]):
    """A future that knows whose it is: what it has to say of a dead process interests nobody."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        self.process = current_process.get()
        super().__init__(loop=loop)
