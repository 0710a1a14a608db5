"""Walking answer frames, counting open requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import Fenced, OperationError, WireError, Xrd
from thesan.core.model.limits import SESSION_REQUESTS_MAX, WRITE_WINDOW_BYTES
from thesan.core.wire import responses
from thesan.core.wire.bodies import parse_error
from thesan.core.wire.numbers import NO_SID, Status
from thesan.core.wire.pages import pgread_answer
from thesan.io.transport.answers import OpenRequests, error_answer, frames_of

sids = st.binary(min_size=2, max_size=2)
bodies = st.binary(max_size=40)
makers = st.one_of(
    st.builds(lambda s, b: (s, True, responses.ok(s, b)), sids, bodies),
    st.builds(lambda s, b: (s, False, responses.oksofar(s, b)), sids, bodies),
    st.builds(lambda s: (s, False, responses.waitresp(s, 3)), sids),
    st.builds(lambda s: (s, True, responses.wait(s, 3, "later")), sids),
    st.builds(lambda s: (s, True, responses.redirect(s, "h", 1, "a=b")), sids),
    st.builds(lambda s: (s, True, responses.error(s, 3011, "no")), sids),
    st.builds(lambda s: (s, True, responses.pgwrite_ok(s, 4096)), sids),
    st.builds(lambda s: (s, True, responses.pgwrite_bad(s, 0, [0, 4096], 4096, 3)), sids),
    st.builds(lambda s, b: (s, True, bytes(pgread_answer(s, 0, b))), sids, bodies),
    st.builds(lambda s, b: (s, False, bytes(pgread_answer(s, 0, b, final=False))), sids, bodies),
)


@given(st.lists(makers, max_size=12))
def test_frames_are_found_in_any_block(frames):
    block = b"".join(frame for _, _, frame in frames)
    found = frames_of(block)
    assert [(f.sid, f.is_final, block[f.start : f.end]) for f in found] == frames


def test_half_a_frame_is_a_fault():
    with pytest.raises(AssertionError, match="whole frames"):
        frames_of(responses.ok(b"01", b"abc")[:-1])


def test_a_long_page_answer_ends_with_its_last_part():
    block = pgread_answer(b"01", 100, bytes(9 << 20))
    finals = [frame.is_final for frame in frames_of(block)]
    assert len(finals) > 1
    assert finals == [False] * (len(finals) - 1) + [True]


def test_every_error_of_ours_has_an_answer():
    for error, code in (
        (OperationError(2, "no"), Xrd.NOT_FOUND),
        (WireError("bad", Xrd.ARG_MISSING), Xrd.ARG_MISSING),
        (Fenced("too late"), Xrd.FS_READ_ONLY),
    ):
        frame = error_answer(b"01", error)
        assert frame[:2] == b"01"
        assert parse_error(frame[8:]) == (code, str(error))


def test_counting():
    requests = OpenRequests()
    requests.begin(b"01", 100)
    requests.begin(b"02", 20)
    assert (len(requests), requests.held_bytes) == (2, 120)
    assert b"01" in requests
    block = responses.oksofar(b"01", b"x") + responses.ok(b"02")
    assert requests.settle(block) is block
    assert (len(requests), requests.held_bytes) == (1, 100)
    requests.finish(b"01")
    assert (len(requests), requests.held_bytes) == (0, 0)
    with pytest.raises(AssertionError, match="answered twice"):
        requests.finish(b"01")


def test_announced_answers_are_wrapped_and_others_not():
    requests = OpenRequests()
    for sid in (b"01", b"02", b"03"):
        requests.begin(sid, 0)
    requests.announce(b"02")
    with pytest.raises(AssertionError, match="twice"):
        requests.announce(b"02")
    with pytest.raises(AssertionError, match="not open"):
        requests.announce(b"09")
    late = responses.error(b"02", 3011, "no")
    block = bytearray(responses.ok(b"01") + late + responses.ok(b"03"))
    sent = requests.settle(block)
    frames = frames_of(sent)
    assert [frame.sid for frame in frames] == [b"01", NO_SID, b"03"]
    assert sent[frames[1].start : frames[1].end] == responses.as_async(late)
    assert len(requests) == 0
    requests.begin(b"02", 0)
    plain = responses.ok(b"02")
    assert requests.settle(plain) == plain


def test_clear():
    requests = OpenRequests()
    requests.begin(b"01", 5)
    requests.announce(b"01")
    requests.clear()
    assert (len(requests), requests.held_bytes) == (0, 0)
    assert Status.OK == 0


def test_a_sid_that_is_open_is_refused() -> None:
    requests = OpenRequests()
    assert requests.begin(b"aa", 10)
    assert not requests.begin(b"aa", 5)
    assert (len(requests), requests.held_bytes) == (1, 10)


def test_the_limits_of_open_requests() -> None:
    requests = OpenRequests()
    requests.begin(b"aa", WRITE_WINDOW_BYTES - 1)
    assert not requests.is_at_limit
    requests.begin(b"ab", 1)
    assert requests.is_at_limit
    requests.finish(b"aa")
    for number in range(SESSION_REQUESTS_MAX - 1):
        assert not requests.is_at_limit
        requests.begin(number.to_bytes(3, "big"), 0)
    assert requests.is_at_limit
