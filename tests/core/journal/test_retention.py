"""Retention: what is left can always be restored."""

from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.journal.retention import (
    CheckpointInfo,
    Keep,
    SegmentInfo,
    parse_checkpoint,
    run_start,
    surplus,
)
from thesan.core.model.ids import Seq
from thesan.core.model.units import NS_PER_S

KEEP = Keep(segment_seconds=100, segment_bytes=1000, checkpoint_seconds=10, checkpoint_bytes=500)


def segment(
    first: int, last: int, time_s: int, size: int = 10, *, closed: bool = True
) -> SegmentInfo:
    return SegmentInfo(
        path=f"{first}",
        first=Seq(first),
        last=Seq(last),
        prev_crc=0,
        last_crc=0,
        is_closed=closed,
        file_bytes=size,
        entry_bytes=size,
        begun_ns=time_s * NS_PER_S,
        time_ns=time_s * NS_PER_S,
    )


def checkpoint(seq: int, time_s: int) -> CheckpointInfo:
    return CheckpointInfo(Seq(seq), time_s * NS_PER_S)


def decide(segments, checkpoints, applied, now_s):
    return surplus(segments, checkpoints, Seq(applied), now_s * NS_PER_S, KEEP)


def test_names():
    info = checkpoint(77, 5)
    assert parse_checkpoint(info.name) == info
    for name in ("", "x", "00-00", info.name + "0", info.name.upper() + "F", "making"):
        assert parse_checkpoint(name) is None
    assert sorted([checkpoint(255, 1).name, checkpoint(16, 9).name])[0].startswith("0" * 14 + "10")


def test_the_first_checkpoint_is_due_as_soon_as_there_is_something():
    assert not decide([], [], 0, 1).is_due
    assert decide([segment(1, 5, 1)], [], 5, 1).is_due
    assert not decide([segment(1, 5, 1)], [checkpoint(5, 1)], 5, 1000).is_due


def test_a_checkpoint_is_due_after_time_or_bytes():
    parts = [segment(1, 5, 1), segment(6, 9, 2)]
    assert not decide(parts, [checkpoint(5, 1)], 9, 10).is_due
    assert decide(parts, [checkpoint(5, 1)], 9, 11).is_due
    big = [segment(1, 5, 1), segment(6, 9, 2, 499), segment(10, 12, 3, 1)]
    assert decide(big, [checkpoint(5, 1)], 12, 3).is_due


def test_old_segments_go_when_a_checkpoint_holds_them():
    parts = [segment(1, 5, 1), segment(6, 9, 2), segment(10, 12, 150)]
    assert decide(parts, [], 12, 160).segments == ()
    assert decide(parts, [], 12, 160).is_due
    found = decide(parts, [checkpoint(7, 3)], 12, 160)
    assert [one.first for one in found.segments] == [1]
    assert found.is_due
    assert [one.first for one in decide(parts, [checkpoint(10, 3)], 12, 160).segments] == [1, 6]


def test_the_entry_at_which_the_newest_checkpoint_stands_stays():
    """`journal restore` and `journal adopt` compare the two; on an idle instance it is the last."""
    parts = [segment(1, 5, 1), segment(6, 9, 2)]
    found = decide(parts, [checkpoint(9, 3)], 9, 10_000)
    assert ([one.first for one in found.segments], found.is_due) == ([1], False)
    later = [*parts, segment(10, 10, 10_000, closed=False)]
    assert decide(later, [checkpoint(9, 3)], 10, 10_000).is_due
    found = decide(later, [checkpoint(9, 3), checkpoint(10, 10_000)], 10, 10_000)
    assert [one.first for one in found.segments] == [1, 6]


def test_bytes_bound_too():
    parts = [segment(1, 5, 1, 600), segment(6, 9, 2, 600), segment(10, 12, 3, 300)]
    assert [one.first for one in decide(parts, [checkpoint(12, 3)], 12, 4).segments] == [1]


def test_the_open_segment_stays():
    parts = [segment(1, 5, 1, 5000, closed=False)]
    assert decide(parts, [checkpoint(5, 1)], 5, 500).segments == ()


def test_one_checkpoint_of_a_period_is_kept_and_always_the_newest():
    parts = [segment(1, 30, 1)]
    made = [checkpoint(seq, seq) for seq in (1, 3, 5, 11, 14, 22, 23, 24)]
    found = decide(parts, made, 30, 25)
    assert [one.seq for one in found.checkpoints] == [3, 5, 14, 23]


def test_a_checkpoint_whose_segments_are_gone_goes():
    parts = [segment(10, 30, 50)]
    found = decide(parts, [checkpoint(5, 1), checkpoint(9, 20), checkpoint(30, 50)], 30, 51)
    assert [one.seq for one in found.checkpoints] == [5, 9]


def test_runs():
    assert run_start([]) == 0
    assert run_start([segment(3, 5, 1)]) == 3
    assert run_start([segment(1, 2, 1), segment(5, 6, 1), segment(7, 9, 1)]) == 5


@settings(max_examples=200)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 400)), min_size=1, max_size=12),
    gaps=st.lists(st.integers(1, 40), min_size=12, max_size=12),
    marks=st.lists(st.integers(1, 60), max_size=6),
    later=st.integers(0, 200),
)
def test_what_is_left_reaches_from_a_checkpoint_to_the_head(sizes, gaps, marks, later):
    parts, first, now_s = [], 1, 0
    for (count, size), gap in zip(sizes, gaps, strict=False):
        now_s += gap
        parts.append(segment(first, first + count - 1, now_s, size))
        first += count
    applied = first - 1
    made = sorted({checkpoint(min(mark, applied), min(mark, now_s)) for mark in marks})
    found = decide(parts, made, applied, now_s + later)
    left = [one for one in parts if one not in found.segments]
    kept = [one for one in made if one not in found.checkpoints]
    assert found.segments == tuple(parts[: len(found.segments)])
    # The newest checkpoint's own entry (or the very first) and every one up to the head is there.
    assert left[0].first <= (kept[-1].seq if kept else 1)
    assert not made or kept[-1] == made[-1]
    # Asked again, it wants nothing more.
    again = decide(left, kept, applied, now_s + later)
    assert again.segments == ()
