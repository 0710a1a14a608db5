"""How an upload ends: committed by its head, kept or removed on the word of the head, or given up.

Order of a commit, each step after the one before it is durable: data, record and a marker that says
so of every replica; the commit itself in the head's marker; the journal (the MGM's answer); only
then the client's answer; at last the markers go. A crash between any two steps is resolved from the
markers, see recovery.py.

The head commits only replicas that are bound to stay: before each sending it leaves out those whose
server it has lost, and a server keeps a sealed replica for much longer than that takes to notice.
After a crash the head can't know who is still there, so the commit in its marker names itself only.
"""

import asyncio
import errno
from collections.abc import Callable
from functools import partial

from thesan.core.authority.capability import Op
from thesan.core.control.messages import Commit, ReplicaCommit, encode_request
from thesan.core.control.replica import Sealed
from thesan.core.model.errors import OperationError
from thesan.io.tasks import TaskOwner
from thesan.ports.clock import Clock
from thesan.ports.log import Log
from thesan.roles.fst.commits import Commits
from thesan.roles.fst.links import Link
from thesan.roles.fst.records import Marker, MarkerState
from thesan.roles.fst.upload import Origin, Phase, Upload


def marker_of(
    origin: Origin, fsid: int, state: MarkerState = MarkerState.OPEN, commit: bytes = b""
) -> Marker:
    """The marker of an upload."""
    return Marker(
        state=state,
        op=origin.op,
        fid=origin.fid,
        fsid=fsid,
        path=origin.path,
        is_head=origin.is_head,
        uid=origin.uid,
        gid=origin.gid,
        layout=origin.layout,
        grant=origin.grant,
        other_fsids=origin.other_fsids,
        commit=commit,
    )


