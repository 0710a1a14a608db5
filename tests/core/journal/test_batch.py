"""The batcher: seqs are exact when given, bounds hold, nothing is lost or reordered."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.journal.batch import Batcher
from thesan.core.journal.entry import OP_BYTES_MAX
from thesan.core.model.errors import OperationError, Retry
from thesan.core.model.ids import Seq


def small(**bounds: int) -> Batcher[int]:
    return Batcher(
        Seq(11),
        **({"payload_bytes_max": 40, "ops_max": 4, "pending_ops_max": 10} | bounds),
    )


def test_ops_gather_while_one_batch_is_in_flight():
    batcher = small()
    assert batcher.cut() is None
    assert batcher.next_seq == 11
    assert batcher.head == 10
    assert batcher.add(b"a", 1) == 11
    first = batcher.cut()
    assert first is not None
    assert (first.seq, first.ops, first.tokens) == (11, [b"a"], [1])
    assert batcher.next_seq == 12
    assert batcher.add(b"b", 2) == 12
    assert batcher.add(b"c", 3) == 12
    assert batcher.next_seq == batcher.head == 12
    assert (batcher.pending_ops, batcher.pending_bytes) == (3, 15)
    assert batcher.settle() is first
    assert (batcher.pending_ops, batcher.pending_bytes) == (2, 10)
    second = batcher.cut()
    assert second is not None
    assert (second.seq, second.ops, second.tokens) == (12, [b"b", b"c"], [2, 3])
    batcher.settle()
    assert batcher.cut() is None
    assert (batcher.pending_ops, batcher.pending_bytes, batcher.head) == (0, 0, 12)
    assert batcher.next_seq == 13


def test_a_full_batch_closes_by_count_or_by_bytes():
    batcher = small()
    assert [batcher.add(b"x", n) for n in range(5)] == [11, 11, 11, 11, 12]
    assert batcher.expect(31) == 12
    assert batcher.expect(32) == 13
    assert batcher.add(b"y" * 36, 5) == 13
    # A later small op never goes before an earlier one.
    assert batcher.add(b"z", 6) == 14


def test_an_op_that_never_fits():
    batcher = small()
    batcher.add(b"x" * 36, 0)
    with pytest.raises(OperationError) as caught:
        batcher.add(b"x" * 37, 1)
    assert caught.value.errno == errno.E2BIG
    assert caught.value.retry is Retry.NEVER
    Batcher[int](Seq(1)).add(b"x" * OP_BYTES_MAX, 0)
    with pytest.raises(OperationError):
        Batcher[int](Seq(1)).add(b"x" * (OP_BYTES_MAX + 1), 0)


def test_too_much_pending_is_refused_until_something_settles():
    batcher = small()
    for number in range(10):
        batcher.add(b"x", number)
    with pytest.raises(OperationError) as caught:
        batcher.expect(1)
    assert caught.value.errno == errno.EUSERS
    assert caught.value.retry is Retry.LATER
    with pytest.raises(OperationError):
        batcher.add(b"x", 10)
    assert batcher.pending_ops == 10
    batcher.cut()
    batcher.settle()
    batcher.add(b"x", 10)

    batcher = small(pending_bytes_max=20)
    batcher.add(b"x" * 10, 0)
    with pytest.raises(OperationError):
        batcher.expect(3)
    assert batcher.expect(2) == 11


def test_the_digest_is_that_of_the_last_op():
    batcher = small()
    batcher.add(b"a", 0, b"1" * 16)
    batcher.add(b"b", 1, b"2" * 16)
    first = batcher.cut()
    assert first is not None
    assert first.digest == b"2" * 16
    batcher.add(b"c", 2, b"3" * 16)
    batcher.add(b"d", 3)
    batcher.settle()
    second = batcher.cut()
    assert second is not None
    assert second.digest == b""


def test_drop_hands_back_everything_oldest_first():
    batcher = small()
    for number in range(9):
        batcher.add(b"x", number)
    batcher.cut()
    assert [batch.tokens for batch in batcher.drop()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert (batcher.pending_ops, batcher.pending_bytes, batcher.in_flight) == (0, 0, False)
    assert batcher.cut() is None


step = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 45)),
    st.tuples(st.just("cut"), st.just(0)),
    st.tuples(st.just("settle"), st.just(0)),
)


@settings(max_examples=300)
@given(st.lists(step, max_size=80))
def test_any_order_of_calls_keeps_order_and_promised_seqs(steps):
    batcher = small()
    promised: dict[int, tuple[int, bytes]] = {}
    settled: list[tuple[int, int, bytes]] = []
    number = 0
    for what, size in steps:
        if what == "add":
            number += 1
            op = bytes([number]) * size
            try:
                expected = batcher.expect(size)
            except OperationError:
                with pytest.raises(OperationError):
                    batcher.add(op, number)
                continue
            assert batcher.next_seq <= expected <= batcher.next_seq + 1
            assert batcher.add(op, number) == expected
            promised[number] = (expected, op)
        elif what == "cut" and not batcher.in_flight:
            batcher.cut()
        elif what == "settle" and batcher.in_flight:
            batch = batcher.settle()
            settled += [(batch.seq, *pair) for pair in zip(batch.tokens, batch.ops, strict=True)]
        assert batcher.pending_ops == len(promised) - len(settled)
    for batch in batcher.drop():
        assert 1 <= len(batch.ops) <= 4
        assert sum(len(op) + 4 for op in batch.ops) <= 40
        settled += [(batch.seq, *pair) for pair in zip(batch.tokens, batch.ops, strict=True)]
    assert [(token, seq, op) for seq, token, op in settled] == [
        (token, seq, op) for token, (seq, op) in promised.items()
    ]
    seqs = sorted({seq for seq, _, _ in settled})
    assert seqs == list(range(11, 11 + len(seqs)))
