"""How long a client waits for an attribute when its master is lost, in virtual time.

The clock is exact here, so the goals are; a real machine adds its own slowness.
"""

import pytest

from thesan.worlds.simulated.atlas import MASTER, Fault, FaultKind
from thesan.worlds.simulated.cluster import Shape
from thesan.worlds.simulated.run import RunSettings, run

SHAPE = Shape(fst_count=1, disk_count=1, replica_count=1)
SEEDS = 3
GOALS = {
    FaultKind.MGM_KILL: (2.0, 1.2),
    FaultKind.MGM_POWER: (6.0, 1.8),
    FaultKind.MGM_PAUSE: (10.0, 1.8),
    FaultKind.ISOLATE: (10.0, 1.8),
    FaultKind.HOST_GONE: (10.0, 2.5),
    FaultKind.HAND_OVER: (0.0, 0.5),
    FaultKind.ENGINE_CUT: (8.0, 1.8),
    FaultKind.ENGINE_LEADER: (1.5, 2.2),
    FaultKind.MGM_STALL: (12.0, 5.0),
}
"""What happens to the master -> for how long, and how long the longest call may take."""


@pytest.mark.parametrize("kind", GOALS)
def test_a_failover_is_over_in_its_time(kind):
    lasts, goal = GOALS[kind]
    targets = {
        FaultKind.HAND_OVER: ("mgm1",),
        FaultKind.HOST_GONE: (MASTER, "fst1"),
    }.get(kind, (MASTER,))
    settings = RunSettings(
        seconds=lasts + 6.0,
        pause_mean=0.05,
        goal_seconds=goal,
        files=False,
        shape=SHAPE,
        plan=(Fault(3.0, lasts, kind, targets),),
    )
    red = [str(one) for seed in range(SEEDS) if not (one := run(seed, settings)).ok]
    assert not red, "\n\n".join(red)
