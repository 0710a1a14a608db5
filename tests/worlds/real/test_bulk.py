"""Bulk sends over real sockets: both event loops, slow peers, dead peers, shrinking files."""

import asyncio
import errno
import os
import struct
import threading

import pytest
import uvloop
from google_crc32c import value as crc32c

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import BULK_SLICES_MAX, DISK_WORKERS_MAX, PAGE_BYTES
from thesan.worlds.real import bulk as room
from thesan.worlds.real.bulk import RealBulk
from thesan.worlds.real.os_disk import OsDisk

SIZE = 5_000_000
CONTENT = os.urandom(SIZE)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    def runner(main):
        with asyncio.Runner(loop_factory=factory) as started:
            return started.run(main)

    return runner


@pytest.fixture
def disk(tmp_path):
    made = OsDisk(str(tmp_path))
    (tmp_path / "f").write_bytes(CONTENT)
    yield made
    made.shutdown()


class Peers:
    """A server whose connections are plain transports, and one client connected to it."""

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()
        self.lost = loop.create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(_, transport):
                accepted.set_result(transport)

            def connection_lost(_, error):
                self.lost.set_result(None)

        self.server = await loop.create_server(Protocol, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.transport = await accepted
        return self

    async def __aexit__(self, *_):
        self.transport.abort()
        self.writer.transport.abort()
        self.server.close()
        await self.lost


async def send(verb, peers, disk, handle, length, bulk=None):
    bulk = bulk or RealBulk()
    if verb == "file":
        await bulk.send_file(peers.transport, b"", disk, handle, 0, length)
    else:
        await bulk.send_pages(peers.transport, b"\1\2", disk, handle, 0, length)


async def pages_of(reader, sid):
    """Read a whole kXR_pgread answer and check every CRC: (offset, data), and the frame sizes."""
    parts, frames = [], []
    while True:
        head = await reader.readexactly(8)
        got_sid, status, length = struct.unpack(">2sHi", head)
        assert (got_sid, status, length) == (sid, 4007, 24)
        crc, *_ = struct.unpack(">I", await reader.readexactly(4))
        body = await reader.readexactly(20)
        assert crc == crc32c(body)
        inner_sid, request, kind, size, offset = struct.unpack(">2sBB4xiq", body)
        assert (inner_sid, request) == (sid, 30)
        raw = await reader.readexactly(size)
        at, position = 0, offset
        frames.append((offset, size))
        while at < size:
            page = raw[at + 4 : at + 4 + PAGE_BYTES - position % PAGE_BYTES]
            assert struct.unpack(">I", raw[at : at + 4]) == (crc32c(page),)
            parts.append(page)
            position += len(page)
            at += 4 + len(page)
        if kind == 0:
            return frames[0][0], b"".join(parts), frames


@pytest.mark.parametrize(
    ("offset", "length"), [(0, SIZE), (0, 0), (1, 1), (4095, 4097), (SIZE - 1, 1), (777, 3_333_333)]
)
def test_send_file(run, disk, offset, length):
    async def main():
        handle = await disk.open("f")
        async with Peers() as peers:
            sending = asyncio.ensure_future(
                RealBulk().send_file(peers.transport, b"head", disk, handle, offset, length)
            )
            got = await peers.reader.readexactly(4 + length)
            await sending
        await disk.close(handle)
        return got

    assert run(main()) == b"head" + CONTENT[offset : offset + length]


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, SIZE), (0, 0), (1, 1), (4095, 2), (4095, 4097), (4096, 4096), (777, 3_333_333), (2, 4000)],
)
@pytest.mark.parametrize("crowd", [False, True])
def test_send_pages(run, disk, offset, length, crowd):
    async def main():
        bulk = RealBulk()
        bulk._large_in_use = BULK_SLICES_MAX if crowd else 0
        handle = await disk.open("f")
        async with Peers() as peers:
            for _ in range(2):  # the second one in the buffer of the first
                sending = asyncio.ensure_future(
                    bulk.send_pages(peers.transport, b"\1\2", disk, handle, offset, length)
                )
                at, data, frames = await pages_of(peers.reader, b"\1\2")
                await sending
                assert (at, data) == (offset, CONTENT[offset : offset + length])
                assert all(start % PAGE_BYTES == 0 for start, _ in frames[1:])
        await disk.close(handle)
        assert len(bulk._buffers) == (0 if crowd else 1)

    run(main())


