"""Group commit without clock or disk: which ops go together, under which seq, and how many wait.

    submit -> open batch -> (full) closed batch -> (cut) in flight -> settled
                  └──────────────(cut)─────────────┘

At most one batch is in flight; meanwhile the open one grows. An op's seq is fixed when it is added,
since only the last batch is ever open and batches leave in order.
"""

import errno
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

from thesan.core.journal.entry import OP_BYTES_MAX, OP_HEAD_BYTES, PAYLOAD_BYTES_MAX
from thesan.core.model.errors import OperationError
from thesan.core.model.ids import Seq
from thesan.core.model.limits import BATCH_OPS_MAX, PENDING_BYTES_MAX, PENDING_OPS_MAX

_T = TypeVar("_T")


class Batch(Generic[_T]):
    """Ops that share an entry. `tokens` is whatever the callers want back, in op order."""

    __slots__ = ("byte_count", "digest", "ops", "seq", "tokens")

    def __init__(self, seq: Seq) -> None:
        self.seq = seq
        self.ops: list[bytes] = []
        self.tokens: list[_T] = []
        self.byte_count = 0
        """Payload bytes, op heads included."""
        self.digest = b""
        """State digest after the last op so far; empty when that op gave none."""


class Batcher(Generic[_T]):
    """Gathers ops into batches. The caller cuts, stores and settles them one at a time."""

    def __init__(
        self,
        first_seq: Seq,
        *,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
        ops_max: int = BATCH_OPS_MAX,
        pending_ops_max: int = PENDING_OPS_MAX,
        pending_bytes_max: int = PENDING_BYTES_MAX,
    ) -> None:
        assert first_seq >= 1
        assert OP_HEAD_BYTES < payload_bytes_max <= PAYLOAD_BYTES_MAX
        assert 1 <= ops_max <= BATCH_OPS_MAX
        self._payload_bytes_max = payload_bytes_max
        self._ops_max = ops_max
        self._pending_ops_max = pending_ops_max
        self._pending_bytes_max = pending_bytes_max
        self._batches: deque[Batch[_T]] = deque()
        self.in_flight = False
        """Whether the oldest batch was cut and is not settled yet."""
        self.head = Seq(first_seq - 1)
        """Seq of the newest op added; what was settled last when nothing is pending."""
        self.pending_ops = 0
        self.pending_bytes = 0

    @property
    def next_seq(self) -> Seq:
        """Lowest seq that an op added now can get; `expect` says it exactly."""
        return self._batches[-1].seq if self._has_open() else Seq(self.head + 1)

    def expect(self, op_bytes: int) -> Seq:
        """The seq that an op of this size gets if it is added now.

        Raises OperationError E2BIG when no entry can hold it, EUSERS (retry later) when too much
        is pending. Nothing changes: ask before the op is applied, since that can't be undone.
        """
        size = op_bytes + OP_HEAD_BYTES
        if size > self._payload_bytes_max:
            raise OperationError(
                errno.E2BIG, f"change of {op_bytes} bytes, the journal takes {OP_BYTES_MAX}"
            )
        if (
            self.pending_ops >= self._pending_ops_max
            or self.pending_bytes + size > self._pending_bytes_max
        ):
            raise OperationError(
                errno.EUSERS, f"{self.pending_ops} changes wait for the journal, try again"
            )
        if self._has_open() and self._fits(self._batches[-1], size):
            return self._batches[-1].seq
        return Seq(self.head + 1)

    def add(self, op: bytes, token: _T, digest: bytes = b"") -> Seq:
        """Put `op` in the open batch, or open a new one. Raises as `expect` does."""
        seq = self.expect(len(op))
        if seq > self.head:
            self._batches.append(Batch(seq))
            self.head = seq
        batch = self._batches[-1]
        assert batch.seq == seq
        size = len(op) + OP_HEAD_BYTES
        batch.ops.append(op)
        batch.tokens.append(token)
        batch.byte_count += size
        batch.digest = digest
        self.pending_ops += 1
        self.pending_bytes += size
        return seq

    def cut(self) -> Batch[_T] | None:
        """The oldest batch, now in flight and closed to further ops; None when there is none."""
        assert not self.in_flight
        if not self._batches:
            return None
        self.in_flight = True
        return self._batches[0]

    def settle(self) -> Batch[_T]:
        """The batch in flight is durable: forget it."""
        assert self.in_flight
        self.in_flight = False
        batch = self._batches.popleft()
        self.pending_ops -= len(batch.ops)
        self.pending_bytes -= batch.byte_count
        return batch

    def drop(self) -> Iterable[Batch[_T]]:
        """Forget everything pending; the batches that were, oldest first."""
        dropped = list(self._batches)
        self._batches.clear()
        self.in_flight = False
        self.pending_ops = 0
        self.pending_bytes = 0
        return dropped

    def _has_open(self) -> bool:
        return len(self._batches) > (1 if self.in_flight else 0)

    def _fits(self, batch: Batch[_T], size: int) -> bool:
        return len(batch.ops) < self._ops_max and batch.byte_count + size <= self._payload_bytes_max
