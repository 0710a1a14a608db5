"""Namespace snapshots: a store's content as a stream of bytes, the same bytes for the same state.

stream  = MAGIC, frame(msgpack of tables.Applied), frame(msgpack list of [key, value])...,
          frame() (empty), crc of everything before it 4
frame   = length 4, crc32 of the payload 4, payload
Pairs come in key order, in frames of up to SNAPSHOT_PAIRS or SNAPSHOT_BYTES. The applied record is
not among them but in the head: a restore writes it last, so that one that broke off leaves a store
that nobody takes for whole.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from thesan.core.model.errors import Corrupt, StoreError
from thesan.core.model.limits import SNAPSHOT_FRAME_BYTES_MAX
from thesan.core.namespace import keys
from thesan.core.namespace.tables import Applied, Change, Source

MAGIC: Final = b"thesnap1"
SNAPSHOT_PAIRS: Final = 250
"""Pairs of one frame: about 25 KiB and 0.5 ms."""
SNAPSHOT_BYTES: Final = 1 << 20
"""A frame ends with the pair that reaches this: the longest record is far below the bound of a
frame."""
_HEAD: Final = struct.Struct(">II")
_CRC: Final = struct.Struct(">I")
_DIGEST_BYTES: Final = 16

_encoder = msgspec.msgpack.Encoder()
_applied_decoder = msgspec.msgpack.Decoder(Applied)
_pairs_decoder = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]])


def dump(source: Source) -> Iterator[bytes]:
    """Chunks of the snapshot of a store that does not change meanwhile (a checkpoint, or one that
    nothing is written to). Raises StoreError when it holds no namespace."""
    applied = source.get(keys.M_APPLIED)
    if applied is None:
        raise StoreError("the store holds no namespace")
    whole = zlib.crc32(MAGIC)
    yield MAGIC
    for payload in _payloads(source, applied):
        chunk = _HEAD.pack(len(payload), zlib.crc32(payload)) + payload
        whole = zlib.crc32(chunk, whole)
        yield chunk
    yield _CRC.pack(whole)


def _payloads(source: Source, applied: bytes) -> Iterator[bytes]:
    yield applied
    start = b""
    while rows := source.scan(start, b"\xff", SNAPSHOT_PAIRS):
        size = count = 0
        for key, value in rows:
            size += len(key) + len(value)
            count += 1
            if size >= SNAPSHOT_BYTES:
                break
        del rows[count:]
        yield _encoder.encode([row for row in rows if row[0] != keys.M_APPLIED])
        start = rows[-1][0] + b"\0"
    yield b""


def restore(chunks: Iterable[bytes]) -> Iterator[list[Change]]:
    """Batches to write, in order, to an empty store. Chunks may be cut anywhere.

    Raises Corrupt at the first damage, ValueError never; the store is then useless. The last batch
    makes it a namespace, and comes only when everything was checked.
    """
    reader = _Reader(chunks)
    if reader.take(len(MAGIC)) != MAGIC:
        raise Corrupt("not a namespace snapshot")
    head = reader.frame()
    try:
        _applied_decoder.decode(head)
    except msgspec.DecodeError as error:
        raise Corrupt(f"unreadable snapshot head: {error}") from error
    last = b""
    while payload := reader.frame():
        try:
            pairs = _pairs_decoder.decode(payload)
        except msgspec.DecodeError as error:
            raise Corrupt(f"unreadable snapshot frame: {error}") from error
        for key, _ in pairs:
            if key <= last or key == keys.M_APPLIED:
                raise Corrupt(f"snapshot keys are out of order at {key[:40]!r}")
            last = key
        yield list(pairs)
    expected = reader.crc
    if _CRC.unpack(reader.take(_CRC.size))[0] != expected:
        raise Corrupt("snapshot crc does not match")
    if not reader.at_end():
        raise Corrupt("bytes after the snapshot's end")
    yield [(keys.M_APPLIED, head)]


SPANS: Final = (
    (b"", keys.M_APPLIED),
    (keys.M_APPLIED + b"\0", keys.M_SEED),
    (keys.M_SEED + b"\0", b"\xff"),
)
"""Key ranges that are the content of a store: all but the records that say what the store is."""


def applied_of(source: Source) -> Applied | None:
    """What the store's content is; None when it holds no namespace. Raises StoreError."""
    value = source.get(keys.M_APPLIED)
    return None if value is None else decode_applied(value)


def decode_applied(value: bytes) -> Applied:
    """Read an applied record. Raises StoreError."""
    try:
        return _applied_decoder.decode(value)
    except msgspec.DecodeError as error:
        raise StoreError(f"unreadable applied record: {error}") from error


def page_digest(pairs: Sequence[tuple[bytes, bytes]], before: bytes = b"") -> bytes:
    """blake2b-128 over pairs in their order, going on from the digest of the page before."""
    encoded = _encoder.encode(pairs)
    return hashlib.blake2b(before + encoded, digest_size=_DIGEST_BYTES).digest()


class _Reader:
    """Bounded reading of a stream that comes in pieces of any size."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = bytearray()
        self.crc = 0
        """Of everything taken so far."""

    def take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise Corrupt("the snapshot ends too early")
            self._buffer += chunk
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        self.crc = zlib.crc32(data, self.crc)
        return data

    def frame(self) -> bytes:
        length, crc = _HEAD.unpack(self.take(_HEAD.size))
        if length > SNAPSHOT_FRAME_BYTES_MAX:
            raise Corrupt(f"snapshot frame of {length} bytes")
        payload = self.take(length)
        if zlib.crc32(payload) != crc:
            raise Corrupt("snapshot frame crc does not match")
        return payload

    def at_end(self) -> bool:
        return not self._buffer and all(not chunk for chunk in self._chunks)
