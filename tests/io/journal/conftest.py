"""An engine in the simulated world, an owner, and a notebook of what a writer called back."""

from collections.abc import Callable
from random import Random

import pytest

from thesan.core.journal.entry import Chain, Entry, decode
from thesan.core.model.ids import Epoch, Seq
from thesan.io.journal.writer import JournalWriter
from thesan.ports.engine import Owner
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal


class Bench:
    """One journal, the engine of node a, and its writer with everything it says."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.engine = self.other_engine()
        self.mine = Owner("a", Epoch(1), "a:1094", 1)
        self.rival = Owner("b", Epoch(2), "b:1094", 2)
        self.journal.owner = self.mine
        self.notes: list[object] = []

    def other_engine(self, seed: int = 0) -> MemoryEngine:
        engine = MemoryEngine(self.journal, Random(seed))
        engine.weather.latency_seconds_min = 0.001
        engine.weather.latency_seconds_max = 0.002
        engine.weather.silence_seconds = 0.1
        return engine

    def writer(self, **settings: object) -> JournalWriter:
        writer = JournalWriter(
            self.engine,
            self.mine,
            Seq(self.journal.last + 1),
            self.entries()[-1].crc if self.journal.last else 0,
            lambda reason: self.notes.append(("lost", reason)),
            on_batch=lambda position: self.notes.append(("batch", position.seq)),
            **settings,  # type: ignore[arg-type]
        )
        writer.start()
        return writer

    def submit(self, writer: JournalWriter, op: bytes) -> Seq:
        """Submit with callbacks that note what happened to `op`."""
        return writer.submit(
            op,
            lambda seq: self.notes.append((op, seq)),
            lambda error: self.notes.append((op, type(error).__name__)),
        )

    def entries(self) -> list[Entry]:
        """All entries, checked against each other."""
        chain = Chain()
        entries = [decode(data) for _, data in self.journal.read(Seq(1), 1 << 30)]
        for entry in entries:
            chain.check(entry)
        return entries


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="session")
def make_bench() -> Callable[[], Bench]:
    """For property tests, which need a fresh one for each example."""
    return Bench
