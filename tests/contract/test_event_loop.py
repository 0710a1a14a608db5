"""One story, two loops: what protocols and tasks are told on asyncio's own and on ours.

If the simulated loop differs from the real one, everything it proves is about another program.
"""

import asyncio
import errno
from collections.abc import Callable
from typing import Any

import pytest

from thesan.worlds.simulated.loop import run as run_simulated

Runner = Callable[[Any], Any]


@pytest.fixture(params=["real", "simulated"])
def run(request) -> Runner:
    """asyncio.run, and its twin."""
    return asyncio.run if request.param == "real" else run_simulated


class Told(asyncio.Protocol):
    """Writes down what it is told, bytes joined."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.events: list[Any] = []
        self.keep_open = keep_open
        self.made = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()
        self.data = bytearray()
        self.paused = asyncio.Event()
        self.resumed = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        self.events.append("made")
        self.made.set_result(None)

    def data_received(self, data):
        assert self.made.done()
        self.data += data

    def eof_received(self):
        self.events.append("eof")
        self.ended.set_result(None)
        return self.keep_open

    def connection_lost(self, exc):
        self.events.append(None if exc is None else type(exc).__name__)
        self.lost.set_result(None)

    def pause_writing(self):
        self.events.append("pause")
        self.paused.set()

    def resume_writing(self):
        self.events.append("resume")
        self.resumed.set()

    async def until(self, count: int) -> None:
        """Wait for that many bytes."""
        while len(self.data) < count:
            await asyncio.sleep(0.001)


async def connected(*, keep_open: bool = False) -> tuple[Told, Told, asyncio.AbstractServer]:
    loop = asyncio.get_running_loop()
    accepted: list[Told] = []

    def accept() -> Told:
        accepted.append(Told(keep_open=keep_open))
        return accepted[-1]

    server = await loop.create_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, client = await loop.create_connection(lambda: Told(keep_open=keep_open), "127.0.0.1", port)
    while not accepted:
        await asyncio.sleep(0.001)
    await accepted[0].made
    return client, accepted[0], server


def test_close_after_data(run):
    async def story():
        client, server, listener = await connected()
        client.transport.write(b"x" * 300_000)
        client.transport.close()
        assert client.transport.is_closing()
        await server.lost
        await client.lost
        listener.close()
        return client.events, server.events, len(server.data)

    assert run(story()) == (["made", None], ["made", "eof", None], 300_000)


def test_half_close(run):
    async def story():
        client, server, listener = await connected(keep_open=True)
        client.transport.write(b"question")
        client.transport.write_eof()
        await server.ended
        with pytest.raises(RuntimeError):
            client.transport.write(b"more")
        server.transport.write(b"answer")
        server.transport.close()
        await server.lost
        await client.ended
        client.transport.close()
        await client.lost
        listener.close()
        return client.events, server.events, bytes(server.data), bytes(client.data)

    assert run(story()) == (
        ["made", "eof", None],
        ["made", "eof", None],
        b"question",
        b"answer",
    )


def test_abort(run):
    async def story():
        client, server, listener = await connected()
        client.transport.abort()
        assert client.transport.is_closing()
        assert not client.lost.done()
        await client.lost
        await server.lost
        client.transport.write(b"ignored")
        client.transport.close()
        listener.close()
        return client.events, server.events

    assert run(story()) == (["made", None], ["made", "eof", None])


def test_close_with_unread_bytes_resets_the_peer(run):
    async def story():
        client, server, listener = await connected()
        server.transport.pause_reading()
        client.transport.write(b"never read")
        await asyncio.sleep(0.05)
        server.transport.close()
        await server.lost
        await client.lost
        listener.close()
        return client.events

    assert run(story()) == ["made", "ConnectionResetError"]


def test_flow_control(run):
    async def story():
        client, server, listener = await connected()
        server.transport.pause_reading()
        client.transport.set_write_buffer_limits(high=1000, low=100)
        total = 0
        while not client.paused.is_set():
            client.transport.write(bytes(1 << 20))
            total += 1 << 20
            await asyncio.sleep(0)
        assert client.transport.get_write_buffer_size() > 1000
        server.transport.resume_reading()
        await client.resumed.wait()
        await server.until(total)
        client.transport.close()
        await client.lost
        await server.lost
        listener.close()
        return client.events

    assert run(story()) == ["made", "pause", "resume", None]


def test_refused(run):
    async def story():
        client, server, listener = await connected()
        port = server.transport.get_extra_info("sockname")[1]
        listener.close()
        with pytest.raises(OSError) as caught:
            await asyncio.get_running_loop().create_connection(Told, "127.0.0.1", port)
        client.transport.close()
        await server.lost
        return caught.value.errno, type(caught.value).__name__

    assert run(story()) == (errno.ECONNREFUSED, "ConnectionRefusedError")


def test_streams(run):
    async def story():
        async def serve(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"one\ntwo\n")
        answers = [await reader.readline(), await reader.readline()]
        writer.write_eof()
        answers.append(await reader.read())
        writer.close()
        await writer.wait_closed()
        listener.close()
        return answers

    assert run(story()) == [b"ONE\n", b"TWO\n", b""]


def test_timers_and_callbacks_keep_their_order(run):
    async def story():
        loop = asyncio.get_running_loop()
        order = []
        loop.call_later(0.02, order.append, "late")
        loop.call_later(0.01, order.append, "early")
        loop.call_later(0.005, order.append, "cancelled").cancel()
        for number in range(3):
            loop.call_soon(order.append, number)
        await asyncio.sleep(0.05)
        return order

    assert run(story()) == [0, 1, 2, "early", "late"]


def test_cancellation_and_timeouts(run):
    async def story():
        events = []

        async def patient():
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                events.append("cancelled")
                raise

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await patient()
        task = asyncio.get_running_loop().create_task(patient())
        await asyncio.sleep(0)
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        return events, [type(result).__name__ for result in results]

    assert run(story()) == (["cancelled", "cancelled"], ["CancelledError"])


def test_threads(run):
    async def story():
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, sum, [1, 2, 3]), await asyncio.to_thread(max, 1, 2)

    assert run(story()) == (6, 2)
