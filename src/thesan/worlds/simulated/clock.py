"""`ports.clock` of a simulated machine: virtual time, plus the error of its clock."""

from typing import Final

from thesan.core.model.units import NS_PER_S
from thesan.worlds.simulated.loop import START_SECONDS, SimLoop
from thesan.worlds.simulated.machine import Machine

START_NS: Final = 1_700_000_000 * NS_PER_S
"""Every run begins on 2023-11-14."""


class SimClock:
    """Wall clock of one machine."""

    def __init__(self, loop: SimLoop, machine: Machine) -> None:
        self._loop = loop
        self._machine = machine

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC, as this machine believes."""
        passed_ns = round((self._loop.now - START_SECONDS) * NS_PER_S)
        return START_NS + passed_ns + self._machine.clock_offset_ns

    def boot_s(self) -> float:
        """Virtual seconds; no simulated machine is ever suspended."""
        return self._loop.time()
