"""Checkpoints: consistent while the store goes on, kept while they are used, gone afterwards."""

import asyncio
import errno

import pytest

from thesan.core.control.messages import CheckpointPage, JournalPage
from thesan.core.journal.retention import Keep
from thesan.core.model.errors import OperationError
from thesan.core.namespace.snapshot import decode_applied, page_digest
from thesan.roles.mgm import checkpoint_service


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(checkpoint_service, "CHECKPOINT_PAGE_BYTES", 3000)


async def started(plant, name: str = "a", entries: int = 100):
    node = plant.node(name)
    await node.start()
    plant.write(entries)
    await node.follow()
    return node


def test_pages_are_of_one_moment(sim_loop, plant):
    async def main():
        node = await started(plant)
        content, digest = node.content(), plant.truth.digest
        service, after, name, found = node.data.checkpoints, b"", "", []
        while True:
            reply = await service.page(CheckpointPage(name, after))
            assert page_digest(reply.pairs) == reply.digest
            if reply.last:
                break
            name, after = reply.checkpoint, reply.pairs[-1][0]
            found += reply.pairs
            plant.write(5)
            await node.follow()
        assert found == content
        assert decode_applied(reply.applied).digest == digest != plant.truth.digest
        await node.stop()

    sim_loop.run_until_complete(main())


def test_a_young_checkpoint_is_used_again_an_old_one_is_not(sim_loop, plant):
    async def main():
        node = await started(plant)
        service = node.data.checkpoints
        first = (await service.page(CheckpointPage())).checkpoint
        assert (await service.page(CheckpointPage())).checkpoint == first
        plant.write(1)
        await node.follow()
        await asyncio.sleep(61.0)
        assert (await service.page(CheckpointPage())).checkpoint != first
        await node.stop()

    sim_loop.run_until_complete(main())


def test_an_unknown_checkpoint_and_too_many(sim_loop, plant):
    async def main():
        node = await started(plant)
        service = node.data.checkpoints
        for name in ("x", "../namespace", f"{5:016x}-{7:016x}"):
            with pytest.raises(OperationError) as caught:
                await service.page(CheckpointPage(name))
            assert caught.value.errno == errno.ENOENT
        names = []
        for _ in range(5):
            plant.write(1)
            await node.follow()
            names.append((await service.make()).name)
        for name in names:
            await service.page(CheckpointPage(name))
        # The longest unused was closed for the fifth; none is closed while it is read.
        assert list(service._served) == names[1:]
        for served in service._served.values():
            served.readers += 1
        with pytest.raises(OperationError) as caught:
            await service.page(CheckpointPage(names[0]))
        assert caught.value.errno == errno.EAGAIN
        await node.stop()

    sim_loop.run_until_complete(main())


def test_entries(sim_loop, plant):
    async def main():
        node = await started(plant)
        await node.data.archive.written()
        service = node.data.checkpoints
        reply = await service.entries(JournalPage(7))
        assert (reply.first, reply.last) == (1, 100)
        assert reply.entries == [
            plant.journal.read(seq, 1)[0][1] for seq in range(7, 7 + len(reply.entries))
        ]
        assert len(reply.entries) > 2
        assert (await service.entries(JournalPage(101))).entries == []
        assert (await service.entries(JournalPage(-5))).entries
        node.data.archive._closed.pop(0)
        assert (await service.entries(JournalPage(1))).entries == []
        await node.stop()

    sim_loop.run_until_complete(main())


def test_tending_keeps_what_a_restore_needs(sim_loop, plant):
    plant.keep = Keep(
        segment_seconds=600, segment_bytes=10**9, checkpoint_seconds=200, checkpoint_bytes=10**9
    )

    async def main():
        node = await started(plant, entries=20)
        for _ in range(40):
            plant.write(10)
            await node.follow()
            await asyncio.sleep(61)
            segments = node.data.archive.segments()
            checkpoints = await node.data.checkpoints.all()
            start = node.data.archive.first
            assert checkpoints
            assert start <= checkpoints[0].seq + 1
            assert start == segments[0].first
            assert len(checkpoints) <= 6
        assert start > 100
        assert segments[0].begun_ns > 0
        await node.stop()

    sim_loop.run_until_complete(main())


def test_a_checkpoint_that_a_peer_reads_is_not_removed(sim_loop, plant):
    plant.keep = Keep(checkpoint_seconds=10**6)

    async def main():
        node = await started(plant)
        service = node.data.checkpoints
        names = []
        for _ in range(3):
            plant.write(1)
            await node.follow()
            names.append((await service.make()).name)
        await service.page(CheckpointPage(names[1]))
        await service.tend()
        assert [info.name for info in await service.all()] == names
        await asyncio.sleep(601)
        await service.tend()
        assert [info.name for info in await service.all()] == [names[0], names[2]]
        await node.stop()

    sim_loop.run_until_complete(main())
