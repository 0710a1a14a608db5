"""Bringing a filesystem into service: its label, its leftovers, and its data against the MGM.

A boot reads the label and the markers, nothing else, so that it takes the same time on an empty and
on a full disk. Counting the files and, when it was asked for (`fs boot --syncmgm`), asking the MGM
about each of them run afterwards, beside the service.
"""

import errno
from collections.abc import Callable, Collection

from thesan.core.model.errors import OperationError, StoreError
from thesan.io.tasks import TaskOwner
from thesan.ports.log import Log
from thesan.roles.fst.commits import Commits
from thesan.roles.fst.recovery import Recovery
from thesan.roles.fst.store import BootState, FsStore

_NOT_DATA = frozenset({".thesan", "lost+found"})


class Booter:
    """Boots filesystems. One for the FST."""

    def __init__(
        self,
        recovery: Recovery,
        commits: Commits,
        active: Callable[[int], Collection[int]],
        partial_seconds: float,
        tasks: TaskOwner,
        log: Log,
    ) -> None:
        """`active`: fids that are being written on a filesystem by this process."""
        self._recovery = recovery
        self._commits = commits
        self._active = active
        self._partial_seconds = partial_seconds
        self._tasks = tasks
        self._log = log

    async def boot(
        self, store: FsStore, fsid: int = 0, uuid: str = "", *, again: bool = False
    ) -> None:
        """Check and take into service; how it went is in `store.state`.

        With `fsid` and `uuid` (as the MGM has them) the label must say the same, and is written on
        an empty directory that has none; without them the label is believed. What is booted is
        booted anew only with `again`.
        """
        async with store.boot_lock:
            fits = fsid == 0 or (store.fsid, store.uuid) == (fsid, uuid)
            if store.state is BootState.BOOTED and fits and not again:
                return
            await self._boot(store, fsid, uuid)

    async def _boot(self, store: FsStore, fsid: int, uuid: str) -> None:
        try:
            store.begin_boot()
            store.usage = await store.disk.usage()
            await self._check_label(store, fsid, uuid)
            leftovers = await store.markers()
        except (OperationError, StoreError) as error:
            store.fail_boot(error)
            self._log.error("boot failed", path=store.path, fsid=fsid, reason=str(error))
            return
        active = self._active(store.fsid)
        for fid, marker in leftovers:
            if fid not in active:
                self._recovery.add(store, fid, marker, self._partial_seconds)
        store.end_boot()
        self._log.info(
            "filesystem booted", fsid=store.fsid, path=store.path, leftovers=len(leftovers)
        )
        self._tasks.start(f"count fs {store.fsid}", self._count(store))

    async def _check_label(self, store: FsStore, fsid: int, uuid: str) -> None:
        label = await store.read_label()
        if label is None:
            if not fsid:
                raise StoreError(f"{store.path} has no label: it was never registered")
            names = [name for name in await store.disk.list("") if name not in _NOT_DATA]
            if names:
                raise StoreError(
                    f"{store.path} has no label, but is not empty: is the right disk mounted?"
                )
            if store.config is not None and store.config.has_replicas:
                raise StoreError(
                    f"{store.path} is empty, but fs {fsid} has files: is its disk mounted?"
                )
            await store.write_label(fsid, uuid)
            label = fsid, uuid
        if fsid and label != (fsid, uuid):
            raise StoreError(
                f"the label of {store.path} says fsid {label[0]} uuid {label[1]}, "
                f"the MGM says fsid {fsid} uuid {uuid}"
            )
        store.fsid, store.uuid = label

    async def _count(self, store: FsStore) -> None:
        try:
            await store.count_files(lambda: self._active(store.fsid))
        except OperationError as error:
            store.note_error(error)

    def start_check(self, store: FsStore) -> None:
        """Begin to compare the data files with what the MGM has registered."""
        self._tasks.start(f"check fs {store.fsid}", self._check(store))

    async def _check(self, store: FsStore) -> None:
        checked = moved = 0
        try:
            for directory in await store.directories():
                fids = await store.fids(directory)
                # Before the question: what is committed after its answer must not be put aside.
                busy = dict.fromkeys(
                    (*self._active(store.fsid), *self._recovery.pending(store.fsid))
                )
                fids = [fid for fid in fids if fid not in busy]
                known = await self._commits.inquire(store.fsid, fids)
                for fid, is_known in zip(fids, known, strict=True):
                    if store.state is not BootState.BOOTED:
                        return
                    if not is_known and await self._put_aside(store, fid):
                        moved += 1
                checked += len(fids)
        except OperationError as error:
            store.note_error(error)
            self._log.warning("check broken off", fsid=store.fsid, reason=error.text)
            return
        self._log.info("filesystem checked", fsid=store.fsid, files=checked, orphans=moved)

    async def _put_aside(self, store: FsStore, fid: int) -> bool:
        """False when it was removed meanwhile."""
        try:
            await store.move_to_orphans(fid)
        except OperationError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        self._log.warning("orphan put aside", fid=fid, fsid=store.fsid)
        return True
