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
    JOURNAL_RETRY_SECONDS,
    JOURNAL_RETRY_SECONDS_MAX,
)
from thesan.io.tasks import TaskOwner
from thesan.ports.engine import Engine, Owner

OnCommit = Callable[[Seq], None]
OnFailed = Callable[[JournalError], None]
OnBatch = Callable[[Position], None]
OnConfirmed = Callable[[float], None]
_Token = tuple[OnCommit | None, OnFailed | None]


class JournalWriter:
    """Writes this mastership's entries from `start_seq` on.

    `start_seq` is the seq of the first entry to write (head + 1), `prev_crc` the crc of the head.
    `on_lost(reason)` is called once, after every pending op has failed, when this mastership can
    never write again. `on_batch(position)` is called after the op callbacks of each entry: the
    place to store its changes with their position and to release what waits for it.
    `on_confirmed(sent_s)` is called before those, with the `clock` at which the append was sent
    that made the entry durable: until then this node certainly was the owner.
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
        on_batch: OnBatch | None = None,
        on_confirmed: OnConfirmed | None = None,
        clock: Callable[[], float] | None = None,
        append_seconds_max: float = APPEND_SECONDS_MAX,
    ) -> None:
        self.owner = owner
        self.committed = Seq(start_seq - 1)
        """Newest durable entry of the journal."""
        self.lost: str | None = None
        """Why this mastership is over; None while it is not."""
        self.unsettled_since: float | None = None
        """`loop.time()` since which an append waits for its outcome; None when none does."""
        self._engine = engine
        self._crc = prev_crc
        self._on_lost = on_lost
        self._on_batch = on_batch
        self._on_confirmed = on_confirmed
        self._clock = clock if clock is not None else asyncio.get_running_loop().time
        self._append_seconds_max = append_seconds_max
        self._batcher: Batcher[_Token] = Batcher(start_seq)
        self._settled: deque[tuple[Batch[_Token], Position]] = deque()
        self._flushes: deque[tuple[Seq, asyncio.Future[None]]] = deque()
        self._wake: asyncio.Future[None] | None = None
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
        """Begin to write. Call once, with the loop running."""
        self._tasks.start("write", self._run())

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
        `on_failed(error)` is: Fenced when the op was certainly not written (only another master
        can do it), Unavailable when that is unknown. `digest` (16 bytes) is the state's digest
        after this op.
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
        """Stop writing at once; `flush` first to lose nothing. What is pending fails as `submit`
        says; `on_lost` is not called."""
        self._end(Unavailable("the journal writer was closed"))
        await self._tasks.close()

    # -- the writing task ------------------------------------------------------------------------
    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                batch = self._batcher.cut()
                if batch is not None:
                    await self._write_batch(batch)
                else:
                    self._wake = loop.create_future()
                    await self._wake
        except JournalError as error:
            self._lose(error)

    async def _write_batch(self, batch: Batch[_Token]) -> None:
        epoch = self.owner.epoch
        data = encode(epoch, batch.seq, self._crc, batch.ops, batch.digest)
        await self._store(batch.seq, data)
        self._crc = crc_of(data)
        self.committed = batch.seq
        self._batcher.settle()
        self._settled.append((batch, Position(batch.seq, epoch, self._crc)))
        asyncio.get_running_loop().call_soon(self._deliver)

    async def _store(self, seq: Seq, data: bytes) -> None:
        """Return when the entry is durable. Raises Fenced when it is not and never will be,
        another JournalError when the journal is not what this master wrote."""
        loop = asyncio.get_running_loop()
        pause = JOURNAL_RETRY_SECONDS
        is_unsure = False
        self.unsettled_since = loop.time()
        while True:
            sent_s = self._clock()
            try:
                async with asyncio.timeout(self._append_seconds_max):
                    await self._engine.append(self.owner, seq, data)
            except (Unavailable, TimeoutError):
                is_unsure = True
            except Fenced:
                # After a try of unknown outcome this says nothing about that first try.
                if not is_unsure:
                    raise
            else:
                if self._on_confirmed is not None:
                    self._call(self._on_confirmed, sent_s)
                break
            if await self._read_back(seq, data):
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, JOURNAL_RETRY_SECONDS_MAX)
        self.unsettled_since = None

    async def _read_back(self, seq: Seq, data: bytes) -> bool:
        """Whether the entry is in the journal; False means that it may be sent again."""
        pause = JOURNAL_RETRY_SECONDS
        while True:
            try:
                async with asyncio.timeout(self._append_seconds_max):
                    owner = await self._engine.owner()
                    found = await self._engine.read(seq, 1)
                break
            except (Unavailable, TimeoutError):
                await asyncio.sleep(pause)
                pause = min(2 * pause, JOURNAL_RETRY_SECONDS_MAX)
        if found and found[0] == (seq, data):
            return True
        if owner != self.owner:
            raise Fenced(f"the journal belongs to {_name(owner)} now")
        if found:
            raise Corrupt(f"journal entry {seq} has other bytes than its only writer sent")
        return False

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # -- callbacks -------------------------------------------------------------------------------
    def _deliver(self) -> None:
        """Run the callbacks of the oldest settled batch."""
        if not self._settled:
            return
        batch, position = self._settled.popleft()
        for on_commit, _ in batch.tokens:
            if on_commit is not None:
                self._call(on_commit, batch.seq)
        if self._on_batch is not None:
            self._call(self._on_batch, position)
        while self._flushes and self._flushes[0][0] <= batch.seq:
            _, future = self._flushes.popleft()
            if not future.done():
                future.set_result(None)

    def _lose(self, error: JournalError) -> None:
        if self._end(error):
            self._call(self._on_lost, str(error))

    def _end(self, error: JournalError) -> bool:
        """Fail everything pending; False when that was done before.

        Only the batch in flight can have an unknown outcome: those behind it were never sent.
        """
        if self.lost is not None:
            return False
        self.lost = str(error)
        self.unsettled_since = None
        while self._settled:
            self._deliver()
        never_sent = error if isinstance(error, Fenced) else Fenced(str(error))
        in_flight = self._batcher.in_flight
        if in_flight and not isinstance(error, Fenced):
            first_error: JournalError = Unavailable(str(error))
        else:
            first_error = never_sent
        for index, batch in enumerate(self._batcher.drop()):
            for _, on_failed in batch.tokens:
                if on_failed is not None:
                    self._call(on_failed, never_sent if index else first_error)
        for _, future in self._flushes:
            if not future.done():
                future.set_exception(first_error)
        self._flushes.clear()
        return True

    def _crashed(self, task_name: str, error: BaseException) -> None:
        """A fault of this program: nothing more is written, and nobody is told a lie."""
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"{task_name} ended by an exception", "exception": error}
        )
        self._lose(Unavailable(f"{task_name} ended by {type(error).__name__}: {error}"))

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        try:
            callback(*args)
        except Exception as error:  # Whoever waits behind the failed one still gets an answer.
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a callback of the journal writer raised", "exception": error}
            )


def _name(owner: Owner | None) -> str:
    return "nobody" if owner is None else f"{owner.node} (epoch {owner.epoch})"
