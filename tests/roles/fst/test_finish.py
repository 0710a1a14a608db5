"""Uploads with several replicas: the commit names the good ones, whatever fails when."""

import asyncio
import errno
import os

import pytest
from google_crc32c import value as crc32c
from zlib_ng.zlib_ng import adler32

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, OpenFlag

NEW = int(OpenFlag.NEW | OpenFlag.UPDATE)
UPDATE = int(OpenFlag.UPDATE)
DATA = os.urandom(1_500_000)
OTHERS = [(1, 0), (2, 0)]


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


async def begun(b, op=Op.CREATE, options=NEW, others=OTHERS):
    client = await b.client()
    return client, await client.open("/f", b.cap(op, 1, "/f", others=others), options)


async def until_settled(b, indices):
    """Until no upload and no marker is left on these FSTs."""
    async with asyncio.timeout(20):
        for index in indices:
            parts = b.fsts[index].parts
            while len(parts.uploads) or len(parts.recovery) or b.files(index)[1]:
                await asyncio.sleep(0.01)


def content(b, index):
    path = b.paths(index)[0] / "00000000" / "00000001"
    return path.read_bytes() if path.exists() else None


def named(b):
    """Commit as ({fsid of good replicas}, {fsid of lost ones})."""
    commit = b.mgm.commits[-1]
    return {replica.fsid for replica in commit.replicas}, set(commit.failed_fsids)


async def fail(*_, **__):
    raise OperationError(errno.EIO, "bad disk")


def test_all_replicas_hold_the_file(bench):
    async def body(b):
        client, fh = await begun(b)
        step = 400_000
        await asyncio.gather(
            *[client.write(fh, at, DATA[at : at + step]) for at in range(0, len(DATA), step)]
        )
        await client.ask(rq.Sync(NO_SID, fh))
        await client.close(fh)
        (commit,) = b.mgm.commits
        assert [replica.fsid for replica in commit.replicas] == [1, 2, 3]
        for replica in commit.replicas:
            assert (replica.size, replica.adler32, replica.crc32c) == (
                len(DATA),
                adler32(DATA),
                crc32c(DATA),
            )
        assert commit.failed_fsids == []
        await until_settled(b, range(3))
        for index in range(3):
            assert content(b, index) == DATA
            assert b.store(index).used_files == 1
            assert b.store(index).open_write == 0

    bench(body, fsts=3)


def test_overlapping_writes_keep_their_order_everywhere(bench):
    async def body(b):
        client, fh = await begun(b)
        await asyncio.gather(
            *[client.write(fh, 0, bytes([number]) * 100_000) for number in range(30)],
            client.ask(rq.Truncate(NO_SID, fh=fh, size=50_000)),
            client.write(fh, 40_000, b"x" * 20_000),
        )
        await client.close(fh)
        await until_settled(b, range(3))
        assert named(b) == ({1, 2, 3}, set())
        assert content(b, 0) == content(b, 1) == content(b, 2)

    bench(body, fsts=3)


def test_replicas_of_one_node(bench):
    async def body(b):
        client, fh = await begun(b, others=[(0, 1)])
        await client.write(fh, 0, DATA)
        await client.close(fh)
        assert named(b) == ({1, 2}, set())
        await until_settled(b, [0])
        assert b.files(0, 1) == (["00000001"], [])

    bench(body, fsts=1, fs=2)


@pytest.mark.parametrize("step", ["write", "seal", "mark"])
def test_a_replica_that_fails_is_left_behind(bench, step):
    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA[:500_000])
        disk = b.store(1).disk
        if step == "write":
            disk.write = disk.write_summed = fail
        elif step == "seal":
            disk.seal = fail
        else:
            disk.write_file = fail
        await client.write(fh, 500_000, DATA[500_000:])
        await client.close(fh)
        assert named(b) == ({1, 3}, {2})
        assert (content(b, 0), content(b, 2)) == (DATA, DATA)

    bench(body, fsts=3)


