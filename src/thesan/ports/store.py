"""The local ordered key-value store that holds the applied namespace (RocksDB in production)."""

from collections.abc import Callable, Sequence
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


class StoreHome(Protocol):
    """Where one MGM keeps its store, with a place beside it for a new one, and checkpoints.

    Blocking work is done off the loop. Every method raises StoreError. Checkpoints are consistent
    copies of the store (hard links where it can), by name, kept until they are removed.
    """

    async def open(self) -> Store:
        """The current store, empty when there was none. Raises StoreDamaged."""
        ...

    async def set_aside(self) -> str:
        """Take a damaged store, which is not open, out of the way, and keep it: the next `open`
        gives an empty one. Returns its new name; one that was set aside before is removed."""
        ...

    async def flush(self, store: Store) -> None:
        """`store.flush`, off the loop."""
        ...

    async def release(self, store: Store) -> None:
        """`store.close`, off the loop: of any store that this home opened."""
        ...

    async def fresh(self, *, resume: bool) -> Store:
        """The store beside the current one: empty, or with `resume` as an earlier process left
        it. Nobody takes it for the current one before `switch`."""
        ...

    async def fresh_from(self, checkpoint: str) -> Store:
        """The store beside the current one, anew as a copy of a checkpoint of this home."""
        ...

    async def switch(self, current: Store, fresh: Store) -> Store:
        """Make `fresh`, durably, the current store, and return it open; the old one is removed.

        Both values are closed by this. A crash at any point leaves one of the two as the current
        store, whole.
        """
        ...

    async def checkpoint(self, store: Store, name_of: Callable[[Store], str]) -> str:
        """Copy `store` as it is now and keep the copy under the name that `name_of(copy)` gives
        (a plain file name; what is there already under that name stays). Returns the name."""
        ...

    async def checkpoints(self) -> list[str]:
        """Names of all checkpoints, sorted."""
        ...

    async def open_checkpoint(self, name: str) -> Store:
        """A checkpoint, for reading. StoreError when there is none of that name."""
        ...

    async def remove_checkpoint(self, name: str) -> None:
        """Remove a checkpoint that nobody has open; fine when it is not there."""
        ...

    async def scan(
        self, store: Store, start: bytes, end: bytes, bytes_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Pairs from `start` up to `end` (exclusive), at least one if any, until `bytes_max` is
        reached: off the loop, for stores that nothing is written to meanwhile."""
        ...
