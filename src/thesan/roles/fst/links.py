"""The head's way to the other replicas of an upload, over kept connections to their FSTs.

Uploads share one connection for each pair of FSTs. On it the order of one upload's requests is the
order in which they are made; the upload itself waits where that matters (see upload.py).
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from thesan.core.authority.capability import CGI_KEY, Replica
from thesan.core.control.replica import (
    Done,
    Order,
    Outcome,
    Seal,
    Sealed,
    Settle,
    decode_outcome,
    encode_order,
)
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import ControlError, OperationError, WireError
from thesan.core.model.limits import (
    PEER_ALIVE_SECONDS,
    REPLICA_CALL_SECONDS_MAX,
    REPLICA_OPEN_SECONDS_MAX,
)
from thesan.core.wire.bodies import parse_open, parse_wait
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import NO_SID, OpenFlag, QueryCode, Status
from thesan.core.wire.requests import Close, Open, Query, Request, Set, Sync, Truncate, Write
from thesan.io.transport.client import error_of
from thesan.roles.fst.mgms import Connection

Data = bytes | bytearray | memoryview
Dial = Callable[[str, int], Awaitable[Connection]]
"""(host, port) to a logged-in connection."""

_FRESH: Final = int(OpenFlag.UPDATE | OpenFlag.DELETE)
_RESUMED: Final = int(OpenFlag.UPDATE)


class Link(Protocol):
    """One other replica of an upload. Every method raises OperationError when it is lost."""

    fsid: int

    @property
    def is_alive(self) -> bool:
        """False when its server is known to be gone: the replica may not be there any more."""
        ...

    async def write(self, offset: int, data: Data) -> None: ...

    async def truncate(self, size: int) -> None: ...

    async def sync(self) -> None: ...

    async def seal(self, mtime_ns: int) -> Sealed: ...

    async def settle(self, *, keep: bool) -> None: ...

    async def close(self) -> None:
        """Let go without a verdict: the replica waits for a while, then resolves it itself."""
        ...


class Peers:
    """Connections to other FSTs, made when first needed."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._connections: dict[str, Connection] = {}
        self._dialling: dict[str, asyncio.Lock] = {}

    async def open(self, replica: Replica, path: str, *, fresh: bool) -> Link:
        """Open the replica's part of an upload; `fresh`: whatever is there is cut to nothing."""
        try:
            async with asyncio.timeout(REPLICA_OPEN_SECONDS_MAX):
                connection = await self.connect(replica.node)
                options = _FRESH if fresh else _RESUMED
                cgi = f"{CGI_KEY}={replica.token}"
                request = Open(NO_SID, path, cgi, mode=0o600, options=options)
                response = await ask(connection, request, REPLICA_OPEN_SECONDS_MAX)
                fh, _ = parse_open(bytes(response.body))
        except TimeoutError as error:
            text = f"{replica.node} did not open its replica in {REPLICA_OPEN_SECONDS_MAX:.0f} s"
            raise OperationError(errno.ETIMEDOUT, text) from error
        except WireError as error:
            raise OperationError(errno.EPROTO, error.text) from error
        return PeerLink(connection, replica.fsid, fh)

    async def connect(self, node: str) -> Connection:
        """The kept connection to `node`, dialled anew if it is gone."""
        lock = self._dialling.setdefault(node, asyncio.Lock())
        async with lock:
            connection = self._connections.get(node)
            if connection is None or connection.is_closed:
                host, port = split_address(node)
                connection = self._connections[node] = await self._dial(host, port)
        return connection

    async def keep_alive(self) -> None:
        """Say on every connection that we are there, for ever; drop those that do not answer."""
        while True:
            await asyncio.sleep(PEER_ALIVE_SECONDS)
            connections = list(self._connections.items())
            await asyncio.gather(*[self._say_alive(*item) for item in connections])

    async def _say_alive(self, node: str, connection: Connection) -> None:
        try:
            # Not a ping: the transport answers those, and the other FST would not hear it.
            await ask(connection, Set(NO_SID, args=b"alive"), PEER_ALIVE_SECONDS)
        except OperationError as error:
            if self._connections.get(node) is connection:
                del self._connections[node]
            connection.abort(f"it did not answer: {error.text}")

    async def close(self) -> None:
        """Close all connections."""
        connections = list(self._connections.values())
        self._connections.clear()
        await asyncio.gather(*[connection.close() for connection in connections])


class PeerLink:
    """A `Link` over the wire."""

    def __init__(self, connection: Connection, fsid: int, fh: int) -> None:
        self.fsid = fsid
        self._connection = connection
        self._fh = fh

    @property
    def is_alive(self) -> bool:
        """The connection holds: the other FST has not given the upload up."""
        return not self._connection.is_closed

    async def write(self, offset: int, data: Data) -> None:
        """kXR_write. `data` must not change until this returns."""
        # The wire takes any buffer; its type says what a decoded request holds.
        body: bytes = data  # type: ignore[assignment]
        await self._ask(Write(NO_SID, self._fh, offset, data=body))

    async def truncate(self, size: int) -> None:
        """kXR_truncate by handle."""
        await self._ask(Truncate(NO_SID, fh=self._fh, size=size))

    async def sync(self) -> None:
        """kXR_sync."""
        await self._ask(Sync(NO_SID, self._fh))

    async def seal(self, mtime_ns: int) -> Sealed:
        """Everything durable; what it is."""
        outcome = await self._order(Seal(mtime_ns))
        if not isinstance(outcome, Sealed):
            raise OperationError(errno.EPROTO, "replica answered a seal with something else")
        return outcome

    async def settle(self, *, keep: bool) -> None:
        """Over."""
        outcome = await self._order(Settle(keep))
        if not isinstance(outcome, Done):
            raise OperationError(errno.EPROTO, "replica answered an order with something else")

    async def close(self) -> None:
        """kXR_close."""
        await self._ask(Close(NO_SID, self._fh))

    async def _order(self, order: Order) -> Outcome:
        query = Query(NO_SID, QueryCode.OPAQUE_HANDLE, self._fh, encode_order(order))
        response = await self._ask(query)
        try:
            return decode_outcome(bytes(response.body))
        except ControlError as error:
            raise OperationError(errno.EPROTO, str(error)) from error

    async def _ask(self, request: Request) -> Response:
        return await ask(self._connection, request, REPLICA_CALL_SECONDS_MAX)


async def ask(connection: Connection, request: Request, seconds_max: float) -> Response:
    """Call until the answer is neither a wait nor late. Raises OperationError for all but ok."""
    try:
        async with asyncio.timeout(seconds_max):
            while True:
                response = await connection.call(request, seconds_max)
                if response.status == Status.OK:
                    return response
                if response.status == Status.REDIRECT:
                    raise OperationError(errno.ESTALE, "sent back to the MGM: the ticket is old")
                if response.status != Status.WAIT:
                    raise error_of(response)
                await asyncio.sleep(parse_wait(bytes(response.body))[0])
    except TimeoutError as error:
        what = type(request).__name__.lower()
        text = f"no answer to {what} in {seconds_max:.0f} s"
        raise OperationError(errno.ETIMEDOUT, text) from error
    except WireError as error:
        raise OperationError(errno.EPROTO, error.text) from error
