"""Everything in this folder runs the whole instance in the simulated world."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from thesan.worlds.simulated.run import RunSettings, run

HUNT_SEEDS = int(os.environ.get("THESAN_MUTANT_SEEDS", "60"))
"""Seeds within which every planted bug must be seen; most are in the first three."""
BROKEN = ("TypeError", "AttributeError", "NameError", "ImportError", "UnboundLocalError")
"""Of a mutant that no longer fits what it patches: it would turn every seed red, and prove
nothing."""
Mutant = Callable[[pytest.MonkeyPatch], None]

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


@pytest.fixture
def hunt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run seeds with a planted bug until one is red that is green without it."""

    def search(mutant: Mutant, settings: RunSettings, hint: int = 0) -> None:
        """`hint`: a seed that saw it once, tried first."""
        for seed in (hint, *(number for number in range(HUNT_SEEDS) if number != hint)):
            with monkeypatch.context() as patch:
                mutant(patch)
                outcome = run(seed, settings)
            wrong = [text for text in outcome.violations if any(map(text.count, BROKEN))]
            assert not wrong, f"the mutant does not fit the code any more: {wrong[0]}"
            if not outcome.ok and run(seed, settings).ok:
                return
        pytest.fail(f"{mutant.__doc__} Not noticed in {HUNT_SEEDS} seeds.")

    return search
