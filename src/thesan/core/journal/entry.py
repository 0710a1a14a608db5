"""One journal entry: a batch of ops with its epoch, seq, crc, chain and state digest.

Bytes only: what an op means is the namespace's business, where an entry is kept the engine's.
An entry is written once and never changed; a resend sends the very same bytes.

Layout, big-endian (docs/reference/journal.md is the same table for people):

    0   4  magic "thj\\n"
    4   1  version, 1
    5   1  codec of the payload: 0 raw, 1 raw deflate
    6   2  zero
    8   8  epoch
    16  8  seq
    24  4  op count
    28  4  payload bytes before compression
    32  4  crc of the entry before (0 at seq 1): the chain
    36 16  digest of the state after the last op, zeros when not given
    52  4  crc32c of bytes 0..52 and of the payload as stored
    56     payload: for each op 4 bytes of length, then the op
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, assert_never

import google_crc32c
import msgspec

from thesan.core.journal.deflate import deflate, inflate
from thesan.core.model.errors import Corrupt
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.limits import (
    BATCH_BYTES_MAX,
    BATCH_OPS_MAX,
    ENTRY_COMPRESS_BYTES_MIN,
)

MAGIC: Final = b"thj\n"
VERSION: Final = 1
DIGEST_BYTES: Final = 16

_HEAD: Final = struct.Struct(">4sBBHQQIII16s")
_CRC: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">I")
_NO_DIGEST: Final = bytes(DIGEST_BYTES)

HEAD_BYTES: Final = _HEAD.size + _CRC.size
"""Bytes before the payload: 56."""
OP_HEAD_BYTES: Final = _LENGTH.size
"""Bytes that an op costs beyond its own."""
PAYLOAD_BYTES_MAX: Final = BATCH_BYTES_MAX - HEAD_BYTES
"""Payload before compression; an encoded entry never exceeds BATCH_BYTES_MAX."""
OP_BYTES_MAX: Final = PAYLOAD_BYTES_MAX - OP_HEAD_BYTES
"""Longest op: one that fills an entry alone."""


class Codec(IntEnum):
    """How the payload is stored."""

    RAW = 0
    DEFLATE = 1


class Entry(msgspec.Struct, frozen=True):
    """A decoded entry whose crc is right. Whether it follows its predecessor, Chain says."""

    epoch: Epoch
    seq: Seq
    prev_crc: int
    crc: int
    digest: bytes
    """16 bytes: the master's state digest after the last op; empty when it gave none."""
    ops: list[bytes]

    @property
    def position(self) -> "Position":
        """Where a reader stands that has applied this entry."""
        return Position(self.seq, self.epoch, self.crc)


class Position(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A place in the journal: what was applied last, and what the next entry must chain to.

    Kept by the store beside the state, in the same atomic write.
    """

    seq: Seq
    epoch: Epoch
    crc: int

    def encode(self) -> bytes:
        """Value for the store."""
        return msgspec.msgpack.encode(self)


START: Final = Position(Seq(0), Epoch(0), 0)
"""Before the first entry."""

_position_decoder = msgspec.msgpack.Decoder(Position)


def decode_position(data: bytes) -> Position:
    """Read back `Position.encode`. Raises Corrupt."""
    try:
        position = _position_decoder.decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise Corrupt(f"unreadable journal position: {error}") from error
    if not (0 <= position.seq < 1 << 64 and 0 <= position.epoch < 1 << 64):
        raise Corrupt(f"journal position out of range: {position}")
    if not 0 <= position.crc < 1 << 32:
        raise Corrupt(f"journal position out of range: {position}")
    return position


def encode(
    epoch: Epoch, seq: Seq, prev_crc: int, ops: Sequence[bytes], digest: bytes = b""
) -> bytes:
    """The entry's bytes. Raises ValueError for what no entry can hold: a fault of the caller."""
    if not 1 <= len(ops) <= BATCH_OPS_MAX:
        raise ValueError(f"{len(ops)} ops in an entry, allowed are 1 to {BATCH_OPS_MAX}")
    if len(digest) not in (0, DIGEST_BYTES):
        raise ValueError(f"digest of {len(digest)} bytes, wanted {DIGEST_BYTES}")
    if seq < 1 or epoch < 1:
        raise ValueError(f"epoch {epoch} and seq {seq} must be at least 1")
    parts: list[bytes] = []
    for op in ops:
        parts.append(_LENGTH.pack(len(op)))
        parts.append(op)
    plain = b"".join(parts)
    if len(plain) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"payload of {len(plain)} bytes, at most {PAYLOAD_BYTES_MAX}")
    codec, payload = _pack(plain)
    head = _HEAD.pack(
        MAGIC, VERSION, codec, 0, epoch, seq, len(ops), len(plain), prev_crc, digest or _NO_DIGEST
    )
    crc = google_crc32c.extend(google_crc32c.value(head), payload)
    return b"".join((head, _CRC.pack(crc), payload))


