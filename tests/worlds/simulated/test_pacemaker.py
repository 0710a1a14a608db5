"""The simulated pacemaker beats while the loop of its MGM is stuck, and not for ever."""

import asyncio
from random import Random

import pytest

from thesan.core.model.ids import Epoch
from thesan.core.model.limits import LOOP_STALL_SECONDS_MAX
from thesan.ports.engine import Owner
from thesan.worlds.simulated.clock import SimClock
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal
from thesan.worlds.simulated.pacemaker import SimPacemaker

A = Owner("a", Epoch(1), "a:1094")
B = Owner("b", Epoch(2), "b:1094")


class Bench:
    """A process on machine `a` that has a pacemaker and tells it that its loop turns."""

    def __init__(self, loop, *, has_thread=True):
        self.loop = loop
        self.journal = MemoryJournal()
        self.journal.owner = A
        self.process = loop.network.process("a", "mgm")
        thread = loop.network.thread(self.process, "pacemaker") if has_thread else None
        clock = SimClock(loop, self.process.machine)
        self.pacemaker = SimPacemaker(MemoryEngine(self.journal, Random(1)), clock, thread)
        self.confirmed, self.fenced = [], []

    async def live(self):
        self.pacemaker.start(A, 0.2, self.confirmed.append, self.fenced.append)
        while True:
            self.pacemaker.turned()
            await asyncio.sleep(0.1)

    def run(self, seconds):
        self.loop.run_until_complete(asyncio.sleep(seconds))


@pytest.fixture
def bench(loop):
    bench = Bench(loop)
    loop.start(bench.process, bench.live(), "live")
    bench.run(1.0)
    return bench


def test_it_beats(bench):
    assert bench.journal.beats == pytest.approx(5, abs=1)
    assert len(bench.confirmed) == bench.journal.beats


def test_a_task_will_do_where_nothing_is_stuck(loop):
    bench = Bench(loop, has_thread=False)
    loop.start(bench.process, bench.live(), "live")
    bench.run(1.0)
    assert len(bench.confirmed) == bench.journal.beats > 3


def test_a_stuck_loop_is_busy_at_first_and_hung_later(bench):
    before, told = bench.journal.beats, len(bench.confirmed)
    bench.loop.network.stall(bench.process)
    bench.run(2.0)
    assert bench.journal.beats > before + 5
    bench.run(LOOP_STALL_SECONDS_MAX)
    before = bench.journal.beats
    bench.run(2.0)
    assert bench.journal.beats == before
    assert len(bench.confirmed) == told
    bench.loop.network.unstall(bench.process)
    bench.run(1.0)
    assert bench.journal.beats > before
    assert len(bench.confirmed) == bench.journal.beats


def test_a_stopped_process_does_not_beat(bench):
    bench.loop.network.pause(bench.process)
    before = bench.journal.beats
    bench.run(1.0)
    assert bench.journal.beats == before
    bench.loop.network.resume(bench.process)
    bench.run(1.0)
    assert bench.journal.beats > before


def test_it_is_told_of_another_owner_and_ends(bench):
    bench.journal.owner = B
    bench.run(1.0)
    assert len(bench.fenced) == 1
    assert "b (epoch 2)" in bench.fenced[0]


def test_what_was_written_is_a_beat(bench):
    before = bench.journal.beats
    for _ in range(20):
        bench.pacemaker.written(bench.loop.time())
        bench.run(0.1)
    assert bench.journal.beats <= before + 1


def test_after_stop_nobody_is_told(bench):
    told = len(bench.confirmed)
    bench.pacemaker.stop()
    bench.run(1.0)
    assert len(bench.confirmed) == told
    bench.loop.run_until_complete(bench.pacemaker.close())