@pytest.mark.parametrize("verb", ["file", "pages"])
def test_a_slow_peer_holds_no_thread(run, disk, monkeypatch, verb):
    monkeypatch.setattr(room, "BULK_POLL_SECONDS", 0.001)

    async def main():
        handle = await disk.open("f")
        async with Peers() as peers:
            peers.writer.transport.pause_reading()
            waiting = asyncio.Event()
            real = room._wait_for_room

            async def wait_for_room(*arguments):
                waiting.set()
                await real(*arguments)

            monkeypatch.setattr(room, "_wait_for_room", wait_for_room)
            sending = asyncio.ensure_future(send(verb, peers, disk, handle, SIZE))
            await waiting.wait()
            # All threads are free: they meet here, or the barrier breaks.
            barrier = threading.Barrier(DISK_WORKERS_MAX, timeout=20)
            meetings = [disk.run("meet", "", barrier.wait) for _ in range(DISK_WORKERS_MAX)]
            await asyncio.gather(*meetings)
            peers.writer.transport.resume_reading()
            if verb == "file":
                assert await peers.reader.readexactly(SIZE) == CONTENT
            else:
                assert (await pages_of(peers.reader, b"\1\2"))[1] == CONTENT
            await sending
        await disk.close(handle)

    run(main())


def test_a_peer_that_never_drains_is_given_up(run, disk, monkeypatch):
    monkeypatch.setattr(room, "BULK_POLL_SECONDS", 0.001)
    monkeypatch.setattr(room, "BULK_STALL_SECONDS_MAX", 0.0)

    async def main():
        handle = await disk.open("f")
        async with Peers() as peers:
            peers.writer.transport.pause_reading()
            with pytest.raises(OperationError) as caught:
                await RealBulk().send_file(peers.transport, b"", disk, handle, 0, SIZE)
            assert caught.value.errno == errno.ECONNRESET
            await peers.lost
        await disk.close(handle)

    run(main())


@pytest.mark.parametrize("verb", ["file", "pages"])
def test_a_file_that_shrank_breaks_the_connection(run, disk, tmp_path, verb):
    async def main():
        handle = await disk.open("f")
        async with Peers() as peers:
            os.truncate(tmp_path / "f", 1000)
            with pytest.raises(OperationError) as caught:
                await send(verb, peers, disk, handle, 2000)
            assert caught.value.errno == errno.EIO
            await peers.lost
        await disk.close(handle)

    run(main())


@pytest.mark.parametrize("verb", ["file", "pages"])
def test_a_peer_that_is_gone(run, disk, verb):
    async def main():
        bulk = RealBulk()
        handle = await disk.open("f")
        async with Peers() as peers:
            peers.transport.pause_reading()
            peers.writer.transport.abort()
            with pytest.raises(OperationError) as caught:
                await send(verb, peers, disk, handle, SIZE, bulk)
            assert caught.value.errno == errno.ECONNRESET
            assert not bulk._buffers
        await disk.close(handle)

    run(main())


def test_cancelling_a_send_lets_go_of_everything(run, disk, monkeypatch):
    begun, gate = threading.Event(), threading.Event()
    real = room._FileSend._step

    def step(self):
        begun.set()
        gate.wait(10)
        return real(self)

    monkeypatch.setattr(room._FileSend, "_step", step)

    async def main():
        handle = await disk.open("f")
        async with Peers() as peers:
            before = len(os.listdir("/proc/self/fd"))
            sending = asyncio.ensure_future(
                RealBulk().send_file(peers.transport, b"h", disk, handle, 0, SIZE)
            )
            await asyncio.sleep(0)
            begun.wait(10)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await peers.lost
            gate.set()
            disk._pool.shutdown(wait=True)
            # The worker let go of the duplicate; the transport of its descriptor.
            assert len(os.listdir("/proc/self/fd")) == before - 1
            assert disk._file(handle).users == 0

    run(main())


def test_a_closed_connection(run, disk):
    async def main():
        handle = await disk.open("f")
        async with Peers() as peers:
            peers.transport.abort()
            await peers.lost
            with pytest.raises(OperationError) as caught:
                await RealBulk().send_file(peers.transport, b"h", disk, handle, 0, SIZE)
            assert caught.value.errno == errno.ECONNRESET
            assert disk._file(handle).users == 0
        await disk.close(handle)

    run(main())
