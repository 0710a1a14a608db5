"""The way of a mutation: memory at once, journal next, store and answers when it is durable.

    submit ── apply to the namespace (op number n) ── journal writer ─┐
                                                                      │ one append in flight
    answers held ◄── settle ◄── store.write(changes of the batch) ◄───┘ durable

The op's number is the tag that it leaves on what it touches; `ends` says which batch holds which
numbers. Nothing of an op that is not durable reaches the store or a client. When the mastership
is lost, everything here is dropped: the store never saw it.
"""

import asyncio
import errno
from collections.abc import Callable, Sequence
from typing import Final

from thesan.core.journal.entry import OP_HEAD_BYTES, Position
from thesan.core.journal.quota import Admission, admit
from thesan.core.leadership.lease import ReadLease
from thesan.core.model.errors import OperationError, StoreError
from thesan.core.model.ids import Seq
from thesan.core.model.limits import BATCH_OPS_MAX
from thesan.core.namespace.ops import (
    CreateFile,
    Link,
    MakeDirectory,
    Op,
    ReserveFids,
    Result,
    Symlink,
    encode_op,
)
from thesan.core.namespace.state import Namespace
from thesan.io.journal.writer import JournalWriter
from thesan.ports.store import Store
from thesan.roles.mgm.endless import ENDS
from thesan.roles.mgm.held import HeldAnswers, Receiver

_BULK: Final = (MakeDirectory, CreateFile, Link, Symlink, ReserveFids)
"""Ops that make names, and those that come before them: the first to wait when the engine fills."""


class _Waiter:
    """A task in the place of a connection."""

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def reply(self, data: bytes) -> None:
        """What was waited for is so."""
        if not self.future.done():
            self.future.set_result(None)

    def close(self) -> None:
        """The mastership ends, and with it the task that waits."""


