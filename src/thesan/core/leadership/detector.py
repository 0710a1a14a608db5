"""The failure detector: silence of the master, counted only while the journal engine answers.

A standby looks at the journal every `probe_s`. Two looks that are equal mean that nothing was
written between them, not even a beat. Silence counts from the later of: the last look that showed
something new, the first look after a hole in the looks. A hole is an engine that did not answer
(the master could not beat then either), or this very process standing still. So an engine that
elects a new leader, however long it takes, makes nobody suspect the master.
"""

from thesan.core.leadership.timing import Timing


class Detector:
    """All times are boot seconds of one machine. `look` is compared whole, never understood."""

    def __init__(self, timing: Timing) -> None:
        self._hole_s = timing.hole_s
        self._look: object = None
        self._since_s = 0.0
        self._received_s = float("-inf")
        self._sent_s = float("-inf")
        self.last_change_s = float("-inf")
        """When something new was seen last."""

    def saw(self, look: object, sent_s: float, received_s: float) -> None:
        """A look that was asked for at `sent_s` and came at `received_s`."""
        if look != self._look:
            self.last_change_s = received_s
            self._since_s = received_s
        elif sent_s - self._received_s > self._hole_s or received_s - sent_s > self._hole_s:
            self._since_s = received_s
        self._look = look
        self._sent_s = sent_s
        self._received_s = received_s

    @property
    def silence_s(self) -> float:
        """Seconds in which the master certainly wrote nothing, up to the last look."""
        return max(0.0, self._sent_s - self._since_s)

    def age_s(self, now_s: float) -> float:
        """Seconds since the last look; endless before the first."""
        return now_s - self._received_s
