"""The machine this process runs on: load figures and account names."""

from typing import Protocol

import msgspec


class HostLoad(msgspec.Struct, frozen=True):
    """What an FST reports about its host each second."""

    cpu_load: float
    """Share of all cores in use since the last call, 0..1."""
    net_in_bytes_per_s: float
    net_out_bytes_per_s: float
    net_bytes_per_s_max: float
    """Speed of the fastest interface; 0 when the system does not say."""
    process_rss_bytes: int
    process_vsize_bytes: int
    thread_count: int
    socket_count: int
    kernel: str
    boot_ns: int
    """Wall-clock start of this process."""
    machine_boot_id: str = ""
    """Another one after each start of the machine: what was not fsynced before it may be lost.
    Empty when the system does not say."""


class Host(Protocol):
    """Figures and names."""

    def name(self) -> str:
        """Host name."""
        ...

    def load(self) -> HostLoad: ...

    def disk_load(self, path: str) -> tuple[float, float, float]:
        """(busy share 0..1, read MB/s, write MB/s) of the device under `path`, since last asked."""
        ...

    def account(self, user: str) -> tuple[int, int, tuple[int, ...]] | None:
        """(uid, gid, all gids) of a local user name, or None."""
        ...

    def user_name(self, uid: int) -> str:
        """Name of a uid, or the number as text."""
        ...

    def group_name(self, gid: int) -> str:
        """Name of a gid, or the number as text."""
        ...
