"""Start, watch and stop a demo instance."""

import asyncio
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
    FS_PER_FST,
    PLAN_FILE,
    SPECS_FILE,
    STATE_FILE,
    Plan,
    is_alive,
    load_plan,
    load_state,
    make_plan,
)
from thesan.cli.keytab import create_keytab
from thesan.cli.probe import look_at_all
from thesan.core.control.messages import Admin, AdminReply
from thesan.core.model.errors import OperationError, ThesanError

READY_SECONDS_MAX = 30.0
"""Time for a demo to have every filesystem booted and online; then it fails with the reasons."""
STOP_SECONDS_MAX = 20.0
"""Time for the supervisor to stop its daemons; then everything is killed."""
POLL_SECONDS = 0.05
"""How often a waiting demo looks again."""


def start(
    directory: Path,
    mgm_count: int | None = None,
    fst_count: int | None = None,
    engine: str | None = None,
) -> Plan:
    """Make the directory (or find it) and start the supervisor. Does not wait for readiness.

    None: as the demo that is there has it, else 1 MGM, 3 FSTs, sqlite. Raises OperationError: EBUSY
    when it runs, EINVAL when what is there is different from what is wanted.
    """
    supervisor_pid, _ = load_state(directory)
    if supervisor_pid:
        raise OperationError(
            errno.EBUSY, f"a demo runs in {directory} already (thesan demo status | down)"
        )
    if (directory / PLAN_FILE).exists():
        plan = load_plan(directory)
        _check_same(plan, mgm_count, fst_count, engine)
    else:
        plan = make_plan(directory, mgm_count or 1, fst_count or 3, engine or "sqlite")
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        create_keytab(directory / "keytab")
        for number in range(1, len(plan.mgms) + 1):
            (directory / f"mgm{number}").mkdir(exist_ok=True)
        for number in range(1, len(plan.etcds) + 1):
            (directory / f"etcd{number}").mkdir(mode=0o700, exist_ok=True)
        for number in range(1, len(plan.fsts) + 1):
            for fs in range(1, FS_PER_FST + 1):
                (directory / f"fst{number}" / f"fs{fs}").mkdir(parents=True, exist_ok=True)
    plan.save()
    _spawn_supervisor(directory)
    return plan


def _check_same(plan: Plan, mgms: int | None, fsts: int | None, engine: str | None) -> None:
    """Nobody gets another demo than the one asked for."""
    there = (len(plan.mgms), len(plan.fsts), plan.engine)
    wanted = (mgms or there[0], fsts or there[1], engine or there[2])
    if wanted != there:
        raise OperationError(
            errno.EINVAL,
            f"the demo in {plan.directory} has {there[0]} MGMs, {there[1]} FSTs and {there[2]}: "
            "remove it first (thesan demo down --purge), or take another --dir",
        )


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
    """Wait until every filesystem is booted and online, and every MGM is master or standby; gives
    the `fs ls` records.

    Raises OperationError ETIMEDOUT that says what was still missing.
    """
    wanted = len(plan.fsts) * FS_PER_FST
    deadline = time.monotonic() + seconds_max
    seen = "no answer from any MGM"
    while time.monotonic() < deadline:
        with contextlib.suppress(ThesanError, OSError):
            seen = await _roles_missing(plan)
            if not seen:
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


async def _roles_missing(plan: Plan) -> str:
    """What is not as it should be with the MGMs' roles; empty when all is."""
    names = plan.names()
    looks = await look_at_all(plan.mgms)
    odd = [
        f"{names[one.address]} is {one.role}" + (f" ({one.error})" if one.error else "")
        for one in looks
        if one.role not in ("master", "standby")
    ]
    if odd:
        return "; ".join(odd)
    masters = [names[one.address] for one in looks if one.role == "master"]
    return "" if len(masters) == 1 else f"{len(masters)} masters"


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
    """`url`, `dir`, `engine`, and for each daemon name host port http_port pid role state.

    The role of an MGM (master, standby, starting, unknown) is what it says itself, with `epoch` and
    `applied`; for one that says nothing, `error` tells why.
    """
    plan = load_plan(directory)
    supervisor_pid, daemons = load_state(directory)
    result: dict[str, Any] = {
        "url": plan.url,
        "dir": plan.directory,
        "engine": plan.engine,
        "supervisor_pid": supervisor_pid,
        "mgms": [],
        "fsts": [],
        "etcds": [],
    }
    looks = {}
    if supervisor_pid:
        looks = {one.address: one for one in asyncio.run(look_at_all(plan.mgms))}
    for daemon in daemons:
        alive = bool(supervisor_pid) and is_alive(daemon.pid)
        row = {
            "name": daemon.name,
            "host": daemon.host,
            "port": daemon.port,
            "http_port": None,
            "pid": daemon.pid if alive else None,
            "role": daemon.role,
            "state": daemon.state if supervisor_pid else "stopped",
            "restarts": daemon.restarts,
        }
        if daemon.role == "mgm":
            look = looks.get(f"{daemon.host}:{daemon.port}")
            row["role"] = look.role if look else "unknown"
            row["epoch"] = look.epoch if look else 0
            row["applied"] = look.applied if look else 0
            row["error"] = look.error if look else "it does not run"
        result[f"{daemon.role}s"].append(row)
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