class Finisher:
    """Ends uploads. One for the FST."""

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

    # -- of the head -------------------------------------------------------------------------
    async def commit(self, upload: Upload) -> None:
        """Bring the upload into the namespace. Raises OperationError; then it is removed.

        Of a file that was changed in place the replicas that are good are committed even when this
        one failed, and the error is raised all the same.
        """
        upload.phase = Phase.CLOSING
        try:
            await upload.drain()
        except OperationError as error:
            upload.fail(error)
        if upload.error is None and upload.bad_pages:
            text = f"{len(upload.bad_pages)} pages never came with a right checksum"
            upload.fail(OperationError(errno.EDOM, text))
        if upload.origin.op == Op.UPDATE and not upload.is_dirty:
            await self._keep(upload)
            if upload.error is not None:
                raise upload.error
            return
        mtime_ns = self._clock.now_ns()
        replicas = await self._seal(upload, mtime_ns)
        if not replicas or (upload.error is not None and upload.origin.op == Op.CREATE):
            await self.abort(upload)
            raise upload.error or OperationError(errno.EIO, "no replica is left")
        await self._mark(upload, self._commit_after_crash(upload, replicas, mtime_ns))
        make = partial(self._commit_of, upload, replicas, mtime_ns)
        try:
            is_new = upload.origin.op == Op.CREATE
            await self._commits.deliver(
                make, upload.origin.fid, next(iter(replicas)), is_new=is_new
            )
        except OperationError as error:
            self._log.warning(
                "commit refused",
                fid=upload.origin.fid,
                path=upload.origin.path,
                reason=error.text,
            )
            await self.abort(upload)
            raise
        await self._keep(upload)
        if upload.error is not None:
            raise upload.error

    async def _seal(self, upload: Upload, mtime_ns: int) -> dict[int, Sealed]:
        """Make all replicas durable: what the good ones hold, by fsid, the head's first."""
        others: dict[int, Sealed] = {}

        async def seal(link: Link) -> None:
            others[link.fsid] = await link.seal(mtime_ns)

        async def seal_here() -> Sealed | None:
            try:
                return await upload.seal(mtime_ns)
            except OperationError:
                return None

        own, _ = await asyncio.gather(seal_here(), upload.on_links(seal))
        truth = own
        for link in list(upload.links):
            truth = truth or others[link.fsid]
            if others[link.fsid] != truth:
                upload.lose(link, OperationError(errno.EDOM, "replica differs from the head's"))
        good = {link.fsid: others[link.fsid] for link in upload.links}
        return good if own is None else {upload.store.fsid: own, **good}

    def _commit_of(self, upload: Upload, replicas: dict[int, Sealed], mtime_ns: int) -> Commit:
        """The commit as of now. Raises OperationError EIO when no replica is left."""
        for link in list(upload.links):
            if not link.is_alive:
                upload.lose(link, OperationError(errno.ECONNRESET, "its server is gone"))
        own = upload.store.fsid
        good = [own] if own in replicas else []
        lost = [] if own in replicas else [own]
        good += [link.fsid for link in upload.links]
        if not good:
            raise OperationError(errno.EIO, "no replica is left")
        return self._commit(upload, replicas, mtime_ns, good, lost + upload.lost_fsids)

    def _commit_after_crash(
        self, upload: Upload, replicas: dict[int, Sealed], mtime_ns: int
    ) -> Commit:
        """What is sent at the next boot if this process does not live to see the answer."""
        first, *others = replicas
        return self._commit(upload, replicas, mtime_ns, [first], others + upload.lost_fsids)

    def _commit(
        self,
        upload: Upload,
        replicas: dict[int, Sealed],
        mtime_ns: int,
        good: list[int],
        lost: list[int],
    ) -> Commit:
        return Commit(
            node=self._commits.node,
            grant=upload.origin.grant,
            replicas=[
                ReplicaCommit(
                    fsid, replicas[fsid].size, replicas[fsid].adler32, replicas[fsid].crc32c
                )
                for fsid in good
            ],
            mtime_ns=mtime_ns,
            failed_fsids=lost,
            epoch=self._epoch(),
        )

    async def _mark(self, upload: Upload, commit: Commit) -> None:
        """A head that can't write its marker goes on: the answer waits for the MGM anyway."""
        if upload.error is not None:
            return  # the head's own replica is not one of them: nothing here is to be committed
        marker = marker_of(
            upload.origin, upload.store.fsid, MarkerState.COMMITTING, encode_request(commit)
        )
        try:
            await upload.store.mark(marker)
        except OperationError as error:
            upload.store.note_error(error)
            self._log.warning("marker not written", fid=upload.origin.fid, reason=error.text)

    async def _keep(self, upload: Upload) -> None:
        """All is well: let go of file and marker here, and tell the others."""
        self._tell(upload, keep=True)
        await upload.end()
        if upload.origin.op == Op.CREATE:
            upload.store.count_new(upload.origin.fid)
        await self._unmark(upload)

    async def abort(self, upload: Upload) -> None:
        """Give the upload up. A new file is removed from all replicas; a file that was changed in
        place stays as it is, with its marker, to be looked at by the next boot."""
        self._tell(upload, keep=False)
        await upload.end()
        if upload.origin.op == Op.CREATE:
            await self._remove(upload)

    def _tell(self, upload: Upload, *, keep: bool) -> None:
        """Settle the other replicas without waiting: they resolve by themselves what is lost. One
        that failed may live, and would wait for our last word as long as we are connected."""
        last_words = [(link, keep) for link in upload.links]
        last_words += [(link, False) for link in upload.lost_links if link.is_alive]
        for link, is_good in last_words:
            work = self._settle(upload, link, is_good)
            self._tasks.start(f"settle {upload.origin.fid:08x}", work)

    async def _settle(self, upload: Upload, link: Link, keep: bool) -> None:
        try:
            await link.settle(keep=keep)
        except OperationError as error:
            self._log.info(
                "replica not settled", fid=upload.origin.fid, fsid=link.fsid, reason=error.text
            )

    # -- of the other replicas ---------------------------------------------------------------
    async def seal(self, upload: Upload, mtime_ns: int) -> Sealed:
        """The head has sent everything. Raises OperationError."""
        upload.is_sealing = True
        await upload.drain()
        sealed = await upload.seal(mtime_ns)
        marker = marker_of(upload.origin, upload.store.fsid, MarkerState.SEALED)
        try:
            await upload.store.mark(marker)
        except OperationError as error:
            upload.fail(error)
            raise
        upload.is_sealed = True
        return sealed

    async def settle(self, upload: Upload, *, keep: bool) -> bool:
        """The head's last word. False when it must be checked with the MGM first."""
        if not keep and upload.origin.op != Op.CREATE:
            return False
        if keep:
            upload.links.clear()
            await self._keep(upload)
        else:
            await self.abort(upload)
        return True

    # -- inside ------------------------------------------------------------------------------
    async def _unmark(self, upload: Upload) -> None:
        try:
            await upload.store.unmark(upload.origin.fid)
        except OperationError as error:
            upload.store.note_error(error)

    async def _remove(self, upload: Upload) -> None:
        """Data first: a marker without data costs a question at boot, the reverse an orphan."""
        try:
            await upload.store.remove_data(upload.origin.fid)
            await upload.store.unmark(upload.origin.fid)
        except OperationError as error:
            upload.store.note_error(error)
            self._log.warning("not removed yet", fid=upload.origin.fid, reason=error.text)
