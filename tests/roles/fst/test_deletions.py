"""Deletions: done once ordered, reported until heard, harmless when repeated."""

import asyncio
import errno
import os

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.core.wire.numbers import OpenFlag
from thesan.roles.fst.store import BootState

NEW = int(OpenFlag.NEW | OpenFlag.UPDATE)
DATA = os.urandom(10_000)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def put(b, *fids):
    client = await b.client()
    for fid in fids:
        await client.put("/f", b.cap(Op.CREATE, fid, "/f"), DATA)
    return client


def order(b, *pairs):
    b.mgm.deletions[b.fsts[0].parts.node] = list(pairs)
    return lambda: not b.mgm.deletions[b.fsts[0].parts.node]


def test_replicas_are_removed_and_reported(bench):
    async def body(b):
        await put(b, 1, 2, 3)
        await until(order(b, (1, 1), (1, 3), (1, 99)))
        assert b.files() == (["00000002"], [])
        assert b.store().used_files == 1
        # Once more, as after a lost answer: the same.
        await until(order(b, (1, 1)))
        assert b.files() == (["00000002"], [])
        await b.mgm.until_beat(lambda beat: beat.deleted == [])

    bench(body)


def test_readers_keep_what_they_have_open(bench):
    async def body(b):
        client = await put(b, 1)
        fh = await client.open("/f", b.cap(Op.READ, 1, "/f"))
        await until(order(b, (1, 1)))
        assert await client.read(fh, 0, 20_000) == DATA

    bench(body)


def test_an_upload_of_a_deleted_file_ends(bench):
    async def body(b):
        client = await b.client()
        fh = await client.open("/f", b.cap(Op.CREATE, 1, "/f"), NEW)
        await client.write(fh, 0, DATA)
        await until(order(b, (1, 1)))
        try:
            await client.close(fh)
        except OperationError as error:
            number = error.errno
        assert number == errno.EBADF
        assert b.files() == ([], [])
        assert b.mgm.commits == []

    bench(body)


def test_a_filesystem_out_of_service_keeps_its_orders(bench):
    async def body(b):
        await put(b, 1)
        b.store().state = BootState.OPSERROR
        ordered = order(b, (1, 1), (77, 5))
        await asyncio.sleep(1.2)
        assert b.files() == (["00000001"], [])
        assert not ordered()
        b.store().state = BootState.BOOTED
        await until(lambda: b.mgm.deletions[b.fsts[0].parts.node] == [(77, 5)])
        assert b.files() == ([], [])

    bench(body)


def test_a_disk_that_fails_keeps_its_orders(bench):
    async def fail(*_, **__):
        raise OperationError(errno.ENODEV, "unplugged")

    async def body(b):
        await put(b, 1, 2)
        disk = b.store().disk
        for name, files in (("remove", ["00000001", "00000002"]), ("write_file", ["00000002"])):
            setattr(disk, name, fail)
            ordered = order(b, (1, 1))
            await asyncio.sleep(0.3)
            assert not ordered()
            delattr(disk, name)
            assert b.files()[0] == files or name == "write_file"
        await until(ordered)
        assert b.files() == (["00000002"], [])

    bench(body)


def test_data_put_aside_are_removed_too(bench):
    async def body(b):
        await put(b, 1)
        await b.store().move_to_orphans(1)
        await until(order(b, (1, 1)))
        assert os.listdir(b.paths(0)[0] / ".thesan" / "orphans") == []

    bench(body)


def test_nothing_is_reported_before_it_is_durable(bench):
    async def body(b):
        await put(b, 1)
        disk = b.store().disk
        real, gate = disk.write_file, asyncio.Event()

        async def slowly(*args, **kwargs):
            await gate.wait()
            await real(*args, **kwargs)

        disk.write_file = slowly
        ordered = order(b, (1, 1))
        await until(lambda: b.files() == ([], []))
        await asyncio.sleep(0.2)
        assert not ordered()
        gate.set()
        await until(ordered)

    bench(body)
