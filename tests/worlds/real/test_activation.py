"""A loop that has the listening socket already."""

import asyncio
import os
import socket

import pytest

from thesan.worlds.real.activation import activated_loop, inherited_socket
from thesan.worlds.real.loop import new_event_loop


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(5)
    return listener


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, new_event_loop])
def test_a_connection_made_before_the_server_is_served(make_loop) -> None:
    original = _listener()
    address = original.getsockname()
    early = socket.create_connection(address)

    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"hello")
            transport.close()

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Greeter, *address)
        early.setblocking(False)
        data = await loop.sock_recv(early, 10)
        server.close()
        await server.wait_closed()
        other = await loop.create_server(Greeter, "127.0.0.1", 0)
        assert other.sockets[0].getsockname()[1] != address[1]
        other.close()
        await other.wait_closed()
        return data

    handed_down = inherited_socket(os.dup(original.fileno()))
    with asyncio.Runner(loop_factory=activated_loop(handed_down, make_loop)) as runner:
        assert runner.run(main()) == b"hello"
    # The supervisor's own descriptor still listens.
    late = socket.create_connection(address)
    for one in (late, early, original):
        one.close()


def test_what_does_not_listen_is_refused() -> None:
    descriptor = os.dup(socket.socket().fileno())
    with pytest.raises(OSError, match="not a listening socket"):
        inherited_socket(descriptor)
