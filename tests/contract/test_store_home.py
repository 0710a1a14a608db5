"""One body of tests for every ports.store.StoreHome: memory (simulated) and RocksDB (real)."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from thesan.core.model.errors import StoreError
from thesan.ports.store import Store, StoreHome
from thesan.worlds.real.rocks_home import RocksHome
from thesan.worlds.simulated.memory_home import MemoryHome, Shelf

Make = Callable[[], StoreHome]


@pytest.fixture(params=["memory", "rocks"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Each call: what another process finds in the same place."""
    if request.param == "rocks":
        return lambda: RocksHome(tmp_path)
    shelf = Shelf()
    return lambda: MemoryHome(shelf)


def rows(store: Store) -> list[tuple[bytes, bytes]]:
    return store.scan(b"", b"\xff", 10**6)


def name_of(store: Store) -> str:
    return f"at-{(store.get(b'seq') or b'0').decode()}"


def test_a_store_is_found_again(make):
    async def main():
        home = make()
        store = await home.open()
        assert rows(store) == []
        store.write([(b"a", b"1")])
        await home.flush(store)
        await home.release(store)
        again = make()
        store = await again.open()
        assert rows(store) == [(b"a", b"1")]
        await again.release(store)

    asyncio.run(main())


def test_a_store_that_is_set_aside_is_followed_by_an_empty_one(make):
    async def main():
        home = make()
        for value in (b"1", b"2"):
            store = await home.open()
            assert rows(store) == []
            store.write([(b"a", value)])
            await home.release(store)
            assert (await home.set_aside()).endswith("damaged")
            home = make()
        await home.release(await home.open())

    asyncio.run(main())


def test_a_fresh_store_is_nobody_s_before_the_switch(make):
    async def main():
        home = make()
        store = await home.open()
        store.write([(b"a", b"old")])
        fresh = await home.fresh(resume=False)
        fresh.write([(b"a", b"new")])
        assert rows(store) == [(b"a", b"old")]
        await home.release(store)
        await home.release(fresh)

        home = make()
        store = await home.open()
        assert rows(store) == [(b"a", b"old")]
        fresh = await home.fresh(resume=True)
        assert rows(fresh) == [(b"a", b"new")]
        store = await home.switch(store, fresh)
        assert rows(store) == [(b"a", b"new")]
        store.write([(b"b", b"2")])
        await home.release(store)

        home = make()
        store = await home.open()
        assert rows(store) == [(b"a", b"new"), (b"b", b"2")]
        fresh = await home.fresh(resume=True)
        assert rows(fresh) == []
        store = await home.switch(store, fresh)
        assert rows(store) == []
        await home.release(store)

    asyncio.run(main())


def test_not_resuming_begins_anew(make):
    async def main():
        home = make()
        fresh = await home.fresh(resume=False)
        fresh.write([(b"a", b"1")])
        await home.release(fresh)
        fresh = await home.fresh(resume=False)
        assert rows(fresh) == []
        await home.release(fresh)

    asyncio.run(main())


def test_checkpoints(make):
    async def main():
        home = make()
        store = await home.open()
        assert await home.checkpoints() == []
        store.write([(b"seq", b"1"), (b"a", b"1")])
        one = await home.checkpoint(store, name_of)
        assert await home.checkpoint(store, name_of) == one
        store.write([(b"seq", b"2"), (b"a", b"2")])
        two = await home.checkpoint(store, name_of)
        assert await home.checkpoints() == [one, two] == ["at-1", "at-2"]
        copy = await home.open_checkpoint(one)
        assert copy.get(b"a") == b"1"
        await home.release(copy)
        fresh = await home.fresh_from(one)
        assert rows(fresh) == [(b"a", b"1"), (b"seq", b"1")]
        fresh.write([(b"a", b"3")])
        store = await home.switch(store, fresh)
        assert store.get(b"a") == b"3"
        copy = await home.open_checkpoint(one)
        assert copy.get(b"a") == b"1"
        await home.release(copy)
        await home.remove_checkpoint(one)
        await home.remove_checkpoint(one)
        assert await home.checkpoints() == [two]
        for call in (home.open_checkpoint(one), home.fresh_from(one)):
            with pytest.raises(StoreError):
                await call
        await home.release(store)

    asyncio.run(main())


def test_pages(make):
    async def main():
        home = make()
        store = await home.open()
        made = [(b"%06d" % number, b"v" * (number % 90)) for number in range(2000)]
        store.write(made)
        found, start = [], b""
        while page := await home.scan(store, start, b"\xff", 3000):
            assert sum(len(key) + len(value) for key, value in page[:-1]) < 3000
            found += page
            start = page[-1][0] + b"\0"
        assert found == made
        assert await home.scan(store, b"000010", b"000012", 10**6) == made[10:12]
        assert len(await home.scan(store, b"", b"\xff", 1)) == 1
        await home.release(store)

    asyncio.run(main())
