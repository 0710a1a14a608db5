"""Answers that wait for the commit of what they show."""

import pytest

from thesan.core.model.ids import Seq
from thesan.roles.mgm.held import HeldAnswers


class Peer:
    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.closed = 0

    def reply(self, data: bytes) -> None:
        self.got.append(data)

    def close(self) -> None:
        self.closed += 1


def test_what_is_durable_leaves_at_once() -> None:
    held = HeldAnswers(Seq(5))
    assert held.answer(Peer(), Seq(5), b"a") == b"a"
    assert held.count == 0


def test_an_answer_waits_for_its_batch_and_for_no_later_one() -> None:
    held, peer = HeldAnswers(Seq(5)), Peer()
    assert held.answer(peer, Seq(7), b"late") is None
    assert held.answer(peer, Seq(6), b"soon") is None
    assert peer.got == []
    held.release(Seq(6))
    assert peer.got == [b"soon"]
    held.release(Seq(7))
    assert peer.got == [b"soon", b"late"]
    assert held.count == 0


def test_one_write_per_connection_and_commit_in_the_order_of_the_requests() -> None:
    held, first, second = HeldAnswers(Seq(0)), Peer(), Peer()
    for text in (b"1", b"2", b"3"):
        held.answer(first, Seq(1), text)
        held.answer(second, Seq(1), text * 2)
    held.release(Seq(1))
    assert first.got == [b"123"]
    assert second.got == [b"112233"]


def test_actions_run_before_the_answers_of_their_batch() -> None:
    held, peer = HeldAnswers(Seq(0)), Peer()
    seen: list[int] = []
    held.answer(peer, Seq(1), b"x")
    held.call(Seq(1), lambda: seen.append(len(peer.got)))
    held.call(Seq(0), lambda: seen.append(-1))
    assert seen == [-1]
    held.release(Seq(3))
    assert seen == [-1, 0]


def test_a_release_never_goes_back() -> None:
    held = HeldAnswers(Seq(5))
    with pytest.raises(AssertionError):
        held.release(Seq(4))


def test_an_unknown_outcome_closes_those_who_wait_and_says_nothing() -> None:
    held, waiting, idle = HeldAnswers(Seq(0)), Peer(), Peer()
    held.answer(idle, Seq(0), b"done")
    held.answer(waiting, Seq(1), b"a")
    held.answer(waiting, Seq(2), b"b")
    held.call(Seq(1), lambda: pytest.fail("ran"))
    held.drop()
    assert (waiting.got, waiting.closed, idle.closed, held.count) == ([], 1, 0, 0)
    held.release(Seq(2))
    assert waiting.got == []
