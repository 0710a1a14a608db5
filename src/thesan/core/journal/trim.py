"""When entries may leave the engine: after they are durable where they are applied.

The engine holds the hot tail only. What an MGM holds durably (its effect in the flushed store, the
entry itself in a closed segment) needs no engine there, and one more MGM must hold it too before
the entry goes: losing one machine then loses nothing. Some entries are kept behind that point, so
that a peer which was away for a moment can follow instead of being seeded. A peer that stays away
stops the trimming only until the engine holds JOURNAL_ENGINE_BYTES_MAX.
"""

from collections.abc import Iterable

from thesan.core.model.ids import Seq
from thesan.core.model.limits import (
    JOURNAL_ENGINE_BYTES_MAX,
    JOURNAL_KEEP_ENTRIES,
    JOURNAL_TRIM_ENTRIES,
)


def trim_before(
    first: Seq,
    last: Seq,
    master_durable: Seq,
    peers_durable: Iterable[Seq] = (),
    *,
    is_alone: bool = True,
    used_bytes: int = 0,
    keep_entries: int = JOURNAL_KEEP_ENTRIES,
    trim_entries: int = JOURNAL_TRIM_ENTRIES,
) -> Seq | None:
    """`before` for Engine.trim: entries below it may go. None when it is not worth a call.

    `first`, `last` and `used_bytes` are the engine's, `master_durable` is the newest entry that the
    master holds durably (see `held`), `peers_durable` the same of each other MGM that was heard
    lately. `is_alone`: the instance has no other MGM; then, and when the engine is over its bytes,
    the master alone counts.
    """
    assert 1 <= first <= last + 1
    assert keep_entries >= 0
    assert trim_entries >= 1
    safe = min(master_durable, last)
    peers = list(peers_durable)
    if used_bytes <= JOURNAL_ENGINE_BYTES_MAX and (peers or not is_alone):
        safe = min(safe, max(peers, default=Seq(0)))
    before = safe + 1 - keep_entries
    # The last entry always stays: a new master chains to its crc.
    before = min(before, last)
    if before - first < trim_entries:
        return None
    return Seq(before)


def held(stored: Seq, closed_through: Seq) -> Seq:
    """Newest entry that an MGM holds durably: in its flushed store and in a closed segment."""
    return min(stored, closed_through)
