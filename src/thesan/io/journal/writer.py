"""The master's pen: group commit over the engine port, one append in flight, outcome never guessed.

    submit ─► Batcher ─► append(seq) ──ok──────────────────────────► callbacks, in order
                           │ Unavailable, deadline: outcome unknown
                           ▼
                        read owner, then the entry at seq
                           ├ the same bytes are there ─────────────► committed
                           ├ absent, the owner is still me ────────► resend the same bytes
                           └ another owner ────────────────────────► lost

The owner is read first: once it is another, no append of mine can land any more, so what the
second read finds is final. The next append starts before the callbacks of the last one run, so
that answers are sent while the disk works.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from thesan.core.journal.batch import Batch, Batcher
from thesan.core.journal.entry import Position, crc_of, encode
from thesan.core.model.errors import Corrupt, Fenced, JournalError, Unavailable
from thesan.core.model.ids import Seq
from thesan.core.model.limits import (
    APPEND_SECONDS_MAX,
    JOURNAL_BEAT_SECONDS,
    JOURNAL_RETRY_SECONDS,
    JOURNAL_RETRY_SECONDS_MAX,
)
from thesan.io.tasks import TaskOwner
from thesan.ports.engine import Engine, Owner

OnCommit = Callable[[Seq], None]
OnFailed = Callable[[JournalError], None]
_Token = tuple[OnCommit | None, OnFailed | None]


class JournalWriter:
    """Writes this mastership's entries from `start_seq` on.

    `start_seq` is the seq of the first entry to write (head + 1), `prev_crc` the crc of the head.
    `on_lost(reason)` is called once, after every pending op has failed, when this mastership can
    never write again. `on_batch(position)` is called after the op callbacks of each entry: the
    place to store the applied changes together with their position.
    A callback must not raise; one that does is reported to the loop's exception handler.
    """

    def __init__(
        self,
        engine: Engine,
        owner: Owner,
        start_seq: Seq,
        prev_crc: int,
        on_lost: Callable[[str], None],
        *,
        on_batch: Callable[[Position], None] | None = None,
        beat_seconds: float = JOURNAL_BEAT_SECONDS,
        append_seconds_max: float = APPEND_SECONDS_MAX,
    ) -> None:
        self.owner = owner
        self.committed = Seq(start_seq - 1)
        """Newest durable entry of the journal."""
        self.lost: str | None = None
        """Why this mastership is over; None while it is not."""
        self.confirmed_at = float("-inf")
        """`loop.time()` at which the last confirmed append or beat was sent."""
        self.unsettled_since: float | None = None
        """`loop.time()` since which the engine owes an answer; None when it does not."""
        self._engine = engine
        self._crc = prev_crc
        self._on_lost = on_lost
        self._on_batch = on_batch
        self._beat_seconds = beat_seconds
        self._append_seconds_max = append_seconds_max
        self._batcher: Batcher[_Token] = Batcher(start_seq)
        self._settled: deque[tuple[Batch[_Token], Position]] = deque()
        self._flushes: deque[tuple[Seq, asyncio.Future[None]]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._beat_timer: asyncio.TimerHandle | None = None
        self._tasks = TaskOwner("journal", self._crashed)

    # -- for the master --------------------------------------------------------------------------
    @property
    def next_seq(self) -> Seq:
        """Lowest seq that an op submitted now can get; `expect` says it exactly."""
        return self._batcher.next_seq

    @property
    def head(self) -> Seq:
        """Seq of the newest op submitted; `committed` when nothing is pending."""
        return self._batcher.head

    @property
    def pending_ops(self) -> int:
        """Ops submitted and not yet durable."""
        return self._batcher.pending_ops

    @property
    def pending_bytes(self) -> int:
        """Bytes of those ops."""
        return self._batcher.pending_bytes

    def start(self) -> None:
        """Begin to write and to beat. Call once, with the loop running."""
        self._tasks.start("write", self._run())
        self._arm_beat()

    def expect(self, op: bytes) -> Seq:
        """The seq that `op` gets if it is submitted before the next await.

        Raises what `submit` would, so ask before the op is applied to memory: OperationError E2BIG
        (never fits), OperationError EUSERS (too much is pending, retry later), Fenced (lost).
        """
        if self.lost is not None:
            raise Fenced(self.lost)
        return self._batcher.expect(len(op))

    def submit(
        self,
        op: bytes,
        on_commit: OnCommit | None = None,
        on_failed: OnFailed | None = None,
        *,
        digest: bytes = b"",
    ) -> Seq:
        """Queue `op`; returns the seq of the entry that will hold it. Raises as `expect` does.

        `on_commit(seq)` is called when the entry is durable, in order of submission; else
        `on_failed(error)` is: Fenced when the op was certainly not written, Unavailable when that
        is unknown. `digest` (16 bytes) is the state's digest after this op.
        """
        if self.lost is not None:
            raise Fenced(self.lost)
        seq = self._batcher.add(op, (on_commit, on_failed), digest)
        # The waiting task runs at the next turn of the loop: one received block, one batch.
        self._wake_up()
        return seq

    async def flush(self) -> Seq:
        """Wait until everything submitted before is durable and its callbacks have run.

        Returns `committed`. Raises Fenced or Unavailable when that will never be.
        """
        if self.lost is not None:
            raise Fenced(self.lost)
        if self._batcher.pending_ops or self._settled:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._flushes.append((self._batcher.head, future))
            await future
        return self.committed

    async def close(self) -> None:
        """Stop. What is still pending fails with Unavailable; `on_lost` is not called."""
        self._end("the journal writer was closed", Unavailable)
        await self._tasks.close()
