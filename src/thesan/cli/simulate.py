"""`thesan simulate`: the whole instance in one process and in virtual time, decided by a seed.

MGMs, FSTs and clients run as they run in production, on a simulated network, journal engine and
disks, while daemons are killed, links cut and disks slowed. Whoever finds a seed that is red can
hand it to somebody else: it will be red there too.
"""

import argparse
import datetime
import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from thesan import __version__
from thesan.cli.context import Context, Output
from thesan.core.leadership.timing import TIMINGS
from thesan.worlds.simulated.cluster import Shape
from thesan.worlds.simulated.run import Outcome, RunSettings
from thesan.worlds.simulated.run import run as run_seed

EXIT_VIOLATED: Final = 1
_LEDGER_HEAD: Final = """# Simulated hours

Hours of whole instances under faults, in virtual time, and the runs in which a promise was broken.
`thesan simulate --ledger FILE` appends a row.

| day | commit | instance | seeds | hours | faults | epochs | calls | violated |
|---|---|---|---|---|---|---|---|---|
"""
_FAILURES_SHOWN: Final = 20


def run(context: Context, argv: list[str]) -> int:
    """As a command of `thesan`: with -j one JSON object for each seed."""
    return _simulate(argv, as_json=context.output is Output.JSON)


def main(argv: list[str]) -> int:
    """Run seeds and tell what came of them. Exit status 0, or 1 when a promise was broken."""
    return _simulate(argv, as_json=False)


def _simulate(argv: list[str], *, as_json: bool) -> int:
    options = _parser().parse_args(argv)
    settings = RunSettings(
        seconds=options.seconds,
        pause_mean=options.pause,
        fault_count_max=options.faults,
        faults=not options.calm,
        story=options.story,
        shape=Shape(
            mgm_count=options.mgm,
            fst_count=options.fst,
            client_count=options.clients,
            replica_count=options.replicas,
            failover=options.failover,
        ),
    )
    began = time.perf_counter()
    outcomes = []
    for number in range(options.count):
        outcome = run_seed(_next_seed(options.seed, number), settings)
        if options.story:
            print("\n".join(outcome.story))
        if as_json:
            print(json.dumps(_record(outcome)), flush=True)
        elif options.count == 1 or options.verbose or not outcome.ok:
            print(_told(outcome), flush=True)
        # Only the figures are kept: a thousand stories would be a gigabyte.
        outcomes.append(replace(outcome, story=[]))
    red = [outcome.seed for outcome in outcomes if not outcome.ok]
    if not as_json:
        print(_summary(outcomes, red, time.perf_counter() - began))
    if options.ledger:
        _enter(Path(options.ledger), _ledger_line(outcomes, red, options))
    return EXIT_VIOLATED if red else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="thesan simulate",
        description="Run the whole instance in a simulated world: same seed, same run.",
    )
    parser.add_argument("--seed", default="1", help="number (or word) that decides everything")
    parser.add_argument("--count", type=int, default=1, help="run so many seeds, from --seed on")
    parser.add_argument("--seconds", type=float, default=RunSettings.seconds, help="of work")
    parser.add_argument("--mgm", type=int, default=Shape.mgm_count)
    parser.add_argument("--clients", type=int, default=Shape.client_count)
    parser.add_argument("--fst", type=int, default=Shape.fst_count)
    parser.add_argument("--replicas", type=int, default=Shape.replica_count)
    parser.add_argument(
        "--pause", type=float, default=RunSettings.pause_mean, help="of a client between two calls"
    )
    parser.add_argument(
        "--faults", type=int, default=RunSettings.fault_count_max, help="most faults of a run"
    )
    parser.add_argument(
        "--failover",
        choices=list(TIMINGS),
        default=Shape.failover,
        help="how fast a lost master is noticed",
    )
    parser.add_argument("--calm", action="store_true", help="no faults")
    parser.add_argument("--story", action="store_true", help="print every event")
    parser.add_argument("--ledger", metavar="FILE", help="append what was run to this table")
    parser.add_argument("--verbose", action="store_true", help="tell of every seed")
    return parser


def _next_seed(first: str, number: int) -> str:
    if first.isascii() and first.isdecimal():
        return str(int(first) + number)
    return first if number == 0 else f"{first}.{number}"


def _told(outcome: Outcome) -> str:
    """One seed for a person."""
    lines = [f"seed {outcome.seed}: {'ok' if outcome.ok else 'VIOLATED'}, digest {outcome.digest}"]
    lines += [f"  fault    {text}" for text in outcome.plan]
    lines += [f"  unknown  {text}" for text in outcome.unknown]
    for text in outcome.violations[:_FAILURES_SHOWN]:
        lines.append("  BROKEN   " + text.rstrip().replace("\n", "\n           "))
    counts = [f"{count} {name}" for name, count in outcome.counts.items()]
    lines.append(f"  {', '.join(counts)}; {outcome.virtual_seconds:.1f} s of virtual time")
    return "\n".join(lines)


def _summary(outcomes: list[Outcome], red: list[str], seconds: float) -> str:
    virtual = sum(outcome.virtual_seconds for outcome in outcomes)
    acknowledged = sum(outcome.counts["acknowledged"] for outcome in outcomes)
    faults = sum(outcome.counts["faults"] for outcome in outcomes)
    text = (
        f"{len(outcomes)} runs, {virtual / 3600:.2f} hours of an instance in {seconds:.1f} s: "
        f"{acknowledged} calls acknowledged under {faults} faults, "
    )
    if not red:
        return text + "nothing lost, nothing wrong"
    return text + f"{len(red)} runs VIOLATED: seeds {', '.join(red[:_FAILURES_SHOWN])}"


def _ledger_line(outcomes: list[Outcome], red: list[str], options: argparse.Namespace) -> str:
    """One row of the ledger: what was run, for how long, and what came of it."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    shape = f"{options.mgm} MGM, {options.fst} FST, {options.clients} clients"
    if options.failover != Shape.failover:
        shape += f", {options.failover} failover"
    seeds = outcomes[0].seed if len(outcomes) == 1 else f"{outcomes[0].seed}..{outcomes[-1].seed}"
    virtual = sum(outcome.virtual_seconds for outcome in outcomes)
    cells = (
        today,
        _commit(),
        f"{shape}, {options.seconds:g} s{', calm' * options.calm}",
        seeds,
        f"{virtual / 3600:.2f}",
        str(sum(outcome.counts["faults"] for outcome in outcomes)),
        str(sum(outcome.counts["epochs"] for outcome in outcomes)),
        str(sum(outcome.counts["acknowledged"] for outcome in outcomes)),
        str(len(red)) + (f" ({', '.join(red[:_FAILURES_SHOWN])})" if red else ""),
    )
    return f"| {' | '.join(cells)} |\n"


def _commit() -> str:
    """Of the source tree that runs here, or the version where there is none."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    return told.stdout.strip() or __version__


def _enter(path: Path, line: str) -> None:
    """Append to the table; a new file gets its head first."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        file.write((_LEDGER_HEAD if is_new else "") + line)


def _record(outcome: Outcome) -> dict[str, object]:
    return {
        "seed": outcome.seed,
        "ok": outcome.ok,
        "digest": outcome.digest,
        "virtual_seconds": outcome.virtual_seconds,
        "counts": outcome.counts,
        "faults": outcome.plan,
        "unknown": outcome.unknown,
        "violations": outcome.violations,
    }
