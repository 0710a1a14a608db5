"""Seeding: an MGM that is new, late or wrong ends with the master's state, whatever happens."""

import asyncio

import pytest

from thesan.core.model import archive_limits
from thesan.core.model.errors import Diverged, StoreError, Trimmed
from thesan.core.namespace import invariants, keys
from thesan.roles.mgm import checkpoint_service, reseed, seed_pages


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    """Many pages out of little data."""
    for module in (checkpoint_service, reseed, seed_pages):
        monkeypatch.setattr(module, "CHECKPOINT_PAGE_BYTES", 3000)
    assert archive_limits.CHECKPOINT_PAGE_BYTES > 3000


async def two(plant, entries: int = 300):
    """A node that has everything, whose engine has forgotten most, and one that is new."""
    old, new = plant.node("a"), plant.node("b")
    await old.start()
    plant.write(entries)
    await old.follow()
    await old.data.archive.roll()
    plant.trim(plant.journal.last - 5)
    await new.start()
    return old, new


def equal(plant, node) -> bool:
    return node.namespace.digest == plant.truth.digest and not invariants.check(node.namespace)


def test_a_new_one_is_seeded_while_the_master_writes(sim_loop, plant):
    async def main():
        old, new = await two(plant)
        old.data.archive._closed.clear()  # Its segments are gone: only a checkpoint helps.

        async def write_on():
            for _ in range(40):
                plant.write(3)
                await old.follow()
                await asyncio.sleep(0.01)

        writing = asyncio.create_task(write_on())
        with pytest.raises(Trimmed) as caught:
            await new.follow()
        await new.data.reseed(caught.value)
        await writing
        await new.follow()
        assert equal(plant, new)
        assert new.content() == old.content()
        assert new.data.store.get(keys.M_SEED) is None
        assert plant.asked > 10
        await new.stop()
        await new.start()
        assert equal(plant, new)

    sim_loop.run_until_complete(main())


def test_a_late_one_needs_segments_only(sim_loop, plant):
    async def main():
        old, new = plant.node("a"), plant.node("b")
        await old.start()
        await new.start()
        plant.write(50)
        await old.follow()
        await new.follow()
        await new.stop()
        plant.write(200)
        await old.follow()
        await old.data.archive.roll()
        plant.trim(plant.journal.last)
        await new.start()
        with pytest.raises(Trimmed) as caught:
            await new.follow()
        before = new.data.store
        await new.data.reseed(caught.value)
        assert new.data.store is before
        await new.follow()
        assert equal(plant, new)
        assert old.shelf.checkpoints == {}
        # Its own segments have no hole either.
        await new.data.archive.roll()
        assert new.data.archive.first == 1

    sim_loop.run_until_complete(main())


def test_a_diverged_one_is_replaced(sim_loop, plant):
    async def main():
        old, new = plant.node("a"), plant.node("b")
        await old.start()
        await new.start()
        plant.write(60)
        await old.follow()
        await new.follow()
        wrong = plant.names[3]
        key = keys.entry(1, wrong)
        new.data.store.write([(key, None)])
        applied = new.data.store.get(keys.M_APPLIED)
        assert applied is not None
        plant.write(1)
        # The digest chains what ops wrote: one that met the damage, or a check, finds it.
        await new.data.reseed(Diverged("said by the test"))
        await new.follow()
        assert equal(plant, new)
        assert new.data.store.get(key) is not None

    sim_loop.run_until_complete(main())


def test_broken_connections_and_power_cuts_cost_pages_not_the_copy(sim_loop, plant):
    async def main():
        old, new = await two(plant, 600)
        old.data.archive._closed.clear()
        await old.data.checkpoints.make()
        plant.fault_share = 0.2
        for seconds in (0.8, 1.7, 2.9, 3.1):
            try:
                async with asyncio.timeout(seconds):
                    await new.data.reseed(Trimmed(plant.journal.last))
            except TimeoutError:
                await new.crash()
                await new.start()
        plant.fault_share = 0.0
        counted = plant.asked
        await new.data.reseed(Trimmed(plant.journal.last))
        await new.follow()
        assert equal(plant, new)
        assert plant.asked >= counted

    sim_loop.run_until_complete(main())


