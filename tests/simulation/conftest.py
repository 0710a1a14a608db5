"""Everything in this folder runs the whole instance in the simulated world."""

from pathlib import Path

import pytest

REGRESSIONS = Path(__file__).parent / "regressions.txt"


def regression_seeds() -> list[str]:
    """Seeds that were red once: one a line, the reason behind a `#`."""
    lines = REGRESSIONS.read_text(encoding="utf-8").splitlines()
    seeds = [line.partition("#")[0].strip() for line in lines]
    return [seed for seed in seeds if seed]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`regression`: each seed of regressions.txt."""
    if "regression" in metafunc.fixturenames:
        metafunc.parametrize("regression", regression_seeds())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.simulation)
