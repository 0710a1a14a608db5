"""Walking: a segment cut or damaged anywhere yields its whole blocks before that, and no more."""

import functools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.journal import entry as journal_entry
from thesan.core.journal.segment import Foot, SegmentHead, encode_block, encode_foot, encode_head
from thesan.core.journal.walk import Block, Walk, before
from thesan.core.model.errors import Corrupt
from thesan.core.model.ids import Epoch, Seq

FIRST = 11


@functools.cache
def segment() -> tuple[bytes, list[int], list[bytes]]:
    """Bytes of a closed segment, where its parts end, its entries."""
    dice, crc = Random(1), 0xABCD
    data = bytearray(encode_head(SegmentHead(Seq(FIRST), Epoch(2), crc, 5)))
    ends, made = [len(data)], []
    for count in (1, 3, 40, 2):
        block = []
        for _ in range(count):
            seq = Seq(FIRST + len(made))
            block.append(journal_entry.encode(Epoch(2), seq, crc, [dice.randbytes(30)]))
            crc = journal_entry.crc_of(block[-1])
            made.append(block[-1])
        data += encode_block(Seq(FIRST + len(made) - count), block, 100 + count)
        ends.append(len(data))
    data += encode_foot(Foot(Seq(FIRST + len(made) - 1), crc, sum(map(len, made)), 140))
    return bytes(data), ends, made


def walk_all(data: bytes, piece: int = 1 << 20) -> tuple[Walk, list[Block], str]:
    walk, blocks = Walk(), []
    try:
        for at in range(0, len(data), piece):
            walk.feed(data[at : at + piece])
            while (block := walk.next_block()) is not None:
                blocks.append(block)
    except Corrupt as error:
        return walk, blocks, str(error)
    return walk, blocks, ""


@settings(max_examples=30)
@given(piece=st.integers(1, 3000))
def test_pieces_do_not_show(piece):
    data, _, made = segment()
    walk, blocks, damage = walk_all(data, piece)
    walk.check_end()
    assert not damage
    assert [entry for block in blocks for entry in block.entries] == made
    assert walk.foot is not None
    assert walk.position is not None
    assert walk.position.seq == walk.foot.last == FIRST + len(made) - 1
    assert (walk.entry_bytes, walk.time_ns) == (walk.foot.entry_bytes, walk.foot.time_ns)
    assert walk.offset == walk.end == len(data)


def test_cut_at_every_byte():
    data, ends, _ = segment()
    for length in range(len(data)):
        walk, blocks, damage = walk_all(data[:length])
        whole = [end for end in ends if end <= length]
        assert not damage
        assert walk.offset == (whole[-1] if whole else 0)
        assert len(blocks) == max(0, len(whole) - 1)
        assert walk.end == length
        with pytest.raises(Corrupt):
            walk.check_end()


def test_a_flipped_bit_anywhere_stops_the_walk_there():
    data, ends, made = segment()
    for place in range(0, len(data) * 8, 7):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        walk, blocks, damage = walk_all(bytes(damaged))
        if not damage:
            # A length that grew: the walk waits for bytes that never come.
            with pytest.raises(Corrupt):
                walk.check_end()
        whole = [end for end in ends if end <= place // 8]
        assert walk.offset == (whole[-1] if whole else 0)
        entries = [entry for block in blocks for entry in block.entries]
        assert entries == made[: len(entries)]


def test_from_a_block_met_before():
    data, _, made = segment()
    _, blocks, _ = walk_all(data)
    for number, place in enumerate(blocks):
        walk = Walk(SegmentHead(Seq(FIRST), Epoch(2), 0xABCD, 5), place)
        assert walk.end == place.offset
        walk.feed(data[walk.end :])
        found = []
        while (block := walk.next_block()) is not None:
            found.append(block)
        assert found == blocks[number:]
    assert len(made) == 46


def test_the_chain_is_followed():
    data, ends, _ = segment()
    # The second block left out; and a foot that names another entry.
    with_hole = data[: ends[1]] + data[ends[2] :]
    assert "must be" in walk_all(with_hole)[2]
    foreign = data[: ends[-1]] + encode_foot(Foot(Seq(FIRST), 1, 2, 3))
    assert "foot names" in walk_all(foreign)[2]
    other = journal_entry.encode(Epoch(2), Seq(FIRST), 0x9999, [b"x"])
    unchained = data[: ends[0]] + encode_block(Seq(FIRST), [other], 0)
    assert "does not chain" in walk_all(unchained)[2]
    assert "behind its foot" in walk_all(data + b"x")[2]


def test_before_names_the_entry_that_a_segment_chains_to():
    assert before(SegmentHead(Seq(5), Epoch(2), 7, 0)) == journal_entry.Position(
        Seq(4), Epoch(0), 7
    )
