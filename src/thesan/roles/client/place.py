"""Where a file is open now."""

import contextlib

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID
from thesan.io.transport.client import ClientConnection
from thesan.roles.client.url import Endpoint


class Place(msgspec.Struct):
    """One handle at one FST."""

    endpoint: Endpoint
    connection: ClientConnection
    handle: int
    pages: bool
    """The FST speaks pgread and pgwrite, and the client wants them."""


async def close_quietly(place: Place, timeout: float) -> None:
    """Close a handle that was read only: whatever comes of it is of no interest."""
    with contextlib.suppress(OperationError):
        await place.connection.call(rq.Close(NO_SID, place.handle), timeout)
