"""What happened to whom, and whether it explains that a master fell silent."""

import pytest

from thesan.worlds.simulated.atlas import Fault, FaultKind
from thesan.worlds.simulated.fault_log import AFTERMATH_SECONDS, FaultLog


def a_log(kind, *targets, seconds=2.0) -> FaultLog:
    """One fault, from 10.0 on for `seconds`."""
    log, fault = FaultLog(), Fault(0.0, seconds, kind, targets)
    log.begins(fault, 10.0)
    log.ends(fault, 10.0 + seconds)
    return log


def test_the_last_fault_of_a_machine():
    log = a_log(FaultKind.CUT, "fst1", "mgm1")
    assert log.last_of("fst1", 11.0, 0.0) == 11.0
    assert log.last_of("fst1", 20.0, 0.0) == 12.0
    assert log.last_of("fst2", 20.0, 3.0) == 3.0
    log.begins(Fault(0.0, 9.0, FaultKind.FST_KILL, ("fst1",)), 15.0)
    assert log.last_of("fst1", 20.0, 0.0) == 20.0


@pytest.mark.parametrize("kind", [FaultKind.MGM_PAUSE, FaultKind.SPLIT, FaultKind.ENGINE_CUT])
def test_who_was_hurt_may_fall_silent(kind):
    log = a_log(kind, "mgm1", "client1")
    assert not log.excuses_takeover("mgm1", 9.0)
    assert log.excuses_takeover("mgm1", 11.0)
    assert log.excuses_takeover("mgm1", 12.0 + AFTERMATH_SECONDS)
    assert not log.excuses_takeover("mgm1", 13.0 + AFTERMATH_SECONDS)
    assert not log.excuses_takeover("mgm2", 11.0)


@pytest.mark.parametrize(
    "kind", [FaultKind.ENGINE_LEADER, FaultKind.ENGINE_MAJORITY, FaultKind.CUT, FaultKind.CLOCK]
)
def test_what_costs_nobody_his_mastership(kind):
    assert not a_log(kind, "mgm1", "mgm2").excuses_takeover("mgm1", 11.0)


def test_an_engine_that_loses_requests_explains_any_silence():
    assert a_log(FaultKind.JOURNAL, "mgm1").excuses_takeover("mgm3", 11.0)


def test_busy_is_not_dead():
    assert not a_log(FaultKind.MGM_STALL, "mgm1", seconds=2.0).excuses_takeover("mgm1", 11.0)
    assert a_log(FaultKind.MGM_STALL, "mgm1", seconds=4.0).excuses_takeover("mgm1", 13.0)
