"""The registry of uploads: the clock of absent clients, and an orderly stop."""

import asyncio
import errno
import os

import pytest

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.core.wire.numbers import OpenFlag
from thesan.roles.fst.upload import Phase

NEW = int(OpenFlag.NEW | OpenFlag.UPDATE)
DATA = os.urandom(10_000)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def begun(b):
    client = await b.client()
    cap = b.cap(Op.CREATE, 1, "/f")
    fh = await client.open("/f", cap, NEW)
    await client.write(fh, 0, DATA)
    return client, fh, cap


def test_one_upload_for_each_file(bench):
    async def body(b):
        uploads = b.fsts[0].parts.uploads
        client, fh, _ = await begun(b)
        assert uploads.active(1) == [1]
        assert uploads.active(2) == []
        assert uploads.find(1, 1) is not None
        with pytest.raises(AssertionError):
            uploads.add(uploads.find(1, 1))
        await client.close(fh)
        assert len(uploads) == 0
        uploads.begin_open(1, 5)
        assert uploads.is_opening(1, 5)
        assert uploads.active(1) == [5]
        with pytest.raises(AssertionError):
            uploads.begin_open(1, 5)
        uploads.end_open(1, 5)

    bench(body)


def test_an_absent_client_has_its_time(bench):
    async def body(b):
        client, _, _ = await begun(b)
        uploads = b.fsts[0].parts.uploads
        client.connection.abort("gone")
        await until(lambda: uploads._timers)
        assert b.files() == (["00000001"], ["00000001"])
        await until(lambda: b.files() == ([], []))
        assert len(uploads) == 0

    bench(body, partial_seconds=0.3)


def test_a_client_that_returns_stops_the_clock(bench):
    async def body(b):
        client, _, cap = await begun(b)
        uploads = b.fsts[0].parts.uploads
        client.connection.abort("gone")
        await until(lambda: uploads._timers)
        again = await b.client()
        fh = await again.open("/f", cap, int(OpenFlag.UPDATE))
        assert not uploads._timers
        await asyncio.sleep(0.4)
        await again.close(fh)
        assert b.files() == (["00000001"], [])

    bench(body, partial_seconds=0.3)


def test_an_upload_that_was_forgotten_by_its_client(bench, monkeypatch):
    monkeypatch.setattr("thesan.roles.fst.uploads.UPLOAD_SWEEP_SECONDS", 0.02)
    monkeypatch.setattr("thesan.roles.fst.uploads.UPLOAD_SECONDS_MAX", 0.2)

    async def body(b):
        client, fh, _ = await begun(b)
        await until(lambda: b.files() == ([], []))
        try:
            await client.write(fh, 0, b"hello again")
        except OperationError as error:
            number = error.errno
        assert number == errno.EBADF

    bench(body, partial_seconds=0.05)


def test_a_stop_waits_for_the_commits_under_way(bench):
    async def body(b):
        b.mgm.is_silent = True
        client, fh, _ = await begun(b)
        closing = asyncio.ensure_future(client.close(fh))
        uploads = b.fsts[0].parts.uploads
        await until(lambda: uploads.find(1, 1).phase is Phase.CLOSING)
        stopping = asyncio.ensure_future(b.fsts[0].stop())
        await asyncio.sleep(0.1)
        assert not stopping.done()
        b.mgm.is_silent = False
        await closing
        await stopping
        assert len(b.mgm.commits) == 1

    bench(body)


def test_a_stop_leaves_unfinished_uploads_to_the_next_start(bench, monkeypatch):
    monkeypatch.setattr("thesan.roles.fst.service.FST_DRAIN_SECONDS_MAX", 0.1)

    async def body(b):
        b.mgm.is_silent = True
        client, fh, _ = await begun(b)
        other = await b.client()
        await other.open("/g", b.cap(Op.CREATE, 2, "/g"), NEW)
        closing = asyncio.ensure_future(client.close(fh))
        await until(lambda: b.fsts[0].parts.uploads.find(1, 1).phase is Phase.CLOSING)
        await asyncio.sleep(0.1)
        port = b.fsts[0].port
        await b.fsts[0].stop()
        await asyncio.gather(closing, return_exceptions=True)
        assert b.files() == (["00000001", "00000002"], ["00000001", "00000002"])
        b.mgm.is_silent = False
        await b.restart(port=port, partial_seconds=0.0)
        await until(lambda: b.files() == (["00000001"], []))
        assert b.mgm.commits[0].grant == (1).to_bytes(8, "big")

    bench(body)
