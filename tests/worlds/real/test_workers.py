"""Blocking calls in threads: results, errors, limits, and what a cancelled wait leaves behind."""

import asyncio
import gc
import threading
import weakref

import pytest

from thesan.worlds.real.workers import Workers


@pytest.fixture
def workers():
    made = Workers(2, "test")
    yield made
    made.shutdown()


def test_results_and_exceptions_come_back(workers):
    def fails():
        raise OSError(5, "no")

    async def body():
        assert await workers.start(lambda: threading.current_thread().name) != "MainThread"
        with pytest.raises(OSError, match="no"):
            await workers.start(fails)
        return await asyncio.gather(*[workers.start(lambda n=n: n * n) for n in range(50)])

    assert asyncio.run(body()) == [n * n for n in range(50)]


def test_no_more_threads_than_allowed_and_none_before_they_are_needed(workers):
    gate = threading.Event()
    names: list[str] = []

    def work():
        names.append(threading.current_thread().name)
        assert gate.wait(10)

    async def body():
        for _ in range(3):
            await workers.start(lambda: None)
        assert len(workers._threads) == 1
        waiting = [workers.start(work) for _ in range(4)]
        gate.set()
        await asyncio.gather(*waiting)

    asyncio.run(body())
    assert len(workers._threads) == 2
    assert set(names) <= {"test_0", "test_1"}


def test_what_comes_after_runs_in_the_thread_at_the_end_of_the_work(workers):
    gate, over = threading.Event(), threading.Event()
    steps: list[str] = []

    def work():
        assert gate.wait(10)
        steps.append("work")

    def after():
        steps.append("after")
        over.set()

    async def body():
        future = workers.start(work, after)
        future.cancel()  # perhaps before a thread took it
        await asyncio.sleep(0)
        gate.set()

    asyncio.run(body())
    assert over.wait(10)
    assert steps in (["work", "after"], ["after"])


def test_a_call_cancelled_before_its_turn_is_not_worked_on(workers):
    gate = threading.Event()
    steps: list[str] = []

    async def body():
        busy = [workers.start(lambda: gate.wait(10)) for _ in range(2)]
        future = workers.start(lambda: steps.append("work"), lambda: steps.append("after"))
        future.cancel()
        gate.set()
        await asyncio.gather(*busy)
        await workers.start(lambda: None)

    asyncio.run(body())
    workers.shutdown()
    assert steps == ["after"]


def test_after_shutdown_nothing_is_taken(workers):
    async def body():
        workers.shutdown()
        workers.shutdown()
        with pytest.raises(RuntimeError, match="shutdown"):
            workers.start(lambda: None)

    asyncio.run(body())


def test_a_call_that_outlives_its_loop_ends_quietly(workers):
    gate, over = threading.Event(), threading.Event()

    async def body():
        workers.start(lambda: gate.wait(10), over.set)

    asyncio.run(body())
    gate.set()
    assert over.wait(10)


def test_nothing_of_a_call_is_kept(workers):
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)

    async def body(held):
        await workers.start(lambda: held)

    asyncio.run(body(thing))
    del thing
    workers.shutdown()
    gc.collect()
    assert gone() is None


def test_forgotten_workers_end_their_threads():
    async def body():
        made = Workers(1, "forgotten")
        await made.start(lambda: None)
        return made._threads[0]

    thread = asyncio.run(body())
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()
