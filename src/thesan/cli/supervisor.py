"""A small supervisor: owns the listening sockets of its daemons and restarts those that die.

Because the sockets live here, a daemon that was killed refuses no connection: clients that come
meanwhile wait in the kernel's queue until the successor accepts them. (A refused connection costs
an XRootD client its ConnectionWindow, 120 s.) It knows nothing of thesan but how to start it, and
of foreign programs (etcd) their command line. Orders come over its channel.
"""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from thesan.cli.context import Context
from thesan.cli.supervisor_channel import Channel, DaemonState, Order
from thesan.core.model.errors import OperationError
from thesan.io.tasks import TaskOwner

RESTART_SECONDS_MIN = 0.1
"""Pause before the first restart; doubled while the daemon does not stay up."""
RESTART_SECONDS_MAX = 5.0
"""Longest pause between restarts: a daemon whose disk came back is up within it."""
STAYED_UP_SECONDS = 10.0
"""A daemon that ran this long starts again with the shortest pause."""
STOP_SECONDS_MAX = 8.0
"""Time for a daemon to end after SIGTERM; then SIGKILL."""
BACKLOG = 1024
"""Connections that wait in the kernel while a daemon restarts."""
_STOP_ORDER = ("fst", "mgm", "etcd")
"""Who ends first: FSTs commit at an MGM, MGMs append to the engine."""


class DaemonSpec(msgspec.Struct, frozen=True):
    """One daemon to keep running."""

    name: str
    role: str
    """mgm, fst or etcd."""
    host: str
    port: int
    argv: list[str]
    """Arguments after `python -m thesan`; `--listen-fd N` is added. With `program`: its own."""
    log: str
    """File that takes its standard output and error."""
    program: str = ""
    """Path of a foreign program, which opens its sockets itself."""
    stop_seconds: float = STOP_SECONDS_MAX
    """Time to end after SIGTERM."""


