"""The cases of the bench: what strikes whom, how long, how it is undone, and what may follow.

Whatever is done here to undo a fault is what happens by itself in a real site: power returns, the
init system starts what is enabled, a cable is put in again. Nothing is told to thesan.
"""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failover import stalls
from benchmarks.failover.bed import Bed
from benchmarks.failover.cluster import MGM_PORT, REPOSITORY
from benchmarks.failover.engine import PORTS
from benchmarks.failover.network import BedError, Cut, both_ways, isolated

STALL_SECONDS = 2.0
STALL_EVERY_SECONDS = 5.0
BUSY_SHARE = 0.05
CROWD = 10_000
_CPU = Path("/sys/fs/cgroup/cpu")
_CPU_PERIOD_US = 100_000

Undo = Callable[[], None]


@dataclass(frozen=True)
class Case:
    """One kind of fault on the host of the master, whose name is given to `strike`."""

    name: str
    text: str
    strike: Callable[[Bed, str], Undo]
    """Makes it happen; what it returns undoes it."""
    hold_s: float = 0.0
    """At least so long between the fault and its end."""
    moves: bool | None = True
    """Whether another host must be master while it lasts; None: either is right, and there may be
    no success before its end."""
    host_dies: bool = False
    """The master's FST dies too, its files' other replicas serve."""
    kills_fst: bool = False
    """The master's FST is killed and started again."""
    fst: str = ""
    """Host whose FST is struck, when it is not the master's."""
    arrange: Callable[[Bed, str], None] = lambda bed, master: None
    """Before clients start."""
    cuts_fsts: bool = False
    """The master can't reach FSTs that live: it may call them offline."""
    is_alive: bool = False
    """The master is slow and not dead: nobody may depose it, but it may hand over."""


def _nothing() -> None:
    pass


def _kill(bed: Bed, master: str) -> Undo:
    bed.cluster.signal(master, "mgm", signal.SIGKILL)
    return _nothing


def _kill_all_daemons(bed: Bed, master: str) -> Undo:
    for role in bed.cluster.roles(master):
        bed.cluster.signal(master, role, signal.SIGKILL)
    return _nothing


def _host_gone(bed: Bed, master: str) -> Undo:
    # Cable first: a dying host must not say good-bye by FIN or RST.
    bed.network.unplug(master)
    bed.network.kill(master)
    return lambda: bed.cluster.switch_on(master)


def _leader_here(bed: Bed, master: str) -> None:
    """The engine's leader on the master's host: the worst of all host losses."""
    if bed.cluster.etcd is not None:
        bed.cluster.etcd.move_leader(master)


def _leader_elsewhere(bed: Bed, master: str) -> None:
    if bed.cluster.etcd is not None:
        bed.cluster.etcd.move_leader(next(h for h in bed.cluster.mgms if h != master))


def _stop(bed: Bed, master: str) -> Undo:
    pid = bed.cluster.signal(master, "mgm", signal.SIGSTOP)

    def resume() -> None:
        if bed.cluster.pid(master, "mgm") == pid:
            bed.cluster.signal(master, "mgm", signal.SIGCONT)

    return resume


def _hand_over(bed: Bed, master: str) -> Undo:
    target = next(host for host in bed.cluster.mgms if host != master)
    bed.cli("ns", "master", bed.cluster.mgm_address(target))
    return _nothing


def _terminate(bed: Bed, master: str) -> Undo:
    bed.cluster.signal(master, "mgm", signal.SIGTERM)
    return _nothing


def _engine_leader(bed: Bed, _: str) -> Undo:
    etcd = bed.cluster.etcd
    if etcd is None:
        raise BedError("this bed has no etcd")
    leader = etcd.leader()
    etcd.kill(leader)
    return lambda: etcd.start(leader)


def _engine_majority(bed: Bed, master: str) -> Undo:
    etcd = bed.cluster.etcd
    if etcd is None:
        raise BedError("this bed has no etcd")
    gone = [host for host in etcd.hosts if host != master][:2]
    for host in gone:
        etcd.kill(host)

    def back() -> None:
        for host in gone:
            etcd.start(host)

    return back


def _partition(cuts: Callable[[Bed, str], list[Cut]]) -> Callable[[Bed, str], Undo]:
    def strike(bed: Bed, master: str) -> Undo:
        bed.network.cut(cuts(bed, master))
        return bed.network.heal

    return strike


def _from_fsts(bed: Bed, master: str) -> list[Cut]:
    """The MGM's port only: the host's own FST goes on talking to the other FSTs."""
    others = [host for host in bed.cluster.fsts if host != master]
    return [cut for host in others for cut in both_ways(master, host, (MGM_PORT,))]


