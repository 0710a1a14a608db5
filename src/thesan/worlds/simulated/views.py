"""What administrators are told, and whether every MGM tells them the same."""

from collections.abc import Mapping
from typing import Any, Final

VIEWS: Final = (
    ("fs", "ls"),
    ("node", "ls"),
    ("group", "ls"),
    ("space", "ls"),
    ("vid", "ls"),
    ("quota", "ls"),
    ("config", "ls"),
)
"""Questions that all MGMs have to answer alike at rest."""
VOLATILE: Final = (
    "heartbeat",
    "age",
    "stat.timestamp",
    "stat.sockets",
    "stat.disk",
    "stat.net",
    "sys.uptime",
    "sys.sockets",
)
"""Beginnings and ends of keys whose values are of a moment, not of the instance."""
FIGURES: Final = ("statfs", "sched.", "bytes", "files", "usage", "filled", "load")
"""Parts of keys that follow every write: equal only when nothing is under way any more."""
Records = list[dict[str, Any]]


def differences(
    answers: Mapping[str, Mapping[tuple[str, str], Records]], *, figures: bool
) -> list[str]:
    """A sentence for each question that two MGMs answer differently. Keyed by MGM."""
    names = list(answers)
    faults = []
    for question in VIEWS:
        first = _lasting(answers[names[0]][question], figures=figures)
        for name in names[1:]:
            other = _lasting(answers[name][question], figures=figures)
            if other != first:
                what = " ".join(question)
                faults.append(f"{what}: {names[0]} and {name} differ: {_where(first, other)}")
    return faults


def _lasting(records: Records, *, figures: bool) -> Records:
    return [
        {
            key: value
            for key, value in record.items()
            if not key.startswith(VOLATILE)
            and not key.endswith(VOLATILE)
            and (figures or not any(word in key for word in FIGURES))
        }
        for record in records
    ]


def _where(one: Records, other: Records) -> str:
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} records"
    for number, (mine, yours) in enumerate(zip(one, other, strict=True)):
        keys = [key for key in {**mine, **yours} if mine.get(key) != yours.get(key)]
        if keys:
            key = keys[0]
            return f"record {number}, {key}: {mine.get(key)!r} and {yours.get(key)!r}"
    return "the order"
