"""Writes over the wire: what arrives is what is committed, in whatever way it was sent."""

import asyncio
import errno
import itertools
import os
import random

import pytest
from google_crc32c import value as crc32c
from zlib_ng.zlib_ng import adler32

from thesan.core.authority.capability import Op
from thesan.core.control.replica import MAGIC, Seal, encode_order
from thesan.core.model.errors import OperationError
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, OpenFlag, PageFlag, QueryCode, WriteVFlag
from thesan.core.wire.pages import interleave

NEW = int(OpenFlag.NEW | OpenFlag.UPDATE)
UPDATE = int(OpenFlag.UPDATE)
DATA = os.urandom(700_001)


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


def committed(b, data):
    """The last commit says what `data` are, and the disk holds them."""
    (replica,) = b.mgm.commits[-1].replicas
    assert (replica.size, replica.adler32, replica.crc32c) == (
        len(data),
        adler32(data),
        crc32c(data),
    )
    path = b.paths(0)[0] / "00000000" / "00000001"
    assert path.read_bytes() == data
    assert b.files() == (["00000001"], [])


async def begun(b, op=Op.CREATE, options=NEW):
    client = await b.client()
    return client, await client.open("/f", b.cap(op, 1, "/f"), options)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65_536, 65_537, len(DATA)])
def test_one_write(bench, size):
    async def body(b):
        client, fh = await begun(b)
        if size:
            await client.write(fh, 0, DATA[:size])
        await client.close(fh)
        committed(b, DATA[:size])
        assert b.mgm.commits[0].grant == (1).to_bytes(8, "big")
        assert b.mgm.commits[0].failed_fsids == []
        assert b.store().used_files == 1
        assert b.store().open_write == 0

    bench(body)


@pytest.mark.parametrize("seed", range(3))
def test_pieces_in_any_order_all_in_flight(bench, seed):
    async def body(b):
        dice = random.Random(seed)
        borders = sorted({0, len(DATA), *dice.sample(range(len(DATA)), 30)})
        pieces = list(itertools.pairwise(borders))
        if seed:
            dice.shuffle(pieces)
        client, fh = await begun(b)
        await asyncio.gather(
            *[client.write(fh, start, DATA[start:stop]) for start, stop in pieces],
        )
        await client.close(fh)
        committed(b, DATA)

    bench(body)


def test_a_close_does_not_overtake_writes(bench):
    async def body(b):
        client, fh = await begun(b)
        step = 100_000
        calls = [
            asyncio.ensure_future(client.write(fh, start, DATA[start : start + step]))
            for start in range(0, len(DATA), step)
        ]
        await asyncio.sleep(0)
        calls.append(asyncio.ensure_future(client.close(fh)))
        await asyncio.gather(*calls)
        committed(b, DATA)

    bench(body)


def test_a_truncate_keeps_its_place_among_writes(bench):
    async def body(b):
        client, fh = await begun(b)
        calls = [
            client.write(fh, 0, DATA[:300_000]),
            client.ask(rq.Truncate(NO_SID, fh=fh, size=100_000)),
            client.write(fh, 150_000, DATA[:100]),
            client.ask(rq.Sync(NO_SID, fh)),
        ]
        await asyncio.gather(*[asyncio.ensure_future(call) for call in calls])
        await client.close(fh)
        committed(b, DATA[:100_000] + bytes(50_000) + DATA[:100])

    bench(body)


def test_overwriting_what_was_written(bench):
    async def body(b):
        client, fh = await begun(b)
        for _ in range(20):
            await client.write(fh, 0, b"old" * 50_000)
        await client.write(fh, 0, DATA[:150_000])
        await client.close(fh)
        committed(b, DATA[:150_000])

    bench(body)


@pytest.mark.parametrize("offset", [0, 100])
def test_pgwrite(bench, offset):
    async def body(b):
        client, fh = await begun(b)
        if offset:
            await client.write(fh, 0, DATA[:offset])
        raw = bytes(interleave(DATA[offset:], offset))
        await client.ask(rq.PgWrite(NO_SID, fh, offset, data=raw))
        await client.close(fh)
        committed(b, DATA)

    bench(body)


