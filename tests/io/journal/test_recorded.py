"""The recorded engine: nothing passes the archive, and no trim goes beyond it."""

import asyncio
from contextlib import aclosing
from random import Random

from thesan.core.journal.entry import crc_of, encode
from thesan.core.model.ids import Epoch, Seq
from thesan.io.journal.archive import Archive, ArchiveSettings
from thesan.io.journal.recorded import RecordedEngine
from thesan.ports.engine import Owner
from thesan.worlds.simulated.clock import SimClock
from thesan.worlds.simulated.disk import SimDisk
from thesan.worlds.simulated.log import SimLog
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal
from thesan.worlds.simulated.platter import Platter

MINE = Owner("a", Epoch(1), "a:1094", 1)


def archive_of(loop: SimLoop, engine: MemoryEngine, name: str) -> Archive:
    process = loop.network.process(name, "mgm")
    disk = SimDisk(loop, Platter(f"{name}:/data"), "1")
    settings = ArchiveSettings(block_seconds=0.1)
    clock, log = SimClock(loop, process.machine), SimLog(loop, process)
    return Archive(disk, clock, log, engine.read, settings)


def test_append_read_and_follow_fill_the_archive_and_trim_waits_for_it():
    loop = SimLoop(1)

    async def main():
        journal = MemoryJournal()
        journal.owner = MINE
        engine = MemoryEngine(journal, Random(1))
        archives = [archive_of(loop, engine, name) for name in "abc"]
        for archive in archives:
            await archive.open()
        writing, reading, following = (RecordedEngine(engine, one) for one in archives)
        made, crc = [], 0
        for seq in range(1, 21):
            made.append(encode(Epoch(1), Seq(seq), crc, [b"op %d" % seq]))
            crc = crc_of(made[-1])
            await writing.append(MINE, Seq(seq), made[-1])
        await reading.read(Seq(1), 1 << 20)
        async with aclosing(following.follow(Seq(1))) as entries:
            async for seq, _ in entries:
                if seq == 20:
                    break
        for archive in archives:
            await archive.written()
            assert [data for _, data in await archive.read(Seq(1), 1 << 20)] == made
        assert await writing.owner() == MINE
        assert (await writing.observe()).last == 20
        await writing.beat(MINE)
        await writing.trim(MINE, Seq(15))
        assert (await writing.status()).first == 1
        await archives[0].roll()
        await writing.trim(MINE, Seq(15))
        assert (await writing.status()).first == 15
        assert await reading.take_over(MINE, Owner("b", Epoch(2), "b:1094", 2))
        for archive in archives:
            await archive.close()
        await asyncio.sleep(0)
        await writing.close()

    loop.run_until_complete(main())
    assert not loop.trace.failures
    loop.close()
