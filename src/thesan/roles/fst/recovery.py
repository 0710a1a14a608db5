"""What becomes of uploads that nobody finishes: markers found at boot, replicas whose head is gone.

    marker                         what is done
    committing (head)              the commit is delivered, unless it was; then the MGM says
                                   whether this replica is one of the file's: kept, else removed
    open, new file                 the MGM is asked: registered (its marker came back with a crash)
    or not readable                is kept, anything else was never committed and is removed
    sealed, new file (other)       as above, but the head may be about to commit it: an unknown
                                   replica is asked for once more after COMMIT_SETTLE_SECONDS
    open, changed in place, head   what is on this disk is the truth now: summed and committed, the
                                   other replicas are reported as failed; an only replica that
                                   is as before is left alone
    changed in place, other        the MGM is asked: registered is summed and kept, else removed

An unfinished upload waits for its client for a while first (`delay_seconds`).
"""

import asyncio
import errno
from collections.abc import Callable
from functools import partial

import msgspec

from thesan.core.authority.capability import Op
from thesan.core.control.messages import (
    Commit,
    ReplicaCommit,
    decode_request,
    encode_request,
)
from thesan.core.model.errors import ControlError, OperationError
from thesan.core.model.limits import COMMIT_RETRY_SECONDS_MAX, COMMIT_SETTLE_SECONDS
from thesan.io.tasks import TaskOwner
from thesan.ports.clock import Clock
from thesan.ports.log import Log
from thesan.roles.fst.commits import Commits
from thesan.roles.fst.records import Fmd, Marker, MarkerState
from thesan.roles.fst.store import FsStore


