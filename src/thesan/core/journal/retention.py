"""Which segments and checkpoints may go, and when a checkpoint is due.

A restore needs a checkpoint, the entry at which it stands and every entry after it. So a segment
goes only when a checkpoint stands behind it, and a checkpoint goes when those entries are no longer
all there, or when another one close to it serves as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from thesan.core.model.archive_limits import (
    CHECKPOINT_KEEP_BYTES,
    CHECKPOINT_KEEP_SECONDS,
    SEGMENTS_KEEP_BYTES,
    SEGMENTS_KEEP_SECONDS,
)
from thesan.core.model.ids import Seq
from thesan.core.model.units import NS_PER_S


class SegmentInfo(msgspec.Struct, frozen=True):
    """A segment file as the index knows it."""

    path: str
    first: Seq
    last: Seq
    prev_crc: int
    last_crc: int
    is_closed: bool
    file_bytes: int
    entry_bytes: int
    begun_ns: int
    time_ns: int
    """Wall clock of its newest entry; 0 when unknown."""


class CheckpointInfo(msgspec.Struct, frozen=True, order=True):
    """A checkpoint, as its name says."""

    seq: Seq
    time_ns: int

    @property
    def name(self) -> str:
        """File name: sorts by seq."""
        return f"{self.seq:016x}-{self.time_ns:016x}"


def parse_checkpoint(name: str) -> CheckpointInfo | None:
    """None for a name that is not a checkpoint's."""
    seq, dash, time_ns = name.partition("-")
    try:
        info = CheckpointInfo(Seq(int(seq, 16)), int(time_ns, 16))
    except ValueError:
        return None
    return info if dash and info.name == name else None


@dataclass(frozen=True)
class Keep:
    """How much is kept."""

    segment_seconds: float = SEGMENTS_KEEP_SECONDS
    """Age up to which segments are kept."""
    segment_bytes: int = SEGMENTS_KEEP_BYTES
    """Bytes of all segments; the oldest go first."""
    checkpoint_seconds: float = CHECKPOINT_KEEP_SECONDS
    """Time between two checkpoints that are kept."""
    checkpoint_bytes: int = CHECKPOINT_KEEP_BYTES
    """Entries between two checkpoints that are kept."""


@dataclass(frozen=True)
class Surplus:
    """What to do now."""

    segments: tuple[SegmentInfo, ...]
    """May be removed, oldest first."""
    checkpoints: tuple[CheckpointInfo, ...]
    """May be removed."""
    is_due: bool
    """A checkpoint is to be made."""


def surplus(
    segments: Sequence[SegmentInfo],
    checkpoints: Sequence[CheckpointInfo],
    applied: Seq,
    now_ns: int,
    keep: Keep,
) -> Surplus:
    """`segments` and `checkpoints` in order, `applied` what the store holds now.

    The wall clock only decides how much is kept, never what is right: with one that is wrong, more
    or less is kept, and what is kept can be restored.
    """
    checkpoints = sorted(checkpoints)
    newest = checkpoints[-1] if checkpoints else None
    too_many = _too_many(segments, now_ns, keep)
    covered = newest.seq if newest is not None else Seq(0)
    gone = []
    for segment in segments[:too_many]:
        # The entry at which the checkpoint stands stays: a restore compares the two.
        if not segment.is_closed or segment.last >= covered:
            break
        gone.append(segment)
    rest = segments[len(gone) :]
    is_due = applied > covered and (
        newest is None
        or len(gone) < too_many
        or now_ns - newest.time_ns >= keep.checkpoint_seconds * NS_PER_S
        or _bytes_after(rest, newest.seq) >= keep.checkpoint_bytes
    )
    return Surplus(tuple(gone), _useless(rest, checkpoints, keep), is_due)


def run_start(segments: Sequence[SegmentInfo]) -> Seq:
    """First entry of the newest run without a hole; 0 when there is no segment."""
    start = Seq(0)
    for segment in reversed(segments):
        if start and (segment.last + 1 != start):
            break
        start = segment.first
    return start


def _too_many(segments: Sequence[SegmentInfo], now_ns: int, keep: Keep) -> int:
    """How many of the oldest are too old or over the bytes."""
    total = sum(segment.file_bytes for segment in segments)
    oldest_ns = now_ns - int(keep.segment_seconds * NS_PER_S)
    count = 0
    for segment in segments:
        when_ns = max(segment.time_ns, segment.begun_ns)
        if when_ns >= oldest_ns and total <= keep.segment_bytes:
            break
        total -= segment.file_bytes
        count += 1
    return count


def _bytes_after(segments: Sequence[SegmentInfo], seq: Seq) -> int:
    return sum(segment.entry_bytes for segment in segments if segment.first > seq)


def _useless(
    segments: Sequence[SegmentInfo], checkpoints: Sequence[CheckpointInfo], keep: Keep
) -> tuple[CheckpointInfo, ...]:
    """All but the newest that can't be gone on from, or are too close to the one kept before."""
    start = run_start(segments)
    useless = []
    kept: CheckpointInfo | None = None
    for checkpoint in checkpoints[:-1]:
        is_usable = not start or checkpoint.seq >= start
        is_close = (
            kept is not None
            and checkpoint.time_ns - kept.time_ns < keep.checkpoint_seconds * NS_PER_S
            and _bytes_after(segments, kept.seq) - _bytes_after(segments, checkpoint.seq)
            < keep.checkpoint_bytes
        )
        if not is_usable or is_close:
            useless.append(checkpoint)
        else:
            kept = checkpoint
    return tuple(useless)
