"""Mutational fuzzing of every parser: `python tests/fuzz/fuzz_wire.py --inputs 1000000 --seed 1`.

Deterministic: the same seed gives the same inputs, whatever else runs. Inputs come in blocks; a
block that fails is named with the command that runs it alone. Ends with 1 on a finding, else 0.
"""

import argparse
import resource
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from mutate import mutate
from targets import TARGETS, Target

BLOCK_INPUTS = 500


@dataclass
class Tally:
    """What was done so far."""

    inputs: int = 0
    refused: int = 0
    """Inputs that ended in one of the allowed errors."""
    findings: list[str] = field(default_factory=list)
    by_target: dict[str, int] = field(default_factory=dict)


def run_block(name: str, target: Target, seed: int, block: int, tally: Tally, inputs: int) -> None:
    """`inputs` inputs of one target; stops at the first finding."""
    rng = Random(f"{seed}/{name}/{block}")
    for index in range(inputs):
        data = mutate(rng, target.seeds)
        try:
            target.feed(data, rng)
        except target.allowed:
            tally.refused += 1
        except Exception:
            tally.findings.append(
                f"{name}: input {index} of block {block}: {data[:2000].hex()}\n"
                f"{traceback.format_exc()}"
                f"again: fuzz_wire.py --seed {seed} --target '{name}' --block {block}"
            )
            return
        tally.inputs += 1
        tally.by_target[name] = tally.by_target.get(name, 0) + 1


def schedule(targets: Mapping[str, Target]) -> Iterator[tuple[str, int]]:
    """(target, block number) for ever, each as often as its weight says."""
    turn = 0
    while True:
        for name, target in targets.items():
            for part in range(target.weight):
                yield name, turn * target.weight + part
        turn += 1


def fuzz(inputs: int, seed: int, targets: Mapping[str, Target], report_s: float = 0.0) -> Tally:
    """Run `inputs` inputs over the targets; `report_s` seconds between progress lines, 0 = none."""
    tally = Tally()
    start = last = time.monotonic()
    # Few inputs are spread over all targets all the same.
    size = max(1, min(BLOCK_INPUTS, inputs // sum(target.weight for target in targets.values())))
    for name, block in schedule(targets):
        left = inputs - tally.inputs
        if not left or tally.findings:
            break
        run_block(name, targets[name], seed, block, tally, min(size, left))
        now = time.monotonic()
        if report_s and now - last >= report_s:
            last = now
            print(f"{tally.inputs} inputs, {tally.inputs / (now - start):.0f}/s", flush=True)
    return tally


def main(arguments: list[str]) -> int:
    """Exit status: 0 when nothing was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=sorted(TARGETS), help="this one only")
    parser.add_argument("--block", type=int, help="with --target: this block only")
    chosen = parser.parse_args(arguments)
    targets = {chosen.target: TARGETS[chosen.target]} if chosen.target else TARGETS
    start = time.monotonic()
    if chosen.block is not None:
        tally = Tally()
        for name, target in targets.items():
            run_block(name, target, chosen.seed, chosen.block, tally, BLOCK_INPUTS)
    else:
        tally = fuzz(chosen.inputs, chosen.seed, targets, report_s=10.0)
    seconds = time.monotonic() - start
    for name, count in sorted(tally.by_target.items()):
        print(f"{count:>10}  {name}")
    for finding in tally.findings:
        print(finding)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{tally.inputs} inputs of seed {chosen.seed} in {seconds:.1f} s "
        f"({tally.inputs / max(seconds, 1e-9):.0f}/s), {tally.refused} refused, "
        f"{len(tally.findings)} findings, peak memory {memory} MiB"
    )
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
