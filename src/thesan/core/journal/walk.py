"""Walking through a segment's bytes in pieces of any size: every block checked, the chain followed.

Where a walk stopped by damage is `offset`: everything before it is whole. What that means (a tail
torn by a crash, or a file that rotted) only its caller can know.
"""

from typing import Final

import msgspec

from thesan.core.journal.entry import Position, step
from thesan.core.journal.segment import (
    PART_HEAD_BYTES,
    Foot,
    SegmentHead,
    decode_block,
    decode_block_head,
    decode_foot,
    decode_head,
    is_foot,
)
from thesan.core.model.errors import Corrupt
from thesan.core.model.ids import Epoch, Seq


class Block(msgspec.Struct, frozen=True):
    """A checked block."""

    first: Seq
    entries: list[bytes]
    time_ns: int
    """See segment.BlockHead."""
    offset: int
    """Where it begins in its file."""
    before: Position
    """What its first entry chains to."""
    after: Position
    """Of its last entry."""


class Walk:
    """`feed` bytes in file order, take `next_block` until it has none."""

    def __init__(self, head: SegmentHead | None = None, place: Block | None = None) -> None:
        """From the beginning of a file; or, with both, from the beginning of a block that an
        earlier walk found there."""
        self.head = head
        self.foot: Foot | None = None
        self.position: Position | None = None
        """After the last entry; None before the head was read."""
        self.offset = 0
        """End of what was checked."""
        self.entry_bytes = 0
        """Bytes of the entries walked over."""
        self.time_ns = 0
        """Newest time of a block."""
        self._buffer = bytearray()
        if place is not None:
            assert head is not None
            self.offset = place.offset
            self.position = place.before

    @property
    def end(self) -> int:
        """Offset of the next byte to feed."""
        return self.offset + len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Bytes that follow those fed before."""
        self._buffer += data

    def next_block(self) -> Block | None:
        """The next block; None when more bytes are needed, or the foot was reached.

        Raises Corrupt at the first damage, and again when called again.
        """
        if self.head is None and not self._take_head():
            return None
        buffer = self._buffer
        if self.foot is not None:
            if buffer:
                raise Corrupt("segment goes on behind its foot")
            return None
        if len(buffer) < PART_HEAD_BYTES:
            return None
        part = bytes(buffer[:PART_HEAD_BYTES])
        if is_foot(part):
            self._take_foot(part)
            return self.next_block()
        head = decode_block_head(part)
        end = PART_HEAD_BYTES + head.stored_bytes
        if len(buffer) < end:
            return None
        entries = decode_block(head, bytes(buffer[PART_HEAD_BYTES:end]))
        before = self.position
        assert before is not None
        after = before
        for entry in entries:
            after = step(after, entry)
        block = Block(head.first, entries, head.time_ns, self.offset, before, after)
        if head.first != before.seq + 1:
            raise Corrupt(f"segment block at entry {head.first} where {before.seq + 1} must be")
        del buffer[:end]
        self.offset += end
        self.position = after
        self.entry_bytes += sum(map(len, entries))
        self.time_ns = max(self.time_ns, head.time_ns)
        return block

    def check_end(self) -> None:
        """The file has no more bytes. Raises Corrupt unless the walk ended at a foot."""
        if self.foot is None:
            raise Corrupt(f"segment ends at byte {self.end} without its foot")

    def _take_head(self) -> bool:
        if len(self._buffer) < PART_HEAD_BYTES:
            return False
        head = self.head = decode_head(bytes(self._buffer[:PART_HEAD_BYTES]))
        del self._buffer[:PART_HEAD_BYTES]
        self.offset = PART_HEAD_BYTES
        self.position = before(head)
        return True

    def _take_foot(self, part: bytes) -> None:
        foot = decode_foot(part)
        position = self.position
        assert position is not None
        if (foot.last, foot.last_crc) != (position.seq, position.crc):
            raise Corrupt(f"segment foot names entry {foot.last}, the last one is {position.seq}")
        del self._buffer[:PART_HEAD_BYTES]
        self.offset += PART_HEAD_BYTES
        self.foot = foot


_ANY_EPOCH: Final = Epoch(0)


def before(head: SegmentHead) -> Position:
    """The position that a segment begins behind; its epoch is not known."""
    return Position(Seq(head.first - 1), _ANY_EPOCH, head.prev_crc)
