"""Counters of an MGM: how often what was asked, how fast, and how long it took.

Counting is on the hot path, so it is one dictionary write. Durations are those of every
FIGURES_SAMPLE_EVERYth request: time spent in the handler, not the wait for the journal.
"""

from collections import deque
from math import sqrt
from typing import Final

from thesan.core.control import messages
from thesan.core.model.limits import FIGURES_DURATIONS_KEPT, FIGURES_SAMPLE_SECONDS
from thesan.core.wire import requests
from thesan.roles.mgm.admin.context import OpFigures

NAMES: Final[dict[type, str]] = {
    requests.Open: "Open",
    requests.Stat: "Stat",
    requests.StatX: "StatX",
    requests.DirList: "OpenDir",
    requests.Locate: "Locate",
    requests.Mkdir: "Mkdir",
    requests.Rm: "Rm",
    requests.Rmdir: "RemDir",
    requests.Mv: "Rename",
    requests.Chmod: "Chmod",
    requests.Truncate: "Truncate",
    requests.Query: "Query",
    requests.FAttr: "FAttr",
    requests.Prepare: "Prepare",
    requests.Set: "Set",
    messages.Beat: "Beat",
    messages.Commit: "Commit",
    messages.Inquire: "Inquire",
    messages.FsRegister: "FsRegister",
    messages.Admin: "Admin",
    messages.FileOp: "FileOp",
}
"""Counters as EOS names them where it has the operation."""
OTHER: Final = "Other"
_WINDOW_S_MAX: Final = 3600.0


class Figures:
    """One per process. `now_s` is monotonic; call `sample` every FIGURES_SAMPLE_SECONDS."""

    def __init__(self, start_ns: int, now_s: float) -> None:
        self.start_ns = start_ns
        """Wall-clock start of the process."""
        self.calls: dict[type, int] = dict.fromkeys(NAMES, 0)
        self._durations: dict[type, deque[float]] = {}
        self._samples: deque[tuple[float, dict[type, int]]] = deque(
            [(now_s, dict(self.calls))],
            maxlen=int(_WINDOW_S_MAX / FIGURES_SAMPLE_SECONDS) + 1,
        )

    def count(self, kind: type) -> None:
        """One more request of this type."""
        self.calls[kind] = self.calls.get(kind, 0) + 1

    def took(self, kind: type, seconds: float) -> None:
        """Duration of one request; the last FIGURES_DURATIONS_KEPT count."""
        kept = self._durations.get(kind)
        if kept is None:
            kept = self._durations[kind] = deque(maxlen=FIGURES_DURATIONS_KEPT)
        kept.append(seconds)

    def sample(self, now_s: float) -> None:
        """Remember how much was counted until now."""
        self._samples.append((now_s, dict(self.calls)))

    def counts(self) -> dict[str, int]:
        """Requests by counter name, those that never came left out."""
        found: dict[str, int] = {}
        for kind, count in self.calls.items():
            if count:
                name = NAMES.get(kind, OTHER)
                found[name] = found.get(name, 0) + count
        return found

    def table(self, now_s: float) -> tuple[OpFigures, ...]:
        """Everything `ns stat` shows, by name."""
        rows = [self._row(kind, name, now_s) for kind, name in NAMES.items() if self.calls[kind]]
        return tuple(sorted(rows, key=lambda row: row.name))

    def _row(self, kind: type, name: str, now_s: float) -> OpFigures:
        times = sorted(1000.0 * seconds for seconds in self._durations.get(kind, ()))
        mean = sum(times) / len(times) if times else 0.0
        variance = sum((ms - mean) ** 2 for ms in times) / len(times) if times else 0.0
        return OpFigures(
            name,
            self.calls[kind],
            self._rate(kind, 5.0, now_s),
            self._rate(kind, 60.0, now_s),
            self._rate(kind, 300.0, now_s),
            self._rate(kind, _WINDOW_S_MAX, now_s),
            round(mean, 4),
            round(sqrt(variance), 4),
            round(times[int(0.99 * (len(times) - 1))], 4) if times else 0.0,
            round(times[-1], 4) if times else 0.0,
        )

    def _rate(self, kind: type, window_s: float, now_s: float) -> float:
        """Requests per second since the youngest sample that is at least `window_s` old, or since
        the oldest there is."""
        at_s, counts = self._samples[0]
        for sample_s, sample in reversed(self._samples):
            at_s, counts = sample_s, sample
            if now_s - sample_s >= window_s:
                break
        if now_s <= at_s:
            return 0.0
        return round((self.calls[kind] - counts.get(kind, 0)) / (now_s - at_s), 2)
