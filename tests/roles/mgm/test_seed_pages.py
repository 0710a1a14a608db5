"""Pages: all of a store's content, cut the same way whatever else is in the store."""

from thesan.core.namespace import keys
from thesan.roles.mgm.seed_pages import read_page
from thesan.worlds.simulated.memory_home import MemoryHome, Shelf
from thesan.worlds.simulated.memory_store import MemoryStore


def test_pages_hold_everything_but_the_records_of_what_it_is(sim_loop):
    made = [(b"%c%05d" % (kind, number), b"v" * 20) for kind in b"DIMNR" for number in range(90)]
    extra = [(keys.M_APPLIED, b"a" * 500), (keys.M_SEED, b"s" * 300)]

    async def pages(pairs):
        home, store, after, found = MemoryHome(Shelf()), MemoryStore(pairs), b"", []
        while True:
            page, last = await read_page(home, store, after, 700)
            if last:
                assert page == []
                return found
            found.append(page)
            after = page[-1][0]

    async def main():
        with_extra = await pages([*made, *extra])
        assert [pair for page in with_extra for pair in page] == made
        assert with_extra == await pages(made) == await pages([*made, extra[1]])
        assert len(with_extra) > 10

    sim_loop.run_until_complete(main())
