"""ports.store.StoreHome in memory: a shelf that outlives processes, and what each of them sees.

A crash treats every store on the shelf as MemoryStore.crash does; which of them is the current one
is decided by one step, as a rename is.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final, TypeVar

from thesan.core.model.errors import StoreError
from thesan.ports.store import Store
from thesan.worlds.simulated.memory_store import MemoryStore

_T = TypeVar("_T")
_PAGE_PAIRS: Final = 250


class Shelf:
    """What a machine keeps of its MGM's stores."""

    def __init__(self, current: MemoryStore | None = None) -> None:
        self.current = current if current is not None else MemoryStore()
        self.fresh: MemoryStore | None = None
        self.checkpoints: dict[str, list[tuple[bytes, bytes]]] = {}

    def crash(self, dice: random.Random) -> None:
        """Its process died: what was not flushed is there in part."""
        self.current = self.current.crash(dice.randint(0, self.current.unflushed_count))
        if self.fresh is not None:
            self.fresh = self.fresh.crash(dice.randint(0, self.fresh.unflushed_count))


class MemoryHome:
    """One process's view of a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def open(self) -> Store:
        """See ports.store.StoreHome, here and below."""
        return await _run(lambda: self._shelf.current)

    async def set_aside(self) -> str:
        def work() -> str:
            self._shelf.current = MemoryStore()
            return "damaged"

        return await _run(work)

    async def flush(self, store: Store) -> None:
        await _run(store.flush)

    async def release(self, store: Store) -> None:
        def work() -> None:
            store.close()
            shelf = self._shelf
            # A closed one can't be opened again, what it held can.
            if store is shelf.current:
                shelf.current = shelf.current.reopen()
            elif store is shelf.fresh:
                shelf.fresh = shelf.fresh.reopen()

        await _run(work)

    async def fresh(self, *, resume: bool) -> Store:
        def work() -> Store:
            if not resume or self._shelf.fresh is None:
                self._shelf.fresh = MemoryStore()
            return self._shelf.fresh

        return await _run(work)

    async def fresh_from(self, checkpoint: str) -> Store:
        def work() -> Store:
            self._shelf.fresh = MemoryStore(self._pairs(checkpoint))
            return self._shelf.fresh

        return await _run(work)

    async def switch(self, current: Store, fresh: Store) -> Store:
        def work() -> Store:
            shelf = self._shelf
            if fresh is not shelf.fresh or shelf.fresh is None:
                raise StoreError("the store to switch to is not the fresh one")
            current.close()
            shelf.current = shelf.fresh.reopen()
            shelf.fresh = None
            return shelf.current

        return await _run(work)

    async def checkpoint(self, store: Store, name_of: Callable[[Store], str]) -> str:
        def work() -> str:
            pairs = store.scan(b"", b"\xff" * 9, 1 << 62)
            name = name_of(MemoryStore(pairs))
            self._shelf.checkpoints.setdefault(name, pairs)
            return name

        return await _run(work)

    async def checkpoints(self) -> list[str]:
        return await _run(lambda: sorted(self._shelf.checkpoints))

    async def open_checkpoint(self, name: str) -> Store:
        return await _run(lambda: MemoryStore(self._pairs(name)))

    async def remove_checkpoint(self, name: str) -> None:
        await _run(lambda: self._shelf.checkpoints.pop(name, None))

    async def scan(
        self, store: Store, start: bytes, end: bytes, bytes_max: int
    ) -> list[tuple[bytes, bytes]]:
        def work() -> list[tuple[bytes, bytes]]:
            pairs: list[tuple[bytes, bytes]] = []
            at, size = start, 0
            while size < bytes_max and (rows := store.scan(at, end, _PAGE_PAIRS)):
                for row in rows:
                    pairs.append(row)
                    size += len(row[0]) + len(row[1])
                    if size >= bytes_max:
                        break
                at = pairs[-1][0] + b"\0"
            return pairs

        return await _run(work)

    def _pairs(self, checkpoint: str) -> list[tuple[bytes, bytes]]:
        pairs = self._shelf.checkpoints.get(checkpoint)
        if pairs is None:
            raise StoreError(f"there is no checkpoint {checkpoint}")
        return pairs


async def _run(work: Callable[[], _T]) -> _T:
    """At a seeded moment, as in a worker thread."""
    return await asyncio.get_running_loop().run_in_executor(None, work)
