"""Looks at the journal, and what they say of its owner."""

import asyncio
from random import Random

import pytest

from thesan.core.leadership.timing import timing_of
from thesan.core.model.ids import Epoch
from thesan.ports.engine import Owner
from thesan.roles.mgm.observer import Observer
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal
from thesan.worlds.simulated.world import SimWorld

OWNER = Owner("a", Epoch(3), "a:1")


class Bench:
    def __init__(self, loop) -> None:
        self.loop = loop
        self.process = loop.network.process("b", "mgm")
        self.journal = MemoryJournal()
        self.journal.owner = OWNER
        self.engine = MemoryEngine(self.journal, Random(1))
        clock = SimWorld(loop, self.process).clock
        self.observer = Observer(self.engine, timing_of("normal"), clock)

    def run(self, work):
        return self.loop.run_until_complete(self.loop.start(self.process, work, "test"))


@pytest.fixture
def bench(loop):
    return Bench(loop)


def test_an_owner_lives_while_it_writes(bench):
    async def story() -> None:
        running = bench.loop.create_task(bench.observer.run())
        assert bench.observer.living_owner() is None, "nobody has looked yet"
        for _ in range(20):
            bench.journal.beats += 1
            await asyncio.sleep(0.2)
        assert bench.observer.living_owner() == OWNER
        await asyncio.sleep(1.0)
        assert bench.observer.living_owner() == OWNER
        await asyncio.sleep(0.5)
        assert bench.observer.living_owner() is None, "silent for longer than the limit"
        running.cancel()

    bench.run(story())


def test_an_old_look_says_nothing(bench):
    async def story() -> None:
        running = bench.loop.create_task(bench.observer.run())
        await bench.observer.next_look()
        assert bench.observer.is_fresh
        bench.journal.has_leader = False
        await bench.observer.next_look()
        assert bench.observer.trouble
        await asyncio.sleep(1.5)
        assert not bench.observer.is_fresh
        assert bench.observer.living_owner() is None
        bench.journal.has_leader = True
        await asyncio.sleep(0.5)
        assert (bench.observer.trouble, bench.observer.living_owner()) == ("", OWNER)
        running.cancel()

    bench.run(story())


def test_a_master_does_not_look(bench):
    async def story() -> None:
        bench.observer.is_idle = True
        running = bench.loop.create_task(bench.observer.run())
        await asyncio.sleep(1)
        assert bench.observer.seen is None
        bench.observer.is_idle = False
        await bench.observer.next_look()
        assert bench.observer.seen.owner == OWNER
        running.cancel()

    bench.run(story())
