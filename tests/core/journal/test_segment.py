"""Segments: what is written is read back, and no bit of it can change unnoticed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.journal import entry as journal_entry
from thesan.core.journal.segment import (
    PART_HEAD_BYTES,
    BlockHead,
    Codec,
    Foot,
    SegmentHead,
    decode_block,
    decode_block_head,
    decode_foot,
    decode_head,
    encode_block,
    encode_foot,
    encode_head,
    is_foot,
)
from thesan.core.model.archive_limits import SEGMENT_BLOCK_ENTRIES_MAX
from thesan.core.model.errors import Corrupt
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.limits import BATCH_BYTES_MAX

HEAD = SegmentHead(Seq(7), Epoch(3), 0xDEADBEEF, 1_700_000_000_000_000_000)
FOOT = Foot(Seq(99), 0x1234, 5_000_000_000, 1_700_000_000_000_000_001)


def entries(first: int, payloads: list[bytes], crc: int = 0) -> list[bytes]:
    made = []
    for seq, payload in enumerate(payloads, first):
        data = journal_entry.encode(Epoch(1), Seq(seq), crc, [payload])
        crc = journal_entry.crc_of(data)
        made.append(data)
    return made


def split(block: bytes) -> tuple[BlockHead, bytes]:
    return decode_block_head(block[:PART_HEAD_BYTES]), block[PART_HEAD_BYTES:]


def test_head_and_foot_round_trip():
    assert len(encode_head(HEAD)) == len(encode_foot(FOOT)) == PART_HEAD_BYTES
    assert decode_head(encode_head(HEAD)) == HEAD
    assert decode_foot(encode_foot(FOOT)) == FOOT
    assert is_foot(encode_foot(FOOT))
    assert not is_foot(encode_block(Seq(1), entries(1, [b"x"]), 0))


@pytest.mark.parametrize("place", range(PART_HEAD_BYTES * 8))
def test_a_flipped_bit_in_head_or_foot_is_seen(place):
    for encoded, decode in ((encode_head(HEAD), decode_head), (encode_foot(FOOT), decode_foot)):
        damaged = bytearray(encoded)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(Corrupt):
            decode(bytes(damaged))
        with pytest.raises(Corrupt):
            decode(encoded[: place // 8])


@settings(max_examples=60)
@given(payloads=st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=20))
def test_blocks_round_trip(payloads):
    made = entries(5, payloads)
    head, payload = split(encode_block(Seq(5), made, 77))
    assert (head.first, head.last, head.time_ns) == (5, 4 + len(made), 77)
    assert decode_block(head, payload) == made


def test_short_entries_are_packed_together_and_packed_ones_are_not_packed_again():
    short = entries(1, [b"touch /a/b/c/%d " % number for number in range(500)])
    packed = encode_block(Seq(1), short, 0)
    assert split(packed)[0].codec is Codec.DEFLATE
    # 56 bytes of each entry are its head, with a crc that nothing makes shorter.
    assert len(packed) < sum(map(len, short)) / 3
    long = entries(1, [b"a word of many words " * 400])
    assert long[0][5] == journal_entry.Codec.DEFLATE
    assert split(encode_block(Seq(1), long, 0))[0].codec is Codec.RAW


@settings(max_examples=200)
@given(data=st.data())
def test_a_flipped_bit_in_a_block_is_seen(data):
    block = bytearray(encode_block(Seq(1), entries(1, [b"one", b"two" * 600, b"three"]), 5))
    place = data.draw(st.integers(0, len(block) * 8 - 1))
    block[place // 8] ^= 1 << place % 8
    with pytest.raises(Corrupt):
        decode_block(*split(bytes(block)))


def test_lengths_are_bounded_before_anything_is_made_of_them():
    head = bytearray(encode_block(Seq(1), entries(1, [b"x"]), 0)[:PART_HEAD_BYTES])
    for at in (16, 20, 24):
        huge = bytearray(head)
        huge[at : at + 4] = b"\x7f\xff\xff\xff"
        with pytest.raises(Corrupt):
            decode_block_head(bytes(huge))


def test_a_bomb_does_not_go_off():
    block = encode_block(Seq(1), entries(1, [b"%d" % n for n in range(400)]), 0)
    head, payload = split(block)
    less = bytearray(head.head)
    less[20:24] = (head.plain_bytes - 1).to_bytes(4, "big")
    with pytest.raises(Corrupt):
        decode_block(decode_block_head(bytes(less)), payload)


def test_what_no_block_holds_is_a_fault_of_the_caller():
    with pytest.raises(ValueError):
        encode_block(Seq(1), [], 0)
    one = entries(1, [b"x"])[0]
    with pytest.raises(ValueError):
        encode_block(Seq(1), [one] * (SEGMENT_BLOCK_ENTRIES_MAX + 1), 0)
    with pytest.raises(ValueError):
        encode_block(Seq(1), [one + bytes(BATCH_BYTES_MAX)] * 3, 0)
