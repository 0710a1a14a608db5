"""One kind of misfortune again and again, always in the middle of something."""

import os
import random

import pytest

from thesan.worlds.simulated.atlas import MASTER, Fault, FaultKind
from thesan.worlds.simulated.run import RunSettings, run

FSTS = ("fst1", "fst2", "fst3")
CLIENTS = ("client1", "client2", "client3")
SECONDS = 30.0
SEEDS = int(os.environ.get("THESAN_STORM_SEEDS", "2"))


LENGTHS = {"long-cut": (3.0, 9.0)}
"""Seconds that a fault of a storm lasts, where they are not `SHORT`."""
SHORT = (0.05, 1.5)


def _plan(seed: int, storm: str) -> list[Fault]:
    """Faults of one kind, each some seconds after the last."""
    kind, targets, gap = STORMS[storm]
    dice = random.Random(f"{seed} storm")
    faults, at = [], 1.0
    while at < SECONDS:
        length = dice.uniform(*LENGTHS.get(storm, SHORT))
        slip = dice.choice([0.0, dice.expovariate(300.0)])
        where = dice.choice(targets)
        faults.append(Fault(at, length, kind, where, "/disk1", dice.randint(1, 25), slip))
        at += length + gap * dice.uniform(0.5, 1.5)
    return faults


MGMS = ("mgm1", "mgm2", "mgm3")
LINKS = [(a, b) for a in (*CLIENTS, *FSTS) for b in (MASTER, "fst1")]
STORMS = {
    "mgm-kill": (FaultKind.MGM_KILL, [(MASTER,)], 3.0),
    "mgm-power": (FaultKind.MGM_POWER, [(MASTER,)], 3.0),
    "mgm-pause": (FaultKind.MGM_PAUSE, [(MASTER,)], 3.0),
    "mgm-no-store": (FaultKind.MGM_NO_STORE, [(name,) for name in MGMS], 4.0),
    "hand-over": (FaultKind.HAND_OVER, [(name,) for name in MGMS], 0.5),
    "split": (FaultKind.SPLIT, [(MASTER, name) for name in CLIENTS], 3.0),
    "host-gone": (FaultKind.HOST_GONE, [(MASTER, name) for name in FSTS], 6.0),
    "engine-leader": (FaultKind.ENGINE_LEADER, [(MASTER,)], 1.0),
    "engine-cut": (FaultKind.ENGINE_CUT, [(MASTER,)], 2.0),
    "fst-kill": (FaultKind.FST_KILL, [(name,) for name in FSTS], 5.0),
    "fst-power": (FaultKind.FST_POWER, [(name,) for name in FSTS], 5.0),
    "client-kill": (FaultKind.CLIENT_KILL, [(name,) for name in CLIENTS], 0.5),
    "reset": (FaultKind.RESET, LINKS, 0.2),
    "cut": (FaultKind.CUT_ONE_WAY, [(a, b) for a in FSTS for b in (MASTER, *CLIENTS)], 0.5),
    "long-cut": (FaultKind.CUT, [(MASTER, name) for name in FSTS], 6.0),
    "journal": (FaultKind.JOURNAL, [("mgm1",)], 0.5),
    "full-disk": (FaultKind.FULL_DISK, [(name,) for name in FSTS], 0.5),
    "slow-disk": (FaultKind.SLOW_DISK, [(name,) for name in FSTS], 0.5),
}


@pytest.mark.parametrize("storm", STORMS)
def test_storms(storm):
    red = []
    for seed in range(SEEDS):
        plan = _plan(seed, storm)
        outcome = run(f"{storm} {seed}", RunSettings(seconds=SECONDS, plan=tuple(plan)))
        if not outcome.ok:
            red.append(str(outcome))
    assert not red, "\n\n".join(red)
