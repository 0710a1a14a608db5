"""What goes wrong in a run: a plan drawn from the seed, and the hand that carries it out.

The plan keeps to an atlas, which is what the instance promises to survive: at most one FST is away
at a time (files have two replicas), every cut heals, every daemon comes back. Within the atlas a
red run is always a bug. Which kinds of fault may occur at all is drawn per run, so that rare
combinations are met without every run being a storm.
"""

import asyncio
import random
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, assert_never

from thesan.core.model.units import NS_PER_S
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.machine import Machine
from thesan.worlds.simulated.process import SimProcess


class FaultKind(Enum):
    """One way to hurt an instance."""

    MGM_KILL = "mgm-kill"
    MGM_POWER = "mgm-power"
    MGM_PAUSE = "mgm-pause"
    FST_KILL = "fst-kill"
    FST_POWER = "fst-power"
    FST_PAUSE = "fst-pause"
    CLIENT_KILL = "client-kill"
    """In the middle of whatever it does."""
    CUT = "cut"
    """Both directions between two machines."""
    CUT_ONE_WAY = "cut-one-way"
    DELAY = "delay"
    RESET = "reset"
    """Every connection between two machines is reset."""
    SLOW_DISK = "slow-disk"
    FULL_DISK = "full-disk"
    SYNC_ERROR = "sync-error"
    """One fsync of a disk fails, and what it should have written is gone."""
    CLOCK = "clock"
    """The wall clock of a machine is wrong by some seconds, and is set right again."""
    JOURNAL = "journal"
    """The journal engine loses requests, loses answers, or is late."""


FST_AWAY: Final = frozenset({FaultKind.FST_KILL, FaultKind.FST_POWER})
AMBUSHES: Final = frozenset(
    {
        FaultKind.MGM_KILL,
        FaultKind.MGM_POWER,
        FaultKind.FST_KILL,
        FaultKind.FST_POWER,
        FaultKind.CLIENT_KILL,
        FaultKind.RESET,
    }
)
"""Faults that hurt most in the middle of a conversation."""
AMBUSH_SECONDS_MAX: Final = 5.0
"""Where nothing is going on, the fault does not wait for ever."""
CLOCK_ERROR_NS: Final = 14 * NS_PER_S
"""Two clocks wrong in opposite directions stay within CAPABILITY_CLOCK_SKEW_SECONDS."""
MGM_AWAY: Final = frozenset({FaultKind.MGM_KILL, FaultKind.MGM_POWER, FaultKind.MGM_PAUSE})


@dataclass(frozen=True)
class Fault:
    """One fault of a plan."""

    at: float
    """Seconds after the workload began."""
    seconds: float
    """How long it lasts."""
    kind: FaultKind
    targets: tuple[str, ...]
    """Machine names; for FST and MGM faults the one, for links source and target."""
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


class Victim(Protocol):
    """What the nemesis needs from a cluster."""

    loop: SimLoop

    def process_of(self, machine: str) -> SimProcess | None:
        """The daemon that runs there now."""
        ...

    def machine(self, name: str) -> Machine: ...

    async def restart(self, machine: str) -> None:
        """Start the daemon of a machine again, with its old disks."""
        ...

    def crash_disks(self, machine: str) -> None:
        """Lose what a power cut loses."""
        ...

    def trouble_journal(self, share: float) -> None:
        """That share of journal calls gets a fault; 0 ends it."""
        ...


def plan(
    dice: random.Random,
    seconds: float,
    mgm: str,
    fsts: tuple[str, ...],
    clients: tuple[str, ...],
    disks: dict[str, tuple[str, ...]],
    count_max: int = 8,
) -> list[Fault]:
    """Draw the faults of one run, in the order of their begin."""
    kinds = [kind for kind in FaultKind if dice.random() < 0.5] or [FaultKind.FST_KILL]
    faults: list[Fault] = []
    servers = (mgm, *fsts)
    everybody = (*servers, *clients)
    for _ in range(dice.randint(1, count_max)):
        kind = dice.choice(kinds)
        at = dice.uniform(0.0, seconds * 0.8)
        length = min(dice.expovariate(1 / 1.5) + 0.05, 6.0)
        targets: tuple[str, ...]
        disk = ""
        match kind:
            case FaultKind.MGM_KILL | FaultKind.MGM_POWER | FaultKind.MGM_PAUSE:
                targets = (mgm,)
            case FaultKind.FST_KILL | FaultKind.FST_POWER | FaultKind.FST_PAUSE:
                targets = (dice.choice(fsts),)
            case FaultKind.CUT | FaultKind.CUT_ONE_WAY | FaultKind.DELAY | FaultKind.RESET:
                source = dice.choice(servers)
                target = dice.choice([name for name in everybody if name != source])
                targets = (source, target) if dice.random() < 0.5 else (target, source)
            case FaultKind.CLIENT_KILL:
                targets = (dice.choice(clients),)
            case FaultKind.CLOCK:
                targets = (dice.choice(everybody),)
            case FaultKind.SLOW_DISK | FaultKind.FULL_DISK | FaultKind.SYNC_ERROR:
                targets = (dice.choice(fsts),)
                disk = dice.choice(disks[targets[0]])
            case FaultKind.JOURNAL:
                targets = (mgm,)
            case _:
                assert_never(kind)
        segments, slip = 0, 0.0
        if kind in AMBUSHES and dice.random() < 0.8:
            segments, slip = dice.randint(1, 20), dice.choice([0.0, dice.expovariate(500.0)])
        faults.append(Fault(at, length, kind, targets, disk, segments, slip))
    return _within_the_atlas(sorted(faults, key=lambda fault: fault.at))


