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


def _counter(loop, counts, process):
    async def count():
        while True:
            counts[process] = counts.get(process, 0) + 1
            await asyncio.sleep(1)

    loop.start(process, count(), "count")


def test_a_stalled_loop_does_not_stop_the_threads(loop):
    counts = {}
    process = loop.network.process("a", "daemon")
    thread = loop.network.thread(process, "pacemaker")
    _counter(loop, counts, process)
    _counter(loop, counts, thread)
    loop.run_until_complete(asyncio.sleep(1.5))
    loop.network.stall(process)
    loop.run_until_complete(asyncio.sleep(5))
    assert counts == {process: 2, thread: 7}
    loop.network.pause(process)
    loop.run_until_complete(asyncio.sleep(5))
    loop.network.unstall(process)
    loop.run_until_complete(asyncio.sleep(5))
    assert counts == {process: 2, thread: 7}
    loop.network.resume(process)
    loop.run_until_complete(asyncio.sleep(0.1))
    assert not process.stopped
    assert counts[thread] > 7
    loop.network.kill(process)
    assert not thread.alive


def test_a_thread_of_a_stopped_process_is_stopped(loop):
    process = loop.network.process("a", "daemon")
    loop.network.pause(process)
    assert loop.network.thread(process, "late").stopped
    loop.network.kill(process)
    assert not loop.network.thread(process, "later").alive
