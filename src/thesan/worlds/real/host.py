"""`ports.host` of this machine: psutil for the figures, pwd and grp for the names."""

import grp
import os
import platform
import pwd
import socket
import time
from functools import lru_cache
from typing import Final

import psutil

from thesan.core.model.units import MIB
from thesan.ports.host import HostLoad

_BITS_PER_MEGABIT: Final = 1_000_000
_NAMES_CACHED: Final = 4096
_NAMES_SECONDS: Final = 600
"""Account names are asked anew after this long; a name service may be slow, so not each time."""


class RealHost:
    """Rates are those since the same question was asked before; the first answer is 0."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._kernel = platform.release()
        self._start_ns = int(self._process.create_time() * 1e9)
        self._boot_id = _machine_boot_id()
        self._traffic = (time.monotonic(), 0, 0)
        self._traffic_known = False
        self._disks: dict[str, tuple[float, int, int, int]] = {}
        psutil.cpu_percent(None)

    def name(self) -> str:
        """Host name."""
        return socket.gethostname()

    def load(self) -> HostLoad:
        """Figures of the machine and of this process."""
        now = time.monotonic()
        counters = psutil.net_io_counters(nowrap=False)  # 64 bits: they do not wrap
        received = counters.bytes_recv if counters else 0
        sent = counters.bytes_sent if counters else 0
        before, received_before, sent_before = self._traffic
        span = now - before
        known = self._traffic_known and span > 0
        self._traffic, self._traffic_known = (now, received, sent), True
        memory = self._process.memory_info()
        return HostLoad(
            cpu_load=psutil.cpu_percent(None) / 100,
            net_in_bytes_per_s=max(0, received - received_before) / span if known else 0.0,
            net_out_bytes_per_s=max(0, sent - sent_before) / span if known else 0.0,
            net_bytes_per_s_max=_fastest_interface(),
            process_rss_bytes=memory.rss,
            process_vsize_bytes=memory.vms,
            thread_count=self._process.num_threads(),
            socket_count=_socket_count(),
            kernel=self._kernel,
            boot_ns=self._start_ns,
            machine_boot_id=self._boot_id,
        )

    def disk_load(self, path: str) -> tuple[float, float, float]:
        """(busy share 0..1, read MB/s, write MB/s) of the device under `path`."""
        device = _device_of(path)
        found = _disk_counters(device) if device else None
        if device is None or found is None:
            return 0.0, 0.0, 0.0
        now = time.monotonic()
        read, written, busy_ms = found
        before = self._disks.get(device)
        self._disks[device] = (now, read, written, busy_ms)
        if before is None or now <= before[0]:
            return 0.0, 0.0, 0.0
        span = now - before[0]
        return (
            min(1.0, max(0, busy_ms - before[3]) / 1000 / span),
            max(0, read - before[1]) / MIB / span,
            max(0, written - before[2]) / MIB / span,
        )

    def account(self, user: str) -> tuple[int, int, tuple[int, ...]] | None:
        """(uid, gid, all gids) of a local user name, or None."""
        return _account(user, _age())

    def user_name(self, uid: int) -> str:
        """Name of a uid, or the number as text."""
        return _user_name(uid, _age())

    def group_name(self, gid: int) -> str:
        """Name of a gid, or the number as text."""
        return _group_name(gid, _age())


def _machine_boot_id() -> str:
    """random(4): /proc/sys/kernel/random/boot_id."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _age() -> int:
    """Part of each cache key: changes every _NAMES_SECONDS."""
    return int(time.monotonic() // _NAMES_SECONDS)


@lru_cache(_NAMES_CACHED)
def _account(user: str, age: int) -> tuple[int, int, tuple[int, ...]] | None:
    try:
        found = pwd.getpwnam(user)
    except (KeyError, ValueError):
        return None
    gids = os.getgrouplist(user, found.pw_gid)
    return found.pw_uid, found.pw_gid, tuple(sorted({found.pw_gid, *gids}))


@lru_cache(_NAMES_CACHED)
def _user_name(uid: int, age: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


@lru_cache(_NAMES_CACHED)
def _group_name(gid: int, age: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)


def _fastest_interface() -> float:
    speeds = [found.speed for found in psutil.net_if_stats().values() if found.isup]
    return max(speeds, default=0) * _BITS_PER_MEGABIT / 8


def _socket_count() -> int:
    """Open descriptors of this process, nearly all of them sockets.

    Since Linux 6.2 the size of /proc/self/fd is their number; looking at each would take 30 ms of
    the event loop with 16 000 connections.
    """
    try:
        return os.stat("/proc/self/fd").st_size
    except OSError:
        return 0


def _device_of(path: str) -> str | None:
    """Name of the block device under `path`; None for filesystems without one."""
    try:
        number = os.stat(path).st_dev
        link = os.readlink(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    except OSError:
        return None
    return link.rpartition("/")[2]


def _disk_counters(device: str) -> tuple[int, int, int] | None:
    """(bytes read, bytes written, ms busy) since the machine's start."""
    try:
        with open(f"/sys/class/block/{device}/stat", encoding="ascii") as file:
            fields = [int(field) for field in file.read().split()]
    except (OSError, ValueError):
        return None
    if len(fields) < 10:
        return None
    # Documentation/block/stat: sectors of 512 bytes at 2 and 6, io_ticks at 9.
    return fields[2] * 512, fields[6] * 512, fields[9]
