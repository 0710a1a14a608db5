"""A small supervisor: owns the listening sockets of its daemons and restarts those that die.

Because the sockets live here, a daemon that was killed refuses no connection: clients that come
meanwhile wait in the kernel's queue until the successor accepts them. (A refused connection costs
an XRootD client its ConnectionWindow, 120 s.) It knows nothing of thesan but how to start it.
"""

import asyncio
import contextlib
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


class DaemonSpec(msgspec.Struct, frozen=True):
    """One daemon to keep running."""

    name: str
    role: str
    """mgm or fst."""
    host: str
    port: int
    argv: list[str]
    """Arguments after `python -m thesan`; `--listen-fd N` is added."""
    log: str
    """File that takes its standard output and error."""


class DaemonState(msgspec.Struct):
    """What `thesan demo status` reads from the state file."""

    name: str
    role: str
    host: str
    port: int
    pid: int = 0
    restarts: int = 0
    state: str = "starting"
    """starting, running, waiting (to restart) or stopped."""
    since: float = 0.0


@dataclass
class _Child:
    spec: DaemonSpec
    listener: socket.socket
    state: DaemonState
    process: asyncio.subprocess.Process | None = None
    pause: float = RESTART_SECONDS_MIN
    task: "asyncio.Task[None] | None" = field(default=None)


class Supervisor:
    """Runs until SIGTERM or SIGINT; then stops the daemons in reverse order."""

    def __init__(self, specs: list[DaemonSpec], state_file: Path) -> None:
        self._state_file = state_file
        self._stopping = asyncio.Event()
        self._tasks = TaskOwner("supervisor", lambda name, error: print(f"{name}: {error!r}"))
        self._children = [
            _Child(spec, _listen(spec.host, spec.port), _first_state(spec)) for spec in specs
        ]

    async def run(self) -> None:
        """Start everything, keep it up, stop it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        for child in self._children:
            child.task = self._tasks.start(child.spec.name, self._keep_up(child))
        await self._stopping.wait()
        for child in reversed(self._children):
            await self._stop(child)
        self._write_state()

    async def _keep_up(self, child: _Child) -> None:
        while not self._stopping.is_set():
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
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), child.pause)

    async def _start(self, child: _Child) -> None:
        log = os.open(child.spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            child.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "thesan",
                *child.spec.argv,
                "--listen-fd",
                str(child.listener.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(child.listener.fileno(),),
                start_new_session=True,
            )
        finally:
            os.close(log)
        child.state.pid = child.process.pid
        child.state.state = "running"
        child.state.since = time.time()
        self._write_state()

    async def _stop(self, child: _Child) -> None:
        process = child.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
            except TimeoutError:
                self._note(child, f"did not end in {STOP_SECONDS_MAX} s: killed")
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if child.task is not None:
            child.task.cancel()
            await asyncio.gather(child.task, return_exceptions=True)
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
                "daemons": [msgspec.to_builtins(child.state) for child in self._children],
            }
        )
        aside = self._state_file.with_suffix(".new")
        aside.write_text(text, encoding="utf-8")
        aside.replace(self._state_file)


def _first_state(spec: DaemonSpec) -> DaemonState:
    return DaemonState(name=spec.name, role=spec.role, host=spec.host, port=spec.port)


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
