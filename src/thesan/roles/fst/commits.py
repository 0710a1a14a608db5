"""Delivery of commits, and the question whether replicas are registered.

A commit is delivered until a master has decided. If the decision is no, the MGM is asked once more
whether it knows the replica of a new file, before anybody removes data: the wire has fewer error
codes than there are errors, but a registered replica is a registered replica. That of a file that
was changed in place was registered before, so there a no is a no.
"""

import asyncio
import errno
from collections.abc import Callable, Sequence
from functools import partial

from thesan.core.control.messages import Commit, CommitReply, Inquire, InquireReply
from thesan.core.model.errors import OperationError
from thesan.core.model.limits import COMMITS_IN_FLIGHT_MAX, INQUIRE_FIDS_MAX
from thesan.roles.fst.mgms import Mgms


class Commits:
    """What this FST tells and asks the master about its replicas."""

    def __init__(self, node: str, mgms: Mgms) -> None:
        self.node = node
        self._mgms = mgms
        self._slots = asyncio.Semaphore(COMMITS_IN_FLIGHT_MAX)

    async def deliver(
        self, make: Callable[[], Commit], fid: int, own_fsid: int, *, is_new: bool
    ) -> None:
        """Return when the commit is in the journal. Raises OperationError when it never will be.

        `make` is asked for the commit before each sending, and may raise to give it up.
        """
        async with self._slots:
            try:
                await self._mgms.ask_master(make, CommitReply, f"commit of {fid:08x}")
            except OperationError:
                if not is_new or not (await self.inquire(own_fsid, [fid]))[0]:
                    raise

    async def inquire(self, fsid: int, fids: Sequence[int]) -> list[bool]:
        """For each fid whether the MGM has a replica of it registered on `fsid`.

        Waits until a master answers. Raises OperationError when it refuses to.
        """
        known: list[bool] = []
        for start in range(0, len(fids), INQUIRE_FIDS_MAX):
            page = list(fids[start : start + INQUIRE_FIDS_MAX])
            question = Inquire(self.node, fsid, page)
            reply = await self._mgms.ask_master(
                partial(_same, question), InquireReply, f"inquiry of fs {fsid}"
            )
            if len(reply.known) != len(page):
                raise OperationError(errno.EPROTO, "inquiry answered for another number of files")
            known += reply.known
        return known


def _same(question: Inquire) -> Inquire:
    return question
