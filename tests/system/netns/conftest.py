"""Beds for the fault tests: made once for a module, made anew when a run left one in pieces."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmarks.failover import engine, network
from benchmarks.failover.bed import Bed, bed
from benchmarks.failover.cases import Case
from benchmarks.failover.cluster import Settings
from benchmarks.failover.network import BedError
from benchmarks.failover.runs import Result, Run

MakeSettings = Callable[[Path], Settings]


class Beds:
    """`run(case)` on a bed that is whole."""

    def __init__(self, make: MakeSettings) -> None:
        self._make = make
        self._stack = contextlib.ExitStack()
        self._bed: Bed | None = None
        self._count = 0

    def run(self, case: Case) -> Result:
        """One run; what the daemons' logs say of crashes is a fault, too."""
        self._count += 1
        one = self._bed or self._fresh()
        try:
            result = Run(one, case, self._count).execute()
        except BedError:
            self.close()
            raise
        crashes = one.cluster.crashes()
        if result.trouble or crashes:
            self.close()
        assert not crashes, "\n".join(crashes)
        return result

    def _fresh(self) -> Bed:
        memory = Path("/dev/shm")
        where = str(memory) if memory.is_dir() else None
        place = tempfile.TemporaryDirectory(prefix="thesan-netns-", dir=where)
        root = Path(self._stack.enter_context(place))
        self._bed = self._stack.enter_context(bed(root, self._make(root)))
        self._bed.start_xrdcp()
        return self._bed

    def close(self) -> None:
        """Take the bed down."""
        self._bed = None
        self._stack.close()


@pytest.fixture(scope="module")
def make_beds() -> Iterator[Callable[[MakeSettings], Beds]]:
    """`make_beds(settings_of_root)`; taken down with the module."""
    why = network.missing() or engine.missing()
    if why:
        pytest.skip(why)
    made: list[Beds] = []

    def make(settings: MakeSettings) -> Beds:
        made.append(Beds(settings))
        return made[-1]

    yield make
    for beds in made:
        beds.close()
