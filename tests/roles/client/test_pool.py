"""Connections: shared, dialled once, closed when idle."""

import asyncio
import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.pool import Pool
from thesan.roles.client.url import Endpoint

PLACE = Endpoint("h", 1)


class Connection:
    """As much of a ClientConnection as the pool sees."""

    def __init__(self) -> None:
        self.is_closed = False
        self.in_flight = 0
        self.uploads = 0

    async def close(self) -> None:
        self.is_closed = True

    def abort(self, reason: str) -> None:
        self.is_closed = True


class Dialler:
    def __init__(self) -> None:
        self.made: list[Connection] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: OperationError | None = None

    async def __call__(self, endpoint: Endpoint) -> Connection:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.made.append(Connection())
        return self.made[-1]


@pytest.fixture
def pool_run():
    def run(test, **settings):
        async def main() -> None:
            dialler = Dialler()
            pool = Pool(ClientConfig(**settings), dialler)
            await asyncio.wait_for(test(pool, dialler), 20)
            await pool.close()
            assert all(connection.is_closed for connection in dialler.made)

        asyncio.run(main())

    return run


def test_one_dial_for_all_who_wait(pool_run):
    async def test(pool, dialler):
        dialler.gate.clear()
        loop = asyncio.get_running_loop()
        waiting = [loop.create_task(pool.get(PLACE)) for _ in range(10)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        dialler.gate.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert set(results[1:]) == {dialler.made[0]}
        assert pool.find(PLACE) is dialler.made[0]
        assert len(pool) == 1

    pool_run(test)


def test_a_failed_dial_is_told_to_all_and_tried_again(pool_run):
    async def test(pool, dialler):
        dialler.error = OperationError(errno.ECONNREFUSED, "no")
        results = await asyncio.gather(pool.get(PLACE), pool.get(PLACE), return_exceptions=True)
        assert [result.errno for result in results] == [errno.ECONNREFUSED] * 2
        assert pool.find(PLACE) is None
        dialler.error = None
        assert await pool.get(PLACE) is dialler.made[0]

    pool_run(test)


def test_a_closed_connection_is_replaced(pool_run):
    async def test(pool, dialler):
        first = await pool.get(PLACE)
        first.is_closed = True
        assert pool.find(PLACE) is None
        assert await pool.get(PLACE) is not first

    pool_run(test)


def test_idle_connections_are_closed_and_used_ones_not(pool_run):
    async def test(pool, dialler):
        idle = await pool.get(PLACE)
        held = await pool.get(Endpoint("h", 2))
        pool.hold(Endpoint("h", 2), held)
        busy = await pool.get(Endpoint("h", 3))
        busy.in_flight = 1
        while not idle.is_closed:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        assert not held.is_closed
        assert not busy.is_closed
        pool.release(Endpoint("h", 2), held)
        while not held.is_closed:
            await asyncio.sleep(0.005)
        assert len(pool) == 1

    pool_run(test, idle_seconds=0.02)


def test_a_retired_connection_goes_with_its_last_hold(pool_run):
    async def test(pool, dialler):
        old = await pool.get(PLACE)
        pool.hold(PLACE, old)
        pool.hold(PLACE, old)
        pool.retire(PLACE, old)
        assert await pool.get(PLACE) is not old
        pool.release(PLACE, old)
        assert not old.is_closed
        pool.release(PLACE, old)
        assert old.is_closed
        pool.release(PLACE, old)
        pool.retire(PLACE, old)

    pool_run(test)


def test_close_closes_retired_ones_too(pool_run):
    async def test(pool, dialler):
        old = await pool.get(PLACE)
        pool.hold(PLACE, old)
        pool.retire(PLACE, old)
        await pool.get(PLACE)
        await pool.close()
        assert all(connection.is_closed for connection in dialler.made)

    pool_run(test)
