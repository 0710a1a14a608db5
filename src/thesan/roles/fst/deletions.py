"""Removing replicas that the MGM no longer wants.

An order is repeated by the MGM until it was reported as done, and done again without harm: what is
not there counts as removed. What is reported stays removed: nobody would order it again after a
power cut. A replica on a filesystem that is not in service stays ordered. So does one whose commit
is under way: when the last deletion is reported the MGM forgets the file, and a commit that came
after that would bring it back.
"""

import asyncio
from collections.abc import Sequence

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import DELETIONS_AT_ONCE_MAX
from thesan.io.tasks import TaskOwner
from thesan.ports.log import Log
from thesan.roles.fst.fleet import Fleet
from thesan.roles.fst.recovery import Recovery
from thesan.roles.fst.store import BootState, FsStore
from thesan.roles.fst.uploads import Uploads

Pair = tuple[int, int]
"""(fsid, fid)."""


class Deletions:
    """Orders in progress and done. One for the FST."""

    def __init__(
        self, fleet: Fleet, uploads: Uploads, recovery: Recovery, tasks: TaskOwner, log: Log
    ) -> None:
        self._fleet = fleet
        self._uploads = uploads
        self._recovery = recovery
        self._tasks = tasks
        self._log = log
        self._under_way: dict[Pair, None] = {}
        self._done: dict[Pair, None] = {}
        self._slots = asyncio.Semaphore(DELETIONS_AT_ONCE_MAX)

    def order(self, pairs: Sequence[Pair]) -> None:
        """Begin to remove these, as far as it is not under way or done."""
        fresh = [
            (fsid, fid)
            for fsid, fid in pairs
            if (fsid, fid) not in self._under_way and (fsid, fid) not in self._done
        ]
        by_fs: dict[int, list[int]] = {}
        for fsid, fid in fresh:
            self._under_way[fsid, fid] = None
            by_fs.setdefault(fsid, []).append(fid)
        for fsid, fids in by_fs.items():
            self._tasks.start(f"delete on fs {fsid}", self._remove_all(fsid, fids))

    def done(self, count_max: int) -> list[Pair]:
        """Removed and not yet reported."""
        return list(self._done)[:count_max]

    def reported(self, pairs: Sequence[Pair]) -> None:
        """The master has heard of these."""
        for fsid, fid in pairs:
            self._done.pop((fsid, fid), None)

    async def _remove_all(self, fsid: int, fids: Sequence[int]) -> None:
        store = self._fleet.find(fsid)
        try:
            if store is None or store.state is not BootState.BOOTED:
                return
            results = await asyncio.gather(*[self._remove(store, fid) for fid in fids])
            await store.make_removals_durable()
            for fid, is_removed in zip(fids, results, strict=True):
                if is_removed:
                    self._done[fsid, fid] = None
        except OperationError as error:
            if store is not None:
                store.note_error(error)
            self._log.warning("removals not durable", fsid=fsid, reason=error.text)
        finally:
            for fid in fids:
                self._under_way.pop((fsid, fid), None)

    async def _remove(self, store: FsStore, fid: int) -> bool:
        """Whoever writes the file is stopped first, else the data would come back."""
        async with self._slots:
            try:
                await self._uploads.cancel(store.fsid, fid)
                if self._uploads.find(store.fsid, fid) is not None:
                    return False
                if not self._recovery.forget(store.fsid, fid):
                    return False
                if await store.remove_data(fid):
                    store.used_files = max(0, store.used_files - 1)
                else:
                    await store.remove_orphan(fid)
                await store.unmark(fid)
            except OperationError as error:
                store.note_error(error)
                self._log.warning(
                    "replica not removed", fsid=store.fsid, fid=fid, reason=error.text
                )
                return False
        return True
