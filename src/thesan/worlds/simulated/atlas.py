"""The atlas of what may go wrong in a run, and the plan that a seed draws from it.

The atlas is what the instance promises to survive: at most one FST is away at a time (files have
two replicas), every cut heals, every daemon comes back, and all MGMs together are away for less
than a client's patience. Within the atlas a red run is always a bug. Which kinds of fault may occur
at all is drawn per run, so that rare combinations are met without every run being a storm.
"""

import random
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

from thesan.core.model.units import NS_PER_S


class FaultKind(Enum):
    """One way to hurt an instance."""

    MGM_KILL = "mgm-kill"
    MGM_POWER = "mgm-power"
    MGM_PAUSE = "mgm-pause"
    """SIGSTOP, for up to half a minute: long after another one took over."""
    MGM_STALL = "mgm-stall"
    """The MGM's loop is stuck; its other threads go on."""
    MGM_OLD_STORE = "mgm-old-store"
    """It dies and comes back with the store that it had when the fault began."""
    MGM_NO_STORE = "mgm-no-store"
    """It dies and comes back with an empty store."""
    HAND_OVER = "hand-over"
    """An operator wants another master."""
    HOST_GONE = "host-gone"
    """A host with an MGM, an FST and the leader of the journal engine loses power."""
    FST_KILL = "fst-kill"
    FST_POWER = "fst-power"
    FST_PAUSE = "fst-pause"
    CLIENT_KILL = "client-kill"
    """In the middle of whatever it does."""
    CUT = "cut"
    """Both directions between two machines."""
    CUT_ONE_WAY = "cut-one-way"
    ISOLATE = "isolate"
    """A machine sees nobody, the journal engine neither."""
    SPLIT = "split"
    """An MGM and a client see each other and nobody else; the rest goes on without them."""
    DELAY = "delay"
    LOSS = "loss"
    """A link loses a third of its packets, in both directions."""
    LATE = "late"
    """Now and then a packet is seconds late."""
    RESET = "reset"
    """Every connection between two machines is reset."""
    SLOW_DISK = "slow-disk"
    FULL_DISK = "full-disk"
    SYNC_ERROR = "sync-error"
    """One fsync of a disk fails, and what it should have written is gone."""
    CLOCK = "clock"
    """The wall clock of a machine is wrong by some seconds, and is set right again."""
    JOURNAL = "journal"
    """The journal engine loses requests, loses answers, does them twice, or is late."""
    ENGINE_LEADER = "engine-leader"
    """The engine's leader dies: nobody is answered until the next one is elected."""
    ENGINE_MAJORITY = "engine-majority"
    """The engine has no majority for a while."""
    ENGINE_CUT = "engine-cut"
    """One MGM does not reach the engine; everybody else does, and reaches that MGM."""
    ENGINE_SLOW = "engine-slow"
    TRIM = "trim"
    """The journal loses its oldest entries, as far as master's and clients' promises allow."""


class Group(Enum):
    """Faults of one group don't overlap."""

    FST_AWAY = "fst-away"
    MGM_AWAY = "mgm-away"
    """Away for short: several MGMs may be, one after the other."""
    ENGINE_AWAY = "engine-away"


