"""Every fault of a plan is carried out in its time, and undone."""

import asyncio

import pytest

from thesan.worlds.simulated.atlas import AMBUSH_SECONDS_MAX, Fault, FaultKind
from thesan.worlds.simulated.nemesis import execute, strike
from thesan.worlds.simulated.platter import DiskFaults


class FakeVictim:
    """Daemons that only sleep, on machines with one disk each."""

    def __init__(self, loop):
        self.loop = loop
        self.story = []
        self.disturbed = 0
        self.processes = {}
        for name in ("mgm", "fst1", "fst2"):
            loop.network.machine(name).mount("/d1")
            self._start(name)

    def _start(self, name):
        async def daemon():
            while True:
                await asyncio.sleep(0.1)

        self.processes[name] = self.loop.network.process(name, "daemon")
        self.loop.start(self.processes[name], daemon(), "main")

    def process_of(self, machine):
        return self.processes[machine]

    def machine(self, name):
        return self.loop.network.machine(name)

    def master_name(self):
        return "mgm"

    def begins(self, fault):
        self.disturbed += 1

    def ends(self, fault):
        self.disturbed -= 1

    async def restart(self, machine):
        self.story.append(f"restart {machine}")
        self._start(machine)

    def crash_disks(self, machine):
        self.story.append(f"crash {machine}")

    def age_store(self, mgm, *, empty):
        self.story.append(f"store {mgm} {'empty' if empty else 'kept'}")

    async def hand_over(self, mgm):
        self.story.append(f"ns master {mgm}")

    def trouble_journal(self, share):
        self.story.append(f"journal {share}")

    def lose_engine_leader(self):
        self.story.append("leader lost")

    def elect_engine_leader(self):
        self.story.append("leader elected")

    def cut_engine(self, machine, *, cut):
        self.story.append(f"engine {machine} {'cut' if cut else 'healed'}")

    def slow_engine(self, factor):
        self.story.append(f"engine {factor}")

    def trim_journal(self):
        self.story.append("trim")


LINKS = ("cut", "cut-one-way", "split", "delay", "reset", "loss", "late")
TOLD = {
    FaultKind.MGM_KILL: ["restart fst1"],
    FaultKind.FST_KILL: ["restart fst1"],
    FaultKind.CLIENT_KILL: ["restart fst1"],
    FaultKind.MGM_POWER: ["crash fst1", "restart fst1"],
    FaultKind.FST_POWER: ["crash fst1", "restart fst1"],
    FaultKind.HOST_GONE: ["leader lost", "crash fst1", "leader elected", "restart fst1"],
    FaultKind.MGM_OLD_STORE: ["store fst1 kept", "restart fst1"],
    FaultKind.MGM_NO_STORE: ["store fst1 empty", "restart fst1"],
    FaultKind.HAND_OVER: ["ns master fst1"],
    FaultKind.ISOLATE: ["engine fst1 cut", "engine fst1 healed"],
    FaultKind.SPLIT: [
        "engine fst1 cut",
        "engine mgm cut",
        "engine fst1 healed",
        "engine mgm healed",
    ],
    FaultKind.JOURNAL: ["journal 0.2", "journal 0.0"],
    FaultKind.ENGINE_LEADER: ["leader lost", "leader elected"],
    FaultKind.ENGINE_MAJORITY: ["leader lost", "leader elected"],
    FaultKind.ENGINE_CUT: ["engine fst1 cut", "engine fst1 healed"],
    FaultKind.ENGINE_SLOW: ["engine 100.0", "engine 1.0"],
    FaultKind.TRIM: ["trim"],
}
"""What the victim's own verbs are called for."""


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_is_undone(loop, kind):
    victim = FakeVictim(loop)
    targets = ("fst1", "mgm") if kind.value in LINKS else ("fst1",)
    fault = Fault(1.0, 2.0, kind, targets, "/d1")
    assert kind.value in str(fault)
    loop.run_until_complete(strike(victim, fault))
    machine = loop.network.machine("fst1")
    assert machine.powered
    assert victim.disturbed == 0
    failures = 1 if kind is FaultKind.SYNC_ERROR else 0
    assert machine.platters["/d1"].faults == DiskFaults(sync_failures=failures)
    assert machine.clock_offset_ns == 0
    assert not loop.network.is_cut(machine, loop.network.machine("mgm"))
    assert not loop.network.is_cut(loop.network.machine("mgm"), machine)
    assert not loop.network._bad
    assert victim.process_of("fst1").alive
    assert not victim.process_of("fst1").stopped
    assert victim.story == TOLD.get(kind, [])


def test_the_master_is_whoever_it_is_then(loop):
    victim = FakeVictim(loop)
    for kind, targets in [(FaultKind.MGM_KILL, ("master",)), (FaultKind.CUT, ("mgm", "master"))]:
        loop.run_until_complete(strike(victim, Fault(0.0, 1.0, kind, targets)))
    assert victim.story == ["restart mgm"]


def test_an_ambush_waits_for_traffic(loop):
    victim = FakeVictim(loop)
    fault = Fault(0.0, 1.0, FaultKind.FST_KILL, ("fst1",), segments=3, slip_seconds=0.5)
    assert "after 3 segments + 0.5000 s" in str(fault)

    async def talk():
        served = []
        server = await asyncio.start_server(lambda reader, writer: served.append(writer), "fst1", 1)
        await asyncio.sleep(2.0)
        _, writer = await asyncio.open_connection("fst1", 1)
        for _ in range(3):
            writer.write(b"x")
            await asyncio.sleep(0.3)
        writer.close()
        server.close()
        served[0].close()

    started = loop.time()
    talking = loop.start(loop.network.process("fst1", "talk"), talk(), "talk")
    loop.run_until_complete(strike(victim, fault))
    assert loop.time() == pytest.approx(started + 2.0 + 0.6 + 0.5 + 1.0, abs=0.01)
    loop.run_until_complete(talking)


def test_an_ambush_does_not_wait_for_ever(loop):
    victim = FakeVictim(loop)
    started = loop.time()
    fault = Fault(0.0, 1.0, FaultKind.FST_KILL, ("fst1",), segments=3)
    loop.run_until_complete(strike(victim, fault))
    assert loop.time() == pytest.approx(started + AMBUSH_SECONDS_MAX + 1.0)


def test_a_plan_is_carried_out_in_its_time(loop):
    victim = FakeVictim(loop)
    before = loop.time()
    faults = [
        Fault(1.0, 2.0, FaultKind.FST_KILL, ("fst1",)),
        Fault(2.0, 3.0, FaultKind.MGM_POWER, ("mgm",)),
    ]
    loop.run_until_complete(execute(victim, faults))
    assert loop.time() == pytest.approx(before + 5.0)
    assert victim.story == ["crash mgm", "restart fst1", "restart mgm"]
