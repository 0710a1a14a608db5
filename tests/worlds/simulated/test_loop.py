"""Virtual time, task numbers, failures, kills and repeatability of the simulated loop."""

import asyncio
import contextvars
import subprocess
import sys

import pytest

from thesan.worlds.simulated.loop import START_SECONDS, SimLoop, run
from thesan.worlds.simulated.trace import Failure

STORY = """
import asyncio
from thesan.worlds.simulated.loop import SimLoop

async def serve(reader, writer):
    while line := await reader.readline():
        await asyncio.sleep(0.01)
        writer.write(line.upper())
    writer.close()

async def client(name):
    reader, writer = await asyncio.open_connection("server", 1094)
    for number in range(20):
        writer.write(f"{name} {number}\\n".encode())
        assert await reader.readline() == f"{name} {number}\\n".upper().encode()
    writer.close()

async def sleeper():
    await asyncio.sleep(1000)

async def group():
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(sleeper())
            await asyncio.sleep(0.1)
            raise ValueError
    except* ValueError:
        pass

async def main(loop):
    await asyncio.gather(*[client(f"client{n}") for n in range(5)])
    await group()

loop = SimLoop(7)
server = loop.network.process("server", "server")
loop.start(server, asyncio.start_server(serve, "server", 1094), "serve")
work = loop.create_task(asyncio.sleep(0.1))
loop.run_until_complete(work)
loop.run_until_complete(main(loop))
assert not loop.trace.failures, loop.trace.failures
print(loop.trace.digest(), loop.time())
loop.close()
"""


def test_time_jumps_to_the_next_timer(loop):
    async def main():
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert loop.run_until_complete(main()) == START_SECONDS + 3600


def test_timeouts_work(loop):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()

    loop.run_until_complete(main())


def test_timers_of_one_process_at_one_instant_keep_their_order(loop):
    order = []
    for number in range(50):
        loop.call_at(START_SECONDS + 1, order.append, number)
    loop.run_until_complete(asyncio.sleep(2))
    assert order == list(range(50))


def test_cancelled_timers_are_dropped(loop):
    async def main():
        for _ in range(2000):
            loop.call_later(1000, print).cancel()
        await asyncio.sleep(1)
        return len(loop._timers)

    assert loop.run_until_complete(main()) < 1000


def test_nothing_left_is_a_failure_that_names_the_waiter(loop):
    async def wait_for_ever():
        await asyncio.Event().wait()

    with pytest.raises(Failure, match=r"deadlock.*wait_for_ever"):
        loop.run_until_complete(wait_for_ever())


def test_standing_still_is_a_failure(loop, monkeypatch):
    monkeypatch.setattr("thesan.worlds.simulated.loop.TURNS_AT_ONE_INSTANT_MAX", 100)

    async def spin():
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Failure, match="livelock"):
        loop.run_until_complete(spin())


def test_an_unhandled_exception_is_recorded(loop):
    def fail():
        raise ValueError("nobody catches me")

    loop.call_soon(fail)
    loop.run_until_complete(asyncio.sleep(1))
    assert len(loop.trace.failures) == 1
    assert "nobody catches me" in loop.trace.failures[0]


def test_run_raises_what_was_recorded():
    async def main():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(Failure, match="ZeroDivisionError"):
        run(main())


def test_run_returns_the_result():
    async def main():
        return 42

    assert run(main()) == 42


def test_tasks_are_numbered(loop):
    async def main():
        tasks = [loop.create_task(asyncio.sleep(1)) for _ in range(10)]
        assert [hash(task) for task in tasks] == sorted(hash(task) for task in tasks)
        await asyncio.gather(*tasks)

    loop.run_until_complete(main())


def test_a_killed_process_runs_nothing_more(loop):
    steps = []

    async def daemon():
        try:
            while True:
                steps.append("step")
                await asyncio.sleep(1)
        finally:
            steps.append("finally")

    process = loop.network.process("a", "daemon")
    loop.start(process, daemon(), "main")
    loop.run_until_complete(asyncio.sleep(2.5))
    loop.network.kill(process)
    loop.run_until_complete(asyncio.sleep(10))
    assert steps == ["step"] * 3
    assert not loop.trace.failures


def test_what_a_dead_process_left_unsaid_is_no_failure(loop):
    def leave(error):
        loop.create_future().set_exception(error)

    process = loop.network.process("a", "daemon")
    process.context.run(leave, ValueError("of the living"))
    loop.run_until_complete(asyncio.sleep(1))
    assert "of the living" in loop.trace.failures.pop()
    loop.network.kill(process)
    process.context.run(leave, ValueError("of the dead"))
    loop.run_until_complete(asyncio.sleep(1))
    assert not loop.trace.failures


