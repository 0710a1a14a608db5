"""Reading the journal back: at start to the head, on a standby for ever. Every entry is checked.

Whoever applies keeps the Position beside the state, in one atomic write, so that after a crash at
any point the next read begins exactly behind what is applied: no hole, no repeat.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from thesan.core.journal.entry import Chain, Entry, Position, decode
from thesan.core.model.errors import Corrupt, Diverged, Unavailable
from thesan.core.model.ids import Seq
from thesan.core.model.limits import (
    JOURNAL_PAGE_BYTES,
    JOURNAL_RETRY_SECONDS,
    JOURNAL_RETRY_SECONDS_MAX,
)
from thesan.ports.engine import Engine

Apply = Callable[[Entry], bytes]
"""Applies one entry and returns the state's digest after it, or b"" when there is none to compare.
What it raises ends the reading: an op that can't be applied means that this replica is wrong
(Diverged)."""
Take = Callable[[Seq, bytes], None]
"""Told of every entry that was applied, as it stands in the journal: `Archive.take`."""


class Accepter:
    """Hands entries to `apply`, wherever they come from, each checked and compared."""

    def __init__(self, position: Position, apply: Apply, take: Take | None = None) -> None:
        self._chain = Chain(position)
        self._apply = apply
        self._applied = take

    @property
    def position(self) -> Position:
        """After the last applied entry."""
        return self._chain.position

    def accept(self, seq: Seq, data: bytes) -> None:
        """Check, apply, move on. Raises Corrupt, Diverged.

        No await: a cancelled caller has applied an entry whole or not.
        """
        entry = decode(data)
        if entry.seq != seq:
            raise Corrupt(f"the engine's entry {seq} says that it is entry {entry.seq}")
        ahead = Chain(self.position)
        ahead.check(entry)
        digest = self._apply(entry)
        if digest and entry.digest and digest != entry.digest:
            raise Diverged(
                f"state after entry {seq} differs from the master's: {digest.hex()} here,"
                f" {entry.digest.hex()} there"
            )
        self._chain = ahead
        if self._applied is not None:
            self._applied(seq, data)


class Reader(Accepter):
    """Hands the journal's entries to `apply`, in order, each once.

    `position` is where it stands: after the last entry that `apply` took and whose digest agrees.
    Unavailable leaves it there, so that reading can go on later; Corrupt is for good.
    """

    def __init__(
        self, engine: Engine, position: Position, apply: Apply, take: Take | None = None
    ) -> None:
        super().__init__(position, apply, take)
        self._engine = engine

    async def catch_up(self) -> Position:
        """Apply all up to the head as it is when reached; returns the position there.

        Raises Trimmed or Diverged (be seeded, see roles.mgm.reseed), Corrupt (do not go on: the
        journal or the chain is wrong), Unavailable.
        """
        while True:
            page = await self._engine.read(self._next(), JOURNAL_PAGE_BYTES)
            if not page:
                return self.position
            for seq, data in page:
                self.accept(seq, data)
                await asyncio.sleep(0)  # One batch is up to 40 ms of the loop; others want it too.

    async def follow(self) -> None:
        """Apply entries as they become durable; never returns. Rides out Unavailable.

        Raises Trimmed and Corrupt as `catch_up` does.
        """
        pause = JOURNAL_RETRY_SECONDS
        while True:
            try:
                async with aclosing(self._engine.follow(self._next())) as entries:
                    async for seq, data in entries:
                        self.accept(seq, data)
                        pause = JOURNAL_RETRY_SECONDS
                        await asyncio.sleep(0)
            except Unavailable:
                await asyncio.sleep(pause)
                pause = min(2 * pause, JOURNAL_RETRY_SECONDS_MAX)

    def _next(self) -> Seq:
        return Seq(self.position.seq + 1)


async def replay(
    engine: Engine, position: Position, apply: Apply, take: Take | None = None
) -> Position:
    """Apply every entry after `position` up to the head. Raises as `Reader.catch_up` does."""
    return await Reader(engine, position, apply, take).catch_up()
