"""Beats of a task: regular, fenced, stopped."""

import asyncio
from random import Random

from thesan.core.model.ids import Epoch
from thesan.core.model.leadership_limits import LOOP_STALL_SECONDS_MAX
from thesan.ports.engine import Owner
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal
from thesan.worlds.simulated.pacemaker import SimPacemaker
from thesan.worlds.simulated.world import SimWorld

MINE = Owner("a", Epoch(1), "a:1")


class Told:
    def __init__(self, loop: SimLoop) -> None:
        self.confirmed: list[float] = []
        self.fenced: list[str] = []
        self.journal = MemoryJournal()
        self.journal.owner = MINE
        self.engine = MemoryEngine(self.journal, Random(1))
        process = loop.network.process("a", "mgm")
        self.pacemaker = SimPacemaker(self.engine, SimWorld(loop, process).clock)
        self.loop, self.process = loop, process

    def run(self, work):
        return self.loop.run_until_complete(self.loop.start(self.process, work, "test"))

    def start(self) -> None:
        self.pacemaker.start(MINE, 0.2, self.confirmed.append, self.fenced.append)


def test_beats_are_regular_and_end_with_the_loop(loop):
    told = Told(loop)

    async def story() -> None:
        told.start()
        await asyncio.sleep(2.1)
        assert 10 <= told.journal.beats <= 12
        assert len(told.confirmed) == told.journal.beats
        # Nobody says any more that the loop turns.
        await asyncio.sleep(LOOP_STALL_SECONDS_MAX)
        beats = told.journal.beats
        await asyncio.sleep(1)
        assert told.journal.beats == beats
        told.pacemaker.turned()
        await asyncio.sleep(0.3)
        assert told.journal.beats > beats
        await told.pacemaker.close()

    told.run(story())


def test_an_append_is_a_beat(loop):
    told = Told(loop)

    async def story() -> None:
        told.start()
        await asyncio.sleep(0.05)
        beats = told.journal.beats
        for _ in range(20):
            told.pacemaker.written(asyncio.get_running_loop().time())
            await asyncio.sleep(0.1)
        assert told.journal.beats == beats
        await told.pacemaker.close()

    told.run(story())


def test_who_is_fenced_is_told_once(loop):
    told = Told(loop)

    async def story() -> None:
        told.start()
        await asyncio.sleep(0.1)
        told.journal.owner = Owner("b", Epoch(2), "b:1")
        await asyncio.sleep(3)
        assert len(told.fenced) == 1
        told.pacemaker.stop()
        await told.pacemaker.close()

    told.run(story())


def test_an_engine_that_is_away_is_no_reason_to_stop(loop):
    told = Told(loop)

    async def story() -> None:
        told.engine.weather.up = False
        told.start()
        await asyncio.sleep(1)
        assert (told.confirmed, told.fenced) == ([], [])
        told.engine.weather.up = True
        await asyncio.sleep(1)
        assert told.confirmed
        await told.pacemaker.close()

    told.run(story())
