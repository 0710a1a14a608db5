"""When which fault really struck: what a checker has to know to call something unprovoked."""

import math
from dataclasses import dataclass
from typing import Final

from thesan.worlds.simulated.atlas import (
    BLINDS_ALL,
    COSTS_MASTERSHIP,
    STALL_SECONDS_HARMLESS,
    Fault,
    FaultKind,
)

AFTERMATH_SECONDS: Final = 8.0
"""A fault may be the reason of a change of master so long after it ended: deadlines of the engine,
silence, and what a master decides by itself after trouble."""


@dataclass(slots=True)
class Struck:
    """One fault in true time."""

    fault: Fault
    begun_at: float
    ended_at: float = math.inf


class FaultLog:
    """Faults in the order of their begin."""

    def __init__(self) -> None:
        self._struck: list[Struck] = []

    def begins(self, fault: Fault, now: float) -> None:
        """It strikes."""
        self._struck.append(Struck(fault, now))

    def ends(self, fault: Fault, now: float) -> None:
        """It was undone."""
        for one in self._struck:
            if one.fault is fault and one.ended_at == math.inf:
                one.ended_at = now

    def last_of(self, machine: str, now: float, start: float) -> float:
        """When the last fault of a machine ended; `now` while there is one, `start` without any."""
        ends = [one.ended_at for one in self._struck if machine in one.fault.targets]
        return min(now, max(ends, default=start))

    def excuses_takeover(self, master: str, at: float) -> bool:
        """Whether a master on that machine had a reason to fall silent before `at`."""
        return any(
            one.begun_at <= at <= one.ended_at + AFTERMATH_SECONDS and _may_silence(one, master)
            for one in self._struck
        )


def _may_silence(one: Struck, master: str) -> bool:
    fault = one.fault
    if fault.kind in BLINDS_ALL:
        return True
    if master not in fault.targets:
        return False
    if fault.kind is FaultKind.MGM_STALL:
        return fault.seconds > STALL_SECONDS_HARMLESS
    return fault.kind in COSTS_MASTERSHIP
