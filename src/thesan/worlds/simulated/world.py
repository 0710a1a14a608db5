"""`ports.world` of one simulated process: its machine's disks and clock, its own log and dice."""

import errno

from thesan.core.model.errors import OperationError
from thesan.ports.bulk import Bulk
from thesan.ports.clock import Clock
from thesan.ports.disk import Disk
from thesan.ports.entropy import Entropy
from thesan.ports.host import Host
from thesan.ports.log import Log
from thesan.worlds.simulated.bulk import SimBulk
from thesan.worlds.simulated.clock import SimClock
from thesan.worlds.simulated.disk import SimDisk
from thesan.worlds.simulated.entropy import SimEntropy
from thesan.worlds.simulated.host import SimHost
from thesan.worlds.simulated.log import SimLog
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.process import SimProcess


class SimWorld:
    """Everything that one process gets. A new process on an old machine finds the old disks."""

    def __init__(self, loop: SimLoop, process: SimProcess, log: Log | None = None) -> None:
        self._loop = loop
        self._process = process
        self._seed = f"{loop.seed} {process.number}"
        self._disks: dict[str, SimDisk] = {}
        self.clock: Clock = SimClock(loop, process.machine)
        self.entropy: Entropy = SimEntropy(self._seed)
        self.host: Host = SimHost(process.machine)
        self.log: Log = log if log is not None else SimLog(loop, process)
        self.bulk: Bulk = SimBulk()

    def disk(self, path: str) -> Disk:
        """The disk that is mounted at `path`. Raises OperationError ENOENT, or EIO when dead."""
        platter = self._process.machine.platters.get(path)
        if platter is None:
            raise OperationError(errno.ENOENT, f"{path} is not there")
        disk = self._disks.get(path)
        if disk is None:
            disk = self._disks[path] = SimDisk(self._loop, platter, self._seed)
        return disk