def test_pages_that_come_broken(bench):
    """They are asked for again; without them the file is not committed."""

    async def body(b):
        for mended in (True, False):
            client, fh = await begun(b)
            raw = bytearray(interleave(DATA[:10_000], 0))
            raw[4100 + 50] ^= 1
            raw[8200 + 50] ^= 1
            response = await client.connection.call(rq.PgWrite(NO_SID, fh, 0, data=bytes(raw)), 10)
            assert response.bad_offsets == [4096, 8192]
            for start in (4096, 8192):
                if mended:
                    page = bytes(interleave(DATA[start : min(10_000, start + 4096)], start))
                    again = rq.PgWrite(NO_SID, fh, start, flags=PageFlag.RETRY, data=page)
                    await client.ask(again)
            if mended:
                await client.close(fh)
                committed(b, DATA[:10_000])
                (b.paths(0)[0] / "00000000" / "00000001").unlink()
            else:
                with refused(errno.EDOM):
                    await client.close(fh)
                assert b.files() == ([], [])
        assert len(b.mgm.commits) == 1

    bench(body)


def test_too_many_broken_pages(bench, monkeypatch):
    monkeypatch.setattr("thesan.roles.fst.upload.PGWRITE_ERRORS_TOTAL_MAX", 1)

    async def body(b):
        client, fh = await begun(b)
        raw = bytes(len(interleave(DATA[:10_000], 0)) - 1) + b"x"
        with refused(errno.ETOOMANYREFS):
            await client.ask(rq.PgWrite(NO_SID, fh, 0, data=raw))

    bench(body)


@pytest.mark.parametrize("options", [0, int(WriteVFlag.SYNC)])
def test_writev(bench, options):
    async def body(b):
        client, fh = await begun(b)
        items = [(fh, 100, 1000), (fh, 1000, 0), (fh, 500, 1100)]
        data = DATA[1000:1100] + DATA[:1000] + DATA[1100:1600]
        await client.ask(rq.WriteV(NO_SID, options, items, data))
        await client.close(fh)
        committed(b, DATA[:1600])

    bench(body)


def test_bad_requests(bench):
    async def body(b):
        client, fh = await begun(b)
        reader = await b.client()
        for call in (
            client.write(fh + 1, 0, b"x"),
            client.ask(rq.Sync(NO_SID, 99)),
            client.ask(rq.Truncate(NO_SID, fh=99, size=1)),
            client.close(99),
            reader.write(fh, 0, b"x"),
        ):
            with refused(errno.EBADF):
                await call
        for call in (
            client.write(fh, -1, b"x"),
            client.ask(rq.Truncate(NO_SID, fh=fh, size=-1)),
        ):
            with pytest.raises(OperationError) as caught:
                await call
            assert caught.value.errno in (errno.EINVAL, errno.EBADRQC)
        await client.write(fh, 0, b"fine")
        await client.close(fh)
        with refused(errno.EBADF):
            await client.close(fh)
        read = await client.open("/f", b.cap(Op.READ, 1, "/f"))
        with refused(errno.EBADF):
            await client.write(read, 0, b"x")
        with refused(errno.EBADF):
            await client.ask(rq.Truncate(NO_SID, fh=read, size=1))
        await client.ask(rq.Sync(NO_SID, read))
        committed(b, b"fine")

    bench(body)


def test_update_in_place(bench):
    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA[:10_000])
        await client.close(fh)
        for offset, data in ((0, b"new"), (9_998, b"longer")):
            fh = await client.open("/f", b.cap(Op.UPDATE, 1, "/f"), UPDATE)
            await client.write(fh, offset, data)
            assert b.files()[1] == ["00000001"]
            await client.close(fh)
        committed(b, b"new" + DATA[3:9_998] + b"longer")
        assert b.store().used_files == 1

    bench(body)


def test_an_update_that_changes_nothing_commits_nothing(bench):
    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, b"data")
        await client.close(fh)
        fh = await client.open("/f", b.cap(Op.UPDATE, 1, "/f"), UPDATE)
        assert await client.read(fh, 0, 10) == b"data"
        await client.close(fh)
        assert len(b.mgm.commits) == 1
        committed(b, b"data")

    bench(body)