@pytest.mark.parametrize("failing", [(1,), (0, 1), (0, 1, 2)])
def test_nothing_is_left_of_replicas_that_failed(bench, failing):
    """Nobody else tells them: their FSTs live, and so does the connection to the head."""

    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        for index in failing:
            b.store(index).disk.seal = fail
        if 0 in failing:
            with refused(errno.EIO):
                await client.close(fh)
            await until_settled(b, range(3))
            assert [content(b, index) for index in range(3)] == [None, None, None]
        else:
            await client.close(fh)
            await until_settled(b, range(3))
            assert [content(b, index) for index in range(3)] == [DATA, None, DATA]

    bench(body, fsts=3)


def test_a_replica_whose_server_dies_is_left_behind(bench):
    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA[:500_000])
        await b.kill(1)
        await client.write(fh, 500_000, DATA[500_000:])
        await client.close(fh)
        assert named(b) == ({1, 3}, {2})
        # Back again, it finds out by itself that its half is not wanted.
        await b.restart(1, partial_seconds=0.0)
        await until_settled(b, [1])
        assert content(b, 1) is None

    bench(body, fsts=3)


def test_a_replica_that_differs_is_left_behind(bench):
    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        upload = b.fsts[1].parts.uploads.find(2, 1)
        await b.store(1).disk.write(upload.handle, 5, b"rot")
        upload.sums.spoil()
        await client.close(fh)
        assert named(b) == ({1, 3}, {2})

    bench(body, fsts=3)


def test_a_replica_that_can_not_be_opened_fails_the_open(bench):
    async def body(b):
        b.store(1).disk.create_marked = fail
        client = await b.client()
        with refused(errno.ENODEV):
            await client.open("/f", b.cap(Op.CREATE, 1, "/f", others=OTHERS), NEW)
        await until_settled(b, [0, 2])
        assert [content(b, index) for index in range(3)] == [None] * 3

    bench(body, fsts=3)


def test_an_update_goes_on_without_a_replica(bench):
    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        await client.close(fh)
        await until_settled(b, range(3))
        await b.kill(2)
        client, fh = await begun(b, Op.UPDATE, UPDATE)
        await client.write(fh, 10, b"new")
        await client.close(fh)
        assert named(b) == ({1, 2}, {3})
        await until_settled(b, [0, 1])
        assert content(b, 0) == content(b, 1) == DATA[:10] + b"new" + DATA[13:]

    bench(body, fsts=3)


def test_an_update_whose_head_fails_is_committed_by_the_others(bench):
    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        await client.close(fh)
        await until_settled(b, range(3))
        client, fh = await begun(b, Op.UPDATE, UPDATE)
        disk = b.store(0).disk
        disk.write = disk.write_summed = fail
        with refused(errno.EIO):
            await client.write(fh, 10, b"new")
        with refused(errno.EIO):
            await client.close(fh)
        assert named(b) == ({2, 3}, {1})
        await until_settled(b, [1, 2])
        assert content(b, 1) == content(b, 2) == DATA[:10] + b"new" + DATA[13:]

    bench(body, fsts=3)


@pytest.mark.parametrize("by_path", [True, False])
def test_a_truncate_that_the_head_can_not_do_is_committed_by_the_others(bench, by_path):
    """Nothing is written before: only the others tell that the file was changed."""

    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        await client.close(fh)
        await until_settled(b, range(3))
        b.store(0).disk.truncate = fail
        if by_path:
            cap = b.cap(Op.TRUNCATE, 1, "/f", others=OTHERS)
            with refused(errno.EIO):
                await client.ask(rq.Truncate(NO_SID, "/f", f"cap={cap}", size=7))
        else:
            client, fh = await begun(b, Op.UPDATE, UPDATE)
            with refused(errno.EIO):
                await client.ask(rq.Truncate(NO_SID, fh=fh, size=7))
            with refused(errno.EIO):
                await client.close(fh)
        assert named(b) == ({2, 3}, {1})
        await until_settled(b, [1, 2])
        assert content(b, 1) == content(b, 2) == DATA[:7]

    bench(body, fsts=3)


