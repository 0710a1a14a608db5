"""The engines under contract, and a way to open any number of nodes on a fresh journal."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from thesan.ports.engine import Engine
from thesan.worlds.real.sqlite_engine import SqliteEngine
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal

OpenOne = Callable[[], Awaitable[Engine]]
Story = Callable[[OpenOne], Awaitable[None]]


class MemoryService:
    """A fresh journal, and engines of any number of nodes on it."""

    def __init__(self, _folder: Path) -> None:
        self._journal = MemoryJournal()

    async def open(self) -> Engine:
        return MemoryEngine(self._journal, Random(0))


class SqliteService:
    """One file, opened once for each node."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "journal.db")

    async def open(self) -> Engine:
        return await SqliteEngine.open(self._path)


class EtcdService:
    """A prefix of its own in a real etcd of three members, opened once for each node."""

    def __init__(self, folder: Path, etcd: Any) -> None:
        self._spec = f"{etcd.spec}/{folder.name}"

    async def open(self) -> Engine:
        from thesan.worlds.real.engines import open_engine

        return await open_engine(self._spec)


SERVICES = {"memory": MemoryService, "sqlite": SqliteService, "etcd": EtcdService}
"""A new engine is one line here."""


@pytest.fixture(params=list(SERVICES), scope="session")
def engines(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], AbstractAsyncContextManager[OpenOne]]:
    """Call it for a fresh journal: a context that yields a function which opens one more node."""
    kind: Callable[[Path], Any] = SERVICES[request.param]
    if request.param == "etcd":
        kind = partial(EtcdService, etcd=request.getfixturevalue("etcd"))

    @asynccontextmanager
    async def fresh() -> AsyncGenerator[OpenOne, None]:
        service = kind(tmp_path_factory.mktemp("engine"))
        opened: list[Engine] = []

        async def open_one() -> Engine:
            opened.append(await service.open())
            return opened[-1]

        try:
            yield open_one
        finally:
            for engine in opened:
                await engine.close()

    return fresh


@pytest.fixture
def play(
    engines: Callable[[], AbstractAsyncContextManager[OpenOne]],
) -> Callable[[Story], None]:
    """Run a story on a fresh journal, with a deadline."""

    async def whole(story: Story) -> None:
        async with engines() as open_one, asyncio.timeout(60):
            await story(open_one)

    return lambda story: asyncio.run(whole(story))
