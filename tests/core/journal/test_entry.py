"""Entries: what is written is read back, and nothing else is read at all."""

import struct

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.journal import entry
from thesan.core.journal.entry import START, Chain, Codec, Entry, Position, crc_of, decode, encode
from thesan.core.model.errors import Corrupt
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.limits import BATCH_BYTES_MAX, BATCH_OPS_MAX

DIGEST = bytes(range(16))


def one(*ops: bytes, epoch: int = 3, seq: int = 7, prev_crc: int = 9, digest: bytes = b"") -> bytes:
    return encode(Epoch(epoch), Seq(seq), prev_crc, list(ops), digest)


def resealed(data: bytes) -> bytes:
    """The same bytes under a crc that fits: what only a faulty writer could have made."""
    head, payload = data[:52], data[56:]
    crc = google_crc32c.extend(google_crc32c.value(head), payload)
    return head + struct.pack(">I", crc) + payload


@given(
    ops=st.lists(st.binary(max_size=300), min_size=1, max_size=40),
    epoch=st.integers(1, 2**64 - 1),
    seq=st.integers(1, 2**64 - 1),
    prev_crc=st.integers(0, 2**32 - 1),
    digest=st.sampled_from([b"", DIGEST]),
)
def test_round_trip(ops, epoch, seq, prev_crc, digest):
    data = one(*ops, epoch=epoch, seq=seq, prev_crc=prev_crc, digest=digest)
    assert decode(data) == Entry(epoch, seq, prev_crc, crc_of(data), digest, ops)
    assert len(data) <= BATCH_BYTES_MAX


def test_the_bytes_of_version_1():
    """Journals outlive programs: this entry must be readable, and written so, for ever."""
    data = one(b"ab", b"", digest=DIGEST)
    assert data.hex() == (
        "74686a0a" + "01" + "00" + "0000"
        "0000000000000003" + "0000000000000007"
        "00000002" + "0000000a" + "00000009"
        "000102030405060708090a0b0c0d0e0f" + f"{crc_of(data):08x}"
        "00000002" + "6162" + "00000000"
    )
    assert crc_of(data) == google_crc32c.value(data[:52] + data[56:])


def test_a_compressible_payload_is_deflated_and_a_random_one_is_not():
    packed = one(*(b"create /a/b/c%04d" % number for number in range(500)))
    assert packed[5] == Codec.DEFLATE
    assert len(packed) < 500 * 21 / 2
    assert len(decode(packed).ops) == 500
    dense = bytes((number * 197 + (number >> 3) * 101) & 0xFF for number in range(3000))
    noise = b"".join(google_crc32c.value(dense[at:]).to_bytes(4) for at in range(1000))
    assert one(noise)[5] == Codec.RAW
    assert one(b"a" * 500)[5] == Codec.RAW


def test_the_largest_entries_fit():
    assert len(one(b"x" * entry.OP_BYTES_MAX)) <= BATCH_BYTES_MAX
    many = [b"x" * 8] * BATCH_OPS_MAX
    assert decode(one(*many)).ops == many
    noise = b"".join(
        google_crc32c.value(at.to_bytes(4)).to_bytes(4) for at in range(entry.OP_BYTES_MAX // 4)
    )
    full = noise + b"x" * (entry.OP_BYTES_MAX - len(noise))
    data = one(full)
    assert data[5] == Codec.RAW
    assert len(data) == BATCH_BYTES_MAX
    assert decode(data).ops == [full]


@pytest.mark.parametrize(
    ("ops", "epoch", "seq", "digest"),
    [
        ([], 1, 1, b""),
        ([b"x"] * (BATCH_OPS_MAX + 1), 1, 1, b""),
        ([b"x" * (entry.OP_BYTES_MAX + 1)], 1, 1, b""),
        ([b"x"], 0, 1, b""),
        ([b"x"], 1, 0, b""),
        ([b"x"], 1, 1, b"short"),
    ],
)
def test_what_no_entry_can_hold(ops, epoch, seq, digest):
    with pytest.raises(ValueError):
        encode(Epoch(epoch), Seq(seq), 0, ops, digest)


RAW = one(b"hello", b"journal", b"", digest=DIGEST)
PACKED = one(*(b"mkdir /data/%d" % number for number in range(100)))


@pytest.mark.parametrize("data", [RAW, PACKED], ids=["raw", "deflated"])
def test_every_cut_and_every_flipped_bit_is_noticed(data):
    for length in range(len(data)):
        with pytest.raises(Corrupt):
            decode(data[:length])
    for at in range(len(data)):
        for bit in range(8):
            bad = bytearray(data)
            bad[at] ^= 1 << bit
            with pytest.raises(Corrupt):
                decode(bytes(bad))
    with pytest.raises(Corrupt):
        decode(data + b"\0")


@pytest.mark.parametrize("data", [RAW, PACKED], ids=["raw", "deflated"])
def test_strictness_does_not_rest_on_the_crc(data):
    """Every byte of the head set to every value, under a fitting crc: Corrupt or still an entry."""
    for at in [*range(36), *range(56, 70)]:
        for value in range(256):
            bad = resealed(data[:at] + bytes([value]) + data[at + 1 :])
            try:
                read = decode(bad)
            except Corrupt:
                continue
            assert 1 <= len(read.ops) <= BATCH_OPS_MAX
            assert read.seq >= 1
            assert read.epoch >= 1


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data):
    with pytest.raises(Corrupt):
        decode(data)
    with pytest.raises(Corrupt):
        decode(RAW[:4] + data)


