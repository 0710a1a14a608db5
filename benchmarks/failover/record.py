"""What clients saw, as JSON lines, and what follows from it: gaps, errors, losses. Pure.

All times are seconds of CLOCK_MONOTONIC: every process of a bed runs on one machine.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

ABSENT: Final = ""
"""Digest of a name that is not there."""


class Event(msgspec.Struct, frozen=True):
    """One turn of a lane."""

    lane: str
    began: float
    ended: float
    op: str
    path: str = ""
    error: str = ""
    """What the client saw instead of success; empty when it was acknowledged."""
    place: str = ""
    """Server that a failure names, `host:port`."""

    @property
    def ok(self) -> bool:
        """Acknowledged, and what was read was right."""
        return not self.error


class Verdict(msgspec.Struct):
    """What a client process found when it read everything back."""

    acknowledged: int = 0
    """Names whose content was acknowledged and that were looked at."""
    lost: list[str] = msgspec.field(default_factory=list)
    """Acknowledged, and gone or with other bytes."""
    revenants: list[str] = msgspec.field(default_factory=list)
    """Acknowledged as removed, and there again."""
    strangers: list[str] = msgspec.field(default_factory=list)
    """Names that nobody made."""

    @property
    def faults(self) -> list[str]:
        """All of it."""
        return [*self.lost, *self.revenants, *self.strangers]


class Sighting(msgspec.Struct, frozen=True):
    """What one MGM answered to a client that wanted the master."""

    at: float
    host: str
    role: str
    """master (it served), redirect, wait, silent, error."""
    target: str = ""
    """Host that it sent the client to."""
    took: float = 0.0
    text: str = ""


class FsSighting(msgspec.Struct, frozen=True):
    """What one MGM said of the filesystems."""

    at: float
    host: str
    bad: list[str]
    """`host:path boot active` of each that is not booted and online."""


@dataclass
class Ledger:
    """What every name may hold: one digest after an acknowledged operation, more after one whose
    outcome nobody knows."""

    allowed: dict[str, set[str]] = field(default_factory=dict)

    def begin(self, path: str, digest: str) -> None:
        """An operation was sent that makes it so."""
        self.allowed.setdefault(path, {ABSENT}).add(digest)

    def acknowledge(self, path: str, digest: str) -> None:
        """It was answered: nothing else may be there from now on."""
        self.allowed[path] = {digest}

    def judge(self, found: Mapping[str, str]) -> Verdict:
        """`found`: digest of every name that is there."""
        verdict = Verdict()
        for path in sorted({*self.allowed, *found}):
            allowed, digest = self.allowed.get(path), found.get(path, ABSENT)
            if allowed is None:
                verdict.strangers.append(path)
                continue
            verdict.acknowledged += len(allowed) == 1
            if digest in allowed:
                continue
            if allowed == {ABSENT}:
                verdict.revenants.append(path)
            else:
                state = "is gone" if digest == ABSENT else f"holds {digest}"
                verdict.lost.append(f"{path} {state}, not {sorted(allowed)}")
        return verdict


@dataclass(frozen=True)
class Gap:
    """The longest time between two successes of one lane."""

    lane: str
    seconds: float
    began: float
    is_over: bool = True
    """False: there was no success after it."""


def load(path: Path, kind: type[msgspec.Struct]) -> list[msgspec.Struct]:
    """Lines of a record; a last line that was cut by a kill is left out."""
    decoder = msgspec.json.Decoder(kind)
    lines = path.read_bytes().split(b"\n")
    return [decoder.decode(line) for line in lines[:-1] if line]


def gaps(events: Iterable[Event], start: float, end: float) -> list[Gap]:
    """The longest gap of each lane that touches [start, end], worst first.

    A lane that had no success at all in it has a gap from `start` to `end`, not over.
    """
    successes: dict[str, list[float]] = {}
    for event in events:
        times = successes.setdefault(event.lane, [])
        if event.ok:
            times.append(event.ended)
    worst = []
    for lane, times in successes.items():
        times.sort()
        before = [time for time in times if time <= start]
        after = [time for time in times if time > end]
        within = [time for time in times if start < time <= end]
        points = [*(before[-1:] or [start]), *within, *(after[:1] or [end])]
        gap = max(pairwise(points), key=lambda pair: pair[1] - pair[0], default=(start, end))
        is_over = bool(after or within) and not (gap[1] == end and not after)
        worst.append(Gap(lane, gap[1] - gap[0], gap[0], is_over))
    return sorted(worst, key=lambda one: -one.seconds)


def errors(events: Iterable[Event], start: float, end: float) -> list[Event]:
    """Turns that failed and touch [start, end]."""
    return [event for event in events if not event.ok and start <= event.ended <= end]


def masters(sightings: Iterable[Sighting], start: float, end: float) -> list[str]:
    """Hosts that served as master, in the order of their first service in [start, end]."""
    return list(
        dict.fromkeys(
            one.host for one in sightings if one.role == "master" and start <= one.at <= end
        )
    )


def new_master_at(sightings: Iterable[Sighting], old: str, start: float) -> tuple[str, float]:
    """(host, time) of the first service of another master; ("", 0) when there was none."""
    for one in sightings:
        if one.role == "master" and one.host != old and one.at >= start:
            return one.host, one.at
    return "", 0.0


def wrong_redirects(
    sightings: Iterable[Sighting], master: str, start: float, end: float
) -> list[Sighting]:
    """Redirects in [start, end] to somebody who is not the master any more."""
    return [
        one
        for one in sightings
        if one.role == "redirect" and one.target != master and start <= one.at <= end
    ]


def services_by(
    sightings: Iterable[Sighting], host: str, start: float, end: float
) -> list[Sighting]:
    """Answers as master by a host that was no master in [start, end]."""
    return [
        one
        for one in sightings
        if one.role == "master" and one.host == host and start <= one.at <= end
    ]


def percentile(values: Iterable[float], share: float) -> float:
    """By nearest rank; 0 of nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    rank = max(0, min(len(ordered) - 1, -(-int(share * 1000) * len(ordered) // 1000) - 1))
    return ordered[rank]


def to_json(value: object) -> str:
    """One line."""
    return json.dumps(msgspec.to_builtins(value))
