"""Processes pass on in contexts; task hashes are numbers."""

import asyncio

from thesan.worlds.simulated.process import NumberedTask, ProcessState, current_process


def test_children_belong_to_the_process(loop):
    process = loop.network.process("a", "daemon")
    seen = []

    async def child():
        seen.append(current_process.get())

    async def main():
        await asyncio.gather(child(), child())
        loop.call_soon(lambda: seen.append(current_process.get()))
        await asyncio.sleep(1)

    task = loop.start(process, main(), "main")
    loop.run_until_complete(task)
    assert seen == [process] * 3
    assert isinstance(task, NumberedTask)
    assert task.process is process
    assert hash(task) == task.number


def test_outside_there_is_none(loop):
    async def main():
        return current_process.get()

    assert loop.run_until_complete(main()) is None


def test_states(loop):
    process = loop.network.process("a", "daemon")
    assert process.alive
    assert not process.stopped
    assert repr(process) == "daemon@a#1"
    loop.network.pause(process)
    assert process.state is ProcessState.PAUSED
    assert process.alive
    assert process.stopped
    loop.network.kill(process)
    assert not process.alive
