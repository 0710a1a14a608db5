"""When a standby claims, and the sentence that goes with it."""

import msgspec
import pytest

from thesan.core.leadership.decision import Claim, Situation, decide, is_eligible, next_look_s
from thesan.core.leadership.timing import timing_of
from thesan.core.model.leadership_limits import HANDOVER_LAG_ENTRIES_MAX

TIMING = timing_of("normal")
CALM = Situation(
    address="mgm2:1094",
    is_member=True,
    is_alone=False,
    fault="",
    is_answered=True,
    owner="mgm1:1094",
    epoch=4,
    silence_s=0.1,
    head=50,
    applied=50,
    successor="",
    successor_why="",
    has_resigned=False,
    is_gone=False,
)


def verdict(**changes):
    return decide(msgspec.structs.replace(CALM, **changes), TIMING)


@pytest.mark.parametrize(
    ("changes", "claim", "why"),
    [
        ({}, None, "is master and alive"),
        ({"silence_s": 0.61}, None, "taken over at 1.2 s"),
        ({"silence_s": 1.2}, Claim.SILENT, "the limit is 1.2 s"),
        ({"silence_s": 0.7, "is_gone": True}, None, "taken over at"),
        ({"silence_s": 0.75, "is_gone": True}, Claim.GONE, "its process is gone"),
        ({"has_resigned": True}, Claim.RESIGNED, "says that it is not master"),
        ({"successor": "mgm2:1094"}, Claim.HANDED_OVER, "hands over: it does not say why"),
        (
            {"successor": "mgm2:1094", "successor_why": "its disk is nearly full"},
            Claim.HANDED_OVER,
            "hands over: its disk is nearly full",
        ),
        ({"successor": "mgm3:1094"}, None, "is master and alive"),
        ({"successor": "mgm3:1094", "silence_s": 2.0}, Claim.SILENT, "is silent"),
        ({"owner": "", "epoch": 0, "is_alone": True}, Claim.FIRST, "has one MGM"),
        ({"owner": "", "epoch": 0}, None, "the others get a moment"),
        ({"owner": "", "epoch": 0, "silence_s": 1.3}, Claim.FIRST, "nobody else"),
        ({"owner": "mgm2:1094", "is_alone": True}, Claim.ALONE, "it is alone"),
        ({"owner": "mgm2:1094"}, None, "is master and alive"),
        ({"owner": "mgm2:1094", "silence_s": 1.2}, Claim.SILENT, "is silent"),
        ({"is_alone": True, "silence_s": 0.5}, None, "is master and alive"),
    ],
)
def test_the_ground_decides(changes, claim, why):
    found = verdict(**changes)
    assert (found.claim, why in found.why) == (claim, True), found.why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_answered": False}, "does not answer"),
        ({"fault": "its disk is full"}, "its disk is full"),
        ({"is_member": False}, "no member"),
        ({"applied": 47}, "3 journal entries behind"),
    ],
)
@pytest.mark.parametrize(
    "ground",
    [
        {"silence_s": 9.0},
        {"silence_s": 9.0, "is_gone": True},
        {"has_resigned": True},
        {"successor": "mgm2:1094"},
        {"owner": "mgm2:1094", "is_alone": True},
    ],
)
def test_who_is_not_eligible_never_claims(changes, why, ground):
    found = verdict(**changes, **ground)
    assert found.claim is None
    assert why in found.why


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"applied": 50, "head": 50 + HANDOVER_LAG_ENTRIES_MAX}, True),
        ({"applied": 49, "head": 50 + HANDOVER_LAG_ENTRIES_MAX}, False),
        ({"is_answered": False}, False),
        ({"fault": "disk"}, False),
        ({"is_member": False}, False),
    ],
)
def test_who_follows_closely_is_eligible(changes, expected):
    assert is_eligible(msgspec.structs.replace(CALM, **changes)) is expected


@pytest.mark.parametrize(
    ("silence_s", "is_gone", "expected"),
    [(0.1, False, 0.1), (1.17, False, 0.03), (1.5, False, 0.1), (0.7, True, 0.05)],
)
def test_the_look_that_decides_is_not_waited_for(silence_s, is_gone, expected):
    now = msgspec.structs.replace(CALM, silence_s=silence_s, is_gone=is_gone)
    assert next_look_s(now, TIMING) == pytest.approx(expected)
