"""The hand that carries out a plan of misfortunes, and undoes each of them in its time."""

import asyncio
from dataclasses import replace
from typing import Final, Protocol, assert_never

from thesan.worlds.simulated.atlas import (
    AMBUSH_SECONDS_MAX,
    CLOCK_ERROR_NS,
    MASTER,
    Fault,
    FaultKind,
)
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.machine import Machine
from thesan.worlds.simulated.network import BadLink
from thesan.worlds.simulated.process import SimProcess

_LOSS: Final = BadLink(loss=0.3)
_LATE: Final = BadLink(late=0.05)
_JOURNAL_FAULT_SHARE: Final = 0.2
_SLOW_ENGINE_FACTOR: Final = 100.0
"""A round trip of milliseconds takes tenths of a second."""


class Victim(Protocol):
    """What the nemesis needs from a cluster."""

    loop: SimLoop

    def process_of(self, machine: str) -> SimProcess | None:
        """The daemon that runs there now."""
        ...

    def machine(self, name: str) -> Machine: ...

    def master_name(self) -> str:
        """Machine of the MGM that owns the journal."""
        ...

    def begins(self, fault: Fault) -> None:
        """Take note: it strikes now."""
        ...

    def ends(self, fault: Fault) -> None:
        """It was undone."""
        ...

    async def restart(self, machine: str) -> None:
        """Start the daemon of a machine again, with its old disks."""
        ...

    def crash_disks(self, machine: str) -> None:
        """Lose what a power cut loses."""
        ...

    def age_store(self, mgm: str, *, empty: bool) -> None:
        """Keep the store of an MGM as it is now, or an empty one, for its next start."""
        ...

    async def hand_over(self, mgm: str) -> None:
        """Ask the master to hand over to that MGM, as an operator would."""
        ...

    def trouble_journal(self, share: float) -> None:
        """That share of journal calls gets a fault; 0 ends it."""
        ...

    def lose_engine_leader(self) -> None:
        """Nobody is answered by the journal engine."""
        ...

    def elect_engine_leader(self) -> None:
        """Undo one `lose_engine_leader`."""
        ...

    def cut_engine(self, machine: str, *, cut: bool) -> None:
        """An MGM does not reach the journal engine, or does again."""
        ...

    def slow_engine(self, factor: float) -> None:
        """Calls of the journal engine take that much longer; 1 ends it."""
        ...

    def trim_journal(self) -> None:
        """Drop what may be dropped."""
        ...


async def execute(victim: Victim, faults: list[Fault]) -> None:
    """Carry out a plan; returns when every fault has ended."""
    begin = victim.loop.now

    async def one(fault: Fault) -> None:
        await asyncio.sleep(max(0.0, begin + fault.at - victim.loop.now))
        victim.loop.trace.event(victim.loop.now, "nemesis", str(fault))
        await strike(victim, fault)

    await asyncio.gather(*[one(fault) for fault in faults])


async def strike(victim: Victim, fault: Fault) -> None:
    """One fault from begin to end."""
    fault = _aimed(victim, fault)
    await _ambush(victim, fault)
    victim.begins(fault)
    await _hurt(victim, fault)
    victim.ends(fault)


def _aimed(victim: Victim, fault: Fault) -> Fault:
    """Whoever is master now is the target that was meant."""
    if MASTER not in fault.targets:
        return fault
    master = victim.master_name()
    targets = tuple(master if name == MASTER else name for name in fault.targets)
    return replace(fault, targets=targets)


async def _ambush(victim: Victim, fault: Fault) -> None:
    if fault.segments:
        try:
            async with asyncio.timeout(AMBUSH_SECONDS_MAX):
                await victim.loop.network.segments(fault.targets[0], fault.segments)
        except TimeoutError:
            pass
        if fault.slip_seconds:
            await asyncio.sleep(fault.slip_seconds)


async def _hurt(victim: Victim, fault: Fault) -> None:
    match fault.kind:
        case FaultKind.MGM_KILL | FaultKind.FST_KILL | FaultKind.CLIENT_KILL:
            await _kill(victim, fault)
        case FaultKind.MGM_POWER | FaultKind.FST_POWER:
            await _power(victim, fault)
        case FaultKind.HOST_GONE:
            victim.lose_engine_leader()
            # The members that are left elect in half to one and a half seconds.
            victim.loop.call_later(0.5 + fault.seconds % 1.0, victim.elect_engine_leader)
            await _power(victim, fault)
        case FaultKind.MGM_OLD_STORE | FaultKind.MGM_NO_STORE:
            await _old_store(victim, fault)
        case FaultKind.MGM_PAUSE | FaultKind.FST_PAUSE | FaultKind.MGM_STALL:
            await _pause(victim, fault)
        case FaultKind.HAND_OVER:
            await victim.hand_over(fault.targets[0])
        case (
            FaultKind.CUT
            | FaultKind.CUT_ONE_WAY
            | FaultKind.ISOLATE
            | FaultKind.SPLIT
            | FaultKind.DELAY
            | FaultKind.LOSS
            | FaultKind.LATE
            | FaultKind.RESET
        ):
            await _link(victim, fault)
        case FaultKind.SLOW_DISK | FaultKind.FULL_DISK | FaultKind.SYNC_ERROR:
            await _disk(victim, fault)
        case FaultKind.CLOCK:
            machine = victim.machine(fault.targets[0])
            # Forward or back, decided by the plan: a fault has no dice of its own.
            error_ns = CLOCK_ERROR_NS if fault.at > fault.seconds * 5 else -CLOCK_ERROR_NS
            machine.clock_offset_ns += error_ns
            await asyncio.sleep(fault.seconds)
            machine.clock_offset_ns -= error_ns
        case (
            FaultKind.JOURNAL
            | FaultKind.ENGINE_LEADER
            | FaultKind.ENGINE_MAJORITY
            | FaultKind.ENGINE_CUT
            | FaultKind.ENGINE_SLOW
            | FaultKind.TRIM
        ):
            await _engine(victim, fault)
        case _:
            assert_never(fault.kind)


