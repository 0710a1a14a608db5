"""Stops the event loop of a process for a while, and no other of its threads (cgroup v1, freezer).

`python -m benchmarks.failover.stalls PID GROUP SECONDS EVERY`, until killed. SIGSTOP stops a whole
process, which nobody can tell from a hung one; a busy loop is something else: what runs in threads
of its own (beats) goes on. The thread is frozen while it waits in the kernel: frozen while it holds
the interpreter's lock, it would hold up the others too.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

FREEZER = Path("/sys/fs/cgroup/freezer")
EPOLL_CALLS = ("232 ", "281 ")
"""epoll_wait and epoll_pwait on x86_64."""
WAIT_SECONDS_MAX = 2.0
"""Time to find the thread in the kernel; then this stall is left out."""


def missing() -> str:
    """Why loops can't be stalled here; empty when they can."""
    return "" if os.access(FREEZER, os.W_OK) else "no cgroup v1 freezer controller"


def is_waiting(pid: int) -> bool:
    """Whether the main thread waits for events now, the only call in which it surely does not hold
    the interpreter's lock."""
    return Path(f"/proc/{pid}/task/{pid}/syscall").read_text().startswith(EPOLL_CALLS)


def stall(pid: int, group: Path, seconds: float) -> bool:
    """Freeze the main thread once; False when it never waited."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not is_waiting(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    (group / "freezer.state").write_text("FROZEN")
    try:
        time.sleep(seconds)
    finally:
        (group / "freezer.state").write_text("THAWED")
    return True


def release(group: Path) -> None:
    """Thaw, and remove the group; its threads go back to the root group."""
    with contextlib.suppress(OSError):
        (group / "freezer.state").write_text("THAWED")
        for thread in (group / "tasks").read_text().split():
            with contextlib.suppress(OSError):
                (FREEZER / "tasks").write_text(thread)
        group.rmdir()


def main(pid: int, name: str, seconds: float, every: float) -> None:
    """For ever, or until the process is gone."""
    group = FREEZER / name
    group.mkdir(exist_ok=True)
    (group / "tasks").write_text(str(pid))
    with contextlib.suppress(OSError):
        while True:
            time.sleep(every - seconds)
            stall(pid, group, seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