@contextlib.contextmanager
def starved(name: str, pids: list[int], share: float) -> Iterator[None]:
    """These processes get this share of one core (cgroup v1, cpu)."""
    group = _CPU / name
    group.mkdir(exist_ok=True)
    try:
        (group / "cpu.cfs_period_us").write_text(str(_CPU_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(int(_CPU_PERIOD_US * share)))
        for pid in pids:
            (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(OSError):
                (_CPU / "cgroup.procs").write_text(str(pid))
        _remove_group(group)


def _remove_group(group: Path) -> None:
    # A process that is just dying keeps its group busy for a moment.
    for _ in range(50):
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.02)


def has_quota() -> bool:
    """Whether `starved` works here."""
    return (_CPU / "cpu.cfs_quota_us").exists() or (_CPU / "cpu.shares").exists()


def _busy(bed: Bed, master: str) -> Undo:
    """5 % of a core, stalls of the loop, and a crowd that connects again and again."""
    pid = bed.cluster.pid(master, "mgm")
    stack = contextlib.ExitStack()
    stack.enter_context(starved(f"{bed.network.prefix}-busy", [pid], BUSY_SHARE))
    stack.enter_context(stalled(f"{bed.network.prefix}-stall", pid))
    stack.enter_context(crowd(bed, bed.cluster.mgm_address(master)))
    return stack.close


@contextlib.contextmanager
def stalled(name: str, pid: int) -> Iterator[None]:
    """Stall the process's event loop for 2 s every 5 s."""
    words = [sys.executable, "-m", "benchmarks.failover.stalls", str(pid), name]
    words += [str(STALL_SECONDS), str(STALL_EVERY_SECONDS)]
    process = subprocess.Popen(words, cwd=REPOSITORY)
    try:
        yield
    finally:
        process.kill()
        process.wait()
        stalls.release(stalls.FREEZER / name)


@contextlib.contextmanager
def crowd(bed: Bed, address: str, count: int = CROWD) -> Iterator[None]:
    """So many clients that connect, log in, are dropped, and connect again."""
    words = [sys.executable, "-m", "benchmarks.failover.crowd", address, str(count)]
    process = bed.cluster.spawn("c1", words, bed.cluster.root / "crowd.log")
    try:
        yield
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("kill", "master's process: kill -9", _kill),
        Case(
            "kill-daemons",
            "every daemon of the master's host: kill -9",
            _kill_all_daemons,
            kills_fst=True,
        ),
        Case(
            "hostgone",
            "host with master, engine leader and FST: cable, then kill -9",
            _host_gone,
            arrange=_leader_here,
            host_dies=True,
        ),
        Case("handover", "ns master HOST", _hand_over),
        Case("terminate", "master's process: SIGTERM", _terminate),
        Case("stop", "master's process: SIGSTOP 30 s, SIGCONT", _stop, hold_s=30.0),
        Case("stop3", "master's process: SIGSTOP 3 s, SIGCONT", _stop, hold_s=3.0),
        Case("engine-leader", "etcd leader: kill -9", _engine_leader, hold_s=2.0, moves=None),
        Case(
            "engine-majority",
            "two of three etcd members: kill -9, 5 s",
            _engine_majority,
            hold_s=5.0,
            moves=None,
        ),
        Case(
            "partition-engine",
            "master's host cut from the engine",
            _partition(lambda bed, master: isolated(master, PORTS)),
            arrange=_leader_elsewhere,
            hold_s=8.0,
        ),
        Case(
            "partition-full",
            "master's host cut from everybody",
            _partition(lambda bed, master: isolated(master)),
            arrange=_leader_here,
            hold_s=10.0,
            host_dies=True,
        ),
        Case(
            "partition-asymmetric",
            "nothing reaches the master's host, all it sends arrives",
            _partition(lambda bed, master: [Cut(target=master)]),
            arrange=_leader_here,
            hold_s=10.0,
            host_dies=True,
        ),
        Case(
            "partition-clients",
            "clients cut from the master's host, 5 s",
            _partition(lambda bed, master: both_ways(master, "c1")),
            hold_s=5.0,
            moves=None,
            host_dies=True,
        ),
        Case(
            "partition-fsts",
            "FSTs of other hosts cut from the master, 5 s",
            _partition(_from_fsts),
            hold_s=5.0,
            moves=None,
            cuts_fsts=True,
        ),
        Case(
            "busy",
            "master at 5 % of a core, loop stalled 2 s of 5, 10 000 clients connecting again",
            _busy,
            hold_s=20.0,
            moves=None,
            is_alive=True,
        ),
    )
}
"""By name."""


def cannot(case: Case) -> str:
    """Why a case can't be run on this machine; empty when it can."""
    if case.name == "busy" and not has_quota():
        return "no cgroup v1 cpu controller"
    if case.name == "busy":
        return stalls.missing()
    return ""
