"""The read lease: how long a master may answer reads without asking anybody.

It counts from SENDING the last append or beat that was confirmed, on a clock that goes on while the
machine sleeps (CLOCK_BOOTTIME). A standby counts silence from RECEIVING the last change, and for
longer: so a master's reads have ended before its successor answers. An answer that was computed too
late waits for the confirmation of something sent after it was computed: that proves that this
master was the owner then.
"""


class ReadLease:
    """`until` is read on the hot path: an answer computed now is good if now < until."""

    __slots__ = ("_length_s", "until")

    def __init__(self, length_s: float) -> None:
        """An endless lease (`inf`) is a standby's: nobody takes its answers for the latest."""
        self.until = float("inf") if length_s == float("inf") else float("-inf")
        """Boot seconds at which the lease ends."""
        self._length_s = length_s

    def confirmed(self, sent_s: float) -> None:
        """An append or a beat that was sent then is in the journal."""
        self.until = max(self.until, sent_s + self._length_s)