def test_truncate_by_path_reaches_all_replicas(bench):
    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        await client.close(fh)
        await until_settled(b, range(3))
        cap = b.cap(Op.TRUNCATE, 1, "/f", others=OTHERS)
        await client.ask(rq.Truncate(NO_SID, "/f", f"cap={cap}", size=1234))
        assert named(b) == ({1, 2, 3}, set())
        assert [content(b, index) for index in range(3)] == [DATA[:1234]] * 3
        await until_settled(b, range(3))

    bench(body, fsts=3)


def test_a_refused_commit_removes_all_replicas(bench):
    async def body(b):
        b.mgm.refusal = OperationError(errno.EEXIST, "somebody was faster")
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        with refused(errno.EEXIST):
            await client.close(fh)
        await until_settled(b, range(3))
        assert [content(b, index) for index in range(3)] == [None] * 3

    bench(body, fsts=3)


def test_a_head_that_dies_before_the_commit_leaves_nothing(bench):
    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        await b.kill(0)
        await until_settled(b, [1, 2])
        await b.restart(0)
        await until_settled(b, [0])
        assert b.mgm.commits == []
        assert [content(b, index) for index in range(3)] == [None] * 3

    bench(body, fsts=3, partial_seconds=0.1)


def test_a_replica_that_is_lost_while_no_mgm_answers_is_not_committed(bench, monkeypatch):
    """Its server may have given it up by the time the commit arrives."""
    monkeypatch.setattr("thesan.roles.fst.mgms.COMMIT_RETRY_SECONDS", 0.01)
    monkeypatch.setattr("thesan.roles.fst.recovery.COMMIT_SETTLE_SECONDS", 0.3)

    async def body(b):
        b.mgm.is_silent = True
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        closing = asyncio.ensure_future(client.close(fh))
        async with asyncio.timeout(10):
            while not b.fsts[2].parts.uploads.find(3, 1).is_sealed:
                await asyncio.sleep(0.01)
        await b.kill(2)
        await asyncio.sleep(0.1)
        b.mgm.is_silent = False
        await closing
        assert named(b) == ({1, 2}, {3})
        await b.restart(2)
        await until_settled(b, range(3))
        assert [content(b, index) for index in range(3)] == [DATA, DATA, None]

    bench(body, fsts=3)


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_head_that_dies_during_the_commit(bench, monkeypatch, comes_back):
    """What it had not told the MGM it tells after its return, of its own replica alone: the others
    may have given up meanwhile, and do so."""
    monkeypatch.setattr("thesan.roles.fst.recovery.COMMIT_SETTLE_SECONDS", 0.3)

    async def body(b):
        b.mgm.is_silent = True
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        closing = asyncio.ensure_future(client.close(fh))
        marker = b.paths(0)[0] / ".thesan" / "pending" / "00000001"
        async with asyncio.timeout(10):
            while b"commit" not in marker.read_bytes():
                await asyncio.sleep(0.01)
        await b.kill(0)
        await asyncio.gather(closing, return_exceptions=True)
        b.mgm.is_silent = False
        if comes_back:
            await b.restart(0)
            await until_settled(b, [0])
            assert named(b) == ({1}, {2, 3})
            assert content(b, 0) == DATA
        else:
            assert b.mgm.commits == []
        await until_settled(b, [1, 2])
        assert content(b, 1) is content(b, 2) is None

    bench(body, fsts=3, partial_seconds=0.1)


def test_a_head_that_dies_after_the_commit(bench):
    """The MGM knows all replicas: they stay."""

    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        real = b.mgm.handle

        def handle(connection, request):
            answer = real(connection, request)
            return None if b.mgm.commits else answer

        b.mgm.handle = handle
        closing = asyncio.ensure_future(client.close(fh))
        async with asyncio.timeout(10):
            while not b.mgm.commits:
                await asyncio.sleep(0.01)
        await b.kill(0)
        await asyncio.gather(closing, return_exceptions=True)
        b.mgm.handle = real
        await b.restart(0)
        await until_settled(b, range(3))
        assert [content(b, index) for index in range(3)] == [DATA] * 3

    bench(body, fsts=3, partial_seconds=0.1)
