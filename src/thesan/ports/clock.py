"""Clocks beside `loop.time()`: the wall clock, for data (mtime, expiry) and never for a decision
about mastership; and the one that goes on while the machine sleeps, for the read lease."""

from typing import Protocol


class Clock(Protocol):
    """Time of day; monotonic time is `loop.time()`."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        ...

    def boot_s(self) -> float:
        """Monotonic seconds that also pass while the machine is suspended (CLOCK_BOOTTIME)."""
        ...
