"""Plans keep to the atlas, and meet all of it."""

import random
from itertools import groupby

import pytest

from thesan.worlds.simulated.atlas import (
    MASTER,
    NEEDS_STANDBY,
    PAUSE_SECONDS,
    FaultKind,
    Group,
    Stage,
    group_of,
    plan,
)

FSTS = ("fst1", "fst2")
MGMS = ("mgm1", "mgm2", "mgm3")


def a_stage(mgms=MGMS):
    return Stage(mgms, FSTS, ("client1",), dict.fromkeys(FSTS, ("/d1",)))


@pytest.mark.parametrize("seed", range(50))
def test_plans_keep_to_the_atlas(seed):
    faults = plan(random.Random(seed), 30.0, a_stage())
    assert faults
    assert all(0 <= fault.at <= 24 and 0 < fault.seconds <= PAUSE_SECONDS[1] for fault in faults)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)

    def key(fault):
        group = group_of(fault.kind)
        return "" if group is None else group.value + fault.targets[0] * (group is Group.MGM_AWAY)

    for name, rivals in groupby(sorted(faults, key=key), key=key):
        ends = 0.0
        for fault in rivals:
            assert not name or fault.at >= ends
            ends = fault.at + fault.seconds


def test_plans_meet_every_kind_and_every_mgm():
    faults = [fault for seed in range(200) for fault in plan(random.Random(seed), 30.0, a_stage())]
    assert {fault.kind for fault in faults} == set(FaultKind)
    killed = {fault.targets for fault in faults if fault.kind is FaultKind.MGM_KILL}
    assert killed == {(name,) for name in (*MGMS, MASTER)}


def test_a_single_mgm_is_not_asked_for_what_it_can_not_do():
    stage = a_stage(("mgm1",))
    faults = [fault for seed in range(200) for fault in plan(random.Random(seed), 30.0, stage)]
    assert {fault.kind for fault in faults} == set(FaultKind) - NEEDS_STANDBY
    cuts = {FaultKind.CUT, FaultKind.CUT_ONE_WAY}
    assert max(fault.seconds for fault in faults if fault.kind not in cuts) <= 8.0


def test_some_cuts_are_so_long_that_their_ends_connect_anew():
    faults = [fault for seed in range(200) for fault in plan(random.Random(seed), 30.0, a_stage())]
    cuts = [fault.seconds for fault in faults if fault.kind is FaultKind.CUT]
    assert min(cuts) < 0.5
    assert sum(seconds > 4.0 for seconds in cuts) > len(cuts) / 10


def test_a_host_holds_an_mgm_and_an_fst():
    faults = [fault for seed in range(200) for fault in plan(random.Random(seed), 30.0, a_stage())]
    hosts = [fault.targets for fault in faults if fault.kind is FaultKind.HOST_GONE]
    assert hosts
    assert all(mgm in (*MGMS, MASTER) and fst in FSTS for mgm, fst in hosts)
