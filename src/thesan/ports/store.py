"""The local ordered key-value store that holds the applied namespace (RocksDB in production)."""

from collections.abc import Sequence
from typing import Protocol


class Store(Protocol):
    """Ordered map of bytes to bytes. All calls are synchronous and short (pages, not scans)."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of the keys."""
        ...

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs with start <= key < end, in key order."""
        ...

    def write(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Apply all changes atomically (None deletes). Not durable until `flush`, but a crash
        leaves a prefix of the writes in order, never a part of one."""
        ...

    def flush(self) -> None:
        """Make every earlier write durable. May take long: call it off the loop."""
        ...

    def checkpoint(self, path: str) -> None:
        """A consistent copy at `path` (hard links where the store can)."""
        ...

    def close(self) -> None:
        """Flush and release."""
        ...
