"""Answers that wait for the commit of what they show."""

import pytest

from thesan.core.leadership.lease import ReadLease
from thesan.core.model.ids import Seq
from thesan.core.model.leadership_limits import LEASE_LAPSE_SECONDS_MAX
from thesan.core.wire.numbers import Status
from thesan.core.wire.responses import HEAD
from thesan.roles.mgm.held import HeldAnswers


class Peer:
    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.closed = 0

    def reply(self, data: bytes) -> None:
        self.got.append(data)

    def close(self) -> None:
        self.closed += 1


def held_at(seq: int) -> HeldAnswers:
    """With a lease that never ends."""
    return HeldAnswers(Seq(seq), ReadLease(float("inf")), lambda: 0.0)


class Clock:
    """Boot seconds, and a lease of 1 s by them."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.lease = ReadLease(1.0)
        self.held = HeldAnswers(Seq(5), self.lease, lambda: self.now_s)

    def confirm(self, sent_s: float) -> None:
        self.lease.confirmed(sent_s)
        self.held.confirmed(sent_s)


def test_what_is_durable_leaves_at_once() -> None:
    held = held_at(5)
    assert held.answer(Peer(), Seq(5), b"a") == b"a"
    assert held.count == 0


def test_an_answer_waits_for_its_batch_and_for_no_later_one() -> None:
    held, peer = held_at(5), Peer()
    assert held.answer(peer, Seq(7), b"late") is None
    assert held.answer(peer, Seq(6), b"soon") is None
    assert peer.got == []
    held.release(Seq(6), 0.0)
    assert peer.got == [b"soon"]
    held.release(Seq(7), 0.0)
    assert peer.got == [b"soon", b"late"]
    assert held.count == 0


def test_one_write_per_connection_and_commit_in_the_order_of_the_requests() -> None:
    held, first, second = held_at(0), Peer(), Peer()
    for text in (b"1", b"2", b"3"):
        held.answer(first, Seq(1), text)
        held.answer(second, Seq(1), text * 2)
    held.release(Seq(1), 0.0)
    assert first.got == [b"123"]
    assert second.got == [b"112233"]


def test_actions_run_before_the_answers_of_their_batch() -> None:
    held, peer = held_at(0), Peer()
    seen: list[int] = []
    held.answer(peer, Seq(1), b"x")
    held.call(Seq(1), lambda: seen.append(len(peer.got)))
    held.call(Seq(0), lambda: seen.append(-1))
    assert seen == [-1]
    held.release(Seq(3), 0.0)
    assert seen == [-1, 0]


def test_a_release_never_goes_back() -> None:
    held = held_at(5)
    with pytest.raises(AssertionError):
        held.release(Seq(4), 0.0)


def test_an_unknown_outcome_closes_those_who_wait_and_says_nothing() -> None:
    held, waiting, idle = held_at(0), Peer(), Peer()
    held.answer(idle, Seq(0), b"done")
    held.answer(waiting, Seq(1), b"a")
    held.answer(waiting, Seq(2), b"b")
    held.call(Seq(1), lambda: pytest.fail("ran"))
    held.drop()
    assert (waiting.got, waiting.closed, idle.closed, held.count) == ([], 1, 0, 0)
    held.release(Seq(2), 0.0)
    assert waiting.got == []


def test_after_the_lease_an_answer_waits_for_something_that_was_sent_after_it() -> None:
    clock, peer = Clock(), Peer()
    clock.confirm(100.0)
    clock.now_s = 100.999
    assert clock.held.answer(peer, Seq(5), b"in time") == b"in time"
    clock.now_s = 101.0
    assert clock.held.answer(peer, Seq(5), b"late") is None
    assert clock.held.lapsed_s == 0.0
    clock.now_s = 105.0
    assert clock.held.lapsed_s == 4.0
    clock.confirm(100.9)
    assert peer.got == [], "sent before the answer was computed, confirmed long after"
    clock.confirm(101.0)
    assert peer.got == [b"late"], "we were master when it was computed"
    assert clock.held.answer(peer, Seq(5), b"again") is None
    clock.confirm(104.5)
    assert peer.got == [b"late", b"again"]
    assert (clock.held.count, clock.held.lapsed_s) == (0, 0.0)


def test_when_the_lease_is_gone_for_long_clients_are_told_to_wait() -> None:
    clock, peer = Clock(), Peer()
    assert clock.held.answer(peer, Seq(5), b"\0\1first") is None
    clock.now_s += LEASE_LAPSE_SECONDS_MAX + 0.1
    told = clock.held.answer(peer, Seq(5), b"\0\2second")
    assert HEAD.unpack_from(told)[:2] == (b"\0\2", Status.WAIT)
    assert clock.held.answer(peer, Seq(5), b"") is None, "a task can wait"
    clock.confirm(clock.now_s)
    assert peer.got == [b"\0\1first", b""]


def test_a_commit_releases_what_was_computed_before_it_was_sent_however_slow_it_is() -> None:
    clock, peer = Clock(), Peer()
    assert clock.held.answer(peer, Seq(6), b"mutation") is None
    clock.now_s = 100.5
    assert clock.held.answer(peer, Seq(7), b"next") is None
    clock.now_s = 104.0
    clock.lease.confirmed(100.2)
    clock.held.release(Seq(6), 100.2)
    assert peer.got == [b"mutation"]
    clock.held.release(Seq(7), 100.2)
    assert peer.got == [b"mutation"], "its batch is durable, but from before it was computed"
    clock.confirm(103.5)
    assert peer.got == [b"mutation", b"next"]


def test_the_end_closes_those_too_who_wait_for_the_lease() -> None:
    clock, peer = Clock(), Peer()
    assert clock.held.answer(peer, Seq(5), b"late") is None
    clock.held.drop()
    assert (peer.got, peer.closed, clock.held.count) == ([], 1, 0)
