"""Tables: the store's committed records, the changes of pending ops over them, and the counters.

Each op collects its changes; `seal` files them under the op's number and chains them into the
digest. They stay visible to reads until `settle` hears that the store has them. Counters live in
memory; each op keeps the values that it left, so that the record that goes with a batch is right
although later ops were applied already.
"""

import hashlib
import struct
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from thesan.core.model.errors import StoreError
from thesan.core.model.limits import COUNTERS_CACHED_MAX
from thesan.core.namespace import keys
from thesan.core.namespace.inode import Inode

Change = tuple[bytes, bytes | None]
"""Key and new value; None deletes."""
Count = tuple[bytes, tuple[int, ...]]
"""Key of a counter record and its words after an op."""

DIGEST_BYTES: Final = 16
_GROUPED: Final = (b"D"[0], b"L"[0])
_GROUP_BYTES: Final = 9
_ZERO_DIGEST: Final = bytes(DIGEST_BYTES)

_encoder = msgspec.msgpack.Encoder()


class Source(Protocol):
    """The part of ports.store that the namespace reads from."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of the keys."""
        ...

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs with start <= key < end, in key order."""
        ...


class Applied(msgspec.Struct, frozen=True, array_like=True):
    """What the store's content is: part of every write, under keys.M_APPLIED."""

    seq: int = 0
    """Last journal entry that is in it."""
    epoch: int = 0
    """Epoch of that entry."""
    chain_crc: int = 0
    """crc of that entry, to which the next one must chain."""
    op_count: int = 0
    """Ops since the instance began."""
    digest: bytes = _ZERO_DIGEST
    """Chain over the write-sets of all ops."""


_applied_decoder = msgspec.msgpack.Decoder(Applied)


class _Pending(msgspec.Struct, gc=False):
    """One op that the store does not have yet."""

    number: int
    tag: int
    changes: list[Change]
    counts: list[Count]
    touched: list[Inode]
    digest: bytes


