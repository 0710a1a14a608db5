"""An engine whose entries reach the archive of this MGM as they pass by.

Whatever is read from the engine, or was appended to it, is in the journal for ever: the archive
may have it before it is applied. Entries that pass nobody here, as an append whose outcome had to
be read back, the archive fetches itself. A trim never goes beyond what the archive has closed.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from thesan.core.model.ids import Seq
from thesan.io.journal.archive import Archive
from thesan.ports.engine import Engine, EngineStatus, Observation, Owner


class RecordedEngine:
    """`ports.engine.Engine` over another one, with the same promises."""

    def __init__(self, engine: Engine, archive: Archive) -> None:
        self._engine = engine
        self._archive = archive

    async def owner(self) -> Owner | None:
        """See ports.engine.Engine, here and below."""
        return await self._engine.owner()

    async def observe(self) -> Observation:
        return await self._engine.observe()

    async def take_over(
        self, seen: Owner | None, new: Owner, still: Observation | None = None
    ) -> bool:
        return await self._engine.take_over(seen, new, still)

    async def append(self, owner: Owner, seq: Seq, data: bytes) -> None:
        await self._engine.append(owner, seq, data)
        self._archive.take(seq, data)

    async def beat(self, owner: Owner) -> None:
        await self._engine.beat(owner)

    async def read(self, start: Seq, bytes_max: int) -> list[tuple[Seq, bytes]]:
        page = await self._engine.read(start, bytes_max)
        for seq, data in page:
            self._archive.take(seq, data)
        return page

    async def follow(self, start: Seq) -> AsyncGenerator[tuple[Seq, bytes], None]:
        async with aclosing(self._engine.follow(start)) as entries:
            async for seq, data in entries:
                self._archive.take(seq, data)
                yield seq, data

    async def trim(self, owner: Owner, before: Seq) -> None:
        await self._engine.trim(owner, min(before, Seq(self._archive.closed_through + 1)))

    async def status(self) -> EngineStatus:
        return await self._engine.status()

    async def close(self) -> None:
        await self._engine.close()
