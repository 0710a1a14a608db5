"""`ports.clock` of this machine."""

import time


class RealClock:
    """The system's time of day."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    def boot_s(self) -> float:
        """Seconds since the start of the machine, suspends included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