@dataclass
class _Child:
    spec: DaemonSpec
    listener: socket.socket | None
    state: DaemonState
    process: asyncio.subprocess.Process | None = None
    pause: float = RESTART_SECONDS_MIN
    held: bool = False
    """Told to stay down."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Something to look at before the pause is over."""
    timer: asyncio.TimerHandle | None = None
    """Ends a hold or a pause."""
    task: "asyncio.Task[None] | None" = None

    @property
    def is_running(self) -> bool:
        """A process is there (perhaps stopped by SIGSTOP)."""
        return self.process is not None and self.process.returncode is None

    def signal(self, number: int) -> None:
        """Send a signal; nothing when no process is there."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def forget_timer(self) -> None:
        """A later order takes the place of an earlier one's end."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Supervisor:
    """Runs until SIGTERM or SIGINT; then stops the daemons: FSTs, MGMs, engine."""

    def __init__(self, specs: list[DaemonSpec], state_file: Path) -> None:
        self._state_file = state_file
        self._stopping = asyncio.Event()
        self._tasks = TaskOwner("supervisor", lambda name, error: print(f"{name}: {error!r}"))
        self._children = {
            spec.name: _Child(
                spec,
                None if spec.program else _listen(spec.host, spec.port),
                DaemonState(name=spec.name, role=spec.role, host=spec.host, port=spec.port),
            )
            for spec in specs
        }
        self._channel = Channel(state_file.parent, self.obey)

    async def run(self) -> None:
        """Start everything, keep it up, stop it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        await self._channel.open()
        for child in self._children.values():
            child.task = self._tasks.start(child.spec.name, self._keep_up(child))
        await self._stopping.wait()
        await self._channel.close()
        for role in _STOP_ORDER:
            await self._stop_all([one for one in self._children.values() if one.spec.role == role])
        self._write_state()

    async def _stop_all(self, children: list[_Child]) -> None:
        """FSTs and engine members together; MGMs one by one, since a master that is stopped hands
        over first, and had better not do so to one that is being stopped too."""
        if children and children[0].spec.role == "mgm":
            for child in reversed(children):
                await self._stop(child)
        else:
            await asyncio.gather(*(self._stop(child) for child in children))

    def _end(self) -> None:
        self._stopping.set()
        for child in self._children.values():
            child.forget_timer()
            child.changed.set()

    # -- orders ----------------------------------------------------------------------------------
    def obey(self, order: Order) -> list[DaemonState]:
        """Carry out an order for all its daemons at once; raises OperationError EINVAL."""
        unknown = [name for name in order.names if name not in self._children]
        if unknown:
            text = f"there is no daemon {unknown[0][:40]}: {', '.join(self._children)}"
            raise OperationError(errno.EINVAL, text)
        children = [self._children[name] for name in order.names]
        for child in children:
            # All signals leave before anything else is done: a host dies at once.
            match order.verb:
                case "kill" | "hold":
                    child.held = child.held or order.verb == "hold"
                    child.signal(signal.SIGKILL)
                case "stop":
                    child.held = True
                    child.signal(signal.SIGCONT)
                    child.signal(signal.SIGTERM)
                case "pause":
                    child.signal(signal.SIGSTOP)
                case _:
                    pass
        for child in children:
            self._settle(child, order)
        self._write_state()
        return [one.state for one in self._children.values()]

    def _settle(self, child: _Child, order: Order) -> None:
        loop = asyncio.get_running_loop()
        match order.verb:
            case "list":
                return
            case "kill":
                text = "killed by an order"
            case "stop":
                child.forget_timer()
                text = "stopped by an order; stays down until it is released"
            case "hold":
                child.forget_timer()
                if not child.is_running:
                    child.state.state = "held"
                if order.seconds:
                    child.timer = loop.call_later(order.seconds, self._release, child)
                text = "killed by an order; stays down " + (
                    f"for {order.seconds:g} s" if order.seconds else "until it is released"
                )
            case "pause":
                child.forget_timer()
                if child.is_running:
                    child.state.state = "paused"
                if order.seconds:
                    child.timer = loop.call_later(order.seconds, self._resume, child)
                text = "paused by an order" + (f" for {order.seconds:g} s" if order.seconds else "")
            case "resume":
                self._resume(child)
                text = "resumed by an order"
            case _:
                self._release(child)
                text = "released by an order"
        self._note(child, text)

    def _resume(self, child: _Child) -> None:
        child.forget_timer()
        child.signal(signal.SIGCONT)
        if child.is_running:
            child.state.state = "running"
        self._write_state()

    def _release(self, child: _Child) -> None:
        self._resume(child)
        child.held = False
        child.pause = RESTART_SECONDS_MIN
        child.changed.set()

    # -- one daemon --------------------------------------------------------------------------------
    async def _keep_up(self, child: _Child) -> None:
        while not self._stopping.is_set():
            if child.held:
                child.state.state = "held"
                self._write_state()
                await child.changed.wait()
                child.changed.clear()
                continue
            began = time.monotonic()
            await self._start(child)
            assert child.process is not None
            status = await child.process.wait()
            if self._stopping.is_set():
                return
            lived = time.monotonic() - began
            child.pause = (
                RESTART_SECONDS_MIN
                if lived > STAYED_UP_SECONDS
                else min(child.pause * 2, RESTART_SECONDS_MAX)
            )
            child.state.restarts += 1
            child.state.state = "waiting"
            child.state.pid = 0
            self._write_state()
            self._note(child, f"ended with status {status} after {lived:.1f} s")
            if not child.held:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.changed.wait(), child.pause)
            child.changed.clear()

    async def _start(self, child: _Child) -> None:
        spec, listener = child.spec, child.listener
        if listener is None:
            argv = [spec.program, *spec.argv]
        else:
            argv = [sys.executable, "-m", "thesan", *spec.argv]
            argv += ["--listen-fd", str(listener.fileno())]
        log = os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            child.process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=() if listener is None else (listener.fileno(),),
                start_new_session=True,
            )
        finally:
            os.close(log)
        if child.held:
            # Told so while the process was being made: the order found nobody to kill.
            child.signal(signal.SIGKILL)
        child.state.pid = child.process.pid
        child.state.state = "running"
        child.state.since = time.time()
        self._write_state()

    async def _stop(self, child: _Child) -> None:
        process = child.process
        if process is not None and process.returncode is None:
            child.signal(signal.SIGCONT)
            child.signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), child.spec.stop_seconds)
            except TimeoutError:
                self._note(child, f"did not end in {child.spec.stop_seconds:g} s: killed")
                child.signal(signal.SIGKILL)
                await process.wait()
        if child.task is not None:
            child.task.cancel()
            await asyncio.gather(child.task, return_exceptions=True)
        if child.listener is not None:
            child.listener.close()
        child.state.state = "stopped"
        child.state.pid = 0

    def _note(self, child: _Child, text: str) -> None:
        stamp = time.strftime("%y%m%d %H:%M:%S")
        with open(child.spec.log, "a", encoding="utf-8") as log:
            log.write(f"{stamp} supervisor: {child.spec.name} {text}\n")

    def _write_state(self) -> None:
        text = json.dumps(
            {
                "supervisor_pid": os.getpid(),
                "daemons": [msgspec.to_builtins(child.state) for child in self._children.values()],
            }
        )
        aside = self._state_file.with_suffix(".new")
        aside.write_text(text, encoding="utf-8")
        aside.replace(self._state_file)


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.set_inheritable(True)
    return listener


def run(_: Context, argv: list[str]) -> int:
    """`thesan supervise SPECS.json STATE.json`: used by `thesan demo up`."""
    if len(argv) != 2:
        print("usage: thesan supervise SPECS.json STATE.json", file=sys.stderr)
        return 2
    specs = msgspec.json.decode(Path(argv[0]).read_bytes(), type=list[DaemonSpec])

    async def supervise() -> None:
        await Supervisor(specs, Path(argv[1])).run()

    asyncio.run(supervise())
    return 0
