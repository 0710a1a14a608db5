"""A simulated machine: what stays when its processes die, and what a power cut takes."""

from typing import TYPE_CHECKING

from thesan.worlds.simulated.platter import Platter
from thesan.worlds.simulated.process import SimProcess

if TYPE_CHECKING:
    from thesan.worlds.simulated.tcp import SimSocket
    from thesan.worlds.simulated.transport import SimServer

EPHEMERAL_PORT_MIN = 32768
"""First port of outgoing connections, as Linux' ip_local_port_range."""


class Machine:
    """A name and an address in the simulated network."""

    def __init__(self, number: int, name: str) -> None:
        assert 0 < number < 65535, f"machine number out of range: {number}"
        self.name = name
        self.address = f"10.0.{number >> 8}.{number & 0xFF}"
        self.powered = True
        self.clock_offset_ns = 0
        """Error of its wall clock."""
        self.clock_rate = 1.0
        """Seconds of its monotonic clock in a true second; see SimLoop.drift."""
        self.listeners: dict[int, SimServer] = {}
        self.sockets: dict[SimSocket, None] = {}
        """Open connections, in the order of their making."""
        self.vanished: list[SimSocket] = []
        """Connections that a power cut took: their peers do not know yet."""
        self.processes: dict[SimProcess, None] = {}
        self.platters: dict[str, Platter] = {}
        """Disks by the path where they are mounted."""
        self._port = EPHEMERAL_PORT_MIN

    def __repr__(self) -> str:
        return f"<Machine {self.name} {self.address}>"

    def mount(self, path: str) -> Platter:
        """A new empty disk at `path`."""
        assert path not in self.platters, f"{path} is mounted already"
        platter = self.platters[path] = Platter(f"{self.name}:{path}")
        return platter

    def ephemeral_port(self) -> int:
        """A port that nobody listens on."""
        while True:
            self._port += 1
            if self._port > 65535:
                self._port = EPHEMERAL_PORT_MIN
            if self._port not in self.listeners:
                return self._port