def decode(data: bytes) -> Entry:
    """Read one whole entry. Raises Corrupt for anything that `encode` does not write."""
    if not HEAD_BYTES < len(data) <= BATCH_BYTES_MAX:
        raise Corrupt(f"journal entry of {len(data)} bytes")
    if data[:4] != MAGIC:
        raise Corrupt(f"journal entry starts with {data[:4]!r}")
    if data[4] != VERSION:
        raise Corrupt(f"journal entry of version {data[4]}, this program reads {VERSION}")
    (_, _, codec, zero, epoch, seq, op_count, plain_bytes, prev_crc, digest) = _HEAD.unpack_from(
        data
    )
    crc = crc_of(data)
    payload = data[HEAD_BYTES:]
    if google_crc32c.extend(google_crc32c.value(data[: _HEAD.size]), payload) != crc:
        raise Corrupt(f"crc of journal entry {seq} is wrong")
    if zero or seq < 1 or epoch < 1 or not 1 <= op_count <= BATCH_OPS_MAX:
        raise Corrupt(f"head of journal entry {seq} is out of range")
    plain = _unpack(codec, payload, plain_bytes, seq)
    ops = _split(plain, op_count, seq)
    return Entry(
        epoch=Epoch(epoch),
        seq=Seq(seq),
        prev_crc=prev_crc,
        crc=crc,
        digest=b"" if digest == _NO_DIGEST else digest,
        ops=ops,
    )


def step(before: Position | None, data: bytes) -> Position:
    """Where a reader stands after this encoded entry, from its head alone: 1 us, no crc taken.

    Raises Corrupt when it does not follow `before` (None: whatever it follows is right).
    """
    if len(data) <= HEAD_BYTES or data[:4] != MAGIC:
        raise Corrupt(f"journal entry starts with {data[:4]!r}")
    _, _, _, _, epoch, seq, _, _, prev_crc, _ = _HEAD.unpack_from(data)
    if before is not None:
        if seq != before.seq + 1:
            raise Corrupt(f"journal entry {seq} where {before.seq + 1} must be")
        if epoch < before.epoch or prev_crc != before.crc:
            raise Corrupt(f"journal entry {seq} does not chain to entry {before.seq}")
    return Position(Seq(seq), Epoch(epoch), crc_of(data))


def prev_crc_of(data: bytes) -> int:
    """The crc of the entry before, as an encoded entry names it."""
    prev_crc: int = _HEAD.unpack_from(data)[8]
    return prev_crc


def codec_of(data: bytes) -> Codec:
    """How an encoded entry's payload is stored. Raises Corrupt."""
    try:
        return Codec(data[5])
    except (ValueError, IndexError) as error:
        raise Corrupt("journal entry has an unknown codec") from error


def crc_of(data: bytes) -> int:
    """The crc that an encoded entry carries: `prev_crc` of the next one."""
    crc: int = _CRC.unpack_from(data, _HEAD.size)[0]
    return crc


class Chain:
    """Checks that entries follow each other: seq without hole, epoch never back, crc chained."""

    def __init__(self, position: Position = START) -> None:
        self.position = position

    def check(self, entry: Entry) -> None:
        """Accept `entry` as the next one and move on. Raises Corrupt and stays where it is."""
        before = self.position
        if entry.seq != before.seq + 1:
            raise Corrupt(f"journal entry {entry.seq} where {before.seq + 1} must be")
        if entry.epoch < before.epoch:
            raise Corrupt(
                f"journal entry {entry.seq} is of epoch {entry.epoch}, after epoch {before.epoch}"
            )
        if entry.prev_crc != before.crc:
            raise Corrupt(f"journal entry {entry.seq} does not chain to entry {before.seq}")
        self.position = entry.position


def _pack(plain: bytes) -> tuple[Codec, bytes]:
    if len(plain) < ENTRY_COMPRESS_BYTES_MIN:
        return Codec.RAW, plain
    packed = deflate(plain)
    return (Codec.DEFLATE, packed) if len(packed) < len(plain) else (Codec.RAW, plain)


def _unpack(codec_number: int, payload: bytes, plain_bytes: int, seq: int) -> bytes:
    try:
        codec = Codec(codec_number)
    except ValueError as error:
        raise Corrupt(f"journal entry {seq} has unknown codec {codec_number}") from error
    if not 0 < plain_bytes <= PAYLOAD_BYTES_MAX:
        raise Corrupt(f"journal entry {seq} claims a payload of {plain_bytes} bytes")
    match codec:
        case Codec.RAW:
            plain = payload
        case Codec.DEFLATE:
            plain = inflate(payload, plain_bytes, f"payload of journal entry {seq}")
        case _:
            assert_never(codec)
    if len(plain) != plain_bytes:
        raise Corrupt(f"payload of journal entry {seq} is not {plain_bytes} bytes long")
    return plain


def _split(plain: bytes, op_count: int, seq: int) -> list[bytes]:
    ops: list[bytes] = []
    at = 0
    end = len(plain)
    for _ in range(op_count):
        start = at + OP_HEAD_BYTES
        if start > end:
            raise Corrupt(f"ops of journal entry {seq} end too early")
        at = start + int.from_bytes(plain[at:start])
        if at > end:
            raise Corrupt(f"an op of journal entry {seq} is longer than the entry")
        ops.append(plain[start:at])
    if at != end:
        raise Corrupt(f"journal entry {seq} has bytes after its last op")
    return ops