class Recovery:
    """Resolves leftovers. One for the FST."""

    def __init__(
        self,
        commits: Commits,
        epoch: Callable[[], int],
        tasks: TaskOwner,
        clock: Clock,
        log: Log,
    ) -> None:
        self._commits = commits
        self._epoch = epoch
        self._tasks = tasks
        self._clock = clock
        self._log = log
        self._waiting: dict[tuple[int, int], tuple[Marker | None, asyncio.Task[None]]] = {}
        self._resolving: dict[tuple[int, int], None] = {}

    def __len__(self) -> int:
        """Leftovers that are not resolved yet."""
        return len(self._waiting) + len(self._resolving)

    def is_resolving(self, fsid: int, fid: int) -> bool:
        """Too late to go on with that upload; its end is not known yet."""
        return (fsid, fid) in self._resolving

    def pending(self, fsid: int) -> list[int]:
        """fids of the leftovers of one filesystem."""
        return [fid for one, fid in (*self._waiting, *self._resolving) if one == fsid]

    def add(self, store: FsStore, fid: int, marker: Marker | None, delay_seconds: float) -> None:
        """Resolve a leftover after `delay_seconds`, or at once when nobody can go on with it."""
        key = store.fsid, fid
        if key in self._waiting or key in self._resolving:
            return
        if marker is None or not store.can_go_on(marker):
            delay_seconds = 0.0
        task = self._tasks.start(f"resolve {fid:08x}", self._later(store, fid, delay_seconds))
        self._waiting[key] = marker, task

    def take(self, store: FsStore, fid: int) -> Marker | None:
        """The client came back: the upload goes on. None when there is nothing to go on with."""
        found = self._waiting.get((store.fsid, fid))
        if found is None or found[0] is None or not store.can_go_on(found[0]):
            return None
        del self._waiting[store.fsid, fid]
        found[1].cancel()
        return found[0]

    def forget(self, fsid: int, fid: int) -> bool:
        """The MGM had the replica deleted. False when it is being resolved just now: the commit in
        it may be on its way."""
        if (fsid, fid) in self._resolving:
            return False
        found = self._waiting.pop((fsid, fid), None)
        if found is not None:
            found[1].cancel()
        return True

    async def _later(self, store: FsStore, fid: int, delay_seconds: float) -> None:
        if delay_seconds > 0:
            await asyncio.sleep(delay_seconds)
        key = store.fsid, fid
        marker, _ = self._waiting.pop(key)
        self._resolving[key] = None
        try:
            await self._until_resolved(store, fid, marker)
        finally:
            del self._resolving[key]

    async def _until_resolved(self, store: FsStore, fid: int, marker: Marker | None) -> None:
        """Try until it works: an MGM that refuses to answer is asked again later."""
        while True:
            try:
                outcome = await self._resolve(store, fid, marker)
            except OperationError as error:
                store.note_error(error)
                self._log.warning("leftover not resolved", fid=fid, reason=error.text)
                if error.errno in (errno.EIO, errno.EROFS):
                    return  # the next boot of this filesystem finds the marker again
                await asyncio.sleep(COMMIT_RETRY_SECONDS_MAX)
            else:
                self._log.info("leftover resolved", fid=fid, fsid=store.fsid, outcome=outcome)
                return

    async def _resolve(self, store: FsStore, fid: int, marker: Marker | None) -> str:
        """One word for the log. Raises OperationError when it has to be tried again."""
        if marker is not None and marker.state == MarkerState.COMMITTING:
            return await self._commit(store, marker, marker.commit)
        if marker is None or marker.op == Op.CREATE:
            if marker is not None and marker.state == MarkerState.SEALED:
                await self._let_head_commit(store, fid)
            return await self._ask(store, fid)
        if marker.is_head:
            return await self._recommit(store, marker)
        if await self._is_known(store, fid):
            await self._sum(store, marker)
        return await self._ask(store, fid)

    async def _let_head_commit(self, store: FsStore, fid: int) -> None:
        """A head that lives notices within seconds that it has lost us, and commits without us."""
        if not await self._is_known(store, fid):
            await asyncio.sleep(COMMIT_SETTLE_SECONDS)

    async def _is_known(self, store: FsStore, fid: int) -> bool:
        return (await self._commits.inquire(store.fsid, [fid]))[0]

    async def _ask(self, store: FsStore, fid: int) -> str:
        """Keep the replica if the MGM knows it, else remove it."""
        if await self._is_known(store, fid):
            await store.unmark(fid)
            return "kept"
        if await store.remove_data(fid):
            self._log.info("partial file removed", fid=fid, fsid=store.fsid)
        await store.unmark(fid)
        return "removed"

    async def _commit(self, store: FsStore, marker: Marker, blob: bytes) -> str:
        try:
            commit = decode_request(blob)
        except ControlError as error:
            self._log.error("commit in a marker is unreadable", fid=marker.fid, reason=str(error))
            return await self._ask(store, marker.fid)
        if marker.op == Op.CREATE and await self._is_known(store, marker.fid):
            # It was committed before the crash, and perhaps with more replicas than this one.
            return await self._ask(store, marker.fid)
        if isinstance(commit, Commit):
            try:
                is_new = marker.op == Op.CREATE
                await self._commits.deliver(
                    partial(self._stamped, commit), marker.fid, store.fsid, is_new=is_new
                )
            except OperationError as error:
                self._log.info("commit refused", fid=marker.fid, reason=error.text)
        return await self._ask(store, marker.fid)

    def _stamped(self, commit: Commit) -> Commit:
        """As it is sent now: an MGM takes none that may be left over from before its mastership,
        nor one in the name of another FST, from which the disk may have been moved here."""
        return msgspec.structs.replace(commit, epoch=self._epoch(), node=self._commits.node)

    async def _recommit(self, store: FsStore, marker: Marker) -> str:
        """A file that was changed in place, and whose last state nobody confirmed."""
        before = await self._record(store, marker.fid)
        try:
            fmd = await self._sum(store, marker)
        except OperationError as error:
            if error.errno != errno.ENOENT:
                raise
            return await self._ask(store, marker.fid)
        if not marker.other_fsids and before is not None and _same(before, fmd):
            # With other replicas it must be committed all the same: one of them may have got a
            # write that never reached this disk.
            await store.set_fmd(before)
            await store.unmark(marker.fid)
            return "unchanged"
        commit = Commit(
            node=self._commits.node,
            grant=marker.grant,
            replicas=[ReplicaCommit(store.fsid, fmd.size, fmd.adler32, fmd.crc32c)],
            mtime_ns=fmd.mtime_ns,
            failed_fsids=list(marker.other_fsids),
            epoch=self._epoch(),
        )
        return await self._commit(store, marker, encode_request(commit))

    async def _record(self, store: FsStore, fid: int) -> Fmd | None:
        try:
            return await store.fmd(fid)
        except OperationError as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    async def _sum(self, store: FsStore, marker: Marker) -> Fmd:
        """Write the record that fits the content. Raises OperationError."""
        disk = store.disk
        handle = await store.open_data(marker.fid, write=True)
        try:
            size = await disk.size(handle)
            sums = await disk.checksums(handle, size)
            fmd = Fmd(
                fid=marker.fid,
                path=marker.path,
                uid=marker.uid,
                gid=marker.gid,
                layout=marker.layout,
                size=size,
                adler32=sums[0],
                crc32c=sums[1],
                mtime_ns=self._clock.now_ns(),
            )
            await store.set_fmd(fmd)
            await disk.sync(handle)
        finally:
            await disk.close(handle)
        return fmd


def _same(one: Fmd, other: Fmd) -> bool:
    """The same content."""
    return (one.size, one.adler32, one.crc32c) == (other.size, other.adler32, other.crc32c)
