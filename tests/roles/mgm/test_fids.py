"""File ids: never before their range is durable, never twice."""

import errno
from collections.abc import Callable

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.ids import Fid
from thesan.core.model.limits import FID_RANGE
from thesan.roles.mgm.fids import Fids


class Journal:
    def __init__(self) -> None:
        self.asked: list[int] = []
        self.done: list[Callable[[], None]] = []
        self.error: OperationError | None = None

    def reserve(self, limit: int, done: Callable[[], None]) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append(limit)
        self.done.append(done)


def test_no_id_leaves_before_its_range_is_durable() -> None:
    journal = Journal()
    fids = Fids(Fid(2), journal.reserve)
    fids.start()
    with pytest.raises(OperationError) as caught:
        fids.take()
    assert caught.value.errno == errno.EAGAIN
    journal.done.pop()()
    assert [fids.take() for _ in range(3)] == [2, 3, 4]
    assert journal.asked == [2 + FID_RANGE]


def test_the_next_range_is_asked_for_in_time_and_once() -> None:
    journal = Journal()
    fids = Fids(Fid(2), journal.reserve)
    fids.start()
    journal.done.pop()()
    taken = [fids.take() for _ in range(FID_RANGE)]
    assert taken[0] == 2
    assert len(set(taken)) == FID_RANGE
    assert journal.asked == [2 + FID_RANGE, 2 + 2 * FID_RANGE]
    with pytest.raises(OperationError):
        fids.take()
    journal.done.pop()()
    assert fids.take() == 2 + FID_RANGE


def test_a_journal_that_is_full_is_asked_again() -> None:
    journal = Journal()
    fids = Fids(Fid(2), journal.reserve)
    journal.error = OperationError(errno.EUSERS, "full")
    with pytest.raises(OperationError):
        fids.start()
    journal.error = None
    with pytest.raises(OperationError):
        fids.take()
    journal.done.pop()()
    assert fids.take() == 2