def test_truncate_by_path(bench):
    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA[:10_000])
        await client.close(fh)
        for size in (5_000, 6_000, 0):
            cap = b.cap(Op.TRUNCATE, 1, "/f")
            await client.ask(rq.Truncate(NO_SID, "/f", f"cap={cap}", size=size))
            committed(b, (DATA[:5_000] + bytes(1_000))[:size])
        with refused(errno.EACCES):
            cap = b.cap(Op.UPDATE, 1, "/f")
            await client.ask(rq.Truncate(NO_SID, "/f", f"cap={cap}", size=1))
        fh = await client.open("/f", b.cap(Op.UPDATE, 1, "/f"), UPDATE)
        with refused(errno.EDEADLK):
            cap = b.cap(Op.TRUNCATE, 1, "/f")
            await client.ask(rq.Truncate(NO_SID, "/f", f"cap={cap}", size=1))
        await client.close(fh)

    bench(body)


def test_truncate_by_path_of_a_file_that_has_no_replica_yet(bench):
    async def body(b):
        client = await b.client()
        cap = b.cap(Op.CREATE, 1, "/f")
        await client.ask(rq.Truncate(NO_SID, "/f", f"cap={cap}", size=5_000))
        committed(b, bytes(5_000))

    bench(body)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("verb", ["write", "seal"])
def test_a_disk_that_fails_fails_the_upload(bench, number, verb):
    async def fail(*_):
        raise OperationError(number, "what the disk says")

    async def body(b):
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        disk = b.store().disk
        if verb == "write":
            disk.write = disk.write_summed = fail
            with refused(number):
                await client.write(fh, len(DATA), b"more")
            del disk.write, disk.write_summed
            with refused(number):
                await client.write(fh, len(DATA), b"still")
        else:
            disk.seal = fail
        with refused(number):
            await client.close(fh)
        assert b.mgm.commits == []
        assert b.files() == ([], [])

    bench(body)


@pytest.mark.parametrize("number", [errno.EEXIST, errno.ENOENT, errno.EDQUOT])
def test_a_commit_that_is_refused(bench, number):
    async def body(b):
        b.mgm.refusal = OperationError(number, "no")
        client, fh = await begun(b)
        await client.write(fh, 0, DATA)
        with refused(number):
            await client.close(fh)
        assert b.files() == ([], [])
        assert len(b.fsts[0].parts.uploads) == 0

    bench(body)


def test_a_refusal_that_is_none(bench):
    """The MGM has the replica registered: whatever its error meant, the data stay."""

    async def body(b):
        b.mgm.refusal = OperationError(errno.ENODEV, "a lost answer")
        b.mgm.known.add((b.store().fsid, 1))
        client, fh = await begun(b)
        await client.write(fh, 0, b"data")
        await client.close(fh)
        assert b.files() == (["00000001"], [])

    bench(body)


@pytest.mark.parametrize("number", [errno.EUSERS, errno.EFAULT, errno.EIO])
def test_a_commit_is_sent_until_it_is_decided(bench, monkeypatch, number):
    monkeypatch.setattr("thesan.roles.fst.mgms.COMMIT_RETRY_SECONDS", 0.01)

    async def body(b):
        b.mgm.refusal = OperationError(number, "not now")
        client, fh = await begun(b)
        await client.write(fh, 0, b"data")
        closing = asyncio.ensure_future(client.close(fh))
        while len(b.mgm.commits) < 3:
            await asyncio.sleep(0.01)
        assert not closing.done()
        b.mgm.refusal = None
        await closing
        committed(b, b"data")

    bench(body)


def test_a_long_close_is_announced(bench, monkeypatch):
    monkeypatch.setattr("thesan.roles.fst.answers.WAITRESP_SECONDS", 0.01)

    async def body(b):
        b.mgm.is_silent = True
        client, fh = await begun(b)
        await client.write(fh, 0, b"data")
        # The call's own time is over long before the answer: the announcement prolongs it.
        closing = asyncio.ensure_future(client.ask(rq.Close(NO_SID, fh), timeout=0.5))
        await asyncio.sleep(1)
        assert not closing.done()
        b.mgm.is_silent = False
        await closing
        committed(b, b"data")

    bench(body)


def test_orders_are_for_replicas_only(bench):
    async def body(b):
        client, fh = await begun(b)
        with refused(errno.EACCES):
            await client.query(QueryCode.OPAQUE_HANDLE, encode_order(Seal(1)), fh)
        for bad in (b"", MAGIC, MAGIC + b"\xc1", b"anything"):
            with pytest.raises(OperationError):
                await client.query(QueryCode.OPAQUE_HANDLE, bad, fh)
        await client.close(fh)

    bench(body)
