"""The data of an MGM: opened, checked, answered for, over crashes of its machine."""

import asyncio

import pytest

from thesan.core.control.messages import CheckpointPage, JournalPage, decode_reply
from thesan.core.model.archive_limits import ARCHIVE_TEND_SECONDS
from thesan.core.model.errors import Diverged, OperationError, Rewound, StoreDamaged, StoreError
from thesan.core.namespace import keys
from thesan.core.wire.numbers import Status
from thesan.worlds.simulated.memory_engine import MemoryJournal
from thesan.worlds.simulated.memory_home import MemoryHome


class Receiver:
    """A connection that keeps what it is sent."""

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def reply(self, data: bytes) -> None:
        self.told.append(data)


async def one_behind_another(plant):
    """A node that has nothing yet, beside one that has 30 entries."""
    old, new = plant.node("a"), plant.node("b")
    await old.start()
    plant.write(30)
    await old.follow()
    await new.start()
    return new


def test_crashes_and_replays_end_in_the_master_s_state(sim_loop, plant):
    async def main():
        node = plant.node("a")
        for _ in range(12):
            await node.start()
            await node.data.check()
            await node.follow()
            assert node.namespace.digest == plant.digests[plant.journal.last]
            plant.write(plant.dice.randint(1, 30))
            await node.follow()
            if plant.dice.random() < 0.5:
                await node.data.flush()
            await asyncio.sleep(plant.dice.random())
            await node.crash()
        await node.start()
        await node.follow()
        await node.data.archive.written()
        assert node.namespace.digest == plant.truth.digest
        found = await node.data.archive.read(1, 1 << 30)
        assert found[0] == plant.journal.read(1, 1)[0]
        assert node.data.archive.first == 1
        assert node.data.sentence == ""
        await node.stop()

    sim_loop.run_until_complete(main())


def test_a_damaged_store_is_made_anew(sim_loop, plant, monkeypatch):
    async def main():
        node = plant.node("a")
        await node.start()
        plant.write(30)
        await node.follow()
        await node.data.flush()
        await node.stop()
        whole = MemoryHome.open

        async def damaged(home):
            monkeypatch.setattr(MemoryHome, "open", whole)
            raise StoreDamaged("Corruption: checksum mismatch")

        monkeypatch.setattr(MemoryHome, "open", damaged)
        await node.start()
        assert "store damaged" in sim_loop.trace.failures.pop()
        assert node.data.store.get(keys.M_APPLIED) is None
        await node.data.check()
        await node.follow()
        assert node.namespace.digest == plant.truth.digest
        await node.stop()

    sim_loop.run_until_complete(main())


def test_another_journal_is_refused(sim_loop, plant):
    async def main():
        node = plant.node("a")
        await node.start()
        plant.write(10)
        await node.follow()
        await node.data.check()
        await node.stop()
        plant.journal = MemoryJournal()
        await node.start()
        with pytest.raises(Rewound):
            await node.data.check()
        await node.stop()

    sim_loop.run_until_complete(main())


def test_peers_are_answered(sim_loop, plant):
    async def main():
        node = plant.node("a")
        await node.start()
        plant.write(10)
        await node.follow()
        await node.data.archive.written()
        receiver = Receiver()
        for message in (CheckpointPage(), JournalPage(3), CheckpointPage("gone")):
            assert node.data.answer(receiver, b"\0\1", message) is None
            while not receiver.told:
                await asyncio.sleep(0.01)
            data = receiver.told.pop()
            status = int.from_bytes(data[2:4])
            if message == CheckpointPage("gone"):
                assert status == Status.ERROR
            else:
                assert status == Status.OK
                decode_reply(data[8:])
        for _ in range(16):
            node.data.answer(receiver, b"\0\1", JournalPage(1))
        with pytest.raises(OperationError):
            node.data.answer(receiver, b"\0\1", JournalPage(1))
        await asyncio.sleep(1)
        await node.stop()

    sim_loop.run_until_complete(main())


def test_a_switch_that_fails_leaves_an_open_store(sim_loop, plant, monkeypatch):
    async def main():
        new = await one_behind_another(plant)
        home = new.data._home
        switch = home.switch

        async def broken(current, fresh):
            await home.release(current)
            raise StoreError("the disk is full")

        monkeypatch.setattr(home, "switch", broken)
        with pytest.raises(StoreError, match="full"):
            await new.data.reseed(Diverged("said by the test"))
        assert new.data.store.get(b"anything") is None
        monkeypatch.setattr(home, "switch", switch)
        await new.data.reseed(Diverged("said by the test"))
        await new.follow()
        assert new.namespace.digest == plant.truth.digest

    sim_loop.run_until_complete(main())


def test_a_replica_that_can_not_be_caught_up_keeps_the_new_store(sim_loop, plant, monkeypatch):
    """Opened once more it would be locked: RocksDB lets nobody in twice."""

    async def main():
        new = await one_behind_another(plant)
        opened = 0
        first, home = new.data.store, new.data._home
        open_it = home.open

        async def counted():
            nonlocal opened
            opened += 1
            return await open_it()

        async def nobody(store):
            return False

        monkeypatch.setattr(home, "open", counted)
        with monkeypatch.context() as patch:
            patch.setattr(new.data._seeder, "_catch_up", nobody)
            with pytest.raises(StoreError, match="nobody has the entries"):
                await new.data.reseed(Diverged("said by the test"))
        assert new.data.store is not first
        assert opened == 0
        await new.data.reseed(Diverged("said by the test"))
        await new.follow()
        assert new.namespace.digest == plant.truth.digest

    sim_loop.run_until_complete(main())


def test_a_store_that_failed_is_opened_anew(sim_loop, plant, monkeypatch):
    async def main():
        node = plant.node("a")
        await node.start()
        plant.write(30)
        await node.follow()
        first = node.data.store
        await node.data.check()
        assert node.data.store is first
        node.data.distrust()

        async def fails(store):
            await release(store)
            raise StoreError("close failed")

        release = node.data._home.release
        monkeypatch.setattr(node.data._home, "release", fails)
        await node.data.check()
        monkeypatch.undo()
        second = node.data.store
        assert second is not first
        await node.data.check()
        assert node.data.store is second

    sim_loop.run_until_complete(main())


def test_tending_goes_on_after_a_fault(sim_loop, plant, monkeypatch):
    async def main():
        node = plant.node("a")
        await node.start()
        tries = []

        async def fails():
            tries.append(None)
            raise ValueError

        monkeypatch.setattr(node.data.checkpoints, "tend", fails)
        await asyncio.sleep(3 * ARCHIVE_TEND_SECONDS)
        assert len(tries) > 1
        await node.stop()

    sim_loop.run_until_complete(main())
    assert "tending failed" in "".join(sim_loop.trace.failures)
    sim_loop.trace.failures.clear()