def test_a_resumed_copy_goes_on_where_it_was(sim_loop, plant):
    async def main():
        old, new = await two(plant, 600)
        old.data.archive._closed.clear()
        pages = await count_pages(old)
        await interrupted(plant, new, pages // 2)
        plant.asked = 0
        await new.data.reseed(Trimmed(plant.journal.last))
        assert plant.asked <= pages - pages // 2 + 3
        await new.follow()
        assert equal(plant, new)

    async def count_pages(old) -> int:
        name = (await old.data.checkpoints.make()).name
        store = await old.data._home.open_checkpoint(name)
        count, after, last = 0, b"", False
        while not last:
            pairs, last = await seed_pages.read_page(old.data._home, store, after, 3000)
            after = pairs[-1][0] if pairs else after
            count += 1
        assert count > 20
        return count

    async def interrupted(plant, new, pages: int) -> None:
        task = asyncio.create_task(new.data.reseed(Trimmed(plant.journal.last)))
        while plant.asked < pages:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    sim_loop.run_until_complete(main())


def test_a_damaged_page_or_copy_is_never_switched_to(sim_loop, plant, monkeypatch):
    async def main():
        old, new = await two(plant)
        old.data.archive._closed.clear()
        before = new.data.store
        page = old.data.checkpoints.page

        async def damaged(message):
            reply = await page(message)
            if reply.pairs:
                key, value = reply.pairs[0]
                reply.pairs[0] = (key, value + b"x")
            return reply

        monkeypatch.setattr(old.data.checkpoints, "page", damaged)
        with pytest.raises(StoreError, match="damaged"):
            await new.data.reseed(Trimmed(plant.journal.last))
        monkeypatch.setattr(old.data.checkpoints, "page", page)

        write = reseed._Copy.write

        def forgetful(self, reply):
            write(self, reply)
            if len(reply.pairs) > 3 and self.progress.pairs > 100:
                self.store.write([(reply.pairs[2][0], b"rot")])

        monkeypatch.setattr(reseed._Copy, "write", forgetful)
        with pytest.raises(StoreError, match="not what was sent"):
            await new.data.reseed(Trimmed(plant.journal.last))
        monkeypatch.setattr(reseed._Copy, "write", write)
        assert new.data.store is before
        await new.data.reseed(Trimmed(plant.journal.last))
        await new.follow()
        assert equal(plant, new)

    sim_loop.run_until_complete(main())


def test_a_peer_that_is_wrong_itself_seeds_nobody(sim_loop, plant):
    async def main():
        old, new = await two(plant)
        wrong, right = old, plant.node("c")
        await right.start()
        await right.data.reseed(Trimmed(1))
        await right.follow()
        applied = wrong.data.store.get(keys.M_APPLIED)
        assert applied is not None
        wrong.data.store.write([(keys.M_APPLIED, applied[:-1] + bytes([applied[-1] ^ 1]))])
        plant.nodes = {"a": wrong, "c": right, "b": new}
        await new.data.reseed(Diverged("said by the test"))
        await new.follow()
        assert equal(plant, new)

    sim_loop.run_until_complete(main())


def test_alone_it_helps_itself(sim_loop, plant):
    async def main():
        node = plant.node("a")
        await node.start()
        plant.write(100)
        await node.follow()
        await node.data.archive.roll()
        plant.trim(plant.journal.last - 3)
        # From nothing, by its own segments.
        await node.data.reseed(Diverged("said by the test"))
        await node.follow()
        assert equal(plant, node)
        # From its own checkpoint.
        await node.data.checkpoints.make()
        plant.write(50)
        await node.follow()
        await node.data.reseed(Diverged("said by the test"))
        await node.follow()
        assert equal(plant, node)

    sim_loop.run_until_complete(main())


def test_with_nobody_to_help_it_says_so(sim_loop, plant):
    async def main():
        old, new = await two(plant)
        plant.nodes = {"b": new}
        with pytest.raises(StoreError, match="there is no other"):
            await new.data.reseed(Trimmed(plant.journal.last))
        plant.nodes = {"b": new, "a": old}
        plant.fault_share = 1.0
        with pytest.raises(StoreError, match="a: it was closed"):
            await new.data.reseed(Trimmed(plant.journal.last))

    sim_loop.run_until_complete(main())