async def _kill(victim: Victim, fault: Fault) -> None:
    process = victim.process_of(fault.targets[0])
    if process is not None:
        victim.loop.network.kill(process)
    await asyncio.sleep(fault.seconds)
    await victim.restart(fault.targets[0])


async def _old_store(victim: Victim, fault: Fault) -> None:
    name = fault.targets[0]
    if fault.kind is FaultKind.MGM_OLD_STORE:
        victim.age_store(name, empty=False)
        await asyncio.sleep(fault.seconds)
        await _kill(victim, fault)
        return
    process = victim.process_of(name)
    if process is not None:
        victim.loop.network.kill(process)
    victim.age_store(name, empty=True)
    await asyncio.sleep(fault.seconds)
    await victim.restart(name)


async def _power(victim: Victim, fault: Fault) -> None:
    for name in fault.targets:
        victim.loop.network.power_off(name)
        victim.crash_disks(name)
    await asyncio.sleep(fault.seconds)
    for name in fault.targets:
        victim.loop.network.power_on(name)
        await victim.restart(name)


async def _pause(victim: Victim, fault: Fault) -> None:
    network = victim.loop.network
    process = victim.process_of(fault.targets[0])
    if process is None:
        return
    is_stall = fault.kind is FaultKind.MGM_STALL
    (network.stall if is_stall else network.pause)(process)
    await asyncio.sleep(fault.seconds)
    (network.unstall if is_stall else network.resume)(process)


async def _link(victim: Victim, fault: Fault) -> None:
    network = victim.loop.network
    if fault.kind in (FaultKind.ISOLATE, FaultKind.SPLIT):
        await _isolate(victim, fault)
        return
    source, target = fault.targets
    if source == target:
        return  # the master was meant, and is the other end itself
    there, back = (source, target), (target, source)
    if fault.kind is FaultKind.RESET:
        network.reset_connections(source, target)
    elif fault.kind is FaultKind.DELAY:
        network.delay(source, target, 0.2)
        await asyncio.sleep(fault.seconds)
        network.delay(source, target, 0.0)
    elif fault.kind in (FaultKind.LOSS, FaultKind.LATE):
        for way in (there, back):
            network.spoil(*way, _LOSS if fault.kind is FaultKind.LOSS else _LATE)
        await asyncio.sleep(fault.seconds)
        for way in (there, back):
            network.spoil(*way, None)
    else:
        ways = [there, back] if fault.kind is FaultKind.CUT else [there]
        await _cut(victim, ways, fault.seconds)


async def _isolate(victim: Victim, fault: Fault) -> None:
    island = fault.targets
    others = [other for other in victim.loop.network.machines if other not in island]
    ways = [way for name in island for other in others for way in ((name, other), (other, name))]
    for name in island:
        victim.cut_engine(name, cut=True)
    await _cut(victim, ways, fault.seconds)
    for name in island:
        victim.cut_engine(name, cut=False)


async def _cut(victim: Victim, ways: list[tuple[str, str]], seconds: float) -> None:
    network = victim.loop.network
    for way in ways:
        network.cut(*way)
    await asyncio.sleep(seconds)
    for way in ways:
        network.heal(*way)


async def _disk(victim: Victim, fault: Fault) -> None:
    faults = victim.machine(fault.targets[0]).platters[fault.disk].faults
    if fault.kind is FaultKind.SYNC_ERROR:
        faults.sync_failures += 1
    elif fault.kind is FaultKind.SLOW_DISK:
        faults.slow_factor *= 100.0
        await asyncio.sleep(fault.seconds)
        faults.slow_factor /= 100.0
    else:
        faults.full = True
        await asyncio.sleep(fault.seconds)
        faults.full = False


async def _engine(victim: Victim, fault: Fault) -> None:
    name = fault.targets[0]
    if fault.kind is FaultKind.JOURNAL:
        victim.trouble_journal(_JOURNAL_FAULT_SHARE)
        await asyncio.sleep(fault.seconds)
        victim.trouble_journal(0.0)
    elif fault.kind is FaultKind.ENGINE_CUT:
        victim.cut_engine(name, cut=True)
        await asyncio.sleep(fault.seconds)
        victim.cut_engine(name, cut=False)
    elif fault.kind is FaultKind.ENGINE_SLOW:
        victim.slow_engine(_SLOW_ENGINE_FACTOR)
        await asyncio.sleep(fault.seconds)
        victim.slow_engine(1.0)
    elif fault.kind is FaultKind.TRIM:
        victim.trim_journal()
    else:
        victim.lose_engine_leader()
        await asyncio.sleep(fault.seconds)
        victim.elect_engine_leader()
