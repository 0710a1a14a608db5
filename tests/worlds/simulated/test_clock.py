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
