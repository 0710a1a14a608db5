"""Journal entries into namespace and store: the same on every MGM, at start and for ever after."""

from collections.abc import Callable

from thesan.core.journal.entry import Entry, Position
from thesan.core.model.errors import Diverged, OperationError
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace.ops import ConfigSet, decode_op
from thesan.core.namespace.state import Namespace
from thesan.ports.store import Store

OnApplied = Callable[[Entry, dict[str, None]], None]
"""Told of each entry, and of the sections of the configuration that it changed."""


class Replica:
    """A namespace that takes whole entries: applied, stored and settled in one go, so that nobody
    ever sees a part of one."""

    def __init__(self, namespace: Namespace, store: Store) -> None:
        self.namespace = namespace
        self.on_applied: OnApplied | None = None
        self._store = store

    @property
    def position(self) -> Position:
        """What the store holds."""
        namespace = self.namespace
        return Position(
            Seq(namespace.applied_seq), Epoch(namespace.applied_epoch), namespace.applied_crc
        )

    def apply(self, entry: Entry) -> bytes:
        """Apply one entry; the digest after it. Raises StoreError, and Diverged: then the store
        stands before the entry, so that whoever tries again finds the same, after a restart too.
        The namespace holds a part of the entry after either, and must be built anew."""
        namespace = self.namespace
        sections: dict[str, None] = {}
        for data in entry.ops:
            op = decode_op(data)
            try:
                namespace.apply(op, namespace.op_count + 1)
            except OperationError as error:
                text = f"an op of entry {entry.seq} can't be applied: {error}"
                raise Diverged(text) from error
            if type(op) is ConfigSet:
                sections[op.section] = None
        if entry.digest and entry.digest != namespace.digest:
            raise Diverged(
                f"state after entry {entry.seq} differs from the master's:"
                f" {namespace.digest.hex()} here, {entry.digest.hex()} there"
            )
        changes = namespace.take_changes(namespace.op_count, entry.seq, entry.epoch, entry.crc)
        self._store.write(changes)
        namespace.settle(changes)
        if self.on_applied is not None:
            self.on_applied(entry, sections)
        return namespace.digest
