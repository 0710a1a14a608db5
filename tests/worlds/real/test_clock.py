"""The clock of the real world."""

import time

from thesan.worlds.real.clock import RealClock


def test_now_is_the_time_of_day():
    before = time.time_ns()
    assert before <= RealClock().now_ns() <= time.time_ns()
