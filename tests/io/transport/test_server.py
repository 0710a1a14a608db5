"""Listening on real sockets: many clients, limits, slow readers, an orderly end."""

import asyncio
import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.core.wire.numbers import NO_SID, Status
from thesan.core.wire.request_codec import encode
from thesan.io.transport import server as module
from thesan.io.transport.client import LoginSettings, dial


def test_sessions_are_known_until_they_end(loop_run):
    async def test(bench):
        listener = await bench.listen()
        assert listener.host == "127.0.0.1"
        assert listener.port > 0
        clients = [await dial("127.0.0.1", listener.port, LoginSettings()) for _ in range(5)]
        assert listener.connection_count == 5
        assert [c.session_id for c in listener.connections] == [c.session_id for c in clients]
        assert listener.find(clients[2].session_id) is bench.service.logins[2]
        assert listener.connections[0].peer_host in ("127.0.0.1", "10.0.0.1")
        await clients[2].close()
        while listener.connection_count > 4:
            await asyncio.sleep(0.001)
        assert listener.find(clients[2].session_id) is None
        assert bench.service.gone == [bench.service.logins[2]]
        await listener.close()
        assert listener.connection_count == 0
        await asyncio.gather(*(client.lost for client in clients))

    loop_run(test)


def test_too_many_logins_are_told_so_and_too_many_connections_dropped(loop_run, monkeypatch):
    monkeypatch.setattr(module, "CONNECTION_COUNT_MAX", 2)
    monkeypatch.setattr(module, "CONNECTION_SPARE_COUNT", 1)

    async def test(bench):
        listener = await bench.listen()
        first, second = [await dial("127.0.0.1", listener.port, LoginSettings()) for _ in range(2)]
        with pytest.raises(OperationError, match="too many connections") as caught:
            await dial("127.0.0.1", listener.port, LoginSettings())
        assert caught.value.errno == errno.EUSERS
        while listener.connection_count > 2:
            await asyncio.sleep(0.001)
        _, spare = await asyncio.open_connection("127.0.0.1", listener.port)
        while listener.connection_count < 3:
            await asyncio.sleep(0.001)
        with pytest.raises(OperationError) as caught:
            await dial("127.0.0.1", listener.port, LoginSettings())
        assert caught.value.errno == errno.ECONNRESET
        spare.close()
        for client in (first, second):
            assert (await client.call(rq.Ping(NO_SID), 20)).status == Status.OK
            await client.close()

    loop_run(test)


def test_a_slow_reader_over_a_real_socket(loop_run):
    """It asks for 400 MB and reads nothing: we hold megabytes; then it reads, and gets all."""
    piece = bytes(1 << 20)

    async def test(bench):
        bench.service.answers[rq.Stat] = lambda connection, request: responses.ok(
            request.sid, piece
        )
        listener = await bench.listen()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1 << 16)
        greeting = bench.greeting
        count = 400
        asked = b"".join(encode(rq.Stat(n.to_bytes(2, "big"), "/f")) for n in range(1, count + 1))
        writer.write(greeting + asked)
        served = -1
        while served != len(bench.service.seen):
            served = len(bench.service.seen)
            await asyncio.sleep(0.05)
        assert 0 < served < 60
        total = 0
        expected = count * (8 + len(piece)) + bench.greeting_answer_bytes
        while total < expected:
            total += len(await reader.read(1 << 20))
        assert total == expected
        assert len(bench.service.seen) == count
        writer.close()
        await writer.wait_closed()

    loop_run(test)


def test_close_does_not_wait_for_a_peer_that_reads_nothing(loop_run, monkeypatch):
    monkeypatch.setattr(module, "LISTENER_CLOSE_SECONDS_MAX", 0.1)

    async def test(bench):
        bench.service.answers[rq.Stat] = lambda connection, request: responses.ok(
            request.sid, bytes(30 << 20)
        )
        listener = await bench.listen()
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(bench.greeting + encode(rq.Stat(b"01", "/f")))
        while not bench.service.seen:
            await asyncio.sleep(0.001)
        await listener.close()
        assert listener.connection_count == 0
        assert len(bench.service.gone) == 1
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass

    loop_run(test)


def test_the_sweep_reaches_every_connection(loop_run, monkeypatch):
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.01)

    async def test(bench):
        listener = await bench.listen()
        client = await dial("127.0.0.1", listener.port, LoginSettings())
        bench.service.logins[0]._heard_at -= 10_000
        await client.lost
        await listener.close()

    loop_run(test)


def test_a_port_in_use_is_an_error(loop_run):
    async def test(bench):
        listener = await bench.listen()
        with pytest.raises(OSError, match="in use"):
            await module.listen(
                bench.service, "127.0.0.1", listener.port, entropy=bench.entropy, bulk=bench.bulk
            )

    loop_run(test)
