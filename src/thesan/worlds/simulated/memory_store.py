"""ports.store in memory, with the crash semantics of the real one: a crash leaves every flushed
write and a prefix of the later ones, never a part of a write."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Final

from thesan.core.model.errors import StoreError

_UNFLUSHED_MAX: Final = 10_000
"""Writes that may be lost at once; older ones count as flushed, as RocksDB flushes full buffers."""


class MemoryStore:
    """Ordered map of bytes to bytes."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._values: dict[bytes, bytes] = dict(pairs)
        self._keys: list[bytes] = sorted(self._values)
        self._durable: dict[bytes, bytes] = dict(self._values)
        self._unflushed: list[list[tuple[bytes, bytes | None]]] = []
        self._open = True
        self.checkpoints: dict[str, MemoryStore] = {}
        """What `checkpoint` made, by path."""

    @property
    def unflushed_count(self) -> int:
        """Writes that a crash may lose."""
        return len(self._unflushed)

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        self._check_open()
        return self._values.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of the keys."""
        self._check_open()
        return [self._values.get(key) for key in keys]

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs with start <= key < end, in key order."""
        self._check_open()
        first = bisect_left(self._keys, start)
        last = min(bisect_left(self._keys, end, first), first + max(limit, 0))
        return [(key, self._values[key]) for key in self._keys[first:last]]

    def write(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Apply all changes atomically (None deletes)."""
        self._check_open()
        for key, value in changes:
            if value is None:
                if self._values.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
            else:
                if key not in self._values:
                    insort(self._keys, key)
                self._values[key] = value
        self._unflushed.append(list(changes))
        if len(self._unflushed) > _UNFLUSHED_MAX:
            _apply(self._durable, self._unflushed[:1])
            del self._unflushed[:1]

    def flush(self) -> None:
        """Make every earlier write durable."""
        self._check_open()
        _apply(self._durable, self._unflushed)
        self._unflushed.clear()

    def checkpoint(self, path: str) -> None:
        """Keep a consistent copy as `checkpoints[path]`."""
        self._check_open()
        if path in self.checkpoints:
            raise StoreError(f"checkpoint {path} exists")
        self.checkpoints[path] = MemoryStore(self._values.items())

    def close(self) -> None:
        """Flush and release. Safe to call twice."""
        if self._open:
            self.flush()
            self._open = False

    def reopen(self) -> "MemoryStore":
        """What the next process finds after a clean `close`."""
        self.close()
        return self._survivor()

    def as_after_crash(self) -> "MemoryStore":
        """A copy of what is durable now; this one goes on."""
        return MemoryStore(self._durable.items())

    def crash(self, keep_writes: int = 0) -> "MemoryStore":
        """What the next process finds after a crash that kept `keep_writes` unflushed writes."""
        _apply(self._durable, self._unflushed[:keep_writes])
        self._open = False
        return self._survivor()

    def _survivor(self) -> "MemoryStore":
        store = MemoryStore(self._durable.items())
        store.checkpoints = self.checkpoints
        return store

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError("store is closed")


def _apply(
    values: dict[bytes, bytes], writes: Iterable[Sequence[tuple[bytes, bytes | None]]]
) -> None:
    for changes in writes:
        for key, value in changes:
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
