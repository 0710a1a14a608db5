"""`python -m benchmarks.failover --cases kill,hostgone --runs 20 --json FILE`."""

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from benchmarks.failover import engine, hardware, network, report
from benchmarks.failover.bed import bed
from benchmarks.failover.cases import CASES, cannot
from benchmarks.failover.cluster import Settings
from benchmarks.failover.network import BedError
from benchmarks.failover.runs import Result, repeat

ALL = {**CASES, **hardware.HARDWARE}
DEFAULT_CASES = "kill,hostgone,handover,stop,engine-leader,partition-engine,partition-full,busy"


def main() -> int:
    """Run the chosen cases and print the table. 1 when anything was lost or seen that must not."""
    options = _parser().parse_args()
    # Whoever ends the bench ends the bed with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    names = [name for name in options.cases.split(",") if name]
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"no such case: {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    why = network.missing() or (engine.missing() if options.engine == "etcd" else "")
    if why:
        print(f"the failover bench can't run here: {why}", file=sys.stderr)
        return 2
    results: dict[str, list[Result]] = {}
    for name in names:
        if why := cannot(ALL[name]):
            print(f"{name}: left out, {why}")
            continue
        results[name] = _case(name, options)
        if options.json:
            options.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    print("\n" + report.header())
    for of_case in results.values():
        if of_case:
            print(report.row(of_case))
    return int(any(result.faults for of_case in results.values() for result in of_case))


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="benchmarks.failover", description=__doc__)
    top.add_argument("--cases", default=DEFAULT_CASES, help=f"of {', '.join(ALL)}")
    top.add_argument("--runs", type=int, default=20)
    top.add_argument("--hold", type=float, help="seconds between a fault and its end, at least")
    top.add_argument("--engine", choices=["etcd", "sqlite"], default="etcd")
    top.add_argument("--json", type=Path, help="every figure of every run")
    top.add_argument("--disk", type=Path, help="directory for all data; memory by default")
    top.add_argument("--keep", type=Path, help="keep logs and records below this directory")
    top.add_argument("--no-xrdcp", action="store_true")
    return top


def _case(name: str, options: argparse.Namespace) -> list[Result]:
    """All runs of a case; a new bed when one was left in pieces."""
    case, done = ALL[name], list[Result]()
    if options.hold is not None:
        case = replace(case, hold_s=options.hold)
    print(f"{name}: {case.text}", flush=True)

    def tell(result: Result) -> None:
        result.run = len(done) + 1
        done.append(result)
        print(report.line(result), flush=True)

    failures = 0
    while len(done) < options.runs and failures < 3:
        try:
            with (
                _place(name, options, failures) as root,
                bed(root, _settings(name, root, options.engine)) as one,
            ):
                if not options.no_xrdcp:
                    one.start_xrdcp()
                repeat(one, case, options.runs - len(done), tell)
                late = [event for event in one.stop_xrdcp() if not event.ok]
                done[-1].xrdcp_errors += [f"{e.op} {e.path}: {e.error}" for e in late]
                for crash in one.cluster.crashes():
                    print(f"  CRASH {crash}", flush=True)
        except BedError as error:
            print(f"  the bed failed: {error}", flush=True)
        failures += 1
    return done


def _settings(name: str, root: Path, engine_name: str) -> Settings:
    return (
        hardware.settings(name, root) if name in hardware.HARDWARE else Settings(engine=engine_name)
    )


@contextlib.contextmanager
def _place(name: str, options: argparse.Namespace, number: int) -> Iterator[Path]:
    if options.keep:
        place = Path(options.keep) / f"{name}-{number}"
        place.mkdir(parents=True)
        yield place
        return
    memory = Path("/dev/shm")
    where = options.disk or (memory if memory.is_dir() else None)
    with tempfile.TemporaryDirectory(prefix="thesan-failover-", dir=where) as directory:
        yield Path(directory)


if __name__ == "__main__":
    sys.exit(main())
