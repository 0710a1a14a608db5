"""Connections by address: dialled once for all who want them, kept while used, closed when idle.

One connection per server carries everything of one client; requests are multiplexed on it. Another
login name is another pool.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable

from thesan.core.model.errors import OperationError, Retry
from thesan.core.model.limits import CLIENT_FST_DIAL_SECONDS, CLIENT_MGM_DIAL_SECONDS
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import ClientConnection, dial
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.url import Endpoint

Dial = Callable[[Endpoint], Awaitable[ClientConnection]]


class _Entry:
    """One connection and who uses it."""

    __slots__ = ("connection", "holds", "used_at")

    def __init__(self, connection: ClientConnection, used_at: float) -> None:
        self.connection = connection
        self.holds = 0
        """Open files: their handles live in this connection."""
        self.used_at = used_at


class Pool:
    """The connections of one client. `dialler` is for tests."""

    def __init__(self, config: ClientConfig, dialler: Dial | None = None) -> None:
        self._config = config
        self._dial = dialler or self._dial_for_real
        self._entries: dict[Endpoint, _Entry] = {}
        self._retired: list[_Entry] = []
        self._dialling: dict[Endpoint, asyncio.Task[ClientConnection]] = {}
        self._dial_seconds: dict[Endpoint, float] = {}
        """Bound of the next dial to an MGM that was silent."""
        self._tasks = TaskOwner("pool")
        self._loop = asyncio.get_running_loop()
        self._sweep_timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(not entry.connection.is_closed for entry in self._entries.values())

    def find(self, endpoint: Endpoint) -> ClientConnection | None:
        """The live connection to `endpoint` if there is one."""
        entry = self._entries.get(endpoint)
        if entry is None or entry.connection.is_closed:
            return None
        entry.used_at = self._loop.time()
        return entry.connection

    @property
    def live(self) -> list[Endpoint]:
        """Where there is a connection that answers, as far as is known."""
        return [
            endpoint
            for endpoint, entry in self._entries.items()
            if not entry.connection.is_closed and not entry.connection.is_suspicious
        ]

    async def get(self, endpoint: Endpoint, *, is_mgm: bool = False) -> ClientConnection:
        """A live connection to `endpoint`. Raises OperationError as `dial` does."""
        connection = self.find(endpoint)
        if connection is not None:
            return connection
        # One caller's end must not be the end of a dial that others wait for too.
        return await asyncio.shield(self.dialling(endpoint, is_mgm=is_mgm))

    def dialling(
        self, endpoint: Endpoint, *, is_mgm: bool = False
    ) -> "asyncio.Task[ClientConnection]":
        """The dial to `endpoint` that is under way, begun if there is none.

        A silent server is given up soon at first, and later each time: others may answer.
        """
        task = self._dialling.get(endpoint)
        if task is None:
            task = self._tasks.start(f"dial {endpoint}", self._connect(endpoint, is_mgm))
            task.add_done_callback(_take_note)
            self._dialling[endpoint] = task
        return task

    async def _connect(self, endpoint: Endpoint, is_mgm: bool) -> ClientConnection:
        first = CLIENT_MGM_DIAL_SECONDS if is_mgm else CLIENT_FST_DIAL_SECONDS
        bound = min(self._config.dial_seconds_max, self._dial_seconds.get(endpoint, first))
        try:
            async with asyncio.timeout(bound):
                connection = await self._dial(endpoint)
        except TimeoutError:
            self._dial_seconds[endpoint] = 2 * bound
            text = f"{endpoint} does not answer (waited {bound:.1f} s)"
            raise OperationError(errno.EHOSTUNREACH, text, Retry.ELSEWHERE) from None
        finally:
            self._dialling.pop(endpoint, None)
        self._dial_seconds.pop(endpoint, None)
        self._entries[endpoint] = _Entry(connection, self._loop.time())
        self._sweep_later()
        return connection

    async def _dial_for_real(self, endpoint: Endpoint) -> ClientConnection:
        return await dial(
            endpoint.host,
            endpoint.port,
            self._config.login,
            timeout=self._config.dial_seconds_max,
            silence_seconds_max=self._config.silence_seconds_max,
        )

    def hold(
        self, endpoint: Endpoint, connection: ClientConnection, *, is_upload: bool = False
    ) -> None:
        """Keep a connection while something of its session is used: an open file."""
        connection.uploads += is_upload
        entry = self._entry_of(endpoint, connection)
        if entry is not None:
            entry.holds += 1

    def release(
        self, endpoint: Endpoint, connection: ClientConnection, *, is_upload: bool = False
    ) -> None:
        """End one `hold`."""
        connection.uploads -= is_upload
        entry = self._entry_of(endpoint, connection)
        if entry is not None and entry.holds:
            entry.holds -= 1
            entry.used_at = self._loop.time()
            if not entry.holds and entry in self._retired:
                self._retired.remove(entry)
                connection.abort("an unfinished upload was given up")

    def retire(self, endpoint: Endpoint, connection: ClientConnection) -> None:
        """Give the connection to nobody else; it is dropped when its last hold is released.

        For an upload that the server must forget without having it closed, that is committed.
        """
        entry = self._entries.get(endpoint)
        if entry is not None and entry.connection is connection:
            del self._entries[endpoint]
            self._retired.append(entry)

    def _entry_of(self, endpoint: Endpoint, connection: ClientConnection) -> _Entry | None:
        entry = self._entries.get(endpoint)
        if entry is not None and entry.connection is connection:
            return entry
        return next((entry for entry in self._retired if entry.connection is connection), None)

    # -- idle connections ----------------------------------------------------------------------
    def _sweep_later(self) -> None:
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(self._config.idle_seconds / 2, self._sweep)

    def _sweep(self) -> None:
        self._sweep_timer = None
        now = self._loop.time()
        for endpoint, entry in list(self._entries.items()):
            connection = entry.connection
            if connection.is_closed:
                del self._entries[endpoint]
            elif connection.in_flight or entry.holds:
                entry.used_at = now
            elif now - entry.used_at >= self._config.idle_seconds:
                del self._entries[endpoint]
                self._tasks.start(f"close {endpoint}", connection.close())
        if self._entries:
            self._sweep_later()

    async def close(self) -> None:
        """Close every connection. Later calls of `get` fail."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        await self._tasks.close()
        entries = [*self._entries.values(), *self._retired]
        self._entries.clear()
        self._retired.clear()
        await asyncio.gather(*(entry.connection.close() for entry in entries))


def _take_note(task: "asyncio.Task[ClientConnection]") -> None:
    """Of a failure that nobody waited for any more."""
    if not task.cancelled():
        task.exception()
