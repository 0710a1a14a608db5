"""Listening: accepts connections, knows their sessions, drops the dead ones, closes them all.

Roles import from here: `listen`, `Listener`, `Service`, `ServerConnection`.
"""

import asyncio
from typing import Any

from thesan.core.model.limits import (
    CONNECTION_COUNT_MAX,
    CONNECTION_SPARE_COUNT,
    LISTEN_BACKLOG,
    LISTENER_CLOSE_SECONDS_MAX,
    SCRATCH_BYTES,
    SWEEP_SECONDS,
)
from thesan.core.wire.numbers import SESSION_ID_BYTES
from thesan.io.transport.connection import ServerConnection
from thesan.io.transport.service import Service
from thesan.ports.bulk import Bulk
from thesan.ports.entropy import Entropy

__all__ = ["Listener", "ServerConnection", "Service", "listen"]


class Listener:
    """One listening port with all its connections. Made by `listen`."""

    def __init__(self, service: Service, entropy: Entropy, bulk: Bulk) -> None:
        self.host = ""
        """Address listened on."""
        self.port = 0
        self.bulk = bulk
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._service = service
        self._entropy = entropy
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.AbstractServer | None = None
        self._connections: dict[ServerConnection, None] = {}
        self._sessions: dict[bytes, ServerConnection] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None

    @property
    def connection_count(self) -> int:
        """Connections that are open, logged in or not."""
        return len(self._connections)

    @property
    def connections(self) -> list[ServerConnection]:
        """Those that are logged in, in order of login."""
        return list(self._sessions.values())

    async def start(self, host: str, port: int, sock: Any = None) -> None:
        """Begin to accept. OSError when the address can't be had.

        `sock`: a socket that listens on the address already, kept open by a supervisor so that
        a restart refuses nobody.
        """
        if sock is not None:
            server = await self._loop.create_server(self._accept, sock=sock, backlog=LISTEN_BACKLOG)
        else:
            server = await self._loop.create_server(
                self._accept, host, port, backlog=LISTEN_BACKLOG
            )
        self._server = server
        self.host = host
        self.port = port or server.sockets[0].getsockname()[1]
        self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _accept(self) -> ServerConnection:
        return ServerConnection(self._service, self)

    async def close(self) -> None:
        """Stop accepting, flush and close every connection; after two seconds, drop the rest."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        for connection in list(self._connections):
            connection.close()
        if await self._until_empty():
            return
        for connection in list(self._connections):
            connection.abort()
        await self._until_empty()

    async def _until_empty(self) -> bool:
        """Wait until every connection is gone; False when it takes too long."""
        if not self._connections:
            return True
        self._empty = self._loop.create_future()
        try:
            async with asyncio.timeout(LISTENER_CLOSE_SECONDS_MAX):
                await self._empty
        except TimeoutError:
            return False
        finally:
            self._empty = None
        return True

    def _sweep(self) -> None:
        self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        now = self._loop.time()
        for connection in list(self._connections):
            connection.sweep(now)

    # -- for connections -----------------------------------------------------------------------
    @property
    def is_full(self) -> bool:
        """Too many connections for another login."""
        return len(self._connections) > CONNECTION_COUNT_MAX

    def new_session_id(self) -> bytes:
        """16 unpredictable bytes: who knows them may bind to the session."""
        return self._entropy.token(SESSION_ID_BYTES)

    def find(self, session_id: bytes) -> ServerConnection | None:
        """The logged-in connection of that session."""
        return self._sessions.get(session_id)

    def opened(self, connection: ServerConnection) -> bool:
        """Count a new connection; False when it must be dropped at once."""
        self._connections[connection] = None
        closing = self._server is None and self.port != 0
        return not closing and (
            len(self._connections) <= CONNECTION_COUNT_MAX + CONNECTION_SPARE_COUNT
        )

    def entered(self, connection: ServerConnection) -> None:
        """The connection logged in."""
        self._sessions[connection.session_id] = connection

    def closed(self, connection: ServerConnection) -> None:
        """The connection is gone."""
        self._connections.pop(connection, None)
        if self._sessions.get(connection.session_id) is connection:
            del self._sessions[connection.session_id]
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)


async def listen(
    service: Service, host: str, port: int, *, entropy: Entropy, bulk: Bulk, sock: Any = None
) -> Listener:
    """Serve `service` on `host:port` (port 0: a free one, see `Listener.port`), or on `sock`.

    Raises OSError when the address can't be had.
    """
    listener = Listener(service, entropy, bulk)
    await listener.start(host, port, sock)
    return listener
