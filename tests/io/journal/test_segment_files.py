"""Segment files: a torn tail is cut, a damaged closed file is never taken for a whole one."""

from random import Random

import pytest

from thesan.core.journal import entry as journal_entry
from thesan.core.journal.segment import Foot, SegmentHead, encode_block, encode_foot, encode_head
from thesan.core.model.errors import Corrupt
from thesan.core.model.ids import Epoch, Seq
from thesan.io.journal import segment_files
from thesan.io.journal.segment_files import blocks_of, load, mend, path_of, survey
from thesan.worlds.simulated.disk import SimDisk
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.platter import Platter


@pytest.fixture
def loop():
    loop = SimLoop(1)
    yield loop
    loop.close()


@pytest.fixture
def disk(loop) -> SimDisk:
    return SimDisk(loop, Platter("m:/data"), "1")


def parts(first: int, blocks: int, crc: int = 0) -> tuple[list[bytes], int]:
    """Head, blocks of three entries and foot; and the crc of the last entry."""
    dice, prev_crc = Random(first), crc
    made, size = [], 0
    for number in range(blocks):
        block = []
        for at in range(3):
            seq = Seq(first + number * 3 + at)
            block.append(journal_entry.encode(Epoch(1), seq, crc, [dice.randbytes(90)]))
            crc = journal_entry.crc_of(block[-1])
        size += sum(map(len, block))
        made.append(encode_block(Seq(first + number * 3), block, number))
    head = encode_head(SegmentHead(Seq(first), Epoch(1), prev_crc, 9))
    foot = encode_foot(Foot(Seq(first + blocks * 3 - 1), crc, size, blocks - 1))
    return [head, *made, foot], crc


async def put(disk: SimDisk, first: int, data: bytes, *, closed: bool) -> str:
    path = path_of(Seq(first), is_closed=closed)
    await disk.write_file(path, data)
    return path


def test_closed_segments_are_known_by_their_ends(loop, disk):
    one, crc = parts(1, 4)
    two, _ = parts(13, 2, crc)

    async def main():
        await put(disk, 1, b"".join(one), closed=True)
        await put(disk, 13, b"".join(two), closed=True)
        path = await put(disk, 19, b"", closed=False)
        await disk.write_file("segments/other", b"x")
        found = await load(disk)
        assert [(info.first, info.last) for info in found.closed] == [(1, 12), (13, 18)]
        assert found.closed[1].prev_crc == found.closed[0].last_crc
        assert found.closed[0].file_bytes == len(b"".join(one))
        assert (found.open_paths, found.damaged) == ([path], {})

    loop.run_until_complete(main())


def test_a_damaged_or_overlapping_one_is_named(loop, disk):
    one, crc = parts(1, 4)
    two, _ = parts(7, 2, crc)

    async def main():
        await put(disk, 1, b"".join(one), closed=True)
        overlapping = await put(disk, 7, b"".join(two), closed=True)
        cut = await put(disk, 50, b"".join(one)[:-1], closed=True)
        short = await put(disk, 60, b"x", closed=True)
        misnamed = await put(disk, 70, b"".join(one), closed=True)
        found = await load(disk)
        assert [info.first for info in found.closed] == [1]
        assert sorted(found.damaged) == sorted([overlapping, cut, short, misnamed])
        assert "overlaps" in found.damaged[overlapping]

    loop.run_until_complete(main())


def test_mending_at_every_byte(loop, disk):
    pieces, crc = parts(5, 3)
    whole = b"".join(pieces)
    ends = [len(b"".join(pieces[: count + 1])) for count in range(len(pieces))]

    async def main():
        for length in range(len(whole) + 1):
            path = await put(disk, 5, whole[:length], closed=False)
            mended = await mend(disk, path)
            blocks = sum(1 for end in ends[1:-1] if end <= length)
            if blocks == 0:
                assert mended is None
                assert await disk.list("segments") == []
                continue
            assert mended is not None
            info, position, damage = mended
            assert info.last == position.seq == 4 + 3 * blocks
            assert info.is_closed == (length == len(whole))
            assert info.file_bytes == max(end for end in ends if end <= length)
            assert bool(damage) == (length not in ends)
            if info.is_closed:
                assert position.crc == crc
                assert info.path == path_of(Seq(5), is_closed=True)
            found = await disk.read_file(info.path, 1 << 20)
            assert found == whole[: info.file_bytes]
            await disk.remove(info.path)

    loop.run_until_complete(main())


def test_mending_with_a_flipped_bit(loop, disk):
    pieces, _ = parts(5, 3)
    whole = b"".join(pieces)
    ends = [len(b"".join(pieces[: count + 1])) for count in range(len(pieces))]

    async def main():
        for place in range(3, len(whole) * 8, 97):
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << place % 8
            path = await put(disk, 5, bytes(damaged), closed=False)
            mended = await mend(disk, path)
            good = sum(1 for end in ends if end <= place // 8)
            if good < 2:
                assert mended is None
                continue
            assert mended is not None
            info, position, damage = mended
            assert damage
            assert position.seq == 4 + 3 * (min(good, 4) - 1)
            assert not info.is_closed
            await disk.remove(info.path)

    loop.run_until_complete(main())


def test_reading_a_closed_one_finds_every_damage(loop, disk):
    pieces, _ = parts(5, 3)
    whole = b"".join(pieces)

    async def main():
        path = await put(disk, 5, whole, closed=True)
        (info,) = (await load(disk)).closed
        blocks = [block async for block in blocks_of(disk, info)]
        assert [block.first for block in blocks] == [5, 8, 11]
        tail = [block async for block in blocks_of(disk, info, blocks[1])]
        assert tail == blocks[1:]
        walk, damage = await survey(disk, path)
        assert (walk.foot is not None, damage) == (True, "")
        for place in range(5, len(whole) * 8, 101):
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << place % 8
            await put(disk, 5, bytes(damaged), closed=True)
            with pytest.raises(Corrupt, match=segment_files.FOLDER):
                _ = [block async for block in blocks_of(disk, info)]
            walk, damage = await survey(disk, path)
            assert damage

    loop.run_until_complete(main())