_GROUPS: Final[dict[FaultKind, Group]] = {
    FaultKind.FST_KILL: Group.FST_AWAY,
    FaultKind.FST_POWER: Group.FST_AWAY,
    FaultKind.HOST_GONE: Group.FST_AWAY,
    FaultKind.MGM_KILL: Group.MGM_AWAY,
    FaultKind.MGM_POWER: Group.MGM_AWAY,
    FaultKind.MGM_PAUSE: Group.MGM_AWAY,
    FaultKind.MGM_STALL: Group.MGM_AWAY,
    FaultKind.MGM_OLD_STORE: Group.MGM_AWAY,
    FaultKind.MGM_NO_STORE: Group.MGM_AWAY,
    FaultKind.ENGINE_MAJORITY: Group.ENGINE_AWAY,
    FaultKind.ENGINE_LEADER: Group.ENGINE_AWAY,
}
AMBUSHES: Final = frozenset(
    {
        FaultKind.MGM_KILL,
        FaultKind.MGM_POWER,
        FaultKind.MGM_PAUSE,
        FaultKind.HAND_OVER,
        FaultKind.HOST_GONE,
        FaultKind.FST_KILL,
        FaultKind.FST_POWER,
        FaultKind.CLIENT_KILL,
        FaultKind.RESET,
        FaultKind.ENGINE_LEADER,
        FaultKind.ENGINE_CUT,
    }
)
"""Faults that hurt most in the middle of a conversation."""
COSTS_MASTERSHIP: Final = frozenset(
    {
        FaultKind.MGM_KILL,
        FaultKind.MGM_POWER,
        FaultKind.MGM_PAUSE,
        FaultKind.MGM_OLD_STORE,
        FaultKind.MGM_NO_STORE,
        FaultKind.HOST_GONE,
        FaultKind.ISOLATE,
        FaultKind.SPLIT,
        FaultKind.ENGINE_CUT,
    }
)
"""Faults of the master's machine after which another MGM may take over by itself."""
BLINDS_ALL: Final = frozenset({FaultKind.JOURNAL, FaultKind.ENGINE_SLOW})
"""Faults of the engine that can look like a silent master, whoever that is. Its own elections and
losses of the majority may not."""
STALL_SECONDS_HARMLESS: Final = 2.5
"""A master that is busy for so long is not dead: below LOOP_STALL_SECONDS_MAX."""
NEEDS_STANDBY: Final = frozenset(
    {FaultKind.HAND_OVER, FaultKind.MGM_OLD_STORE, FaultKind.MGM_NO_STORE}
)
"""Faults that a single MGM does not survive: nobody to hand over to, nobody to learn from."""
AMBUSH_SECONDS_MAX: Final = 5.0
"""Where nothing is going on, the fault does not wait for ever."""
RECOVERY_SECONDS: Final = 3.0
"""A daemon that is back needs a beat or two until the others know."""
CLOCK_ERROR_NS: Final = 14 * NS_PER_S
"""Two clocks wrong in opposite directions stay within CAPABILITY_CLOCK_SKEW_SECONDS."""
MASTER: Final = "master"
"""A target: whichever MGM is master when the fault begins."""
PAUSE_SECONDS: Final = (3.0, 30.0)
"""An MGM that sleeps: at least long enough for another one to take over."""
LONG_CUT_SECONDS: Final = 1.5
"""A cut that is drawn longer than this is a long one:"""
LONG_CUT_STRETCH: Final = 3.0
"""so many times as long. Its ends connect anew before it is over, and what they sent into the dead
line comes after what they send then."""


@dataclass(frozen=True)
class Fault:
    """One fault of a plan."""

    at: float
    """Seconds after the workload began."""
    seconds: float
    """How long it lasts."""
    kind: FaultKind
    targets: tuple[str, ...]
    """Machine names; for FST and MGM faults the one, for links source and target, for a host all
    that is on it."""
    disk: str = ""
    segments: int = 0
    """An ambush: the fault waits for so many segments to or from the first target, so that it
    falls into the middle of what is going on there."""
    slip_seconds: float = 0.0
    """Then it waits this much longer."""

    def __str__(self) -> str:
        where = " > ".join(self.targets) + self.disk
        when = f" after {self.segments} segments + {self.slip_seconds:.4f} s" * bool(self.segments)
        return f"{self.at:.3f} s: {self.kind.value} {where}{when} for {self.seconds:.3f} s"


@dataclass(frozen=True)
class Stage:
    """Who is there to be hurt."""

    mgms: tuple[str, ...]
    fsts: tuple[str, ...]
    clients: tuple[str, ...]
    disks: dict[str, tuple[str, ...]]
    """Paths by FST."""

    @property
    def everybody(self) -> tuple[str, ...]:
        """All machines."""
        return (*self.mgms, *self.fsts, *self.clients)


def plan(dice: random.Random, seconds: float, stage: Stage, count_max: int = 8) -> list[Fault]:
    """Draw the faults of one run, in the order of their begin."""
    possible = [kind for kind in FaultKind if len(stage.mgms) > 1 or kind not in NEEDS_STANDBY]
    kinds = [kind for kind in possible if dice.random() < 0.4] or [FaultKind.MGM_KILL]
    faults = [
        _draw(dice, dice.choice(kinds), seconds, stage) for _ in range(dice.randint(1, count_max))
    ]
    return _within_the_atlas(sorted(faults, key=lambda fault: fault.at))


