"""Namespace: the replicated state machine (signatures; the body follows)."""

from collections.abc import Sequence
from typing import Protocol

from thesan.core.namespace.ops import Op, Result

Change = tuple[bytes, bytes | None]


class Source(Protocol):
    """The part of ports.store that the namespace reads from."""

    def get(self, key: bytes) -> bytes | None: ...
    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]: ...


class Namespace:
    """The state after some op of the journal.

    Master:   ns.apply(op, tag) at once -> op number ns.op_count; when the journal has committed the
              op: changes = ns.take_changes(op_number, seq, epoch, crc); store.write(changes);
              ns.settle(changes).
    Follower: for op in entry: ns.apply(decode_op(op), entry.seq); then the same three calls.
    """

    def __init__(self, source: Source) -> None:
        """Opens whatever the store holds (empty: a fresh namespace with the root only)."""
        raise NotImplementedError

    op_count: int
    """Number of ops applied since the instance began; persisted."""
    digest: bytes
    """Chained blake2b (16 bytes) over the write-set of every op; depends on ops only, not on
    batches. Equal op_count and unequal digest = diverged replica."""
    applied_seq: int
    """Journal seq given to the last take_changes, or found in the store."""
    committed_tag: int
    """Tag of the last op that was settled. An inode with seq > committed_tag is uncommitted."""
    tree_tag: int
    """Tag of the last op that changed a directory's name or permissions, or a symbolic link: what
    a path walk depends on besides the inode it ends at. An answer about `inode` may leave when
    max(inode.seq, ns.tree_tag) <= ns.committed_tag."""
    fid_limit: int
    """ReserveFids: fids below may be given out."""

    def apply(self, op: Op, tag: int) -> Result:
        """Apply one op. Raises OperationError, and then nothing has changed.

        `tag` is any number that never falls (the op's number ns.op_count + 1 is exact where the
        journal seq of a pending op is not yet known); touched inodes get it as `seq`."""
        raise NotImplementedError

    def take_changes(
        self, through_op: int, seq: int, epoch: int = 0, chain_crc: int = 0
    ) -> list[Change]:
        """Changes of all ops up to number `through_op` since the last take, plus the applied
        record (seq, epoch, chain_crc, digest, op_count): one atomic store.write."""
        raise NotImplementedError

    def settle(self, changes: list[Change]) -> None:
        """The changes of the last take_changes are in the store: forget them."""
        raise NotImplementedError

    def evict(self, entries_max: int) -> int:
        """Drop up to `entries_max` clean cached inodes; number dropped."""
        raise NotImplementedError
