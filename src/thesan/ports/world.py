"""Everything a role gets from its world, in one value."""

from typing import Protocol

from thesan.ports.bulk import Bulk
from thesan.ports.clock import Clock
from thesan.ports.disk import Disk
from thesan.ports.entropy import Entropy
from thesan.ports.host import Host
from thesan.ports.log import Log


class World(Protocol):
    """The machine of one process. `real` and `simulated` each have one."""

    clock: Clock
    entropy: Entropy
    host: Host
    log: Log
    bulk: Bulk

    def disk(self, path: str) -> Disk:
        """The disk at a directory of this machine. Raises OperationError when it can't be used."""
        ...
