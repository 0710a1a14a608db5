"""The thread beats while the loop is busy, and stops when the loop is hung."""

import asyncio
import os
import threading
import time

import pytest

from thesan.core.model.errors import Unavailable
from thesan.core.model.ids import Epoch
from thesan.ports.engine import Owner
from thesan.worlds.real import pacemaker as module
from thesan.worlds.real.clock import RealClock
from thesan.worlds.real.pacemaker import ThreadPacemaker
from thesan.worlds.real.sqlite_engine import SqliteEngine

MINE = Owner("a", Epoch(1), "a:1")


class Bench:
    def __init__(self, path) -> None:
        self.path = str(path / "journal.db")
        self.confirmed: list[float] = []
        self.fenced: list[str] = []
        self.opened = 0
        self.failures = 0
        self.pacemaker = ThreadPacemaker(self.open, RealClock())

    async def open(self) -> SqliteEngine:
        self.opened += 1
        if self.opened <= self.failures:
            raise Unavailable("not yet")
        return await SqliteEngine.open(self.path)

    def start(self, owner: Owner = MINE) -> None:
        self.pacemaker.start(owner, 0.02, self.confirmed.append, self.fenced.append)

    async def until(self, condition) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def run(bench, story):
    async def main() -> None:
        engine = await SqliteEngine.open(bench.path)
        await engine.take_over(None, MINE)
        try:
            await story(engine)
        finally:
            await bench.pacemaker.close()
            await engine.close()

    asyncio.run(main())


def test_a_busy_loop_delays_no_beat(bench):
    async def story(engine):
        bench.start()
        await bench.until(lambda: bench.confirmed)
        before = (await engine.observe()).beats
        end_s = time.monotonic() + 1.0
        while time.monotonic() < end_s:
            sum(range(1000))  # This very thread does nothing else, and never awaits.
        after = (await engine.observe()).beats
        assert after - before >= 10, "beats went on while the loop was busy"

    run(bench, story)


def test_it_stays_where_the_loop_runs_and_leaves_the_loop_alone(bench):
    everywhere = os.sched_getaffinity(0)

    async def story(engine):
        bench.start()
        await bench.until(lambda: len(bench.confirmed) > 2)
        (thread,) = [one for one in threading.enumerate() if one.name == "pacemaker"]
        assert len(os.sched_getaffinity(thread.native_id)) == 1
        assert os.sched_getaffinity(0) == everywhere
        others = [one.native_id for one in threading.enumerate() if one is not thread]
        assert all(os.sched_getaffinity(one) == everywhere for one in others)

    run(bench, story)


def test_a_hung_loop_gets_no_beats(bench, monkeypatch):
    monkeypatch.setattr(module, "LOOP_STALL_SECONDS_MAX", 0.2)

    async def story(engine):
        bench.start()
        await bench.until(lambda: bench.confirmed)
        # Nobody says that the loop turns: after the bound the beats end.
        await bench.until(lambda: RealClock().boot_s() - bench.confirmed[-1] > 0.5)
        beats = (await engine.observe()).beats
        bench.pacemaker.turned()
        await bench.until(lambda: RealClock().boot_s() - bench.confirmed[-1] < 0.1)
        assert (await engine.observe()).beats > beats

    run(bench, story)


def test_who_is_fenced_is_told_and_may_begin_anew(bench):
    async def story(engine):
        bench.start()
        await bench.until(lambda: bench.confirmed)
        other = Owner("b", Epoch(2), "b:1")
        assert await engine.take_over(MINE, other)
        await bench.until(lambda: bench.fenced)
        count = len(bench.confirmed)
        again = Owner("a", Epoch(3), "a:1")
        assert await engine.take_over(other, again)
        bench.start(again)
        await bench.until(lambda: len(bench.confirmed) > count)
        assert len(bench.fenced) == 1

    run(bench, story)


def test_an_engine_that_can_not_be_opened_is_tried_again(bench):
    bench.failures = 2

    async def story(engine):
        bench.start()
        await bench.until(lambda: bench.confirmed)
        assert bench.opened == 3

    run(bench, story)


def test_nothing_comes_after_stop(bench):
    async def story(engine):
        bench.start()
        await bench.until(lambda: bench.confirmed)
        bench.pacemaker.stop()
        count = len(bench.confirmed)
        beats = (await engine.observe()).beats
        bench.start()
        await bench.until(lambda: len(bench.confirmed) > count)
        assert (await engine.observe()).beats > beats

    run(bench, story)


def test_close_without_start(bench):
    asyncio.run(bench.pacemaker.close())
