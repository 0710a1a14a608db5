"""The two sides: Debian's native xrootd and thesan, as real processes on loopback."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from thesan.cli.demo import lifecycle
from thesan.cli.demo.plan import Plan, free_address, load_state, split_address

START_SECONDS_MAX = 20.0


@dataclass
class Server:
    """A server to measure: where it listens and which processes' CPU counts."""

    name: str
    host: str
    port: int
    pids: list[int]

    def cpu_seconds(self) -> float:
        """CPU of all threads so far, from the scheduler (ns resolution)."""
        total = 0
        for pid in self.pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def pin(self, cores: set[int]) -> None:
        """Bind every thread to some cores."""
        for pid in self.pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(task.name), cores)


@contextlib.contextmanager
def native(directory: Path, *, redirector: bool = False) -> Iterator[Server | None]:
    """A native xrootd on `directory`/data (or one that redirects everything). None if absent."""
    program = shutil.which("xrootd")
    if program is None:
        yield None
        return
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    host, port = split_address(free_address("127.0.0.1"))
    lines = [
        f"xrd.port {port}",
        f"all.adminpath {directory}/admin",
        f"all.pidpath {directory}/admin",
        f"oss.localroot {data}",
        "all.export / nolock",
        "xrootd.chksum adler32",
    ]
    if redirector:
        lines.append("xrootd.redirect 127.0.0.2:1095 /")
    (directory / "admin").mkdir(exist_ok=True)
    config = directory / f"native-{port}.cfg"
    config.write_text("\n".join(lines) + "\n")
    argv = [
        program,
        "-c",
        str(config),
        "-l",
        str(directory / f"native-{port}.log"),
        "-n",
        f"b{port}",
    ]
    if os.getuid() == 0:
        for path in (directory, data, directory / "admin"):
            shutil.chown(path, "daemon")
        argv += ["-R", "daemon"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(host, port)
        yield Server("native xrootd", host, port, [process.pid])
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()


@dataclass
class Ours:
    """A running thesan instance."""

    plan: Plan
    mgm: Server
    fsts: list[Server]


@contextlib.contextmanager
def thesan(directory: Path, fst_count: int = 1, engine: str = "sqlite") -> Iterator[Ours]:
    """A demo instance: 1 MGM, some FSTs, its journal in a file or in an etcd of three members."""
    plan = lifecycle.start(directory, 1, fst_count, engine)
    try:
        asyncio.run(lifecycle.wait_ready(plan))
        daemons = load_state(directory)[1]
        servers = [Server(f"thesan {d.role}", d.host, d.port, [d.pid]) for d in daemons]
        yield Ours(
            plan,
            next(s for s, d in zip(servers, daemons, strict=True) if d.role == "mgm"),
            [s for s, d in zip(servers, daemons, strict=True) if d.role == "fst"],
        )
    finally:
        lifecycle.stop(directory)
        lifecycle.purge(directory)


def _wait_for(host: str, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on {host}:{port} after {START_SECONDS_MAX} s")
        time.sleep(0.05)


def stop_group(pid: int) -> None:
    """Kill a process group that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
