"""A scripted service, a transport that records, and a bulk sender that can be held."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from thesan.core.model.identity import NOBODY
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_login
from thesan.core.wire.numbers import HANDSHAKE, NO_SID
from thesan.core.wire.request_codec import encode
from thesan.core.wire.server import FST_SETTINGS
from thesan.io.transport.connection import ServerConnection
from thesan.io.transport.server import Listener, listen
from thesan.worlds.simulated import loop as simulated


class CountingEntropy:
    """Session ids that differ."""

    def __init__(self) -> None:
        self.count = 0

    def token(self, byte_count: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(byte_count, "big")


class HeldBulk:
    """Writes head and `length` times the letter f; waits for `gate` in the middle if it is set."""

    def __init__(self) -> None:
        self.gate: asyncio.Event | None = None
        self.running = 0
        self.running_max = 0
        self.fail: BaseException | None = None

    async def send_file(self, transport, head, disk, handle, offset, length) -> None:
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            assert transport.get_write_buffer_size() == 0
            transport.write(head)
            if self.gate is not None:
                await self.gate.wait()
            if self.fail is not None:
                transport.abort()
                raise self.fail
            transport.write(b"f" * length)
        finally:
            self.running -= 1

    async def send_pages(self, transport, sid, disk, handle, offset, length) -> None:
        from thesan.core.wire.pages import pgread_answer

        await self.send_file(transport, b"", disk, handle, offset, 0)
        transport.write(bytes(pgread_answer(sid, offset, b"f" * length)))


class ScriptedService:
    """Lets everybody in; answers by `answers[type(request)]`, else with an empty ok."""

    settings = FST_SETTINGS

    def __init__(self) -> None:
        self.answers: dict[type, Callable[[ServerConnection, Any], bytes | None]] = {}
        self.seen: list[Any] = []
        self.logins: list[ServerConnection] = []
        self.gone: list[ServerConnection] = []
        self.security = ""

    def login(self, connection: ServerConnection, request: rq.Login) -> bytes:
        self.logins.append(connection)
        if not self.security:
            connection.identity = NOBODY
        return responses.ok(request.sid, build_login(connection.session_id, self.security))

    def auth(self, connection: ServerConnection, request: rq.Auth) -> bytes | None:
        answer = self.answers.get(rq.Auth)
        if answer is not None:
            return answer(connection, request)
        connection.identity = NOBODY
        return responses.ok(request.sid)

    def handle(self, connection: ServerConnection, request: rq.Request) -> bytes | None:
        self.seen.append(request)
        answer = self.answers.get(type(request))
        return responses.ok(request.sid) if answer is None else answer(connection, request)

    def closed(self, connection: ServerConnection) -> None:
        self.gone.append(connection)


class RecordingTransport(asyncio.Transport):
    """Takes `room` bytes at once like a socket, keeps the rest; everything is counted."""

    def __init__(self, protocol: asyncio.BaseProtocol, room: int = 1 << 40) -> None:
        super().__init__({"peername": ("10.0.0.1", 4000)})
        self.protocol = protocol
        self.room = room
        self.writes: list[bytes] = []
        self.kept = 0
        self.reading = True
        self.closing = False
        self.lost = False

    @property
    def data(self) -> bytes:
        return b"".join(self.writes)

    def write(self, data) -> None:
        assert not self.closing
        self.writes.append(bytes(data))
        taken = min(self.room, len(data)) if not self.kept else 0
        self.room -= taken
        was, self.kept = self.kept, self.kept + len(data) - taken
        if self.kept and not was:
            self.protocol.pause_writing()

    def writelines(self, list_of_data) -> None:
        self.write(b"".join(list_of_data))

    def drain(self) -> None:
        self.kept = 0
        self.room = 1 << 40
        self.protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.kept

    def set_write_buffer_limits(self, high=None, low=None) -> None:
        assert high == 0

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.lose)

    abort = close

    def lose(self) -> None:
        if not self.lost:
            self.lost = True
            self.closing = True
            self.protocol.connection_lost(None)


GREETING = HANDSHAKE + encode(rq.Protocol(NO_SID))
LOGIN = encode(rq.Login(b"L0", "me", 7))


class Peer:
    """A connection without a network: `say` feeds bytes, the transport records the answers."""

    def __init__(self, listener: Listener, host: str = "10.0.0.1", room: int = 1 << 40) -> None:
        self.connection = listener._accept()
        self.transport = RecordingTransport(self.connection, room)
        self.transport._extra["peername"] = (host, 4000)
        self.connection.connection_made(self.transport)

    def say(self, data: bytes) -> None:
        while data:
            buffer = self.connection.get_buffer(-1)
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            self.connection.buffer_updated(count)
            data = data[count:]

    def log_in(self) -> "Peer":
        self.say(GREETING + LOGIN)
        return self

    def take(self) -> list[tuple[bytes, int, bytes]]:
        """Frames written since the last call: (sid, status, body)."""
        data = self.transport.data
        self.transport.writes.clear()
        frames = []
        while data:
            sid, status, length = responses.HEAD.unpack_from(data)
            frames.append((sid, status, data[8 : 8 + length]))
            data = data[8 + length :]
        return frames


class Bench:
    """Everything of one test, inside a running loop."""

    greeting = GREETING + LOGIN
    greeting_answer_bytes = (8 + 8) + (8 + 8) + (8 + 16)

    def __init__(self) -> None:
        self.service = ScriptedService()
        self.bulk = HeldBulk()
        self.entropy = CountingEntropy()
        self.faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: self.faults.append(context)
        )
        self.listener = Listener(self.service, self.entropy, self.bulk)

    def peer(self, host: str = "10.0.0.1", room: int = 1 << 40) -> Peer:
        return Peer(self.listener, host, room)

    async def listen(self) -> Listener:
        self.listener = await listen(
            self.service, "127.0.0.1", 0, entropy=self.entropy, bulk=self.bulk
        )
        return self.listener


@pytest.fixture
def bench_run():
    """Run a coroutine function with a Bench in a fresh loop; no fault of ours may be reported."""

    def run(test, *, faults: int = 0) -> None:
        async def main() -> None:
            bench = Bench()
            await asyncio.wait_for(test(bench), 30)
            await bench.listener.close()
            assert len(bench.faults) == faults, bench.faults

        asyncio.run(main())

    return run


@pytest.fixture
def recording_transport() -> type[RecordingTransport]:
    return RecordingTransport


@pytest.fixture
def scripted_service() -> type[ScriptedService]:
    return ScriptedService


@pytest.fixture(params=["asyncio", "uvloop", "simulated"])
def loop_run(request):
    """As `bench_run`, over sockets: asyncio's loop, uvloop's, and the simulated one."""
    loop_name = request.param

    def run(test, *, faults: int = 0) -> None:
        async def main() -> None:
            bench = Bench()
            bench.loop_name = loop_name
            await asyncio.wait_for(test(bench), 30)
            await bench.listener.close()
            assert len(bench.faults) == faults, bench.faults

        if loop_name == "simulated":
            simulated.run(main(), seed=11)
            return
        factory = None
        if loop_name == "uvloop":
            factory = pytest.importorskip("uvloop").new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    return run
