"""ports.store.StoreHome on a directory: which of its RocksDB directories is the store.

    CURRENT              name of the store's directory; without it `namespace`
    namespace[.N]        the store
    namespace.fresh      one that is being filled
    damaged              one that could not be opened, set aside for whoever wants to know why
    checkpoints/NAME     checkpoints: hard links, so only what has changed since costs space

A directory becomes the store by one rename of CURRENT; what is neither named there nor `fresh` is
left over and goes at the next start. SIGKILL anywhere leaves one whole store.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from thesan.core.model.errors import StoreDamaged, StoreError
from thesan.core.model.units import MIB
from thesan.ports.store import Store
from thesan.worlds.real.rocks_store import RocksStore

_T = TypeVar("_T")
_POINTER: Final = "CURRENT"
_FIRST: Final = "namespace"
_FRESH: Final = "namespace.fresh"
_DAMAGED: Final = "damaged"
_CHECKPOINTS: Final = "checkpoints"
_MAKING: Final = ".making"
_PAGE_PAIRS: Final = 250
_CHECKPOINT_CACHE_BYTES: Final = 16 * MIB
"""A checkpoint is read once, in order: no block is wanted twice."""


class RocksHome:
    """The stores below `directory`, which must exist."""

    def __init__(self, directory: str | Path) -> None:
        self._root = Path(directory)
        self._made = 0

    async def open(self) -> Store:
        """See ports.store.StoreHome, here and below."""
        return await _run(self._open)

    async def set_aside(self) -> str:
        return await _run(self._set_aside)

    async def flush(self, store: Store) -> None:
        await _run(store.flush)

    async def release(self, store: Store) -> None:
        await _run(store.close)

    async def fresh(self, *, resume: bool) -> Store:
        def work() -> Store:
            if not resume:
                _remove(self._root / _FRESH)
            try:
                return RocksStore(str(self._root / _FRESH))
            except StoreDamaged:
                _remove(self._root / _FRESH)
                return RocksStore(str(self._root / _FRESH))

        return await _run(work)

    async def fresh_from(self, checkpoint: str) -> Store:
        def work() -> Store:
            fresh = self._root / _FRESH
            _remove(fresh)
            _copy(self._checkpoint_path(checkpoint), fresh)
            return RocksStore(str(fresh))

        return await _run(work)

    async def switch(self, current: Store, fresh: Store) -> Store:
        def work() -> Store:
            fresh.close()
            current.close()
            self._make_current()
            return self._open()

        return await _run(work)

    async def checkpoint(self, store: Store, name_of: Callable[[Store], str]) -> str:
        def work() -> str:
            folder = self._root / _CHECKPOINTS
            folder.mkdir(mode=0o700, exist_ok=True)
            self._made += 1
            making = folder / f"{_MAKING}.{self._made}"
            _remove(making)
            store.checkpoint(str(making))
            copy = RocksStore(str(making), read_only=True, cache_bytes=_CHECKPOINT_CACHE_BYTES)
            try:
                name = name_of(copy)
            finally:
                copy.close()
            final = folder / _checked(name)
            if final.exists():
                _remove(making)
            else:
                making.rename(final)
                _sync(folder)
            return name

        return await _run(work)

    async def checkpoints(self) -> list[str]:
        def work() -> list[str]:
            folder = self._root / _CHECKPOINTS
            if not folder.is_dir():
                return []
            return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")

        return await _run(work)

    async def open_checkpoint(self, name: str) -> Store:
        def work() -> Store:
            path = self._checkpoint_path(name)
            return RocksStore(str(path), read_only=True, cache_bytes=_CHECKPOINT_CACHE_BYTES)

        return await _run(work)

    async def remove_checkpoint(self, name: str) -> None:
        def work() -> None:
            path = self._root / _CHECKPOINTS / _checked(name)
            if path.exists():
                # Under another name first: half of a checkpoint must not look like one.
                gone = path.with_name(f"{_MAKING}.{name}")
                _remove(gone)
                path.rename(gone)
                _remove(gone)

        await _run(work)

    async def scan(
        self, store: Store, start: bytes, end: bytes, bytes_max: int
    ) -> list[tuple[bytes, bytes]]:
        def work() -> list[tuple[bytes, bytes]]:
            pairs: list[tuple[bytes, bytes]] = []
            at, size = start, 0
            while size < bytes_max:
                began_s = time.perf_counter()
                rows = store.scan(at, end, _PAGE_PAIRS)
                for row in rows:
                    pairs.append(row)
                    size += len(row[0]) + len(row[1])
                    if size >= bytes_max:
                        break
                if len(rows) < _PAGE_PAIRS:
                    break
                at = rows[-1][0] + b"\0"
                # The event loop wants the interpreter lock too: it gets half of the time.
                time.sleep(time.perf_counter() - began_s)
            return pairs

        return await _run(work)

    # -- in a worker ---------------------------------------------------------------------------
    def _current(self) -> Path:
        try:
            name = (self._root / _POINTER).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            name = _FIRST
        return self._root / _checked(name)

    def _open(self) -> Store:
        current = self._current()
        for path in self._root.iterdir():
            is_store = path.name == _FIRST or path.name.startswith(f"{_FIRST}.")
            if is_store and path.is_dir() and path.name not in (current.name, _FRESH):
                _remove(path)
        for path in (self._root / _CHECKPOINTS).glob(f"{_MAKING}*"):
            _remove(path)
        damaged = self._root / _DAMAGED
        if current.name != _FIRST and not current.is_dir() and not damaged.is_dir():
            raise StoreError(f"{self._root / _POINTER} names {current.name}, which is not there")
        return RocksStore(str(current))

    def _set_aside(self) -> str:
        damaged = self._root / _DAMAGED
        _remove(damaged)
        self._current().rename(damaged)
        _sync(self._root)
        return str(damaged)

    def _make_current(self) -> None:
        number = int(self._current().name.partition(".")[2] or "1")
        target = self._root / f"{_FIRST}.{number + 1}"
        _remove(target)
        (self._root / _FRESH).rename(target)
        _sync(self._root)
        aside = self._root / f".{_POINTER}.new"
        with aside.open("w", encoding="ascii") as file:
            file.write(f"{target.name}\n")
            file.flush()
            os.fsync(file.fileno())
        aside.rename(self._root / _POINTER)
        _sync(self._root)

    def _checkpoint_path(self, name: str) -> Path:
        path = self._root / _CHECKPOINTS / _checked(name)
        if not path.is_dir():
            raise StoreError(f"there is no checkpoint {name} in {self._root}")
        return path


async def _run(work: Callable[[], _T]) -> _T:
    def guarded() -> _T:
        try:
            return work()
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise StoreError(f"{where}{error.strerror or error}") from error

    return await asyncio.to_thread(guarded)


def _checked(name: str) -> str:
    """A plain file name. Raises StoreError."""
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise StoreError(f"{name!r} is not the name of a store or a checkpoint")
    return name


def _copy(source: Path, target: Path) -> None:
    """A directory that shares the files which RocksDB never changes."""
    target.mkdir(mode=0o700)
    for path in source.iterdir():
        if path.suffix == ".sst":
            os.link(path, target / path.name)
        else:
            shutil.copy2(path, target / path.name)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
