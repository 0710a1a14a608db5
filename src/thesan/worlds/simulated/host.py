"""`ports.host` of a simulated machine: constant figures and a few accounts."""

from typing import Final

from thesan.ports.host import HostLoad
from thesan.worlds.simulated.clock import START_NS
from thesan.worlds.simulated.machine import Machine

ACCOUNTS: Final[dict[str, tuple[int, int, tuple[int, ...]]]] = {
    "root": (0, 0, (0,)),
    "daemon": (2, 2, (2,)),
    "alice": (1001, 1001, (1001, 2000)),
    "bob": (1002, 1002, (1002, 2000)),
}
"""User name -> (uid, gid, all gids), the same on every machine."""
_NAMES: Final = {uid: name for name, (uid, _, _) in ACCOUNTS.items()}


class SimHost:
    """Figures and names."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def name(self) -> str:
        """The machine's name in the simulated network."""
        return self._machine.name

    def load(self) -> HostLoad:
        """A calm machine."""
        return HostLoad(
            cpu_load=0.1,
            net_in_bytes_per_s=0.0,
            net_out_bytes_per_s=0.0,
            net_bytes_per_s_max=1.25e9,
            process_rss_bytes=100_000_000,
            process_vsize_bytes=1_000_000_000,
            thread_count=1,
            socket_count=len(self._machine.sockets),
            kernel="simulated",
            boot_ns=START_NS,
        )

    def disk_load(self, path: str) -> tuple[float, float, float]:
        """Nothing to report."""
        return 0.0, 0.0, 0.0

    def account(self, user: str) -> tuple[int, int, tuple[int, ...]] | None:
        """(uid, gid, all gids) of a user name, or None."""
        return ACCOUNTS.get(user)

    def user_name(self, uid: int) -> str:
        """Name of a uid, or the number as text."""
        return _NAMES.get(uid, str(uid))

    def group_name(self, gid: int) -> str:
        """Name of a gid, or the number as text."""
        return _NAMES.get(gid, str(gid))
