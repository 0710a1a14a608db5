"""A fresh simulated loop for each test, closed at its end."""

import asyncio
from collections.abc import Iterator

import pytest

from thesan.worlds.simulated.loop import SimLoop


@pytest.fixture
def loop() -> Iterator[SimLoop]:
    """Seed 1, default network."""
    loop = SimLoop(1)
    yield loop
    loop.close()


class Recorder(asyncio.Protocol):
    """Writes down what an asyncio protocol is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = bytearray()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost" if exc is None else f"lost {type(exc).__name__}")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


class Pair:
    """A client on machine `c` connected to a server on machine `s`, port 1."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.network = loop.network
        self.client_process = loop.network.process("c", "client")
        self.server_process = loop.network.process("s", "server")
        self.accepted: list[Recorder] = []
        listening = loop.start(
            self.server_process, loop.create_server(self._accept, "s", 1), "listen"
        )
        self.listener = loop.run_until_complete(listening)
        _, self.client = self.dial()
        self.run(0.1)
        self.server = self.accepted[0]

    def _accept(self) -> Recorder:
        self.accepted.append(Recorder())
        return self.accepted[-1]

    def dial(self):
        """One more connection."""
        work = self.loop.create_connection(Recorder, "s", 1)
        return self.loop.run_until_complete(self.loop.start(self.client_process, work, "dial"))

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))


@pytest.fixture
def pair(loop: SimLoop) -> Pair:
    """Two connected protocols that record."""
    return Pair(loop)
