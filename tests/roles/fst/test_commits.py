"""Delivery of commits, and inquiries in pages."""

import asyncio
import errno

import pytest

from thesan.core.control.messages import Commit, CommitReply, Inquire, InquireReply
from thesan.core.model.errors import OperationError
from thesan.core.model.limits import INQUIRE_FIDS_MAX
from thesan.roles.fst import commits as room
from thesan.roles.fst.commits import Commits

COMMIT = Commit("node", b"g", [], 1)


class Master:
    """Decides as scripted; even fids are registered."""

    def __init__(self, refusal=None):
        self.refusal = refusal
        self.asked = []
        self.busy = self.busiest = 0

    async def ask_master(self, make, kind, what):
        request = make()
        self.asked.append(request)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        match request:
            case Commit():
                if self.refusal is not None:
                    raise self.refusal
                return CommitReply(1, 1)
            case Inquire():
                return InquireReply([fid % 2 == 0 for fid in request.fids], 1)
        raise AssertionError(request)


def test_a_commit_that_is_accepted():
    master = Master()
    asyncio.run(Commits("node", master).deliver(lambda: COMMIT, 7, 1, is_new=True))
    assert master.asked == [COMMIT]


@pytest.mark.parametrize("fid", [7, 8])
def test_a_refusal_is_believed_when_the_replica_is_unknown(fid):
    master = Master(OperationError(errno.EEXIST, "no"))
    delivering = Commits("node", master).deliver(lambda: COMMIT, fid, 1, is_new=True)
    if fid % 2:
        with pytest.raises(OperationError, match="no"):
            asyncio.run(delivering)
    else:
        asyncio.run(delivering)
    assert master.asked == [COMMIT, Inquire("node", 1, [fid])]


def test_a_refused_change_is_refused_although_the_replica_is_known():
    """It was registered before the change: that says nothing of the change."""
    master = Master(OperationError(errno.EACCES, "no"))
    with pytest.raises(OperationError, match="no"):
        asyncio.run(Commits("node", master).deliver(lambda: COMMIT, 8, 1, is_new=False))
    assert master.asked == [COMMIT]


def test_inquiries_come_in_pages():
    master = Master()
    fids = list(range(2 * INQUIRE_FIDS_MAX + 5))
    known = asyncio.run(Commits("node", master).inquire(3, fids))
    assert known == [fid % 2 == 0 for fid in fids]
    assert [len(question.fids) for question in master.asked] == [INQUIRE_FIDS_MAX] * 2 + [5]
    assert asyncio.run(Commits("node", master).inquire(3, [])) == []


def test_an_answer_for_another_number_of_files():
    class Confused:
        async def ask_master(self, *_):
            return InquireReply([True, True], 1)

    with pytest.raises(OperationError) as caught:
        asyncio.run(Commits("node", Confused()).inquire(3, [1]))
    assert caught.value.errno == errno.EPROTO


def test_few_commits_at_a_time(monkeypatch):
    monkeypatch.setattr(room, "COMMITS_IN_FLIGHT_MAX", 3)

    async def main():
        master = Master()
        commits = Commits("node", master)
        work = [commits.deliver(lambda: COMMIT, 7, 1, is_new=True) for _ in range(20)]
        await asyncio.gather(*work)
        assert master.busiest == 3

    asyncio.run(main())
