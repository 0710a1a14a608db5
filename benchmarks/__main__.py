"""`python -m benchmarks [metadata creates bulk] [--seconds S] [--json FILE]`."""

import argparse
import json
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from benchmarks import bulk, creates, metadata
from thesan.cli.demo.plan import ENGINES


def main() -> None:
    """Run the chosen parts and print the ratios."""
    top = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    top.add_argument("parts", nargs="*", default=["metadata", "creates", "bulk"])
    top.add_argument("--seconds", type=float, default=1.5, help="length of one metadata point")
    top.add_argument("--disk", type=Path, help="where `creates` works: a real disk, not tmpfs")
    top.add_argument("--engine", choices=ENGINES, default="sqlite", help="of `creates`")
    top.add_argument("--rounds", type=int, default=2, help="rounds of creates and bulk")
    top.add_argument("--size-mib", type=int, default=1024)
    top.add_argument("--json", type=Path)
    options = top.parse_args()
    results: dict[str, object] = {}
    memory = Path("/dev/shm")
    where = str(memory) if memory.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="thesan-bench-", dir=where) as name:
        directory = Path(name)
        directory.chmod(0o755)
        if "metadata" in options.parts:
            (directory / "m").mkdir()
            points = metadata.run(directory / "m", options.seconds)
            results["metadata"] = points
            _ratios(points, ("case", "connections", "depth"), "cpu_us")
            shutil.rmtree(directory / "m", ignore_errors=True)
        if "bulk" in options.parts:
            (directory / "b").mkdir()
            transfers = bulk.run(directory / "b", options.rounds, options.size_mib << 20)
            results["bulk"] = transfers
            _ratios(transfers, ("case", "pages", "streams"), "cpu_s_per_gib")
    if "creates" in options.parts:
        with tempfile.TemporaryDirectory(prefix="thesan-bench-", dir=options.disk) as name:
            Path(name).chmod(0o755)
            made = creates.run(Path(name), options.seconds, options.rounds, options.engine)
        results["creates"] = made
        _ratios(made, ("case", "connections", "depth"), "cpu_us")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def _ratios(rows: list[dict[str, object]], keys: tuple[str, ...], figure: str) -> None:
    """Median of ours over median of native, per point: below 1 we are cheaper."""
    groups: dict[tuple[object, ...], dict[bool, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        group = tuple(row[key] for key in keys)
        groups[group][str(row["side"]).startswith("thesan")].append(float(str(row[figure])))
    print(f"\n{'CPU, thesan / native':40} ratio")
    for group, sides in groups.items():
        if sides[True] and sides[False]:
            label = " ".join(str(part) for part in group)
            print(f"{label:40} {median(sides[True]) / median(sides[False]):5.2f}")


if __name__ == "__main__":
    main()
