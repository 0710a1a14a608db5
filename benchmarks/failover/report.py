"""The table of `make failover-bench`."""

from collections.abc import Iterable, Sequence

from benchmarks.failover.record import percentile
from benchmarks.failover.runs import Result

COLUMNS = (
    ("case", 20),
    ("runs", 4),
    ("gap p50", 7),
    ("p90", 6),
    ("max", 6),
    ("takeover", 8),
    ("switches", 8),
    ("equal", 6),
    ("err thesan", 10),
    ("err xrdcp", 9),
    ("(its FST)", 10),
    ("lost", 4),
    ("of", 6),
    ("manual", 6),
    ("FSTs", 4),
    ("offline", 7),
    ("redirects", 9),
    ("stale", 5),
)
"""Heading and width. FSTs: restarted; offline: sightings of living filesystems not online;
redirects: to a deposed master after 1 s; stale: answers by one."""


LONG_SECONDS = 3.0
"""Whoever is not whole for longer has to say what was missing."""


def header() -> str:
    """First line."""
    return "  ".join(
        name.rjust(width) if at else name.ljust(width) for at, (name, width) in _each()
    )


def _each() -> Iterable[tuple[int, tuple[str, int]]]:
    return enumerate(COLUMNS)


def row(results: Sequence[Result]) -> str:
    """Line of one case."""
    gaps = [result.gap for result in results]
    values: list[str] = [
        results[0].case,
        str(len(results)),
        f"{percentile(gaps, 0.5):.2f}",
        f"{percentile(gaps, 0.9):.2f}",
        f"{max(gaps):.2f}",
        f"{percentile([r.takeover for r in results], 0.5):.2f}",
        str(sum(max(0, len(r.masters) - 1) for r in results)),
        f"{max(r.equal_after for r in results):.2f}",
        *(
            str(sum(len(each) for each in lists))
            for lists in (
                [r.errors for r in results],
                [r.xrdcp_errors for r in results],
                [r.xrdcp_errors_on_dead for r in results],
                [r.lost for r in results],
            )
        ),
        str(sum(r.acknowledged for r in results)),
        str(sum(r.manual_steps for r in results)),
        *(
            str(sum(len(each) for each in lists))
            for lists in (
                [r.fsts_restarted for r in results],
                [r.bad_filesystems for r in results],
                [r.wrong_redirects for r in results],
                [r.stale_services for r in results],
            )
        ),
    ]
    return "  ".join(
        value.rjust(width) if at else value.ljust(width)
        for (at, (_, width)), value in zip(_each(), values, strict=True)
    )


def line(result: Result) -> str:
    """One run, for who watches."""
    text = (
        f"  {result.case} {result.run}: gap {result.gap:.2f} s ({result.gap_lane}), "
        f"{' -> '.join(result.masters) or result.master}, "
        f"takeover {result.takeover:.2f} s, "
        f"equal {result.equal_after:.2f} s, whole {result.whole_after:.1f} s, "
        f"before {result.quiet_gap:.2f} s, xrdcp {result.xrdcp_copies} copies, "
        f"slowest {result.xrdcp_slowest:.1f} s"
    )
    for switch in result.switches:
        text += f"\n    {switch[:300]}"
    if result.whole_after > LONG_SECONDS:
        text += f"\n    whole last: {result.broken[:900]}"
    faults = result.faults
    shown = [f"    {fault}"[:400] for fault in faults[:6]]
    if len(faults) > len(shown):
        shown.append(f"    and {len(faults) - len(shown)} more")
    return "\n".join([text, *shown])
