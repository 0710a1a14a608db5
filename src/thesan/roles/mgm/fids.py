"""File ids: given out from a range that the journal has reserved durably.

An id may leave the process (in a capability, as the name of a file on an FST) long before any op
about it is journaled. So the range comes first: after a crash the next master starts behind
everything that was reserved, and no id is ever given out twice.
"""

import errno
from collections.abc import Callable

from thesan.core.model.errors import OperationError
from thesan.core.model.ids import Fid
from thesan.core.model.limits import FID_RANGE


class Fids:
    """Counts up. `reserve(limit, done)` journals that ids below `limit` may be given out and calls
    `done` when that is durable; it may raise OperationError, and is then asked again later."""

    def __init__(self, first: Fid, reserve: Callable[[int, Callable[[], None]], None]) -> None:
        """`first`: the lowest id that no earlier mastership can have given out."""
        self.last = 0
        """Highest id given out by this mastership, 0 before the first."""
        self._next = int(first)
        self._durable = int(first)
        self._asked = int(first)
        self._reserve = reserve

    def start(self) -> None:
        """Reserve the first range."""
        self._ask()

    def take(self) -> Fid:
        """The next id. Raises OperationError EAGAIN while a range is being reserved."""
        fid = self._next
        if fid + FID_RANGE // 2 >= self._asked:
            try:
                self._ask()
            except OperationError:
                if fid >= self._durable:
                    raise
        if fid >= self._durable:
            raise OperationError(errno.EAGAIN, "file ids are being reserved, try again")
        self._next = fid + 1
        self.last = fid
        return Fid(fid)

    def _ask(self) -> None:
        limit = self._asked + FID_RANGE

        def done() -> None:
            self._durable = max(self._durable, limit)

        self._reserve(limit, done)
        self._asked = limit
