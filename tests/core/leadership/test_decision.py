"""When a standby claims, and the sentence that goes with it."""

import msgspec
import pytest

from thesan.core.leadership.decision import Claim, Situation, decide, is_eligible
from thesan.core.leadership.timing import timing_of

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
        ({"successor": "mgm2:1094"}, Claim.HANDED_OVER, "hands over"),
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
    assert not is_eligible(msgspec.structs.replace(CALM, **changes))


def test_who_is_calm_is_eligible():
    assert is_eligible(CALM)
