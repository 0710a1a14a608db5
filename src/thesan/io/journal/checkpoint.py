"""Making the applied state durable, and then letting go of the journal behind it.

    applied seq read ─► store flushed ─► durable ─► engine trimmed, some entries behind

The applied seq is read before the flush: what is written to the store meanwhile may be durable or
not, what was written before is. A crash between any two arrows only makes the next replay longer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from thesan.core.journal.trim import held, trim_before
from thesan.core.model.errors import Unavailable
from thesan.core.model.ids import Seq
from thesan.ports.engine import Engine, Owner


def _nothing() -> None:
    return None


class Checkpointer:
    """Flushes the store and trims the engine. One per MGM; a standby has no `owner`: only flushes.

    `flush()` is the store's, off the loop: all that was written before it is durable after it.
    `applied()` is the seq that the store holds, written but perhaps not durable.
    `closed()` is the newest entry in a closed segment; None: this MGM keeps no segments.
    `peers_durable()` are the durable seqs that the other MGMs report, as `durable` here; with
    `is_alone()` there are no others.
    """

    def __init__(
        self,
        engine: Engine,
        flush: Callable[[], Awaitable[None]],
        applied: Callable[[], Seq],
        *,
        owner: Owner | None = None,
        closed: Callable[[], Seq | None] = _nothing,
        peers_durable: Callable[[], Iterable[Seq]] = tuple,
        is_alone: Callable[[], bool] | None = None,
    ) -> None:
        self.stored = Seq(0)
        """Newest entry whose effect is durable in the store, as far as this process knows."""
        self._engine = engine
        self._flush = flush
        self._applied = applied
        self._owner = owner
        self._closed = closed
        self._peers_durable = peers_durable
        self._is_alone = is_alone

    @property
    def durable(self) -> Seq:
        """Newest entry that this MGM holds durably, in every way it has to: what may be trimmed
        as far as it is concerned."""
        closed = self._closed()
        return self.stored if closed is None else held(self.stored, closed)

    async def step(self) -> Seq:
        """Flush and trim once; returns `durable`.

        Raises StoreError, Fenced (the mastership is over), Unavailable (try again next time).
        """
        applied = self._applied()
        if applied > self.stored:
            await self._flush()
            self.stored = applied
        if self._owner is not None:
            status = await self._engine.status()
            peers = list(self._peers_durable())
            before = trim_before(
                status.first,
                status.last,
                self.durable,
                peers,
                is_alone=not peers if self._is_alone is None else self._is_alone(),
                used_bytes=status.used_bytes,
            )
            if before is not None:
                await self._engine.trim(self._owner, before)
        return self.durable

    async def run(self, interval_seconds: float) -> None:
        """`step` for ever. Raises as `step` does, but Unavailable waits for the next turn."""
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                await self.step()
            except Unavailable:
                continue
