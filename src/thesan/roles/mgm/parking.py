"""Requests that need a master while there is none: kept for a moment instead of sent away.

A kXR_wait costs its client a whole second, a failover often less than that. So the request stays
here until somebody is master (then it is answered, or redirected) or its time is over (then its
client is told to wait).
"""

import asyncio
from collections import deque
from collections.abc import Callable

from thesan.core.model.errors import ThesanError, Xrd
from thesan.core.model.leadership_limits import (
    PARK_SECONDS_MAX,
    PARKED_PER_TURN_MAX,
    PARKED_REQUESTS_MAX,
)
from thesan.core.wire import responses
from thesan.core.wire.requests import Request
from thesan.io.transport.answers import error_answer
from thesan.io.transport.server import ServerConnection

Handle = Callable[[ServerConnection, Request], bytes | bytearray | None]
_Parked = tuple[float, ServerConnection, Request]


class Parking:
    """At most PARKED_REQUESTS_MAX requests, each for at most PARK_SECONDS_MAX."""

    def __init__(self, handle: Handle) -> None:
        """`handle` answers a request as if it had come now; it may park it again."""
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._parked: deque[_Parked] = deque()
        self._again: deque[_Parked] = deque()
        self._due_s = 0.0
        """When the request that is handled again was due: parked again, it gets no new time."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_turning = False

    def __len__(self) -> int:
        return len(self._parked) + len(self._again)

    def park(self, connection: ServerConnection, request: Request) -> bytes | None:
        """Keep the request; kXR_wait when too many are kept, or its time is over."""
        now_s = self._loop.time()
        due_s = self._due_s or now_s + PARK_SECONDS_MAX
        if len(self._parked) >= PARKED_REQUESTS_MAX or due_s <= now_s:
            return _wait(request)
        self._parked.append((due_s, connection, request))
        self._arm()
        return None

    def wake(self) -> None:
        """There is a master, here or elsewhere: handle all again."""
        if self._parked:
            self._again.extend(self._parked)
            self._parked.clear()
            self._turn_soon()

    def handle_now(self, connection: ServerConnection, request: Request) -> None:
        """Handle a request that waited for something else; its answer leaves when it is there."""
        if connection.is_closed:
            return
        answer = self._answer(connection, request)
        if answer is not None:
            connection.reply(answer)

    def close(self) -> None:
        """The process ends: who waits is disconnected with all others."""
        if self._timer is not None:
            self._timer.cancel()
        self._parked.clear()
        self._again.clear()

    # -- time is over ----------------------------------------------------------------------------
    def _arm(self) -> None:
        if self._timer is None and self._parked:
            self._timer = self._loop.call_at(self._parked[0][0], self._expire)

    def _expire(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        # Those parked again keep their time, so the order of times is not quite that of arrival.
        while self._parked and self._parked[0][0] <= now_s:
            _, connection, request = self._parked.popleft()
            connection.reply(_wait(request))
        self._arm()

    # -- again -----------------------------------------------------------------------------------
    def _turn_soon(self) -> None:
        if not self._is_turning:
            self._is_turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_turning = False
        for _ in range(min(PARKED_PER_TURN_MAX, len(self._again))):
            due_s, connection, request = self._again.popleft()
            self._due_s = due_s
            try:
                self.handle_now(connection, request)
            finally:
                self._due_s = 0.0
        if self._again:
            self._turn_soon()

    def _answer(self, connection: ServerConnection, request: Request) -> bytes | bytearray | None:
        try:
            return self._handle(connection, request)
        except ThesanError as error:
            return error_answer(request.sid, error)
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": f"{type(request).__name__} failed after a wait", "exception": error}
            )
            return responses.error(request.sid, Xrd.SERVER_ERROR, "internal error")


def _wait(request: Request) -> bytes:
    return responses.wait(request.sid, 1, "there is no master at the moment")
