"""What a process gets from its simulated machine."""

import asyncio

import pytest

from thesan.core.model.errors import OperationError
from thesan.worlds.simulated.world import SimWorld


def test_disks_stay_when_processes_go(loop):
    machine = loop.network.machine("fst1")
    machine.mount("/d1")

    async def write(world):
        handle = await world.disk("/d1").open("x", create=True)
        await world.disk("/d1").write(handle, 0, b"data")

    first = loop.network.process("fst1", "fst")
    loop.run_until_complete(loop.start(first, write(SimWorld(loop, first)), "main"))
    loop.network.kill(first)
    second = SimWorld(loop, loop.network.process("fst1", "fst"))
    found = loop.run_until_complete(second.disk("/d1").read_file("x", 100))
    assert found == b"data"
    assert second.disk("/d1") is second.disk("/d1")


def test_an_unknown_disk_is_an_answer(loop):
    world = SimWorld(loop, loop.network.process("fst1", "fst"))
    with pytest.raises(OperationError):
        world.disk("/nowhere")


def test_two_processes_have_different_dice(loop):
    one = SimWorld(loop, loop.network.process("a", "x"))
    two = SimWorld(loop, loop.network.process("a", "x"))
    assert one.entropy.token(8) != two.entropy.token(8)
    assert one.host.name() == "a"
    loop.run_until_complete(asyncio.sleep(1))
    assert one.clock.now_ns() == two.clock.now_ns()
