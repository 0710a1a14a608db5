"""How fast a lost master is noticed: one word in the settings, five times that fit each other."""

from typing import Final

import msgspec

from thesan.core.model.errors import ConfigError
from thesan.core.model.leadership_limits import FAILOVER_SECONDS


class Timing(msgspec.Struct, frozen=True):
    """All in seconds. `lease_s` < `silence_short_s` < `silence_s`: the reads of a master have ended
    before another one may answer."""

    beat_s: float
    """An idle master writes a beat this often."""
    probe_s: float
    """Each standby looks at the journal this often."""
    silence_s: float
    """A master that wrote nothing for so long has lost its place."""
    silence_short_s: float
    """The same when its connection broke with a reset: the process is dead, its host is not."""
    lease_s: float
    """Strict reads of a master end so long after it SENT what was last confirmed."""

    @property
    def hole_s(self) -> float:
        """Looks further apart than this are a hole: what happened in it nobody knows."""
        return self.silence_s / 3


TIMINGS: Final = {word: Timing(*seconds) for word, seconds in FAILOVER_SECONDS.items()}


def timing_of(word: str) -> Timing:
    """The times of `fast`, `normal` or `slow`. Raises ConfigError."""
    timing = TIMINGS.get(word)
    if timing is None:
        raise ConfigError(f"failover: {word!r} is none of {', '.join(TIMINGS)}")
    return timing
