"""Wall clock. For data (mtime, expiry), never for a decision about mastership."""

from typing import Protocol


class Clock(Protocol):
    """Time of day; monotonic time is `loop.time()`."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        ...
