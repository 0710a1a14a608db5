"""The simulated home: what a crash leaves of current and fresh store."""

import random

from thesan.core.model.errors import StoreError
from thesan.worlds.simulated.memory_home import MemoryHome, Shelf
from thesan.worlds.simulated.memory_store import MemoryStore


def test_a_crash_keeps_what_was_flushed_and_a_prefix_of_the_rest(loop):
    async def main():
        shelf = Shelf()
        home = MemoryHome(shelf)
        store = await home.open()
        fresh = await home.fresh(resume=False)
        for one in (store, fresh):
            one.write([(b"kept", b"1")])
            await home.flush(one)
            for number in range(5):
                one.write([(b"%d" % number, b"")])
        shelf.crash(random.Random(1))
        for found in (shelf.current, shelf.fresh):
            assert found is not None
            assert found.get(b"kept") == b"1"
            there = [found.get(b"%d" % number) is not None for number in range(5)]
            assert there == sorted(there, reverse=True)

    loop.run_until_complete(main())


def test_only_the_fresh_store_is_switched_to(loop):
    async def main():
        home = MemoryHome(Shelf())
        store = await home.open()
        try:
            await home.switch(store, MemoryStore())
        except StoreError:
            return
        raise AssertionError("switched to a store of nobody")

    loop.run_until_complete(main())