def test_a_loop_around_tiny_sleeps_is_a_failure(loop, monkeypatch):
    monkeypatch.setattr("thesan.worlds.simulated.loop.TURNS_IN_A_SECOND_MAX", 1000)

    async def creep():
        while True:
            await asyncio.sleep(0.0001)

    with pytest.raises(Failure, match="creeps"):
        loop.run_until_complete(creep())


def test_a_paused_process_catches_up(loop):
    steps = []

    async def daemon():
        for number in range(5):
            steps.append((number, loop.time()))
            await asyncio.sleep(1)

    process = loop.network.process("a", "daemon")
    loop.start(process, daemon(), "main")
    loop.run_until_complete(asyncio.sleep(1.5))
    loop.network.pause(process)
    loop.run_until_complete(asyncio.sleep(10))
    assert len(steps) == 2
    loop.network.resume(process)
    loop.run_until_complete(asyncio.sleep(10))
    assert [number for number, _ in steps] == [0, 1, 2, 3, 4]
    assert steps[2][1] >= START_SECONDS + 11.5


def test_a_thread_call_takes_time_and_reports_errors(loop):
    async def main():
        before = loop.time()
        assert await loop.run_in_executor(None, lambda: 7) == 7
        assert loop.time() > before
        assert await asyncio.to_thread(lambda: 8) == 8
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 / 0)

    loop.run_until_complete(main())


def test_what_is_not_simulated_says_so(loop):
    with pytest.raises(NotImplementedError):
        loop.run_until_complete(loop.create_connection(asyncio.Protocol, "a", 1, ssl=True))
    with pytest.raises(NotImplementedError):
        loop.run_until_complete(loop.create_server(asyncio.Protocol, "a", 1, sock=object()))
    with pytest.raises(NotImplementedError):
        loop.run_in_executor(object(), print)


def test_names_resolve(loop):
    machine = loop.network.machine("fst1")
    found = loop.run_until_complete(loop.getaddrinfo("fst1", 1095))
    assert found[0][4] == (machine.address, 1095)


def test_closing_with_tasks_alive_is_quiet():
    loop = SimLoop(3)

    async def stubborn():
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)

    loop.create_task(stubborn())
    loop.run_until_complete(asyncio.sleep(1))
    loop.close()
    loop.close()
    assert loop.is_closed()


def test_same_seed_same_digest_whatever_the_hash_seed():
    digests = set()
    for hash_seed in ("0", "1", "random"):
        result = subprocess.run(
            [sys.executable, "-c", STORY],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        digests.add(result.stdout)
    assert len(digests) == 1


def test_clocks_drift_apart(loop):
    told = {}

    async def wait(name):
        before = loop.time()
        await asyncio.sleep(100)
        told[name] = (loop.time() - before, loop.now)

    for name, rate in (("fast", 1.02), ("true", 1.0), ("slow", 0.98)):
        process = loop.network.process(name, "daemon")
        loop.drift(process.machine, rate)
        loop.start(process, wait(name), "wait")
    loop.run_until_complete(asyncio.sleep(200))
    assert [mine == pytest.approx(100) for mine, _ in told.values()] == [True] * 3
    assert told["fast"][1] == pytest.approx(START_SECONDS + 100 / 1.02)
    assert told["true"][1] == pytest.approx(START_SECONDS + 100)
    assert told["slow"][1] == pytest.approx(START_SECONDS + 100 / 0.98)


def test_a_timer_never_comes_before_its_time_on_a_drifting_clock(loop):
    early = []

    async def count():
        for number in range(1000):
            due = loop.time() + number * 0.0137
            loop.call_at(due, lambda due=due: early.append(loop.time() < due))

    process = loop.network.process("fast", "daemon")
    loop.drift(process.machine, 1.0173)
    loop.start(process, count(), "count")
    loop.run_until_complete(asyncio.sleep(20))
    assert early == [False] * 1000


def test_a_callback_of_nobody_goes_by_true_time(loop):
    """What the network has taken from a process is no matter of that process's clock."""
    seen = []

    async def send():
        await asyncio.sleep(1000)
        loop.call_later(1.0, lambda: seen.append(loop.now), context=contextvars.Context())

    process = loop.network.process("fast", "daemon")
    loop.drift(process.machine, 1.02)
    loop.start(process, send(), "send")
    loop.run_until_complete(asyncio.sleep(1100))
    assert seen == [pytest.approx(START_SECONDS + 1000 / 1.02 + 1.0)]
