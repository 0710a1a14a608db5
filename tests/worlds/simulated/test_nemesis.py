"""Plans keep to the atlas; every fault is undone."""

import asyncio
import random

import pytest

from thesan.worlds.simulated.nemesis import (
    AMBUSH_SECONDS_MAX,
    FST_AWAY,
    MGM_AWAY,
    Fault,
    FaultKind,
    execute,
    plan,
    strike,
)
from thesan.worlds.simulated.platter import DiskFaults

FSTS = ("fst1", "fst2")
CLIENTS = ("client1",)
DISKS = dict.fromkeys(FSTS, ("/d1",))


class FakeVictim:
    """Daemons that only sleep, on machines with one disk each."""

    def __init__(self, loop):
        self.loop = loop
        self.story = []
        self.processes = {}
        for name in ("mgm", *FSTS, *CLIENTS):
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

    async def restart(self, machine):
        self.story.append(f"restart {machine}")
        self._start(machine)

    def crash_disks(self, machine):
        self.story.append(f"crash {machine}")

    def trouble_journal(self, share):
        self.story.append(f"journal {share}")


@pytest.mark.parametrize("seed", range(50))
def test_plans_keep_to_the_atlas(seed):
    faults = plan(random.Random(seed), 30.0, "mgm", FSTS, CLIENTS, DISKS)
    assert faults
    assert all(0 <= fault.at <= 24 and 0 < fault.seconds <= 6 for fault in faults)
    for group in (FST_AWAY, MGM_AWAY):
        ends = 0.0
        for fault in faults:
            if fault.kind in group:
                assert fault.at >= ends
                ends = fault.at + fault.seconds


def test_plans_meet_every_kind():
    kinds = {
        fault.kind
        for seed in range(100)
        for fault in plan(random.Random(seed), 30.0, "mgm", FSTS, CLIENTS, DISKS)
    }
    assert kinds == set(FaultKind)


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_is_undone(loop, kind):
    victim = FakeVictim(loop)
    targets = (
        ("fst1", "mgm") if kind.value in ("cut", "cut-one-way", "delay", "reset") else ("fst1",)
    )
    fault = Fault(1.0, 2.0, kind, targets, "/d1")
    assert kind.value in str(fault)
    loop.run_until_complete(strike(victim, fault))
    machine = loop.network.machine("fst1")
    assert machine.powered
    failures = 1 if kind is FaultKind.SYNC_ERROR else 0
    assert machine.platters["/d1"].faults == DiskFaults(sync_failures=failures)
    assert machine.clock_offset_ns == 0
    assert not loop.network.is_cut(machine, loop.network.machine("mgm"))
    assert victim.process_of("fst1").alive
    assert not victim.process_of("fst1").stopped
    expected = {
        FaultKind.MGM_KILL: ["restart fst1"],
        FaultKind.FST_KILL: ["restart fst1"],
        FaultKind.CLIENT_KILL: ["restart fst1"],
        FaultKind.MGM_POWER: ["crash fst1", "restart fst1"],
        FaultKind.FST_POWER: ["crash fst1", "restart fst1"],
        FaultKind.JOURNAL: ["journal 0.2", "journal 0.0"],
    }
    assert victim.story == expected.get(kind, [])


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
