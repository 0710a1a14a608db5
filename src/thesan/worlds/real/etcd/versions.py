"""Which versions of etcd a journal may be trusted to."""

import re
from enum import Enum
from typing import Final, NamedTuple

_NUMBERS: Final = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")
_OLDEST_GOOD: Final = (3, 4, 22)
_BAD_FROM: Final = (3, 5, 0)
_BAD_TO: Final = (3, 5, 5)
"""3.5.0 to 3.5.2 can lose committed transactions on a member that is killed under load, up to 3.5.5
a defragmentation may (etcd-io/etcd 13766 and its CHANGELOG-3.5)."""


class Verdict(Enum):
    """What to do with a member."""

    GOOD = "good"
    WARN = "warn"
    REFUSE = "refuse"


class Judgement(NamedTuple):
    """A verdict and the sentence that goes with it; empty when it is good."""

    verdict: Verdict
    text: str


def judge(version: str) -> Judgement:
    """Judge what a member says of itself, such as `3.4.23`."""
    found = _NUMBERS.match(version)
    if found is None:
        return Judgement(Verdict.WARN, f"unknown version {version[:40]!r}")
    numbers = tuple(map(int, found.groups()))
    if _BAD_FROM <= numbers <= _BAD_TO:
        return Judgement(
            Verdict.REFUSE, f"etcd {version} can lose committed writes: update to 3.5.6 or newer"
        )
    if numbers < _OLDEST_GOOD:
        return Judgement(
            Verdict.WARN, f"etcd {version} has known faults: update to 3.4.22, 3.5.6 or newer"
        )
    return Judgement(Verdict.GOOD, "")
