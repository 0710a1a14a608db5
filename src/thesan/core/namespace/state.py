"""Namespace: the replicated state machine. What the journal says, in order, is what it is.

Master:   result = ns.apply(op, tag) at once, and journal it; when the journal has committed it:
          changes = ns.take_changes(op_number, seq, epoch, crc); store.write(changes);
          ns.settle(changes). Answers that show the op leave after that.
Follower: for each op of an entry ns.apply(decode_op(op), seq); then the same three calls.
An op that was applied on the master applies on every follower: an OperationError there, or a
digest that differs at the same op_count, means that this replica has diverged and must be dropped.
"""

from collections.abc import Callable
from typing import Any, Final

from thesan.core.model.errors import OperationError, StoreError
from thesan.core.model.limits import CACHE_ENTRIES_MAX
from thesan.core.namespace import apply_attributes, apply_files, apply_instance, apply_names, ops
from thesan.core.namespace.apply_instance import check_op_id, remember, remembered
from thesan.core.namespace.apply_rename import rename
from thesan.core.namespace.ops import Op, Result
from thesan.core.namespace.tables import Change, Source
from thesan.core.namespace.tree import Tree

_Handler = Callable[[Tree, Any, int], Result]

_HANDLERS: Final[dict[type[Op], _Handler]] = {
    ops.MakeDirectory: apply_names.make_directory,
    ops.CreateFile: apply_names.create_file,
    ops.Symlink: apply_names.symlink,
    ops.Link: apply_names.link,
    ops.Unlink: apply_names.unlink,
    ops.RemoveDirectory: apply_names.remove_directory,
    ops.Rename: rename,
    ops.CommitFile: apply_files.commit_file,
    ops.UpdateFile: apply_files.update_file,
    ops.AddReplica: apply_files.add_replica,
    ops.DropReplica: apply_files.drop_replica,
    ops.DiscardReplicas: apply_files.discard_replicas,
    ops.DeletionDone: apply_files.deletion_done,
    ops.SetAttributes: apply_attributes.set_attributes,
    ops.SetXattr: apply_attributes.set_xattr,
    ops.RemoveXattr: apply_attributes.remove_xattr,
    ops.ReserveFids: apply_instance.reserve_fids,
    ops.ConfigSet: apply_instance.config_set,
    ops.QuotaSet: apply_instance.quota_set,
    ops.QuotaRemove: apply_instance.quota_remove,
    ops.RememberResult: apply_instance.remember_result,
}

_FORGOTTEN: Final = frozenset(
    kind for kind in _HANDLERS if "op_id" not in kind.__struct_fields__
) | {ops.RememberResult}
"""Ops whose result is not kept by `apply` under an op_id."""


class Namespace:
    """The state after some op of the journal, over a store that holds a prefix of it."""

    def __init__(self, source: Source, cache_entries_max: int = CACHE_ENTRIES_MAX) -> None:
        """Opens what the store holds; an empty store is a fresh namespace with a root directory.
        Serves at once: everything is loaded when it is asked for. Raises StoreError."""
        self.tree = Tree(source, cache_entries_max)
        self._broken = ""

    @property
    def op_count(self) -> int:
        """Number of the last op applied, counted since the instance began."""
        return self.tree.tables.op_count

    @property
    def digest(self) -> bytes:
        """Chain of blake2b over the write-set of every op: the same on every replica at the same
        op_count, however ops were batched."""
        return self.tree.tables.digest

    @property
    def applied_seq(self) -> int:
        """Journal seq of the last take_changes, or the one found in the store."""
        return self.tree.tables.applied.seq

    @property
    def applied_epoch(self) -> int:
        """Epoch given with applied_seq."""
        return self.tree.tables.applied.epoch

    @property
    def applied_crc(self) -> int:
        """crc of the entry applied_seq, to which the next entry chains."""
        return self.tree.tables.applied.chain_crc

    @property
    def applied_op(self) -> int:
        """Number of the last op of applied_seq."""
        return self.tree.tables.applied.op_count

    @property
    def committed_tag(self) -> int:
        """Tag of the last op that was settled: an inode with `seq` above it shows a pending op."""
        return self.tree.tables.committed_tag

    @property
    def tree_tag(self) -> int:
        """Tag of the last op that changed what a path walk depends on besides the inode where it
        ends: a directory's name or permissions, a symbolic link. An answer about `inode` may leave
        when max(inode.seq, ns.tree_tag) <= ns.committed_tag; ENOENT and the like when nothing is
        pending."""
        return self.tree.tree_tag

    @property
    def fid_limit(self) -> int:
        """Fids below may be given out."""
        return self.tree.fid_limit

    @property
    def cached_count(self) -> int:
        """Inodes in memory."""
        return self.tree.cached_count

    def apply(self, op: Op, tag: int) -> Result:
        """Apply one op. Raises OperationError, and then nothing has changed.

        `tag` is any number above 0 that never falls; touched inodes get it as `seq`. The op's own
        number, ns.op_count + 1, serves where the journal seq is not known yet. Any other exception
        leaves the state unknown: the namespace refuses to go on and must be built anew.
        """
        if self._broken:
            raise StoreError(f"the namespace stopped: {self._broken}")
        tree = self.tree
        tree.make_room()
        kind = type(op)
        op_id: bytes = b"" if kind in _FORGOTTEN else op.op_id  # type: ignore[union-attr]
        try:
            if op_id:
                check_op_id(op_id)
                known = remembered(tree, op_id)
                if known is not None:
                    tree.tables.seal(tag)
                    return known
            result = _HANDLERS[kind](tree, op, tag)
            if op_id:
                remember(tree, op_id, result)
        except OperationError:
            if not tree.tables.idle:
                self._broken = f"{kind.__name__} failed half-way"
                raise StoreError(self._broken) from None
            raise
        except BaseException as error:
            self._broken = f"{kind.__name__}: {error!r}"
            raise
        tree.tables.seal(tag)
        return result

    def remembered(self, op_id: bytes) -> Result | None:
        """First answer of an operation, if it was applied; None otherwise."""
        return remembered(self.tree, op_id) if op_id else None

    def take_changes(
        self, through_op: int, seq: int, epoch: int = 0, chain_crc: int = 0
    ) -> list[Change]:
        """Changes of all ops up to number `through_op` that were not taken yet, and the record
        that says so (seq, epoch, chain_crc): to be written to the store in one atomic write, and
        settled before the next take."""
        return self.tree.tables.take(through_op, seq, epoch, chain_crc)

    def settle(self, changes: list[Change]) -> None:
        """The store has the changes of the last take_changes."""
        self.tree.tables.settle(changes)

    def evict(self, entries_max: int) -> int:
        """Drop up to `entries_max` cached inodes; number dropped. `apply` does it by itself, in
        small steps, when the cache is over its size."""
        return self.tree.evict(entries_max)
