"""Handing over on purpose: to whom, and when a master should do so without being told."""

from collections import deque
from collections.abc import Iterable

import msgspec

from thesan.core.model.leadership_limits import (
    HANDOVER_HEARD_ENTRIES_MAX,
    TROUBLES_PER_WINDOW_MAX,
    TROUBLES_WINDOW_SECONDS,
)


class Candidate(msgspec.Struct, frozen=True):
    """Another MGM, as it describes itself."""

    address: str
    is_online: bool
    is_eligible: bool
    applied: int
    why: str
    """Its own sentence."""


def refusal(candidate: Candidate, head: int) -> str:
    """Why a hand-over to this MGM can't be begun; empty when it can."""
    if not candidate.is_online:
        return f"{candidate.address} is not heard"
    lag = head - candidate.applied
    if lag > HANDOVER_HEARD_ENTRIES_MAX:
        return f"{candidate.address} is {lag} journal entries behind"
    # A beat is up to a second old: it may have been a few entries behind when it said so.
    if not candidate.is_eligible and candidate.applied >= head:
        return f"{candidate.address} can't be master: {candidate.why}"
    return ""


def best_successor(candidates: Iterable[Candidate], head: int) -> str:
    """Who would be next: of those that can, the one that is furthest. Empty when nobody can."""
    able = [one for one in candidates if one.is_eligible and not refusal(one, head)]
    able.sort(key=lambda one: (-one.applied, one.address))
    return able[0].address if able else ""


class Troubles:
    """What went wrong with this master lately. Once is weather; again and again, another MGM may
    do better."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, str]] = deque()

    def note(self, what: str, now_s: float) -> None:
        """Something went wrong; `what` is a sentence."""
        self._recent.append((now_s, what))

    def verdict(self, now_s: float) -> str:
        """Why this master should hand over; empty when it need not."""
        while self._recent and now_s - self._recent[0][0] > TROUBLES_WINDOW_SECONDS:
            self._recent.popleft()
        if len(self._recent) < TROUBLES_PER_WINDOW_MAX:
            return ""
        return f"{self._recent[-1][1]}, {len(self._recent)} troubles in a short time"

    def forget(self) -> None:
        """They led to something; begin anew."""
        self._recent.clear()
