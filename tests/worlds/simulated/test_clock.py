"""The wall clock follows virtual time and its machine's error."""

import asyncio

from thesan.worlds.simulated.clock import START_NS, SimClock


def test_clock(loop):
    machine = loop.network.machine("a")
    clock = SimClock(loop, machine)
    assert clock.now_ns() == START_NS
    loop.run_until_complete(asyncio.sleep(1.5))
    assert clock.now_ns() == START_NS + 1_500_000_000
    machine.clock_offset_ns = -5
    assert clock.now_ns() == START_NS + 1_500_000_000 - 5


def test_a_wall_clock_does_not_follow_its_machine_s_drift(loop):
    machine = loop.network.machine("a")
    loop.drift(machine, 1.02)
    clock = SimClock(loop, machine)
    loop.run_until_complete(asyncio.sleep(100))
    assert clock.now_ns() == START_NS + 100_000_000_000
