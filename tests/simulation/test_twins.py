"""The same seed is the same run, in another process with other string hashes."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from thesan.worlds.simulated.run import run
for seed in sys.argv[1:]:
    outcome = run(seed)
    print(seed, outcome.digest, outcome.counts, outcome.virtual_seconds)
"""


def _twin(hash_seed: str, seeds: list[str]) -> str:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *seeds],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("first", [0, 1000])
def test_twins(first):
    seeds = [str(first + number) for number in range(5)]
    told = [_twin(hash_seed, seeds) for hash_seed in ("0", "1", "random")]
    assert told[0] == told[1] == told[2]
    digests = [line.split()[1] for line in told[0].splitlines()]
    assert len(set(digests)) == len(seeds)


def test_order_of_seeds_does_not_matter():
    """Nothing leaks from one run into the next."""
    forward = _twin("0", ["5", "6", "7"]).splitlines()
    backward = _twin("0", ["7", "6", "5"]).splitlines()
    assert sorted(forward) == sorted(backward)
