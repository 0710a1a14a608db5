"""A planned switch: the master stops, says who is next, and waits until that one has the journal.

    freeze ─► drain ─► journal the successor ─► it claims ─► we are fenced, clients go there
                                   └─ it does not, in time ─► take the word back ─► go on

Frozen means that no request is answered, not even a read: so the successor need not wait for any
lease. Taking the word back is an entry: a successor that claims after it sees that we answer again.
"""

import asyncio
import errno

from thesan.core.leadership.handover import best_successor, refusal
from thesan.core.leadership.records import (
    SUCCESSOR_KEY,
    SUCCESSOR_SECTION,
    SuccessorRecord,
    encode_leadership,
)
from thesan.core.model.errors import Fenced, OperationError
from thesan.core.model.leadership_limits import (
    HANDOVER_POLL_SECONDS,
    HANDOVER_SECONDS_MAX,
)
from thesan.core.namespace.ops import ConfigSet
from thesan.roles.mgm.mastership import Mastership
from thesan.roles.mgm.process import Process
from thesan.roles.mgm.successors import candidates


def find_successor(process: Process, wanted: str) -> str:
    """The address of the MGM to hand over to; `wanted` is an address, a host, or empty for the one
    that fits best. Raises OperationError ENOENT, EINVAL, EBUSY."""
    others = candidates(process)
    head = process.applied()
    if not wanted:
        found = best_successor(others, head)
        if not found:
            raise OperationError(errno.EBUSY, "no other MGM can be master now")
        return found
    matches = [one for one in others if wanted in (one.address, one.address.rpartition(":")[0])]
    if not matches:
        raise OperationError(errno.ENOENT, f"{wanted[:80]!r} is no other MGM of this instance")
    if len(matches) > 1:
        raise OperationError(errno.EINVAL, f"{wanted[:80]!r} is several MGMs: say host:port")
    reason = refusal(matches[0], head)
    if reason:
        raise OperationError(errno.EBUSY, reason)
    return matches[0].address


async def hand_over(process: Process, term: Mastership, successor: str, why: str) -> bool:
    """Do it, with no request being answered any more: True when the successor has the journal,
    False when this MGM is to go on. Raises JournalError when its mastership ended otherwise."""
    log = process.world.log
    log.info("hands over", to=successor, reason=why)
    try:
        async with asyncio.timeout(HANDOVER_SECONDS_MAX):
            await term.drain()
        record = encode_leadership(SuccessorRecord(successor, int(process.epoch), why))
        term.master.submit(ConfigSet(SUCCESSOR_SECTION, SUCCESSOR_KEY, record))
    except (OperationError, TimeoutError) as error:
        log.warning("can't hand over", reason=str(error) or "the journal is too slow")
        return False
    try:
        async with asyncio.timeout(HANDOVER_SECONDS_MAX):
            await term.drain()
            await _until_claimed(process, term)
    except TimeoutError:
        # The word may be durable by now or become so: nothing is answered before it is taken
        # back. Fenced here means that the successor was faster after all.
        log.warning("the successor did not claim", successor=successor)
        try:
            term.master.submit(ConfigSet(SUCCESSOR_SECTION, SUCCESSOR_KEY, None))
        except OperationError as error:
            # Who has named a successor and can't unname it must not answer anybody again.
            text = f"its successor's name can't be taken back: {error.text}"
            term.master.pipeline.broken(text)
            raise Fenced(text) from error
        await term.drain()
        return False
    return True


async def _until_claimed(process: Process, term: Mastership) -> None:
    while True:
        seen = await process.observer.look()
        if seen is not None and seen.owner is not None and seen.owner != term.owner:
            term.master.pipeline.broken(f"handed over to {seen.owner.address}")
            return
        if term.lost:
            return
        await asyncio.sleep(HANDOVER_POLL_SECONDS)
