"""Whole instances under seeded misfortune: nothing acknowledged is lost, nothing appears by itself.

THESAN_SIM_SEEDS sets how many seeds run (60), THESAN_SIM_FIRST the first one (0).
"""

import os

import pytest

from thesan.worlds.simulated.run import run

CHUNK = 10
COUNT = int(os.environ.get("THESAN_SIM_SEEDS", "60"))
FIRST = int(os.environ.get("THESAN_SIM_FIRST", "0"))


def _red(seeds) -> list[str]:
    outcomes = [run(seed) for seed in seeds]
    return [str(outcome) for outcome in outcomes if not outcome.ok]


def test_seeds_that_were_red_once(regression):
    assert not (red := _red([regression])), "\n\n".join(red)


@pytest.mark.parametrize("start", range(FIRST, FIRST + COUNT, CHUNK))
def test_seeds(start):
    seeds = range(start, min(start + CHUNK, FIRST + COUNT))
    assert not (red := _red(seeds)), "\n\n".join(red)
