"""A journal that begins in the middle: with one entry of another one's history, and a new owner.

For a restored store, and for an MGM's history that becomes the journal again. The epoch jumps, so
that whatever the lost journal's last masters still do is refused by every FST. So do the fids, in
one entry more: those that were given out since are on the disks of FSTs and must not be met again.
"""

from typing import Final

from thesan.core.journal.entry import crc_of, decode, encode
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace.ops import ReserveFids, encode_op
from thesan.ports.engine import Owner
from thesan.worlds.real.migration import open_heir

EPOCH_JUMP: Final = 1000
"""Masterships that a lost tail of the old journal may have had beyond what is known here."""
FID_JUMP: Final = 1 << 32
"""Files that may have been made since: years of them at the speed of any MGM."""
NODE: Final = "restore"
"""Owner of the journal until the first MGM claims it."""


async def begin_journal(spec: str, entry: bytes, fid_limit: int, now_ns: int) -> Owner:
    """Make the empty journal `spec` go on behind `entry`; returns its first owner. `fid_limit` is
    the state's after that entry.

    Raises ConfigError (a spec), JournalError: the journal is not empty, Corrupt: the entry.
    """
    first = decode(entry)
    owner = Owner(NODE, Epoch(first.epoch + EPOCH_JUMP), "", now_ns)
    reserve = encode_op(ReserveFids(fid_limit + FID_JUMP))
    second = encode(owner.epoch, Seq(first.seq + 1), crc_of(entry), [reserve])
    heir = await open_heir(spec)
    try:
        await heir.put([(first.seq, entry), (Seq(first.seq + 1), second)])
        await heir.finish(owner)
    finally:
        await heir.close()
    return owner
