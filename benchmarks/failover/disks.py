"""Disks that can be slow, full, or lose their power: ext4 in a file, tmpfs.

Made in the bed's own directory; unmounted when done. Needs root, e2fsprogs and loop devices.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failover.network import BedError, run

_EXT4_IOC_SHUTDOWN = 0x8004587D
"""linux/fs/ext4/ext4.h: _IOR('X', 125, __u32)"""
_NOLOGFLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: as if the power went, the journal's buffer included."""
POWER_ON_SECONDS_MAX = 10.0
POLL_SECONDS = 0.05
_BLKIO = Path("/sys/fs/cgroup/blkio")


def missing() -> str:
    """Why there are no loop disks here; empty when there are."""
    absent = [name for name in ("mkfs.ext4", "losetup") if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (apt: e2fsprogs util-linux)"
    return "" if Path("/dev/loop-control").exists() else "this kernel has no loop devices"


@dataclass
class Disk:
    """An ext4 in a file, mounted at `place` through `device`."""

    image: Path
    place: Path
    device: str

    def cut_power(self) -> None:
        """Everything not synced is gone; each write and sync fails with EIO from now on."""
        handle = os.open(self.place, os.O_RDONLY)
        try:
            flag = _NOLOGFLUSH.to_bytes(4, "little")
            fcntl.ioctl(handle, _EXT4_IOC_SHUTDOWN, flag)
        finally:
            os.close(handle)

    def power_on(self) -> None:
        """Mount again, after whoever used it is dead: ext4 replays its journal.

        As long as another mount namespace has a copy of the mount (each xrdcp of the bed begins
        with one) the kernel keeps the dead filesystem, and mounts that once more.
        """
        deadline = time.monotonic() + POWER_ON_SECONDS_MAX
        while True:
            run("umount", str(self.place))
            run("mount", self.device, str(self.place))
            if self._works():
                return
            if time.monotonic() > deadline:
                raise BedError(f"{self.place} is dead after {POWER_ON_SECONDS_MAX} s of power")
            time.sleep(POLL_SECONDS)

    def _works(self) -> bool:
        """Whether it takes a byte and keeps it."""
        probe = self.place / ".probe"
        try:
            with probe.open("wb", buffering=0) as file:
                file.write(b"?")
                os.fsync(file.fileno())
            probe.unlink()
        except OSError as error:
            if error.errno == errno.EIO:
                return False
            raise
        return True

    def number(self) -> str:
        """MAJ:MIN of the device."""
        status = os.stat(self.device)
        return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


@contextlib.contextmanager
def ext4(image: Path, place: Path, size_mib: int) -> Iterator[Disk]:
    """Make and mount one; unmounted, detached and deleted at the end."""
    place.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(size_mib << 20)
    run("mkfs.ext4", "-q", "-F", str(image))
    device = run("losetup", "--find", "--show", str(image)).strip()
    try:
        run("mount", device, str(place))
        try:
            yield Disk(image, place, device)
        finally:
            run("umount", "-l", str(place))
    finally:
        run("losetup", "--detach", device)
        image.unlink()


@contextlib.contextmanager
def tmpfs(place: Path, byte_count: int) -> Iterator[Path]:
    """A small disk in memory: full after exactly `byte_count`."""
    place.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={byte_count},mode=700", "none", str(place))
    try:
        yield place
    finally:
        run("umount", "-l", str(place))


@contextlib.contextmanager
def slow(name: str, device_number: str, bytes_per_second: int, pids: list[int]) -> Iterator[None]:
    """Writes of these processes to the device run at this rate (cgroup v1, blkio)."""
    group = _BLKIO / name
    if not _BLKIO.is_dir():
        raise BedError("no cgroup v1 blkio controller")
    group.mkdir(exist_ok=True)
    try:
        limit = f"{device_number} {bytes_per_second}"
        (group / "blkio.throttle.write_bps_device").write_text(limit)
        _adopt(group, pids)
        yield
    finally:
        _adopt(_BLKIO, pids)
        with contextlib.suppress(OSError):
            group.rmdir()


def has_blkio() -> bool:
    """Whether `slow` works here."""
    return (_BLKIO / "blkio.throttle.write_bps_device").exists() or (
        _BLKIO.is_dir() and os.access(_BLKIO, os.W_OK)
    )


def _adopt(group: Path, pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))


def sync_seconds(place: Path) -> float:
    """How long a small synced write takes there now."""
    began = os.times().elapsed
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={place}/probe", "bs=64k", "count=1", "conv=fsync"],
        check=True,
        capture_output=True,
    )
    (place / "probe").unlink()
    return os.times().elapsed - began
