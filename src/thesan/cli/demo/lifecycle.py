"""Start, watch and stop a demo instance."""

import contextlib
import errno
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from thesan.cli.connect import connect
from thesan.cli.demo.plan import (
    SPECS_FILE,
    STATE_FILE,
    Plan,
    is_alive,
    load_plan,
    load_state,
    make_plan,
)
from thesan.cli.keytab import create_keytab
from thesan.core.control.messages import Admin, AdminReply
from thesan.core.model.errors import OperationError, ThesanError

READY_SECONDS_MAX = 30.0
"""Time for a demo to have every filesystem booted and online; then it fails with the reasons."""
STOP_SECONDS_MAX = 20.0
"""Time for the supervisor to stop its daemons; then everything is killed."""
POLL_SECONDS = 0.05
"""How often a waiting demo looks again."""


def start(directory: Path, mgm_count: int, fst_count: int) -> Plan:
    """Make the directory (or find it) and start the supervisor. Does not wait for readiness."""
    supervisor_pid, _ = load_state(directory)
    if supervisor_pid:
        raise OperationError(
            errno.EBUSY, f"a demo runs in {directory} already (thesan demo status | down)"
        )
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    try:
        plan = load_plan(directory)
    except OperationError:
        plan = make_plan(directory, mgm_count, fst_count)
        create_keytab(directory / "keytab")
        for number in range(1, mgm_count + 1):
            (directory / f"mgm{number}").mkdir(exist_ok=True)
        for number in range(1, fst_count + 1):
            for fs in (1, 2):
                (directory / f"fst{number}" / f"fs{fs}").mkdir(parents=True, exist_ok=True)
    plan.save()
    _spawn_supervisor(directory)
    return plan


def _spawn_supervisor(directory: Path) -> None:
    """Start the supervisor in a session of its own: it outlives this command."""
    argv = [
        *(sys.executable, "-m", "thesan", "supervise"),
        *(str(directory / SPECS_FILE), str(directory / STATE_FILE)),
    ]
    log = os.open(directory / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, log, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    ]
    try:
        os.posix_spawn(argv[0], argv, os.environ, file_actions=actions, setsid=True)
    finally:
        os.close(log)


async def wait_ready(plan: Plan, seconds_max: float = READY_SECONDS_MAX) -> list[dict[str, Any]]:
    """Wait until every filesystem is booted and online; gives the `fs ls` records.

    Raises OperationError ETIMEDOUT that says what was still missing.
    """
    wanted = len(plan.fsts) * 2
    deadline = time.monotonic() + seconds_max
    seen = "no answer from the MGM"
    while time.monotonic() < deadline:
        with contextlib.suppress(ThesanError, OSError):
            records = await admin(plan, "fs", "ls")
            ready = [
                record
                for record in records
                if record.get("stat.boot") == "booted" and record.get("stat.active") == "online"
            ]
            if len(ready) >= wanted:
                return records
            seen = f"{len(ready)} of {wanted} filesystems booted and online"
        time.sleep(POLL_SECONDS)  # noqa: ASYNC251 - nothing else runs in this loop
    raise OperationError(
        errno.ETIMEDOUT,
        f"the demo is not ready after {seconds_max:.0f} s: {seen}; logs are in {plan.directory}",
    )


async def configure(plan: Plan) -> None:
    """What a demo shows by default: two replicas of each file, on different nodes."""
    if len(plan.fsts) > 1:
        await admin(plan, "space", "config", space="default", key="policy.layout", value="replica")
        await admin(plan, "space", "config", space="default", key="policy.nstripes", value="2")


async def admin(plan: Plan, noun: str, verb: str, **args: Any) -> list[dict[str, Any]]:
    """Records of one admin command."""
    async with connect(plan.url, patience_s=2.0) as filesystem:
        reply = await filesystem.control(Admin(noun=noun, verb=verb, args=args))
        assert isinstance(reply, AdminReply)
        return reply.records


def status(directory: Path) -> dict[str, Any]:
    """`url`, `dir`, and for each daemon name host port http_port pid role state."""
    plan = load_plan(directory)
    supervisor_pid, daemons = load_state(directory)
    result: dict[str, Any] = {
        "url": plan.url,
        "dir": plan.directory,
        "supervisor_pid": supervisor_pid,
        "mgms": [],
        "fsts": [],
    }
    for daemon in daemons:
        alive = bool(supervisor_pid) and is_alive(daemon.pid)
        row = {
            "name": daemon.name,
            "host": daemon.host,
            "port": daemon.port,
            "http_port": None,
            "pid": daemon.pid if alive else None,
            "role": "fst" if daemon.role == "fst" else ("master" if alive else "unknown"),
            "state": daemon.state if supervisor_pid else "stopped",
            "restarts": daemon.restarts,
        }
        result["fsts" if daemon.role == "fst" else "mgms"].append(row)
    return result


def stop(directory: Path) -> None:
    """Stop the supervisor and with it every daemon. Safe to call when nothing runs."""
    supervisor_pid, daemons = load_state(directory)
    if supervisor_pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor_pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while is_alive(supervisor_pid) and time.monotonic() < deadline:
            _reap(supervisor_pid)
            time.sleep(POLL_SECONDS)
        if is_alive(supervisor_pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor_pid, signal.SIGKILL)
            _, daemons = load_state(directory)
    for daemon in daemons:
        # Only a killed supervisor leaves daemons behind; make sure that the pid is still ours.
        if daemon.pid and is_alive(daemon.pid) and _is_thesan(daemon.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(daemon.pid, signal.SIGKILL)


def purge(directory: Path) -> None:
    """Remove a stopped demo's directory. Raises OperationError EBUSY while it runs."""
    supervisor_pid, _ = load_state(directory)
    if supervisor_pid:
        raise OperationError(errno.EBUSY, f"the demo in {directory} still runs")
    load_plan(directory)  # only a directory that is a demo is ever removed
    shutil.rmtree(directory)


def _reap(pid: int) -> None:
    """Take the exit status when the supervisor is our own child, else it stays a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _is_thesan(pid: int) -> bool:
    try:
        return b"thesan" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
