"""The archive: byte for byte what the journal is, whatever the disk, the engine or a crash does."""

import asyncio
from random import Random

import pytest

from thesan.core.journal.entry import crc_of, encode
from thesan.core.model.errors import Corrupt, Trimmed
from thesan.core.model.ids import Epoch, Seq
from thesan.io.journal.archive import Archive, ArchiveSettings
from thesan.ports.engine import Owner
from thesan.worlds.simulated.clock import SimClock
from thesan.worlds.simulated.disk import SimDisk
from thesan.worlds.simulated.log import SimLog
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal
from thesan.worlds.simulated.platter import Platter

MINE = Owner("a", Epoch(1), "a:1094", 1)
SMALL = ArchiveSettings(
    segment_bytes=3000, segment_seconds=60.0, block_bytes=700, block_seconds=0.5, queue_bytes=4000
)


class Bench:
    """A journal, a disk and archives that come and go over both."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.platter = Platter("m:/data")
        self.process = loop.network.process("m", "mgm")
        self.journal = MemoryJournal()
        self.journal.owner = MINE
        self.engine = MemoryEngine(self.journal, Random(1))
        self.written: list[bytes] = []
        self.dice = Random(2)

    def archive(self, settings: ArchiveSettings = SMALL) -> Archive:
        disk = SimDisk(self.loop, self.platter, "1")
        clock = SimClock(self.loop, self.process.machine)
        log = SimLog(self.loop, self.process)
        return Archive(disk, clock, log, self.engine.read, settings)

    def append(self, count: int, archive: Archive | None = None, size: int = 100) -> None:
        for _ in range(count):
            seq = Seq(self.journal.last + 1)
            crc = crc_of(self.written[-1]) if self.written else 0
            data = encode(Epoch(1), seq, crc, [self.dice.randbytes(size)])
            self.journal.append(MINE, seq, data)
            self.written.append(data)
            if archive is not None:
                archive.take(seq, data)

    def flip(self, path: str, place: int) -> None:
        """A bit rots."""
        self.platter.file(path).data[place] ^= 4

    async def read_all(self, archive: Archive, start: int = 1) -> list[bytes]:
        found: list[bytes] = []
        while page := await archive.read(Seq(start + len(found)), 900):
            assert [seq for seq, _ in page] == list(
                range(start + len(found), start + len(found) + len(page))
            )
            found += [data for _, data in page]
        return found


@pytest.fixture
def loop():
    loop = SimLoop(1)
    yield loop
    assert not loop.trace.failures
    loop.close()


@pytest.fixture
def bench(loop) -> Bench:
    return Bench(loop)


def test_what_was_taken_is_read_back_byte_for_byte(loop, bench):
    async def main():
        archive = bench.archive()
        await archive.open()
        for _ in range(20):
            bench.append(10, archive)
            await asyncio.sleep(0.3)
        await archive.written()
        assert await bench.read_all(archive) == bench.written
        for start in (1, 57, 200):
            assert await bench.read_all(archive, start) == bench.written[start - 1 :]
        assert await archive.read(Seq(201), 100) == []
        segments = archive.segments()
        assert len(segments) > 3
        assert archive.closed_through == [one for one in segments if one.is_closed][-1].last
        assert (archive.first, archive.last) == (1, 200)
        await archive.close()

    loop.run_until_complete(main())


def test_a_later_archive_goes_on_where_the_first_ended(loop, bench):
    async def main():
        for _ in range(6):
            archive = bench.archive()
            await archive.open()
            assert archive.last == len(bench.written)
            bench.append(13, archive)
            await archive.close()
        last = bench.archive()
        await last.open()
        assert await bench.read_all(last) == bench.written
        assert len(last.segments()) < 6
        await last.close()

    loop.run_until_complete(main())


def test_only_closed_segments_count(loop, bench):
    async def main():
        archive = bench.archive(ArchiveSettings(block_seconds=0.1))
        await archive.open()
        bench.append(5, archive)
        await archive.written()
        assert (archive.last, archive.closed_through) == (5, 0)
        await archive.roll()
        assert archive.closed_through == 5
        await archive.roll()
        assert len(archive.segments()) == 1
        await archive.close()

    loop.run_until_complete(main())


def test_a_quiet_segment_is_closed_after_its_time(loop, bench):
    async def main():
        archive = bench.archive()
        await archive.open()
        bench.append(2, archive)
        await asyncio.sleep(59.0)
        assert archive.closed_through == 0
        await asyncio.sleep(3.0)
        assert archive.closed_through == 2
        await asyncio.sleep(200.0)
        assert len(archive.segments()) == 1
        await archive.close()

    loop.run_until_complete(main())


def test_what_came_before_and_what_was_missed_is_read_from_the_engine(loop, bench):
    async def main():
        bench.append(30)
        archive = bench.archive()
        await archive.open()
        bench.append(3)
        bench.append(2, archive)
        await archive.written()
        assert await bench.read_all(archive) == bench.written
        # More than the queue takes: it is dropped, not waited for.
        bench.append(60, archive)
        await archive.written()
        assert await bench.read_all(archive) == bench.written
        # Known ones again, as after a change of roles.
        for seq in (1, 80, 95):
            archive.take(Seq(seq), bench.written[seq - 1])
        await archive.written()
        assert await bench.read_all(archive) == bench.written
        await archive.close()

    loop.run_until_complete(main())


def test_a_hole_is_seen_and_never_read_over(loop, bench):
    async def main():
        archive = bench.archive()
        await archive.open()
        bench.append(10, archive)
        await archive.close()
        bench.append(20)
        bench.journal.trim(MINE, Seq(21))
        archive = bench.archive()
        await archive.open()
        bench.append(5, archive)
        await archive.written()
        assert archive.first == 21
        with pytest.raises(Trimmed) as caught:
            await archive.read(Seq(11), 100)
        assert caught.value.first == 21
        assert await bench.read_all(archive, 21) == bench.written[20:]
        assert await archive.read(Seq(10), 100) == [(10, bench.written[9])]
        await archive.close()

    loop.run_until_complete(main())


def test_power_cuts(loop, bench):
    """Whatever the cut leaves, the next archive has all again, and closed segments lost nothing."""

    async def main():
        for number in range(25):
            archive = bench.archive()
            await archive.open()
            assert not archive.failure
            for _ in range(bench.dice.randint(1, 6)):
                bench.append(bench.dice.randint(1, 12), archive)
                await asyncio.sleep(bench.dice.random())
            closed = archive.closed_through
            await archive._tasks.close()
            bench.platter.crash(bench.dice)
            if number % 5 == 4:
                # The engine needs to keep only what no closed segment holds.
                bench.journal.trim(MINE, Seq(max(1, closed)))
        archive = bench.archive()
        await archive.open()
        bench.append(1, archive)
        await archive.written()
        assert await bench.read_all(archive) == bench.written
        await archive.close()

    loop.run_until_complete(main())


def test_a_full_or_failing_disk_stops_the_archive_and_nothing_else(loop, bench):
    async def main():
        archive = bench.archive()
        await archive.open()
        bench.append(50, archive)
        await archive.written()
        closed = archive.closed_through
        for fault in ("full", "sync"):
            bench.platter.faults.full = fault == "full"
            bench.platter.faults.sync_failures = 3 if fault == "sync" else 0
            bench.append(60, archive)
            await asyncio.sleep(3.0)
            assert archive.failure
            bench.platter.faults.full = False
            await archive.written()
            assert not archive.failure
        assert archive.closed_through > closed
        assert await bench.read_all(archive) == bench.written
        await archive.close()

    loop.run_until_complete(main())


def test_the_archive_goes_on_after_a_fault(loop, bench, monkeypatch):
    """An archive that ended would end the trimming of the journal, too."""

    async def main():
        archive = bench.archive()
        await archive.open()
        bench.append(50, archive)
        await archive.written()

        async def fails(entries, time_ns):
            raise MemoryError

        monkeypatch.setattr(archive, "_write", fails)
        bench.append(60, archive)
        await asyncio.sleep(3.0)
        assert "MemoryError" in archive.failure
        monkeypatch.undo()
        await archive.written()
        assert not archive.failure
        assert await bench.read_all(archive) == bench.written
        await archive.close()

    loop.run_until_complete(main())
    assert all("archive failed" in text for text in loop.trace.failures)
    loop.trace.failures.clear()


def test_a_damaged_segment_is_left_out_and_named(loop, bench):
    async def main():
        archive = bench.archive()
        await archive.open()
        bench.append(100, archive)
        await archive.written()
        victim = archive.segments()[1]
        await archive.close()
        bench.flip(victim.path, victim.file_bytes - 20)
        archive = bench.archive()
        await archive.open()
        with pytest.raises(Trimmed):
            await archive.read(victim.first, 100)
        other = archive.segments()[1]
        bench.flip(other.path, 50)
        with pytest.raises(Corrupt):
            await bench.read_all(archive, other.first)
        await archive.close()

    loop.run_until_complete(main())


def test_an_entry_that_does_not_chain_is_refused(loop, bench):
    async def main():
        archive = bench.archive()
        await archive.open()
        bench.append(5, archive)
        await archive.written()
        foreign = encode(Epoch(1), Seq(6), 12345, [b"other history"])
        archive.take(Seq(6), foreign)
        await asyncio.sleep(3.0)
        assert "chain" in archive.failure
        assert archive.last == 5
        await archive.close()

    loop.run_until_complete(main())


def test_removal(loop, bench):
    async def main():
        archive = bench.archive()
        await archive.open()
        bench.append(100, archive)
        await archive.written()
        oldest = archive.segments()[0]
        await archive.remove(oldest)
        assert archive.first == oldest.last + 1
        with pytest.raises(Trimmed):
            await archive.read(Seq(1), 100)
        await archive.close()

    loop.run_until_complete(main())
