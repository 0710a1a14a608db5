"""Who waits for an answer on a connection, and what for."""

import asyncio
from enum import Enum

from thesan.core.model.errors import OperationError
from thesan.core.wire.client import Response


class Call(Enum):
    """How a call waits for its answer."""

    FIRM = "firm"
    """On this connection or not at all."""
    MOVABLE = "movable"
    """Another server may answer it as well: `give_up` ends it."""
    POLL = "poll"
    """A long poll: the server owes nothing until it has something to say."""


class GivenUp(OperationError):
    """The caller's side took the request back; its connection lives."""


class Waiter:
    """Somebody who waits for the answer to one request."""

    __slots__ = ("call", "future", "is_announced", "timer", "what")

    def __init__(
        self,
        what: str,
        call: Call,
        future: "asyncio.Future[Response]",
        timer: asyncio.TimerHandle,
    ) -> None:
        self.what = what
        self.call = call
        self.future = future
        self.timer = timer
        self.is_announced = False
        """A kXR_waitresp prolonged the wait; a second one does not."""
