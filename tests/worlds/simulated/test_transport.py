"""A simulated transport does to its protocol what asyncio's selector transport does."""

import asyncio

import pytest

from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.network import NetworkSettings


def test_bytes_arrive_whole_and_in_order(pair):
    sent = b"".join(number.to_bytes(4, "big") for number in range(20_000))
    for start in range(0, len(sent), 777):
        pair.client.transport.write(sent[start : start + 777])
    pair.run(1)
    assert pair.server.data == sent
    pair.server.transport.writelines([b"a", bytearray(b"b"), memoryview(b"c")])
    pair.run(1)
    assert pair.client.data == b"abc"


def test_the_caller_may_reuse_its_buffer(pair):
    buffer = bytearray(b"first")
    pair.client.transport.write(buffer)
    buffer[:] = b"other"
    pair.run(1)
    assert pair.server.data == b"first"


def test_names_of_both_ends(pair):
    client, server = pair.client.transport, pair.server.transport
    assert client.get_extra_info("peername") == server.get_extra_info("sockname")
    assert server.get_extra_info("peername") == client.get_extra_info("sockname")
    assert server.get_extra_info("sockname")[1] == 1
    assert client.get_extra_info("cipher") is None


def test_pause_reading_holds_the_peer_back(pair):
    pair.server.transport.pause_reading()
    assert not pair.server.transport.is_reading()
    block = bytes(1 << 20)
    for _ in range(4):
        pair.client.transport.write(block)
    pair.run(10)
    assert pair.server.data == b""
    assert pair.client.told == ["made", "pause"]
    assert pair.client.transport.get_write_buffer_size() == 3 << 20
    pair.server.transport.resume_reading()
    pair.run(10)
    assert len(pair.server.data) == 4 << 20
    assert pair.client.told == ["made", "pause", "resume"]


def test_write_limits(pair):
    transport = pair.client.transport
    transport.set_write_buffer_limits(high=100)
    assert transport.get_write_buffer_limits() == (25, 100)
    transport.set_write_buffer_limits()
    assert transport.get_write_buffer_limits() == (16384, 65536)
    with pytest.raises(ValueError, match="must be"):
        transport.set_write_buffer_limits(high=1, low=2)


def test_half_close(pair):
    pair.client.transport.write(b"question")
    pair.client.transport.write_eof()
    assert pair.client.transport.can_write_eof()
    pair.run(1)
    assert pair.server.told == ["made", "eof"]
    pair.server.transport.write(b"answer")
    pair.server.transport.close()
    pair.run(1)
    assert pair.client.data == b"answer"
    assert pair.client.told == ["made", "eof"]
    assert pair.server.told == ["made", "eof", "lost"]
    with pytest.raises(RuntimeError, match="write_eof"):
        pair.client.transport.write(b"more")


def test_close_sends_what_is_buffered(pair):
    pair.server.transport.pause_reading()
    pair.client.transport.write(bytes(3 << 20))
    pair.client.transport.close()
    assert pair.client.transport.is_closing()
    pair.run(1)
    assert pair.client.told == ["made", "pause"]
    pair.server.transport.resume_reading()
    pair.run(5)
    assert len(pair.server.data) == 3 << 20
    assert pair.server.told == ["made", "eof"]
    assert pair.client.told[-1] == "lost"


def test_close_with_unread_bytes_resets(pair):
    pair.server.transport.pause_reading()
    pair.client.transport.write(b"never read")
    pair.run(1)
    pair.server.transport.close()
    pair.run(1)
    assert pair.client.told == ["made", "lost ConnectionResetError"]


def test_abort_drops_the_buffer(pair):
    pair.server.transport.pause_reading()
    pair.client.transport.write(bytes(3 << 20))
    pair.client.transport.abort()
    pair.client.transport.abort()
    pair.run(1)
    assert pair.client.told[-1] == "lost"
    assert pair.client.told.count("lost") == 1
    pair.server.transport.resume_reading()
    pair.run(1)
    assert len(pair.server.data) == 1 << 20


def test_writing_to_a_closed_connection_is_ignored(pair):
    pair.client.transport.close()
    pair.run(1)
    pair.client.transport.write(b"x")
    pair.run(1)
    assert pair.server.data == b""
    with pytest.raises(TypeError):
        pair.server.transport.write("text")


def test_an_exception_of_the_protocol_is_recorded(pair):
    def fail(data):
        raise ValueError("bad bytes")

    pair.server.data_received = fail
    pair.client.transport.write(b"x")
    pair.run(1)
    assert "bad bytes" in pair.loop.trace.failures[0]
    assert pair.server.told[-1].startswith("lost")


def test_buffered_protocol(loop):
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.buffer = bytearray(1000)
            self.data = bytearray()

        def get_buffer(self, sizehint):
            return memoryview(self.buffer)

        def buffer_updated(self, nbytes):
            assert 0 < nbytes <= 1000
            self.data += self.buffer[:nbytes]

        def eof_received(self):
            return False

    async def main():
        made = []

        def accept():
            made.append(Buffered())
            return made[-1]

        server = await loop.create_server(accept, "localhost", 0)
        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
        sent = bytes(range(256)) * 100
        transport.write(sent)
        transport.write_eof()
        await asyncio.sleep(1)
        assert made[0].data == sent
        server.close()
        await server.wait_closed()
        assert not server.is_serving()
        assert server.sockets == ()

    loop.run_until_complete(main())


def test_reads_are_split_by_the_seed():
    loop = SimLoop(5, network=NetworkSettings(split_share=0.5))
    sizes = []

    class Sizes(asyncio.Protocol):
        def data_received(self, data):
            sizes.append(len(data))

    async def main():
        await loop.create_server(Sizes, "localhost", 9)
        transport, _ = await loop.create_connection(asyncio.Protocol, "localhost", 9)
        for _ in range(20):
            transport.write(bytes(1000))
            await asyncio.sleep(1)

    loop.run_until_complete(main())
    loop.close()
    assert sum(sizes) == 20_000
    assert len(sizes) > 20


def test_send_raw_goes_past_the_buffer(pair):
    async def main():
        await pair.client.transport.send_raw(bytes(3 << 20))

    pair.loop.run_until_complete(main())
    assert pair.client.told == ["made"]
    pair.run(1)
    assert len(pair.server.data) == 3 << 20
    pair.server.transport.abort()
    pair.run(1)

    async def too_late():
        with pytest.raises(ConnectionResetError):
            await pair.client.transport.send_raw(b"x")

    pair.client.transport.abort()
    pair.run(1)
    pair.loop.run_until_complete(too_late())


def test_a_server_closes_its_clients(pair):
    pair.dial()
    pair.run(0.1)
    assert len(pair.listener.clients) == 2
    pair.listener.close_clients()
    pair.run(1)
    assert [protocol.told[-1] for protocol in pair.accepted] == ["lost", "lost"]
    assert not pair.listener.clients
    assert pair.listener.get_loop() is pair.loop


def test_serve_forever_ends_with_close(pair):
    async def main():
        task = pair.loop.create_task(pair.listener.serve_forever())
        await asyncio.sleep(1)
        pair.listener.close()
        with pytest.raises(asyncio.CancelledError):
            await task

    pair.loop.run_until_complete(main())
