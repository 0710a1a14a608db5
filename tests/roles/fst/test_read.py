"""Reads over the wire: every size and border, substreams, and what happens when the disk fails."""

import asyncio
import errno
import os

import msgspec
import pytest

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.core.model.limits import INLINE_READ_BYTES_MAX, READ_BYTES_MAX
from thesan.core.wire import bodies
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, OpenFlag, Status
from thesan.roles.fst.store import BootState

SIZE = 3 * INLINE_READ_BYTES_MAX + 77
DATA = os.urandom(SIZE)
PIECES = [
    (0, 0),
    (0, 1),
    (0, 4096),
    (4095, 2),
    (1, INLINE_READ_BYTES_MAX),
    (1, INLINE_READ_BYTES_MAX + 1),
    (5, SIZE),
    (SIZE - 1, 10),
    (SIZE, 10),
    (SIZE + 1000, 10),
    (4096, 2 * INLINE_READ_BYTES_MAX),
]
WAYS = ["cached", "slow"]


async def opened(b, way, data=DATA):
    """A client with the file open, and its handle."""
    client = await b.client()
    await client.put("/f", b.cap(Op.CREATE, 1, "/f"), data)
    if way == "slow":
        b.store().disk.read_now = lambda handle, offset, length: None
    return client, await client.open("/f", b.cap(Op.READ, 1, "/f"))


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


@pytest.mark.parametrize("way", WAYS)
def test_read(bench, way):
    async def body(b):
        client, fh = await opened(b, way)
        for offset, length in PIECES:
            assert await client.read(fh, offset, length) == DATA[offset : offset + length]
        with refused(errno.EINVAL):
            await client.read(fh, -1, 5)
        with refused(errno.EINVAL):
            await client.read(fh, 0, -5)
        with refused(errno.EBADF):
            await client.read(fh + 1, 0, 5)
        await client.close(fh)
        with refused(errno.EBADF):
            await client.read(fh, 0, 5)
        assert b.store().open_read == 0

    bench(body)


@pytest.mark.parametrize("way", WAYS)
def test_pgread(bench, way):
    """The client's session checks every page."""

    async def body(b):
        client, fh = await opened(b, way)
        for offset, length in PIECES:
            got = await client.ask(rq.PgRead(NO_SID, fh, offset, length))
            assert got == DATA[offset : offset + length]

    bench(body)


@pytest.mark.parametrize("way", WAYS)
def test_readv(bench, way):
    async def body(b):
        client, fh = await opened(b, way)
        second = await client.open("/f", b.cap(Op.READ, 1, "/f"))
        for items in (
            [(fh, 10, 0)],
            [(fh, 0, 0), (fh, 100, 5000), (second, 7, SIZE - 7), (fh, 1, 1)],
            [(fh, 1000, 3 * n) for n in range(1000)],
        ):
            body = await client.ask(rq.ReadV(NO_SID, items))
            found = [(h, o, bytes(data)) for h, o, data in bodies.parse_readv(body)]
            assert found == [(h, o, DATA[o : o + n]) for h, n, o in items]
        for bad in ([(fh, 10, SIZE - 9)], [(fh, 1, -1)], [(fh, 1, 0), (fh, 1, SIZE)]):
            with refused(errno.EINVAL):
                await client.ask(rq.ReadV(NO_SID, bad))
        with refused(errno.EBADF):
            await client.ask(rq.ReadV(NO_SID, [(fh, 1, 0), (99, 1, 0)]))

    bench(body)


def test_too_much_in_one_readv(bench, monkeypatch):
    monkeypatch.setattr("thesan.roles.fst.read.READV_TOTAL_BYTES_MAX", 1000)

    async def body(b):
        client, fh = await opened(b, "cached")
        with refused(errno.EINVAL):
            await client.ask(rq.ReadV(NO_SID, [(fh, 501, 0), (fh, 500, 0)]))

    bench(body)


def test_many_in_flight_and_a_close_in_between(bench):
    """The close is answered at once; the reads before it still get their bytes."""

    async def body(b):
        client, fh = await opened(b, "cached")
        reads = [
            asyncio.ensure_future(client.read(fh, offset, length)) for offset, length in PIECES * 5
        ]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(client.close(fh))
        for read, (offset, length) in zip(reads, PIECES * 5, strict=True):
            assert await read == DATA[offset : offset + length]
        await closing

    bench(body)


def test_a_read_is_cut_at_the_limit(bench, monkeypatch):
    monkeypatch.setattr("thesan.roles.fst.read.READ_BYTES_MAX", 1000)
    assert READ_BYTES_MAX > 1000

    async def body(b):
        client, fh = await opened(b, "cached")
        assert await client.read(fh, 3, 5000) == DATA[3:1003]

    bench(body)


