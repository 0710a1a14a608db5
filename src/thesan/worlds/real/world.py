"""The real world of one process: its clock, entropy, host, log, disks and way to send."""

from thesan.ports.bulk import Bulk
from thesan.ports.clock import Clock
from thesan.ports.disk import Disk
from thesan.ports.entropy import Entropy
from thesan.ports.host import Host
from thesan.ports.log import Log
from thesan.worlds.real.bulk import RealBulk
from thesan.worlds.real.clock import RealClock
from thesan.worlds.real.entropy import RealEntropy
from thesan.worlds.real.host import RealHost
from thesan.worlds.real.log import RealLog
from thesan.worlds.real.os_disk import OsDisk


class RealWorld:
    """`ports.world` on this machine."""

    def __init__(self, log: Log | None = None) -> None:
        self.clock: Clock = RealClock()
        self.entropy: Entropy = RealEntropy()
        self.host: Host = RealHost()
        self.log: Log = log if log is not None else RealLog()
        self.bulk: Bulk = RealBulk()
        self._disks: dict[str, OsDisk] = {}

    def disk(self, path: str) -> Disk:
        """The disk at a directory; one value for each directory, since it owns threads.

        Raises OperationError when it can't be used. When another directory is at the path now, as
        after a mount, the old one is let go: nobody may have files open there.
        """
        disk = self._disks.get(path)
        if disk is not None and not disk.is_in_place():
            del self._disks[path]
            disk.shutdown()
            disk = None
        if disk is None:
            disk = self._disks[path] = OsDisk(path)
        return disk

    def shutdown(self) -> None:
        """Close all disks; their handles are void."""
        for disk in self._disks.values():
            disk.shutdown()
        self._disks.clear()
