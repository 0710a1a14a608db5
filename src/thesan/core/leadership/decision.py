"""Whether a standby claims the journal, decided anew at each look, with a sentence that says why.

A claim is only an attempt: it compares the owner as last seen, and every append compares it again.
A wrong decision costs a failover, never a split.
"""

from enum import Enum

import msgspec

from thesan.core.leadership.timing import Timing
from thesan.core.model.leadership_limits import HANDOVER_LAG_ENTRIES_MAX


class Claim(Enum):
    """On what ground a mastership is claimed."""

    FIRST = "first"
    """Nobody ever had the journal."""
    ALONE = "alone"
    """The instance has no other member: the last master was this one, before its restart."""
    HANDED_OVER = "handed over"
    """The master named this MGM its successor."""
    RESIGNED = "resigned"
    """The process that was master says itself that it is no more."""
    GONE = "process gone"
    """Silence, and its connection was reset or refused: the process is dead."""
    SILENT = "silent"
    """Silence."""


class Situation(msgspec.Struct, frozen=True):
    """What an MGM knows that is not master."""

    address: str
    """Its own `host:port`."""
    is_member: bool
    is_alone: bool
    fault: str
    """Why it can't be master at all, as one sentence; empty when it can."""
    is_answered: bool
    """The engine answered a moment ago."""
    owner: str
    """Address of the owner, empty when there never was one."""
    epoch: int
    silence_s: float
    head: int
    applied: int
    successor: str
    """Whom the owner of `epoch` has named; empty when nobody."""
    successor_why: str
    """What the owner gave as its reason."""
    has_resigned: bool
    is_gone: bool


class Verdict(msgspec.Struct, frozen=True):
    """What follows now."""

    why: str
    claim: Claim | None = None


def decide(now: Situation, timing: Timing) -> Verdict:
    """One cycle's verdict."""
    if not now.is_answered:
        return Verdict("the journal engine does not answer: nobody can become master")
    if now.fault:
        return Verdict(f"not eligible: {now.fault}")
    if not now.is_member:
        return Verdict("not eligible: it is no member of the instance")
    behind = now.head - now.applied
    if behind > 0:
        return Verdict(f"not eligible: {behind} journal entries behind")
    if not now.owner:
        return _nobody(now, timing)
    if now.owner == now.address and now.is_alone:
        return Verdict("the last master was this MGM, and it is alone", Claim.ALONE)
    if now.successor == now.address:
        text = f"{now.owner} hands over: {now.successor_why or 'it does not say why'}"
        return Verdict(text, Claim.HANDED_OVER)
    if now.has_resigned:
        return Verdict(f"{now.owner} says that it is not master any more", Claim.RESIGNED)
    return _by_silence(now, timing)


def is_eligible(now: Situation) -> bool:
    """It could become master within a moment, if there were none. While others write it is always
    some entries behind."""
    is_near = now.head - now.applied <= HANDOVER_LAG_ENTRIES_MAX
    return now.is_answered and not now.fault and now.is_member and is_near


def next_look_s(now: Situation, timing: Timing) -> float:
    """Seconds until the next look can say more than this one: as a rule `probe_s`."""
    limit_s = timing.silence_short_s if now.is_gone else timing.silence_s
    left_s = limit_s - now.silence_s
    return left_s if 0.0 < left_s < timing.probe_s else timing.probe_s


def _nobody(now: Situation, timing: Timing) -> Verdict:
    if now.is_alone:
        return Verdict("the instance is new, and has one MGM", Claim.FIRST)
    if now.silence_s >= timing.silence_s:
        return Verdict("the instance is new, and nobody else became its master", Claim.FIRST)
    return Verdict("the instance is new: the others get a moment")


def _by_silence(now: Situation, timing: Timing) -> Verdict:
    silence = f"{now.owner} is silent for {now.silence_s:.2f} s"
    if now.is_gone and now.silence_s >= timing.silence_short_s:
        return Verdict(f"{silence}, and its process is gone", Claim.GONE)
    if now.silence_s >= timing.silence_s:
        return Verdict(f"{silence}, the limit is {timing.silence_s:g} s", Claim.SILENT)
    if now.silence_s > timing.lease_s:
        return Verdict(f"{silence}, taken over at {timing.silence_s:g} s")
    return Verdict(f"{now.owner} is master and alive")