def test_an_answer_on_a_substream(bench):
    """kXR_bind: what a read asks for by path_id arrives there; a wrong one is an error."""

    async def body(b):
        client, fh = await opened(b, "cached")
        with refused(errno.EINVAL):
            await client.ask(rq.Read(NO_SID, fh, 0, 10, path_id=1))
        with refused(errno.EINVAL):
            await client.ask(rq.Read(NO_SID, fh, 0, SIZE, path_id=1))
        with refused(errno.EINVAL):
            await client.ask(rq.PgRead(NO_SID, fh, 0, SIZE, path_id=3))
        b.store().disk.read_now = lambda handle, offset, length: None
        with refused(errno.EINVAL):
            await client.ask(rq.Read(NO_SID, fh, 0, 10, path_id=1))
        assert await client.read(fh, 0, 10) == DATA[:10]

    bench(body)


@pytest.mark.parametrize(
    "request_of",
    [
        lambda fh: rq.Read(NO_SID, fh, 0, 100),
        lambda fh: rq.PgRead(NO_SID, fh, 0, 100),
        lambda fh: rq.ReadV(NO_SID, [(fh, 100, 0)]),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_a_failing_disk_sends_the_client_to_another_replica(bench, way, request_of):
    async def fail(*_):
        raise OperationError(errno.EIO, "bad sector")

    def fail_now(*_):
        raise OperationError(errno.EIO, "bad sector")

    async def body(b):
        client, fh = await opened(b, way)
        await b.mgm.until_beat(lambda beat: True)
        disk = b.store().disk
        disk.read = disk.readv = fail
        if way == "cached":
            disk.read_now = fail_now
        response = await client.connection.call(request_of(fh), 10)
        assert response.status == Status.REDIRECT
        target = bodies.parse_redirect(bytes(response.body))
        assert f"{target.host}:{target.port}" == b.mgm.address
        assert target.cgi == "tried=127.0.0.1&triedrc=ioerr"
        assert b.store().state is BootState.OPSERROR
        report = await b.mgm.until_beat(lambda beat: beat.filesystems[0].boot == "opserror")
        assert report.filesystems[0].errc == errno.EIO
        with refused(errno.EIO):
            await client.open("/f", b.cap(Op.READ, 1, "/f"))

    bench(body)


def test_a_file_that_shrank_behind_our_back(bench):
    async def body(b):
        client, fh = await opened(b, "cached")
        os.truncate(b.paths(0)[0] / "00000000" / "00000001", 1000)
        assert await client.read(fh, 500, 1000) == DATA[500:1000]
        with refused(errno.ECONNRESET):
            await client.read(fh, 0, SIZE)

    bench(body)


def test_readers_see_a_file_grow_and_shrink(bench):
    async def body(b):
        client, fh = await opened(b, "cached", DATA[:1000])
        writer = await client.open("/f", b.cap(Op.UPDATE, 1, "/f"), int(OpenFlag.UPDATE))
        await client.write(writer, 1000, DATA[1000:2000])
        assert await client.read(fh, 0, 5000) == DATA[:2000]
        assert await client.read(writer, 500, 5000) == DATA[500:2000]
        await client.ask(rq.Truncate(NO_SID, fh=writer, size=10))
        assert await client.read(fh, 0, 5000) == DATA[:10]
        await client.close(writer)

    bench(body)


def test_a_replica_of_another_size_than_its_record_is_not_read(bench):
    """The client is to ask for another one."""

    async def body(b):
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f"), DATA)
        path = b.paths(0)[0] / "00000000" / "00000001"
        path.write_bytes(DATA[:-1])
        with refused(errno.ENODEV):
            await client.open("/f", b.cap(Op.READ, 1, "/f"))
        assert b.store().open_read == 0
        path.write_bytes(DATA)
        await client.open("/f", b.cap(Op.READ, 1, "/f"))

    bench(body)


@pytest.mark.parametrize("state", ["under way", "given up", "ended meanwhile"])
def test_an_upload_explains_another_size(bench, state):
    async def body(b):
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f"), DATA)
        store = b.store()
        if state == "under way":
            fh = await client.open("/f", b.cap(Op.UPDATE, 1, "/f"), int(OpenFlag.UPDATE))
            await client.write(fh, len(DATA), b"more")
        elif state == "given up":
            fh = await client.open("/f", b.cap(Op.UPDATE, 1, "/f"), int(OpenFlag.UPDATE))
            await client.write(fh, len(DATA), b"more")
            b.mgm.refusal = OperationError(errno.ENOENT, "gone")
            with refused(errno.ENOENT):
                await client.close(fh)
            assert b.files() == (["00000001"], ["00000001"]), "its marker is there"
            (b.paths(0)[0] / "00000000" / "00000001").write_bytes(DATA)
        else:
            fmd = store.fmd
            seen = await fmd(1)
            looks = iter([msgspec.structs.replace(seen, size=3), seen])

            async def changing(fid):
                return next(looks)

            store.fmd = changing
        await client.open("/f", b.cap(Op.READ, 1, "/f"))

    bench(body)
