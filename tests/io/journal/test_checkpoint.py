"""Flush, then trim: never trimmed beyond what was flushed."""

import asyncio

import pytest

from thesan.core.journal.entry import START, crc_of, encode
from thesan.core.model.errors import Fenced, StoreError
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.limits import JOURNAL_KEEP_ENTRIES
from thesan.io.journal.checkpoint import Checkpointer
from thesan.io.journal.replay import replay
from thesan.worlds.simulated.loop import run


class Disk:
    """Stands for the store: what is applied, what was flushed, and whether flushing works."""

    def __init__(self) -> None:
        self.applied = Seq(0)
        self.flushed = Seq(0)
        self.flushes = 0
        self.full = False

    async def flush(self) -> None:
        begun_at = self.applied
        await asyncio.sleep(0.1)
        if self.full:
            raise StoreError("no space")
        self.flushes += 1
        self.flushed = begun_at


def fill(bench, count: int) -> None:
    crc = 0
    for seq in range(1, count + 1):
        data = encode(Epoch(1), Seq(seq), crc, [b"op"])
        bench.journal.append(bench.mine, Seq(seq), data)
        crc = crc_of(data)


def test_trims_behind_what_is_durable(bench):
    async def story():
        disk = Disk()
        keeper = Checkpointer(bench.engine, disk.flush, lambda: disk.applied, owner=bench.mine)
        fill(bench, 6000)
        disk.applied = Seq(5000)
        turn = asyncio.get_running_loop().create_task(keeper.step())
        await asyncio.sleep(0.05)
        disk.applied = Seq(6000)
        # Applied during the flush: perhaps durable, so it does not count.
        assert await turn == 5000
        assert bench.journal.first == 5000 + 1 - JOURNAL_KEEP_ENTRIES
        assert await keeper.step() == 6000
        assert bench.journal.first == 6000 + 1 - JOURNAL_KEEP_ENTRIES
        assert await keeper.step() == 6000
        assert disk.flushes == 2

    run(story())


def test_a_failed_flush_trims_nothing(bench):
    async def story():
        disk = Disk()
        keeper = Checkpointer(bench.engine, disk.flush, lambda: disk.applied, owner=bench.mine)
        fill(bench, 6000)
        disk.applied, disk.full = Seq(6000), True
        with pytest.raises(StoreError):
            await keeper.step()
        assert keeper.durable == 0
        assert bench.journal.first == 1

    run(story())


def test_peers_count_and_a_standby_does_not_trim(bench):
    async def story():
        disk = Disk()
        disk.applied = Seq(6000)
        fill(bench, 6000)
        standby = Checkpointer(bench.engine, disk.flush, lambda: disk.applied)
        assert await standby.step() == 6000
        assert bench.journal.first == 1
        master = Checkpointer(
            bench.engine,
            disk.flush,
            lambda: disk.applied,
            owner=bench.mine,
            peers_durable=lambda: [Seq(10), Seq(4700)],
        )
        await master.step()
        assert bench.journal.first == 4700 + 1 - JOURNAL_KEEP_ENTRIES

    run(story())


def test_run_rides_out_silence_and_ends_when_fenced(bench):
    async def story():
        disk = Disk()
        keeper = Checkpointer(bench.engine, disk.flush, lambda: disk.applied, owner=bench.mine)
        turning = asyncio.get_running_loop().create_task(keeper.run(1.0))
        bench.engine.weather.up = False
        fill(bench, 6000)
        disk.applied = Seq(5000)
        await asyncio.sleep(5)
        assert not turning.done()
        assert bench.journal.first == 1
        bench.engine.weather.up = True
        await asyncio.sleep(2)
        assert bench.journal.first == 5000 + 1 - JOURNAL_KEEP_ENTRIES
        bench.journal.take_over(bench.mine, bench.rival)
        disk.applied = Seq(6000)
        with pytest.raises(Fenced):
            await turning
        # What is left is enough for a replay from the durable point.
        assert bench.journal.first <= disk.flushed + 1

    run(story())


def test_replay_from_a_lost_store_needs_a_checkpoint_of_a_peer(bench):
    """Why entries go only after they are durable: without them this is where one would stand."""
    fill(bench, 600)
    bench.journal.trim(bench.mine, Seq(500))
    with pytest.raises(Exception, match="its first entry is 500"):
        run(replay(bench.engine, START, lambda entry: b""))
