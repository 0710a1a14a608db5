"""To whom, and when without being told."""

import pytest

from thesan.core.leadership.handover import Candidate, Troubles, best_successor, refusal
from thesan.core.model.leadership_limits import (
    HANDOVER_HEARD_ENTRIES_MAX,
    TROUBLES_PER_WINDOW_MAX,
    TROUBLES_WINDOW_SECONDS,
)


def candidate(address="b:1", is_online=True, is_eligible=True, applied=100, why="follows"):
    return Candidate(address, is_online, is_eligible, applied, why)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"applied": 100 - HANDOVER_HEARD_ENTRIES_MAX}, ""),
        ({"applied": 99 - HANDOVER_HEARD_ENTRIES_MAX}, "entries behind"),
        ({"is_online": False}, "not heard"),
        ({"is_eligible": False, "why": "disk full"}, "disk full"),
        ({"is_eligible": False, "applied": 98}, ""),
    ],
)
def test_who_can_take_it(changes, why):
    found = refusal(candidate(**changes), 100)
    assert why in found
    assert bool(found) is bool(why)


def test_the_furthest_is_the_best_then_the_first_by_name():
    assert best_successor([], 100) == ""
    assert best_successor([candidate(is_online=False)], 100) == ""
    others = [candidate("c:1"), candidate("b:1"), candidate("a:1", applied=99)]
    assert best_successor(others, 100) == "b:1"


def test_troubles_count_within_a_window():
    troubles = Troubles()
    for number in range(TROUBLES_PER_WINDOW_MAX - 1):
        troubles.note("slow", 100.0 + number)
    assert troubles.verdict(110.0) == ""
    troubles.note("the loop stood still", 110.0)
    assert "the loop stood still, 3 troubles" in troubles.verdict(110.0)
    assert troubles.verdict(101.0 + TROUBLES_WINDOW_SECONDS) == ""
    troubles.forget()
    assert troubles.verdict(110.0) == ""
