"""Silence of the master, and what is not."""

from hypothesis import given
from hypothesis import strategies as st

from thesan.core.leadership.detector import Detector
from thesan.core.leadership.timing import timing_of

TIMING = timing_of("normal")


def watch(detector: Detector, start_s: float, seconds: float, look: object = "same") -> float:
    """Looks each probe period, answered within 2 ms; the time of the last one."""
    count = round(seconds / TIMING.probe_s)
    at_s = start_s
    for number in range(count + 1):
        at_s = start_s + number * TIMING.probe_s
        detector.saw(look, at_s, at_s + 0.002)
    return at_s


def test_equal_looks_are_silence():
    detector = Detector(TIMING)
    assert detector.silence_s == 0.0
    assert detector.age_s(50.0) == float("inf")
    watch(detector, 100.0, 2.0)
    assert round(detector.silence_s, 3) == 1.998
    assert round(detector.age_s(103.0), 3) == 0.998
    detector.saw("another", 102.1, 102.102)
    assert detector.silence_s == 0.0
    assert detector.last_change_s == 102.102


def test_an_engine_that_does_not_answer_is_no_silence_of_the_master():
    """The rule of the reference: 0 false takeovers of 18; without it, 18 of 18."""
    detector = Detector(TIMING)
    watch(detector, 100.0, 0.9)
    # An election: nobody is answered for 5 s, and the master could not beat either.
    watch(detector, 106.0, 0.3)
    assert detector.silence_s < 0.31


def test_a_slow_answer_is_a_hole_too():
    detector = Detector(TIMING)
    watch(detector, 100.0, 0.9)
    detector.saw("same", 101.0, 101.5)
    assert detector.silence_s == 0.0


def test_a_standby_that_was_paused_begins_anew():
    detector = Detector(TIMING)
    watch(detector, 100.0, 0.5)
    detector.saw("same", 130.0, 130.002)
    assert detector.silence_s == 0.0


@given(st.lists(st.tuples(st.floats(0.001, 1.0), st.floats(0.0, 1.0), st.booleans()), max_size=60))
def test_silence_is_never_longer_than_since_the_last_change(steps):
    """Whatever the looks are: what counts as silence lies between two looks that were equal."""
    detector = Detector(TIMING)
    now_s, look, changed_s = 100.0, 0, 100.0
    for pause, latency, is_new in steps:
        sent_s = now_s + pause
        now_s = sent_s + latency
        if is_new:
            look += 1
            changed_s = now_s
        detector.saw(look, sent_s, now_s)
        assert 0.0 <= detector.silence_s <= max(0.0, sent_s - changed_s) + 1e-9 or look == 0
        if pause > TIMING.hole_s or latency > TIMING.hole_s:
            assert detector.silence_s == 0.0
