"""Cases of bad hardware: disks that are slow, full or lose their power, clocks that jump.

They need a bed whose etcd members, MGMs and one FST have disks of their own, or one whose daemons
run under libfaketime: see `settings`.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.failover import disks
from benchmarks.failover.bed import Bed
from benchmarks.failover.cases import Case, Undo
from benchmarks.failover.cluster import MGM_HOSTS, Settings
from benchmarks.failover.network import BedError

SLOW_BYTES_PER_SECOND = 32 * 1024
JUMP_SECONDS = 3600
_FAKETIME = "libfaketime.so.1"
CLOCKS = ("clock-forward", "clock-back")
"""Cases that need a bed under libfaketime."""
ORDERS_MAX = 6
CLOCK_HOST = "h1"
"""Whose clock jumps; it is made master before."""
FST_ALONE = "h4"
"""Its disks may be pulled without a word to an MGM."""


def missing_faketime() -> str:
    """Why clocks can't jump here; empty when they can."""
    return "" if _library() else "not installed: faketime (apt: faketime)"


def _library() -> str:
    found = sorted(Path("/usr/lib").glob(f"*/faketime/{_FAKETIME}"))
    return str(found[0]) if found else ""


def clock_file(root: Path) -> Path:
    """What the wall clock of CLOCK_HOST is off by, in libfaketime's words."""
    return root / "clock"


def settings(name: str, root: Path) -> Settings:
    """A bed on whose hardware this case can strike."""
    if name not in CLOCKS:
        places = [f"{host}/{part}" for host in MGM_HOSTS for part in ("etcd", "mgm")]
        return Settings(disks=(*places, f"{FST_ALONE}/fs1"))
    root.mkdir(parents=True, exist_ok=True)
    clock_file(root).write_text("+0\n")
    # Without the "fix", which is on by itself here, libfaketime ends timed waits of gRPC's threads
    # at once: they spin, and an MGM costs half a core (seen: 0.9.10).
    variables = {
        "LD_PRELOAD": _library(),
        "FAKETIME_TIMESTAMP_FILE": str(clock_file(root)),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }
    return Settings(environment={CLOCK_HOST: variables})


def _etcd_power(bed: Bed, _: str) -> Undo:
    """All members at one moment: what was acknowledged must have been on their disks."""
    etcd = bed.cluster.etcd
    if etcd is None:
        raise BedError("this bed has no etcd")
    for host in etcd.hosts:
        bed.cluster.disks[f"{host}/etcd"].cut_power()
    for host in etcd.hosts:
        etcd.kill(host)

    def back() -> None:
        for host in etcd.hosts:
            bed.cluster.disks[f"{host}/etcd"].power_on()
            etcd.start(host)

    return back


def _host_power(bed: Bed, master: str) -> Undo:
    """The master's host and its disks: it returns with what had been synced."""
    places = [bed.cluster.disks[f"{master}/{part}"] for part in ("etcd", "mgm")]
    bed.network.unplug(master)
    for disk in places:
        disk.cut_power()
    bed.network.kill(master)

    def back() -> None:
        for disk in places:
            disk.power_on()
        bed.cluster.switch_on(master)

    return back


def _fst_power(bed: Bed, _: str) -> Undo:
    """An FST's host and its disk; its files have replicas elsewhere."""
    disk = bed.cluster.disks[f"{FST_ALONE}/fs1"]
    bed.network.unplug(FST_ALONE)
    disk.cut_power()
    bed.network.kill(FST_ALONE)

    def back() -> None:
        disk.power_on()
        bed.cluster.switch_on(FST_ALONE)

    return back


def _slow_disk(bed: Bed, _: str) -> Undo:
    """The disk of the engine's leader."""
    etcd = bed.cluster.etcd
    if etcd is None:
        raise BedError("this bed has no etcd")
    leader = etcd.leader()
    number = bed.cluster.disks[f"{leader}/etcd"].number()
    stack = contextlib.ExitStack()
    name = f"{bed.network.prefix}-slow"
    stack.enter_context(disks.slow(name, number, SLOW_BYTES_PER_SECOND, [etcd.pid(leader)]))
    return stack.close


def _full_disk(bed: Bed, master: str) -> Undo:
    """The disk of an engine's member, to the last byte; the member may die of it."""
    etcd = bed.cluster.etcd
    if etcd is None:
        raise BedError("this bed has no etcd")
    host = next(one for one in etcd.hosts if one != master)
    ballast = bed.cluster.disks[f"{host}/etcd"].place / "ballast"
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={ballast}", "bs=1M"], capture_output=True, check=False
    )

    def room() -> None:
        ballast.unlink()
        if not etcd.pid(host):
            etcd.start(host)

    return room


def _jump(seconds: int) -> Callable[[Bed, str], Undo]:
    """The wall clock of the master's host jumps."""

    def strike(bed: Bed, _: str) -> Undo:
        file = clock_file(bed.cluster.root)
        file.write_text(f"{seconds:+d}\n")

        def right() -> None:
            file.write_text("+0\n")

        return right

    return strike


def _master_there(bed: Bed, master: str) -> None:
    """A hand-over that does not succeed leaves the old master, and is asked for again."""
    why: list[str] = []
    while master != CLOCK_HOST:
        if len(why) == ORDERS_MAX:
            raise BedError(f"{CLOCK_HOST} does not become master: {why}")
        try:
            why.append(bed.cli("ns", "master", bed.cluster.mgm_address(CLOCK_HOST)))
        except BedError as error:
            why.append(str(error))
        master = bed.wait_master()


def _stop_fst(bed: Bed, _: str) -> Undo:
    """An FST hangs; its files are read from other replicas."""
    pid = bed.cluster.signal(FST_ALONE, "fst", signal.SIGSTOP)

    def resume() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    return resume


def _kill_fst(bed: Bed, _: str) -> Undo:
    bed.cluster.signal(FST_ALONE, "fst", signal.SIGKILL)
    return lambda: None


HARDWARE: dict[str, Case] = {
    case.name: case
    for case in (
        Case("power-engine", "power loss on all disks of the engine", _etcd_power, 1.0, None),
        Case("power-host", "power loss of the master's host", _host_power, host_dies=True),
        Case("slow-disk", "engine leader's disk at 32 KiB/s, 5 s", _slow_disk, 5.0, None),
        Case("full-disk", "disk of an engine's member full", _full_disk, 3.0, None),
        Case(
            "clock-forward",
            "master's wall clock +1 h",
            _jump(JUMP_SECONDS),
            3.0,
            None,
            arrange=_master_there,
        ),
        Case(
            "clock-back",
            "master's wall clock -1 h",
            _jump(-JUMP_SECONDS),
            3.0,
            None,
            arrange=_master_there,
        ),
        Case("power-fst", "power loss of an FST's host", _fst_power, 2.0, None, fst=FST_ALONE),
        Case("stop-fst", "an FST: SIGSTOP 3 s", _stop_fst, 3.0, None, fst=FST_ALONE),
        Case("kill-fst", "an FST: kill -9", _kill_fst, 0.0, None, fst=FST_ALONE),
    )
}
"""By name."""