@settings(max_examples=300)
@given(
    st.integers(0, 3), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=99)
)
def test_random_payloads_under_a_good_crc_are_bounded(codec, count, plain_bytes, payload):
    head = struct.pack(
        ">4sBBHQQIII16s", entry.MAGIC, 1, codec, 0, 1, 1, count, plain_bytes, 0, bytes(16)
    )
    try:
        read = decode(resealed(head + bytes(4) + payload))
    except Corrupt:
        return
    assert sum(len(op) + 4 for op in read.ops) == plain_bytes


def test_a_deflate_bomb_stops_at_the_claimed_length():
    from zlib_ng import zlib_ng

    bomb = zlib_ng.compress(bytes(100 << 20), 9, -15)
    assert len(bomb) < BATCH_BYTES_MAX - 56
    for claimed in (10, entry.PAYLOAD_BYTES_MAX):
        head = struct.pack(
            ">4sBBHQQIII16s", entry.MAGIC, 1, Codec.DEFLATE, 0, 1, 1, 1, claimed, 0, bytes(16)
        )
        with pytest.raises(Corrupt, match="does not end"):
            decode(resealed(head + bytes(4) + bomb))


def test_a_newer_version_is_named():
    with pytest.raises(Corrupt, match="version 2, this program reads 1"):
        decode(RAW[:4] + b"\x02" + RAW[5:])


class TestChain:
    def test_good_entries_in_order_over_two_epochs(self):
        chain = Chain()
        assert chain.position == START
        crc = 0
        for seq, epoch in [(1, 1), (2, 1), (3, 4), (4, 4)]:
            read = decode(one(b"op", seq=seq, epoch=epoch, prev_crc=crc))
            chain.check(read)
            crc = read.crc
            assert chain.position == read.position == Position(Seq(seq), Epoch(epoch), crc)

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"seq": 12}, "entry 12 where 11 must be"),
            ({"seq": 10}, "entry 10 where 11 must be"),
            ({"epoch": 4}, "epoch 4, after epoch 5"),
            ({"prev_crc": 78}, "does not chain to entry 10"),
        ],
    )
    def test_a_bad_entry_is_refused_and_changes_nothing(self, change, text):
        stands = Position(Seq(10), Epoch(5), 77)
        chain = Chain(stands)
        with pytest.raises(Corrupt, match=text):
            chain.check(decode(one(b"op", **({"seq": 11, "epoch": 5, "prev_crc": 77} | change))))
        assert chain.position == stands
        chain.check(decode(one(b"op", seq=11, epoch=5, prev_crc=77)))

    def test_the_same_ops_behind_another_past_have_another_crc(self):
        assert crc_of(one(b"op", prev_crc=1)) != crc_of(one(b"op", prev_crc=2))


class TestPosition:
    @given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
    def test_round_trip(self, seq, epoch, crc):
        position = Position(seq, epoch, crc)
        assert entry.decode_position(position.encode()) == position

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x93\x01\x02",
            b"\x92\x01\x02",
            b"\x94\x01\x02\x03\x04",
            b"\x93\xff\x02\x03",
            b"\x93\x01\xff\x03",
            b"\x93\x01\x02\xff",
            b"\x93\x01\x02\xcf\x00\x00\x00\x01\x00\x00\x00\x00",
            b"\x93\x01\x02\x03\x04",
            b"\x93\xa1a\x02\x03",
        ],
    )
    def test_anything_else_is_refused(self, data):
        with pytest.raises(Corrupt):
            entry.decode_position(data)
