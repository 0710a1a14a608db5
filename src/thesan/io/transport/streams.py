"""Substreams of a session (kXR_bind): further connections that carry its answers."""

import errno
from typing import Generic, Protocol, TypeVar

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import BIND_STREAMS_MAX


class Stream(Protocol):
    """A bound connection."""

    @property
    def is_closed(self) -> bool: ...

    @property
    def queued_bytes(self) -> int: ...

    def close(self) -> None: ...


_S = TypeVar("_S", bound=Stream)


class Streams(Generic[_S]):
    """Those of one session, by path id."""

    def __init__(self) -> None:
        self._by_id: dict[int, _S] = {}

    @property
    def queued_bytes(self) -> int:
        """Answers that wait, on all of them."""
        if not self._by_id:
            return 0
        return sum([stream.queued_bytes for stream in self._by_id.values()])

    def add(self, stream: _S) -> int:
        """The path id of a new one. Raises OperationError EUSERS when there are enough."""
        path_id = next((n for n in range(1, BIND_STREAMS_MAX + 1) if n not in self._by_id), 0)
        if not path_id:
            raise OperationError(errno.EUSERS, f"{BIND_STREAMS_MAX} streams are bound already")
        self._by_id[path_id] = stream
        return path_id

    def find(self, path_id: int) -> _S:
        """Raises OperationError EINVAL when there is none."""
        stream = self._by_id.get(path_id)
        if stream is None or stream.is_closed:
            raise OperationError(errno.EINVAL, f"no bound stream {path_id}")
        return stream

    def forget(self, stream: _S) -> None:
        """It is gone; its path id is free again."""
        for path_id, bound in list(self._by_id.items()):
            if bound is stream:
                del self._by_id[path_id]

    def close(self) -> None:
        """The session is over."""
        for stream in list(self._by_id.values()):
            stream.close()
        self._by_id.clear()