def _within_the_atlas(faults: list[Fault]) -> list[Fault]:
    """Drop what would take a second FST, or the same MGM twice, at the same time."""
    free_at = {FST_AWAY: 0.0, MGM_AWAY: 0.0}
    kept = []
    for fault in faults:
        group = FST_AWAY if fault.kind in FST_AWAY else MGM_AWAY if fault.kind in MGM_AWAY else None
        if group is not None:
            if fault.at < free_at[group]:
                continue
            ambush = AMBUSH_SECONDS_MAX if fault.segments else 0.0
            free_at[group] = fault.at + ambush + fault.seconds + RECOVERY_SECONDS
        kept.append(fault)
    return kept


RECOVERY_SECONDS: Final = 3.0
"""A daemon that is back needs a beat or two until the others know."""


async def execute(victim: Victim, faults: list[Fault]) -> None:
    """Carry out a plan; returns when every fault has ended."""
    begin = victim.loop.time()

    async def one(fault: Fault) -> None:
        await asyncio.sleep(max(0.0, begin + fault.at - victim.loop.time()))
        victim.loop.trace.event(victim.loop.time(), "nemesis", str(fault))
        await strike(victim, fault)

    await asyncio.gather(*[one(fault) for fault in faults])


async def strike(victim: Victim, fault: Fault) -> None:
    """One fault from begin to end."""
    if fault.segments:
        try:
            async with asyncio.timeout(AMBUSH_SECONDS_MAX):
                await victim.loop.network.segments(fault.targets[0], fault.segments)
        except TimeoutError:
            pass
        if fault.slip_seconds:
            await asyncio.sleep(fault.slip_seconds)
    match fault.kind:
        case FaultKind.MGM_KILL | FaultKind.FST_KILL | FaultKind.CLIENT_KILL:
            await _kill(victim, fault)
        case FaultKind.MGM_POWER | FaultKind.FST_POWER:
            await _power(victim, fault)
        case FaultKind.MGM_PAUSE | FaultKind.FST_PAUSE:
            await _pause(victim, fault)
        case FaultKind.CUT | FaultKind.CUT_ONE_WAY:
            await _cut(victim, fault)
        case FaultKind.DELAY | FaultKind.RESET:
            await _delay(victim, fault)
        case FaultKind.SLOW_DISK:
            faults = victim.machine(fault.targets[0]).platters[fault.disk].faults
            faults.slow_factor *= 100.0
            await asyncio.sleep(fault.seconds)
            faults.slow_factor /= 100.0
        case FaultKind.FULL_DISK:
            faults = victim.machine(fault.targets[0]).platters[fault.disk].faults
            faults.full = True
            await asyncio.sleep(fault.seconds)
            faults.full = False
        case FaultKind.SYNC_ERROR:
            victim.machine(fault.targets[0]).platters[fault.disk].faults.sync_failures += 1
        case FaultKind.CLOCK:
            machine = victim.machine(fault.targets[0])
            # Forward or back, decided by the plan: a fault has no dice of its own.
            error_ns = CLOCK_ERROR_NS if fault.at > fault.seconds * 5 else -CLOCK_ERROR_NS
            machine.clock_offset_ns += error_ns
            await asyncio.sleep(fault.seconds)
            machine.clock_offset_ns -= error_ns
        case FaultKind.JOURNAL:
            victim.trouble_journal(0.2)
            await asyncio.sleep(fault.seconds)
            victim.trouble_journal(0.0)
        case _:
            assert_never(fault.kind)


async def _kill(victim: Victim, fault: Fault) -> None:
    process = victim.process_of(fault.targets[0])
    if process is not None:
        victim.loop.network.kill(process)
    await asyncio.sleep(fault.seconds)
    await victim.restart(fault.targets[0])


async def _power(victim: Victim, fault: Fault) -> None:
    name = fault.targets[0]
    victim.loop.network.power_off(name)
    victim.crash_disks(name)
    await asyncio.sleep(fault.seconds)
    victim.loop.network.power_on(name)
    await victim.restart(name)


async def _pause(victim: Victim, fault: Fault) -> None:
    process = victim.process_of(fault.targets[0])
    if process is not None:
        victim.loop.network.pause(process)
        await asyncio.sleep(fault.seconds)
        victim.loop.network.resume(process)


async def _cut(victim: Victim, fault: Fault) -> None:
    network = victim.loop.network
    source, target = fault.targets
    ways = [(source, target)]
    if fault.kind is FaultKind.CUT:
        ways.append((target, source))
    for way in ways:
        network.cut(*way)
    await asyncio.sleep(fault.seconds)
    for way in ways:
        network.heal(*way)


async def _delay(victim: Victim, fault: Fault) -> None:
    network = victim.loop.network
    source, target = fault.targets
    if fault.kind is FaultKind.RESET:
        network.reset_connections(source, target)
        return
    network.delay(source, target, 0.2)
    await asyncio.sleep(fault.seconds)
    network.delay(source, target, 0.0)