class Tables:
    """Reads see the store with all pending changes; writes collect for the op at hand."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._overlay: dict[bytes, Change] = {}
        self._groups: dict[bytes, dict[bytes, Change]] = {}
        self._counters: dict[bytes, list[int]] = {}
        self._pending: deque[_Pending] = deque()
        self.changes: list[Change] = []
        """Of the op at hand. Not visible to reads before `seal`."""
        self.touched: list[Inode] = []
        """Inodes whose record the op at hand writes: they carry its tag until it is settled."""
        self._counted: dict[bytes, list[int]] = {}
        self.applied = self._read_applied()
        self.op_count = self.applied.op_count
        self.digest = self.applied.digest
        self.committed_tag = 0
        self._taken_tag = 0
        self._taken: list[list[Inode]] = []
        self._last_tag = 0

    # -- reading ---------------------------------------------------------------------------------
    def get(self, key: bytes) -> bytes | None:
        """The value, pending changes included."""
        change = self._overlay.get(key)
        return change[1] if change is not None else self._source.get(key)

    def get_many(self, wanted: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of the keys, pending changes included."""
        overlay = self._overlay
        if not overlay:
            return self._source.get_many(wanted)
        absent = [key for key in wanted if key not in overlay]
        found = dict(zip(absent, self._source.get_many(absent), strict=True)) if absent else {}
        return [found[key] if key in found else overlay[key][1] for key in wanted]

    def scan_group(
        self, prefix: bytes, start: bytes, limit: int
    ) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """Pairs of one directory's entries or one inode's links, from key `start` on, pending
        changes included; about `limit` of them, and the key to go on from (None at the end)."""
        end = keys.after(prefix)
        group = self._groups.get(prefix)
        pairs: list[tuple[bytes, bytes]] = []
        while not pairs:
            rows = self._source.scan(start, end, limit)
            proceed = rows[-1][0] + b"\0" if len(rows) >= limit else None
            if group is None:
                return rows, proceed
            horizon = proceed or end
            pairs = [row for row in rows if row[0] not in group]
            pairs += [
                (key, value)
                for key, value in group.values()
                if value is not None and start <= key < horizon
            ]
            pairs.sort()
            if proceed is None:
                return pairs, None
            start = proceed
        return pairs, start

    def committed(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Pairs that are in the store, without pending changes."""
        return self._source.scan(start, end, limit)

    def merged(self, prefix: bytes) -> dict[bytes, bytes]:
        """Everything under a prefix, in key order, pending changes included. Not for the hot path:
        reads it all and looks through every pending change."""
        end = keys.after(prefix)
        found: dict[bytes, bytes | None] = {}
        start = prefix
        while rows := self._source.scan(start, end, 1000):
            found.update(rows)
            start = rows[-1][0] + b"\0"
        found.update(
            {key: value for key, value in self._overlay.values() if key.startswith(prefix)}
        )
        return {key: value for key, value in sorted(found.items()) if value is not None}

    # -- counters --------------------------------------------------------------------------------
    def counters(self, key: bytes, words: int) -> list[int]:
        """Live values of a counter record; do not change the list."""
        words_now = self._counters.get(key)
        return words_now if words_now is not None else self._load_counters(key, words)

    def add(self, key: bytes, first: int, second: int, third: int) -> None:
        """Add to a counter record of three words, as part of the op at hand."""
        words = self._counters.get(key)
        if words is None:
            words = self._load_counters(key, 3)
        words[0] += first
        words[1] += second
        words[2] += third
        self._counted[key] = words

    def add_to_instance(
        self,
        files: int = 0,
        directories: int = 0,
        symlinks: int = 0,
        logical: int = 0,
        physical: int = 0,
        quota_nodes: int = 0,
    ) -> None:
        """Add to the counters of the instance, as part of the op at hand."""
        words = self._counters.get(keys.INSTANCE)
        if words is None:
            words = self._load_counters(keys.INSTANCE, keys.INSTANCE_COUNTERS)
        words[0] += files
        words[1] += directories
        words[2] += symlinks
        words[3] += logical
        words[4] += physical
        words[5] += quota_nodes
        self._counted[keys.INSTANCE] = words

    def _load_counters(self, key: bytes, words: int) -> list[int]:
        value = self._source.get(key)
        if value is None:
            loaded = [0] * words
        elif len(value) == 8 * words:
            loaded = list(struct.unpack(f">{words}q", value))
        else:
            raise StoreError(f"counter record {key!r} has {len(value)} bytes")
        self._counters[key] = loaded
        return loaded

    def counter_keys(self, prefix: bytes) -> list[bytes]:
        """Keys of all counter records under a prefix, live ones included, sorted."""
        found = set(self.merged(prefix))
        found.update(key for key in self._counters if key.startswith(prefix))
        return sorted(found)

    def pending_tag(self, key: bytes) -> int:
        """0 when the store's record is the newest; otherwise a tag that is not committed before
        the record's pending change is (that of the last op: exact ones are not kept)."""
        return self._last_tag if key in self._overlay else 0

    # -- ops -------------------------------------------------------------------------------------
    @property
    def idle(self) -> bool:
        """True when the op at hand has changed nothing so far."""
        return not self.changes and not self._counted

    @property
    def pending_count(self) -> int:
        """Ops that were not taken yet."""
        return len(self._pending)

    def seal(self, tag: int, *, genesis: bool = False) -> None:
        """The op at hand is applied: make its changes visible, chain the digest. `genesis`: it is
        none, but what a fresh namespace begins with."""
        changes = self.changes
        counts = [(key, tuple(words)) for key, words in self._counted.items()]
        touched = self.touched
        self.changes, self.touched = [], []
        self._counted.clear()
        overlay, groups = self._overlay, self._groups
        for change in changes:
            key = change[0]
            overlay[key] = change
            if key[0] in _GROUPED:
                prefix = key[:_GROUP_BYTES]
                group = groups.get(prefix)
                if group is None:
                    groups[prefix] = {key: change}
                else:
                    group[key] = change
        if not genesis:
            self.op_count += 1
        self._last_tag = tag
        self.digest = digest = hashlib.blake2b(
            self.digest + _encoder.encode((changes, counts)), digest_size=DIGEST_BYTES
        ).digest()
        self._pending.append(_Pending(self.op_count, tag, changes, counts, touched, digest))

    def take(self, through_op: int, seq: int, epoch: int, chain_crc: int) -> list[Change]:
        """Changes of the ops up to number `through_op` that were not taken yet, folded, with
        their counters and the applied record."""
        folded: dict[bytes, Change] = {}
        counted: dict[bytes, tuple[int, ...]] = {}
        op_count, digest = self.applied.op_count, self.applied.digest
        while self._pending and self._pending[0].number <= through_op:
            op = self._pending.popleft()
            for change in op.changes:
                folded[change[0]] = change
            counted.update(op.counts)
            self._taken.append(op.touched)
            op_count, digest, self._taken_tag = op.number, op.digest, op.tag
        changes = list(folded.values())
        changes += [(key, pack_counters(words)) for key, words in counted.items()]
        self.applied = Applied(seq, epoch, chain_crc, op_count, digest)
        changes.append((keys.M_APPLIED, _encoder.encode(self.applied)))
        return changes

    def settle(self, changes: list[Change]) -> None:
        """The store has what `take` gave: stop covering it."""
        overlay = self._overlay
        for change in changes:
            key = change[0]
            if overlay.get(key) is change:
                del overlay[key]
                if key[0] in _GROUPED:
                    group = self._groups[key[:_GROUP_BYTES]]
                    del group[key]
                    if not group:
                        del self._groups[key[:_GROUP_BYTES]]
        committed_tag = self.committed_tag = self._taken_tag
        for touched in self._taken:
            for inode in touched:
                if inode.seq <= committed_tag:
                    # One shared zero for a number of its own: 32 bytes in each of 10^6 inodes.
                    inode.seq = 0
        self._taken.clear()
        if len(self._counters) > COUNTERS_CACHED_MAX and not self._pending:
            self._counters.clear()

    def _read_applied(self) -> Applied:
        value = self._source.get(keys.M_APPLIED)
        if value is None:
            return Applied()
        try:
            return _applied_decoder.decode(value)
        except msgspec.DecodeError as error:
            raise StoreError(f"unreadable applied record: {error}") from error


def pack_counters(words: Sequence[int]) -> bytes | None:
    """Value of a counter record, None (absent) when all words are zero."""
    return struct.pack(f">{len(words)}q", *words) if any(words) else None