class Pipeline:
    """Made before its writer, which needs `on_batch` and `on_lost` of it; then `open`."""

    def __init__(
        self,
        namespace: Namespace,
        store: Store,
        committed: Seq,
        on_broken: Callable[[str], None],
        lease: ReadLease,
        clock: Callable[[], float],
    ) -> None:
        """`committed`: the journal's head, all of it applied and in the store. `on_broken(why)`
        is called once, when nothing more can be written or stored by this mastership. `clock`:
        boot seconds, as the lease counts them."""
        self.held = HeldAnswers(committed, lease, clock)
        self._lease = lease
        self._sent_s = float("-inf")
        self._namespace = namespace
        self._store = store
        self._on_broken = on_broken
        self._is_broken = False
        self.admission = Admission.ALL
        """What the engine has room for; `watch` looks."""
        self.store_failure = ""
        """How the store failed, if that was the end."""
        self._writer: JournalWriter | None = None
        self._ends: dict[Seq, int] = {}
        """Number of the last op of each pending batch, oldest batch first."""

    def open(self, writer: JournalWriter) -> None:
        """Write through `writer` from now on. On a standby nobody ever calls this, so that every
        change is refused."""
        self._writer = writer

    def confirmed(self, sent_s: float) -> None:
        """An append or a beat that was sent at `sent_s` is in the journal."""
        self._lease.confirmed(sent_s)
        self._sent_s = max(self._sent_s, sent_s)
        self.held.confirmed(sent_s)

    def replayed(self, seq: Seq) -> None:
        """On a standby: the entry is applied, stored and settled."""
        self.held.release(seq, self._sent_s)

    @property
    def pending_ops(self) -> int:
        """Ops applied in memory and not yet durable."""
        return self._writer.pending_ops if self._writer is not None else 0

    @property
    def head(self) -> Seq:
        """The batch that must be durable before what is in memory now may be shown."""
        return next(reversed(self._ends), self.held.committed)

    # -- mutations ---------------------------------------------------------------------------
    def submit(self, op: Op) -> Result:
        """Apply `op` and queue it for the journal; what shows it is held until `head` commits.

        Raises OperationError: of the op itself, E2BIG, or EUSERS when too much is pending or the
        engine is nearly full.
        Nothing has changed then.
        """
        writer = self._checked_writer()
        if self.admission:
            admit(self.admission, is_bulk=isinstance(op, _BULK))
        data = encode_op(op)
        writer.expect(data)
        namespace = self._namespace
        number = namespace.op_count
        try:
            result = namespace.apply(op, number + 1)
        except StoreError as error:
            self.store_failed(error)
            raise OperationError(errno.EAGAIN, "the MGM starts anew") from error
        except OperationError:
            raise
        except BaseException as error:
            self.broken(f"an op failed half-way: {error!r}")
            raise
        if namespace.op_count != number:
            self._ends[writer.submit(data, digest=namespace.digest)] = number + 1
        return result

    def submit_all(self, ops: Sequence[Op]) -> None:
        """Apply all ops in one batch, so that a crash leaves all of them or none.

        They are decided together on one state, so none is expected to fail; one that fails after
        others were applied can't be taken back and ends this mastership. Raises as `submit`.
        """
        if not ops:
            return
        if self.admission:
            admit(self.admission, is_bulk=any(isinstance(op, _BULK) for op in ops))
        self._check_room(ops)
        for number, op in enumerate(ops):
            try:
                self.submit(op)
            except OperationError as error:
                if number:
                    self.broken(f"a change of {len(ops)} ops failed half-way: {error.text}")
                raise

    def admit_bulk(self) -> None:
        """Before what will need a new name later, an upload: OperationError EUSERS when the engine
        is too full for more of them."""
        admit(self.admission, is_bulk=True)

    def _check_room(self, ops: Sequence[Op]) -> None:
        """Raise EAGAIN when the ops would be spread over two batches: the next one is fresh. Raise
        E2BIG when that would be the same with any batch."""
        writer = self._checked_writer()
        if len(ops) > BATCH_OPS_MAX:
            text = f"change of {len(ops)} ops, the journal takes {BATCH_OPS_MAX} at once"
            raise OperationError(errno.E2BIG, text)
        data = [encode_op(op) for op in ops]
        first = writer.expect(data[0])
        whole = writer.expect(b"".join(data) + bytes(OP_HEAD_BYTES * (len(data) - 1)))
        ends = list(self._ends.values())
        # Not the tag that is committed: a term begins with none, however long its history is.
        before = ends[-2] if len(ends) > 1 else self._namespace.applied_op
        in_head = ends[-1] - before if ends and first == self.head else 0
        if whole != first or in_head + len(ops) > BATCH_OPS_MAX:
            raise OperationError(errno.EAGAIN, "the change waits for a batch of its own")

    def _checked_writer(self) -> JournalWriter:
        writer = self._writer
        if writer is None or writer.lost is not None or self._is_broken:
            raise OperationError(errno.EAGAIN, "this MGM is not master now")
        return writer

    # -- answers -----------------------------------------------------------------------------
    def answer(self, receiver: Receiver, tag: int, data: bytes) -> bytes | None:
        """`data` if the op of number `tag` is durable and the read lease holds; else None, and it
        leaves when both are so."""
        if tag <= self._namespace.committed_tag:
            return self.held.answer(receiver, self.held.committed, data)
        return self.held.answer(receiver, self._seq_of(tag), data)

    def answer_at_head(self, receiver: Receiver, data: bytes) -> bytes | None:
        """For answers to mutations and errors: they may show anything that is in memory."""
        return self.held.answer(receiver, self.head, data)

    async def durable(self, tag: int) -> None:
        """Wait until what op number `tag` left may be shown. Cancelled when the mastership ends."""
        waiter = _Waiter()
        if self.answer(waiter, tag, b"") is None:
            await waiter.future

    def _seq_of(self, tag: int) -> Seq:
        """The pending batch that holds op number `tag`. Few are pending: no index is worth it."""
        for seq, end in self._ends.items():
            if tag <= end:
                return seq
        return self.held.committed

    # -- the journal's callbacks ---------------------------------------------------------------
    def on_batch(self, position: Position) -> None:
        """The batch at `position` is durable: store it, then let its answers go."""
        if self._is_broken:
            return
        end = self._ends.pop(position.seq, None)
        if end is not None:
            namespace = self._namespace
            try:
                changes = namespace.take_changes(end, position.seq, position.epoch, position.crc)
                self._store.write(changes)
                namespace.settle(changes)
            except BaseException as error:  # A panic of a binding is no Exception.
                # The journal has the batch, so nothing is lost; but the next one must not be
                # stored over the hole, whatever made it.
                self.store_failed(error)
                if isinstance(error, ENDS):
                    raise
                return
        self.held.release(position.seq, self._sent_s)

    def store_failed(self, error: BaseException) -> None:
        """Memory and store can't be trusted any more: the end of this mastership, and the next
        one is not this MGM's, if another can have it."""
        self.store_failure = str(error) or type(error).__name__
        self.broken(f"the store failed: {self.store_failure}")

    def broken(self, why: str) -> None:
        """The end of this mastership (also `on_lost` of the writer)."""
        if self._is_broken:
            return
        self._is_broken = True
        self._ends.clear()
        self._on_broken(why)
        self.held.drop()