def _draw(dice: random.Random, kind: FaultKind, seconds: float, stage: Stage) -> Fault:
    at = dice.uniform(0.0, seconds * 0.8)
    length = min(dice.expovariate(1 / 1.5) + 0.05, 6.0)
    targets: tuple[str, ...]
    disk = ""
    match kind:
        case FaultKind.MGM_PAUSE:
            targets = (_mgm(dice, stage),)
            if len(stage.mgms) > 1 and dice.random() < 0.6:
                length = dice.uniform(*PAUSE_SECONDS)
        case (
            FaultKind.MGM_KILL
            | FaultKind.MGM_POWER
            | FaultKind.MGM_STALL
            | FaultKind.MGM_OLD_STORE
            | FaultKind.MGM_NO_STORE
            | FaultKind.ENGINE_CUT
        ):
            targets = (_mgm(dice, stage),)
        case FaultKind.HAND_OVER:
            targets = (dice.choice(stage.mgms),)
        case FaultKind.HOST_GONE:
            targets = (_mgm(dice, stage), dice.choice(stage.fsts))
        case FaultKind.FST_KILL | FaultKind.FST_POWER | FaultKind.FST_PAUSE:
            targets = (dice.choice(stage.fsts),)
        case FaultKind.CUT | FaultKind.CUT_ONE_WAY:
            targets = _link(dice, stage)
            if length > LONG_CUT_SECONDS:
                length *= LONG_CUT_STRETCH
        case FaultKind.DELAY | FaultKind.LOSS | FaultKind.LATE | FaultKind.RESET:
            targets = _link(dice, stage)
        case FaultKind.ISOLATE:
            targets = (dice.choice([_mgm(dice, stage), *stage.clients]),)
        case FaultKind.SPLIT:
            targets = (_mgm(dice, stage), dice.choice(stage.clients))
            length = dice.uniform(1.0, 8.0)
        case FaultKind.CLIENT_KILL:
            targets = (dice.choice(stage.clients),)
        case FaultKind.CLOCK:
            targets = (dice.choice(stage.everybody),)
        case FaultKind.SLOW_DISK | FaultKind.FULL_DISK | FaultKind.SYNC_ERROR:
            targets = (dice.choice(stage.fsts),)
            disk = dice.choice(stage.disks[targets[0]])
        case FaultKind.ENGINE_LEADER:
            length = dice.uniform(0.2, 1.6)
            targets = (MASTER,)
        case FaultKind.JOURNAL | FaultKind.ENGINE_MAJORITY | FaultKind.ENGINE_SLOW | FaultKind.TRIM:
            targets = (stage.mgms[0],)
        case _:
            assert_never(kind)
    segments, slip = 0, 0.0
    if kind in AMBUSHES and dice.random() < 0.8:
        segments, slip = dice.randint(1, 20), dice.choice([0.0, dice.expovariate(500.0)])
    return Fault(at, length, kind, targets, disk, segments, slip)


def _mgm(dice: random.Random, stage: Stage) -> str:
    """Mostly the one that it hurts to lose."""
    return MASTER if dice.random() < 0.6 else dice.choice(stage.mgms)


def _link(dice: random.Random, stage: Stage) -> tuple[str, str]:
    source = dice.choice((MASTER, *stage.mgms, *stage.fsts))
    target = dice.choice([name for name in stage.everybody if name != source])
    return (source, target) if dice.random() < 0.5 else (target, source)


def _within_the_atlas(faults: list[Fault]) -> list[Fault]:
    """Drop what would take a second FST, the same MGM twice, or the engine again at once."""
    free_at: dict[tuple[Group, str], float] = {}
    kept = []
    for fault in faults:
        group = _GROUPS.get(fault.kind)
        if group is not None:
            # MGMs are each other's stand-ins: any number of them may be away together.
            key = (group, fault.targets[0] if group is Group.MGM_AWAY else "")
            if fault.at < free_at.get(key, 0.0):
                continue
            ambush = AMBUSH_SECONDS_MAX if fault.segments else 0.0
            free_at[key] = fault.at + ambush + fault.seconds + RECOVERY_SECONDS
        kept.append(fault)
    return kept


def group_of(kind: FaultKind) -> Group | None:
    """Whose faults may not overlap with those of this kind."""
    return _GROUPS.get(kind)
