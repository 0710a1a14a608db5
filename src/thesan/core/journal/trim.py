"""When entries may leave the engine: after they are durable where they are applied.

The engine holds the hot tail only. What an MGM's store holds durably needs no replay there, and
one more MGM must hold it too before the entry goes: losing one machine then loses nothing. Some
entries are kept behind that point, so that a peer which was away for a moment can follow instead
of fetching a checkpoint. A peer that stays away never stops the trimming.
"""

from collections.abc import Iterable

from thesan.core.model.ids import Seq
from thesan.core.model.limits import JOURNAL_KEEP_ENTRIES, JOURNAL_TRIM_ENTRIES


def trim_before(
    first: Seq,
    last: Seq,
    master_durable: Seq,
    peers_durable: Iterable[Seq] = (),
    *,
    keep_entries: int = JOURNAL_KEEP_ENTRIES,
    trim_entries: int = JOURNAL_TRIM_ENTRIES,
) -> Seq | None:
    """`before` for Engine.trim: entries below it may go. None when it is not worth a call.

    `first` and `last` are the engine's, `master_durable` is the newest entry whose effect the
    master's store holds durably, `peers_durable` the same of each other MGM that reported; with
    none, the master alone counts (an instance of one MGM).
    """
    assert 1 <= first <= last + 1
    assert keep_entries >= 0
    assert trim_entries >= 1
    safe = min(master_durable, last)
    peers = list(peers_durable)
    if peers:
        safe = min(safe, max(peers))
    before = safe + 1 - keep_entries
    # The last entry always stays: a new master chains to its crc.
    before = min(before, last)
    if before - first < trim_entries:
        return None
    return Seq(before)
