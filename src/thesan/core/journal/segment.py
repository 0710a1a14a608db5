"""Segment files: the journal as each MGM keeps it on its own disk, byte for byte.

A segment is a head, blocks of whole entries, and, once it is closed, a foot. Bytes only: files and
their names are io.journal.archive's business. All numbers big-endian (docs/reference/journal.md):

    head    0   8  magic "thseg01\\n"
            8   8  seq of the first entry
            16  8  its epoch
            24  4  crc of the entry before it: the chain goes on over segments
            28  8  wall clock at which the file was begun, ns
            36  4  crc32c of bytes 0..36
    block   0   4  magic "thb\\n"
            4   1  codec of the payload: 0 raw, 1 raw deflate
            5   3  zero
            8   8  seq of the first entry
            16  4  entry count
            20  4  payload bytes before compression
            24  4  payload bytes as stored
            28  8  wall clock when the last entry was applied here, ns; 0 when it was read later
            36  4  crc32c of bytes 0..36 and of the payload as stored
            40     payload: for each entry 4 bytes of length, then the entry
    foot    0   4  magic "thf\\n"
            4   4  crc of the last entry
            8   8  seq of the last entry
            16  8  bytes of all entries
            24  8  newest wall clock of a block, ns
            32  4  zero
            36  4  crc32c of bytes 0..36

Entries that a block holds are compressed together: long ones are already, short ones gain.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, assert_never

import google_crc32c
import msgspec

from thesan.core.journal.deflate import deflate, inflate
from thesan.core.journal.entry import HEAD_BYTES as ENTRY_HEAD_BYTES
from thesan.core.journal.entry import Codec as EntryCodec
from thesan.core.journal.entry import codec_of
from thesan.core.model.archive_limits import SEGMENT_BLOCK_BYTES, SEGMENT_BLOCK_ENTRIES_MAX
from thesan.core.model.errors import Corrupt
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.limits import BATCH_BYTES_MAX, ENTRY_COMPRESS_BYTES_MIN

HEAD_MAGIC: Final = b"thseg01\n"
BLOCK_MAGIC: Final = b"thb\n"
FOOT_MAGIC: Final = b"thf\n"

_HEAD: Final = struct.Struct(">8sQQIQ")
_BLOCK: Final = struct.Struct(">4sB3xQIIIQ")
_FOOT: Final = struct.Struct(">4sIQQQ4x")
_CRC: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">I")

PART_HEAD_BYTES: Final = 40
"""Length of a segment's head, of a block's head and of a foot."""
assert all(part.size + _CRC.size == PART_HEAD_BYTES for part in (_HEAD, _BLOCK, _FOOT))
PAYLOAD_BYTES_MAX: Final = SEGMENT_BLOCK_BYTES + BATCH_BYTES_MAX + 4 * SEGMENT_BLOCK_ENTRIES_MAX
"""Payload of a block before compression: it is closed by the entry that fills it."""


class Codec(IntEnum):
    """How a block's payload is stored."""

    RAW = 0
    DEFLATE = 1


class SegmentHead(msgspec.Struct, frozen=True):
    """Where a segment begins."""

    first: Seq
    epoch: Epoch
    prev_crc: int
    begun_ns: int


class BlockHead(msgspec.Struct, frozen=True):
    """What a block holds."""

    codec: Codec
    first: Seq
    count: int
    plain_bytes: int
    stored_bytes: int
    time_ns: int
    head: bytes
    """The 40 bytes themselves, for the crc."""

    @property
    def last(self) -> Seq:
        """Seq of its last entry."""
        return Seq(self.first + self.count - 1)


class Foot(msgspec.Struct, frozen=True):
    """What a closed segment holds."""

    last: Seq
    last_crc: int
    entry_bytes: int
    time_ns: int


def encode_head(head: SegmentHead) -> bytes:
    """First 40 bytes of a segment."""
    return _sealed(_HEAD.pack(HEAD_MAGIC, head.first, head.epoch, head.prev_crc, head.begun_ns))


def decode_head(data: bytes) -> SegmentHead:
    """Raises Corrupt."""
    _check(data, HEAD_MAGIC, "segment head")
    _, first, epoch, prev_crc, begun_ns = _HEAD.unpack_from(data)
    if first < 1 or epoch < 1:
        raise Corrupt(f"segment head is out of range: entry {first} of epoch {epoch}")
    return SegmentHead(Seq(first), Epoch(epoch), prev_crc, begun_ns)


def encode_foot(foot: Foot) -> bytes:
    """Last 40 bytes of a closed segment."""
    return _sealed(_FOOT.pack(FOOT_MAGIC, foot.last_crc, foot.last, foot.entry_bytes, foot.time_ns))


