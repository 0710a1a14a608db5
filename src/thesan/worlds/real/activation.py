"""Listening sockets that a supervisor made and handed down (socket activation).

A process that is killed loses its connections, but its listening socket lives on in the supervisor:
clients that come meanwhile wait instead of being refused. Roles know nothing of it: they ask their
loop for a server on an address, and this loop has the socket already.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any


def inherited_socket(descriptor: int) -> socket.socket:
    """The listening socket behind a descriptor. OSError when it is not one."""
    listener = socket.socket(fileno=descriptor)
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()
        raise OSError(f"descriptor {descriptor} is not a listening socket")
    listener.setblocking(False)
    return listener


def activated_loop(
    listener: socket.socket, make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> Callable[[], asyncio.AbstractEventLoop]:
    """A loop factory whose first server on the listener's address takes over the listener."""

    def factory() -> asyncio.AbstractEventLoop:
        plain = make_loop()
        base: type[Any] = type(plain)
        plain.close()

        class ActivatedLoop(base):  # type: ignore[misc]  # uvloop's or asyncio's, known at run time
            _handed_down: socket.socket | None = listener

            async def create_server(
                self,
                protocol_factory: Callable[[], asyncio.BaseProtocol],
                host: Any = None,
                port: Any = None,
                **options: Any,
            ) -> asyncio.AbstractServer:
                sock = self._handed_down
                if sock is not None and port == sock.getsockname()[1]:
                    self._handed_down = None
                    return await super().create_server(  # type: ignore[no-any-return]
                        protocol_factory, sock=sock, **options
                    )
                return await super().create_server(  # type: ignore[no-any-return]
                    protocol_factory, host, port, **options
                )

        loop = ActivatedLoop()
        assert isinstance(loop, asyncio.AbstractEventLoop)
        return loop

    return factory
