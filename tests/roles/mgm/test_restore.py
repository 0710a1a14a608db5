"""Restores: exactly the master's state after any entry that is reached, or a sentence why not."""

import asyncio

import pytest

from thesan.core.journal.retention import Keep
from thesan.core.model.errors import Corrupt, StoreError
from thesan.core.model.ids import Seq
from thesan.core.namespace import invariants, keys
from thesan.core.namespace.state import Namespace
from thesan.roles.mgm import restore as past_of
from thesan.worlds.simulated.memory_home import MemoryHome
from thesan.worlds.simulated.memory_store import MemoryStore

NS = 10**9


async def grown(plant, steps: int = 12):
    """A node whose journal grew by ten entries every ten seconds, with checkpoints now and then,
    and the wall clock at each step."""
    plant.keep = Keep(checkpoint_seconds=40)
    node = plant.node("a")
    await node.start()
    times = {}
    for _ in range(steps):
        plant.write(10)
        await node.follow()
        await node.data.archive.written()
        times[int(plant.journal.last)] = node.data.checkpoints._clock.now_ns()
        await asyncio.sleep(10)
    return node, times


async def look(node):
    disk = node.data.archive._disk
    return disk, node.data._home, await past_of.survey(disk, node.data._home)


async def restored(node, to, told=None):
    disk, home, past = await look(node)
    store = MemoryStore()
    tell = (lambda _: None) if told is None else told.append
    done = await past_of.restore(disk, home, past, to, store, tell)
    return done, Namespace(store)


def test_to_any_entry(sim_loop, plant):
    async def main():
        node, _ = await grown(plant)
        bases = set()
        for seq in (1, 2, 9, 37, 58, 59, 60, 61, 100, 119, 120):
            done, namespace = await restored(node, Seq(seq))
            assert namespace.digest == done.digest == plant.digests[seq]
            assert done.position.seq == namespace.applied_seq == seq
            assert done.entry == plant.journal.read(Seq(seq), 1)[0][1]
            assert invariants.check(namespace) == []
            bases.add(done.base.seq if done.base is not None else 0)
            assert max(bases) <= 120
        assert len(bases) > 2
        done, namespace = await restored(node, None)
        assert namespace.digest == plant.truth.digest
        await node.stop()

    sim_loop.run_until_complete(main())


def test_to_a_time(sim_loop, plant):
    async def main():
        node, times = await grown(plant)
        disk, _, past = await look(node)
        for seq, time_ns in times.items():
            assert await past_of.seq_at(disk, past, time_ns + 5 * NS) == seq
            if seq > 10:
                assert await past_of.seq_at(disk, past, time_ns - 2 * NS) == seq - 10
        assert await past_of.seq_at(disk, past, 1 << 62) == 120
        with pytest.raises(StoreError):
            await past_of.seq_at(disk, past, 1)
        await node.stop()

    sim_loop.run_until_complete(main())


def test_what_can_not_be_reached_is_said(sim_loop, plant):
    async def main():
        node, _ = await grown(plant)
        with pytest.raises(StoreError, match="entry 121 is in no segment"):
            await restored(node, Seq(121))
        oldest = node.data.archive.segments()[0]
        await node.data.archive.remove(oldest)
        with pytest.raises(StoreError, match="in no segment"):
            await restored(node, Seq(1))
        checkpoints = await node.data.checkpoints.all()
        between = oldest.last + 1
        if checkpoints[0].seq > between:
            with pytest.raises(StoreError, match="can't be reached"):
                await restored(node, Seq(between))
        done, namespace = await restored(node, Seq(120))
        assert namespace.digest == plant.truth.digest
        assert done.base is not None
        await node.stop()

    sim_loop.run_until_complete(main())


def test_damage_is_found_and_never_restored_from(sim_loop, plant):
    async def main():
        node, _ = await grown(plant)
        await node.data.archive.roll()
        disk, home, past = await look(node)
        told = []
        assert await past_of.verify(disk, home, past, told.append) == []
        assert len(told) == len(past.segments)
        victim = past.segments[-1]
        node.platter.file(victim.path).data[60] ^= 1
        faults = await past_of.verify(disk, home, past, told.append)
        assert len(faults) == 1
        assert victim.path in faults[0]
        with pytest.raises(Corrupt):
            await restored(node, Seq(120))
        done, _ = await restored(node, Seq(victim.first - 1))
        assert done.digest == plant.digests[victim.first - 1]
        await node.stop()

    sim_loop.run_until_complete(main())


def test_a_wrong_checkpoint_is_found(sim_loop, plant):
    async def main():
        node, _ = await grown(plant)
        disk, home, past = await look(node)
        name = past.checkpoints[1].name
        pairs = node.shelf.checkpoints[name]
        at = next(i for i, (key, _) in enumerate(pairs) if key == keys.M_APPLIED)
        value = pairs[at][1]
        pairs[at] = (keys.M_APPLIED, value[:-1] + bytes([value[-1] ^ 1]))
        faults = await past_of.verify(disk, home, past, lambda _: None)
        assert len(faults) == 1
        assert name in faults[0]
        with pytest.raises(Corrupt):
            await restored(node, past.checkpoints[1].seq)
        await node.stop()

    sim_loop.run_until_complete(main())


def test_a_hole_is_told(sim_loop, plant):
    async def main():
        node, _ = await grown(plant)
        disk, home, past = await look(node)
        missing = past.segments[2]
        del past.segments[2]
        told = []
        assert await past_of.verify(disk, home, past, told.append) == []
        assert any(f"entries {missing.first} to {missing.last} are in no" in one for one in told)
        await node.stop()

    sim_loop.run_until_complete(main())


def test_a_store_is_caught_up_from_its_own_segments(sim_loop, plant):
    async def main():
        node, _ = await grown(plant)
        disk, home, past = await look(node)
        store = MemoryStore()
        await past_of.restore(disk, home, past, Seq(70), store, lambda _: None)
        done = await past_of.catch_up(disk, past, store)
        assert Namespace(store).digest == done.digest == plant.truth.digest
        # The store knows more than the segments: the entry itself is missing.
        ahead = MemoryStore()
        await past_of.restore(disk, home, past, None, ahead, lambda _: None)
        del past.segments[-1]
        with pytest.raises(StoreError, match="entry 120 was applied here"):
            await past_of.catch_up(disk, past, ahead)
        assert isinstance(node.data._home, MemoryHome)
        await node.stop()

    sim_loop.run_until_complete(main())