def decode_foot(data: bytes) -> Foot:
    """Raises Corrupt."""
    _check(data, FOOT_MAGIC, "segment foot")
    _, last_crc, last, entry_bytes, time_ns = _FOOT.unpack_from(data)
    return Foot(Seq(last), last_crc, entry_bytes, time_ns)


def encode_block(first: Seq, entries: Sequence[bytes], time_ns: int) -> bytes:
    """A block of encoded entries `first`, `first` + 1, ... Raises ValueError for what no block
    can hold: a fault of the caller."""
    if not 1 <= len(entries) <= SEGMENT_BLOCK_ENTRIES_MAX:
        raise ValueError(f"{len(entries)} entries in a block")
    parts: list[bytes] = []
    for entry in entries:
        parts.append(_LENGTH.pack(len(entry)))
        parts.append(entry)
    plain = b"".join(parts)
    if len(plain) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"block of {len(plain)} bytes, at most {PAYLOAD_BYTES_MAX}")
    codec, payload = Codec.RAW, plain
    raw_bytes = sum(len(entry) for entry in entries if codec_of(entry) is EntryCodec.RAW)
    if raw_bytes >= ENTRY_COMPRESS_BYTES_MIN:
        packed = deflate(plain)
        if len(packed) < len(plain):
            codec, payload = Codec.DEFLATE, packed
    head = _BLOCK.pack(BLOCK_MAGIC, codec, first, len(entries), len(plain), len(payload), time_ns)
    crc = google_crc32c.extend(google_crc32c.value(head), payload)
    return b"".join((head, _CRC.pack(crc), payload))


def decode_block_head(data: bytes) -> BlockHead:
    """Read 40 bytes. Its crc covers the payload too, so only `decode_block` can trust it; but no
    length in it is beyond its bound. Raises Corrupt."""
    if len(data) != PART_HEAD_BYTES or data[:4] != BLOCK_MAGIC:
        raise Corrupt(f"segment block starts with {data[:4]!r}")
    _, codec, first, count, plain_bytes, stored_bytes, time_ns = _BLOCK.unpack_from(data)
    if codec not in (Codec.RAW, Codec.DEFLATE) or first < 1 or data[5:8] != b"\0\0\0":
        raise Corrupt(f"head of segment block at entry {first} is out of range")
    if not (
        1 <= count <= SEGMENT_BLOCK_ENTRIES_MAX
        and 0 < stored_bytes <= plain_bytes <= PAYLOAD_BYTES_MAX
    ):
        raise Corrupt(f"sizes of segment block at entry {first} are out of range")
    return BlockHead(Codec(codec), Seq(first), count, plain_bytes, stored_bytes, time_ns, data)


def decode_block(head: BlockHead, payload: bytes) -> list[bytes]:
    """The entries of a block, not looked into. Raises Corrupt."""
    where = f"segment block at entry {head.first}"
    crc = google_crc32c.value(head.head[: _BLOCK.size])
    if google_crc32c.extend(crc, payload) != _CRC.unpack_from(head.head, _BLOCK.size)[0]:
        raise Corrupt(f"crc of {where} is wrong")
    match head.codec:
        case Codec.RAW:
            plain = payload
        case Codec.DEFLATE:
            plain = inflate(payload, head.plain_bytes, where)
        case _:
            assert_never(head.codec)
    if len(plain) != head.plain_bytes:
        raise Corrupt(f"{where} is not {head.plain_bytes} bytes long")
    return _split(plain, head.count, where)


def is_foot(data: bytes) -> bool:
    """Whether a foot begins here, and not a block."""
    return data[:4] == FOOT_MAGIC


def _sealed(part: bytes) -> bytes:
    return part + _CRC.pack(google_crc32c.value(part))


def _check(data: bytes, magic: bytes, what: str) -> None:
    if len(data) != PART_HEAD_BYTES:
        raise Corrupt(f"{what} of {len(data)} bytes")
    if not data.startswith(magic):
        raise Corrupt(f"{what} starts with {data[: len(magic)]!r}")
    end = PART_HEAD_BYTES - _CRC.size
    if google_crc32c.value(data[:end]) != _CRC.unpack_from(data, end)[0]:
        raise Corrupt(f"crc of {what} is wrong")


def _split(plain: bytes, count: int, where: str) -> list[bytes]:
    entries: list[bytes] = []
    at = 0
    for _ in range(count):
        start = at + _LENGTH.size
        at = start + int.from_bytes(plain[at:start])
        if at > len(plain) or at - start <= ENTRY_HEAD_BYTES:
            raise Corrupt(f"lengths in {where} do not fit it")
        entries.append(plain[start:at])
    if at != len(plain):
        raise Corrupt(f"{where} has bytes after its last entry")
    return entries
