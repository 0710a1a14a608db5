"""All uploads of this FST, and the clock of those whose client is gone.

A client that lost its connection may come back within `partial_seconds` and go on; after that a new
file is removed, a file changed in place is committed as it is, and the replica of somebody else's
upload is resolved with the MGM.
"""

import asyncio
import errno

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.core.model.limits import UPLOAD_SECONDS_MAX, UPLOAD_SWEEP_SECONDS
from thesan.io.tasks import TaskOwner
from thesan.ports.log import Log
from thesan.roles.fst.finish import Finisher, marker_of
from thesan.roles.fst.records import MarkerState
from thesan.roles.fst.recovery import Recovery
from thesan.roles.fst.upload import Phase, Upload, Writer

Key = tuple[int, int]
"""(fsid, fid)."""


class Uploads:
    """Registry: at most one upload of a file on a filesystem."""

    def __init__(
        self,
        finisher: Finisher,
        recovery: Recovery,
        partial_seconds: float,
        tasks: TaskOwner,
        log: Log,
    ) -> None:
        self._finisher = finisher
        self._recovery = recovery
        self._partial_seconds = partial_seconds
        self._tasks = tasks
        self._log = log
        self._by_key: dict[Key, Upload] = {}
        self._opening: dict[Key, None] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._one_ended: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, fsid: int, fid: int) -> Upload | None:
        """The upload of that file on that filesystem."""
        return self._by_key.get((fsid, fid))

    def active(self, fsid: int) -> list[int]:
        """fids being written, or being opened for it, on a filesystem."""
        return [fid for one, fid in (*self._by_key, *self._opening) if one == fsid]

    async def until_idle(self, seconds_max: float) -> None:
        """Wait until no upload is being committed any more, at most so long."""
        try:
            async with asyncio.timeout(seconds_max):
                while self._is_closing():
                    self._one_ended = asyncio.get_running_loop().create_future()
                    await self._one_ended
        except TimeoutError:
            self._log.warning("uploads left to the next boot", count=len(self._by_key))

    def _is_closing(self) -> bool:
        return any(upload.phase is Phase.CLOSING for upload in self._by_key.values())

    # -- opening -----------------------------------------------------------------------------
    def is_opening(self, fsid: int, fid: int) -> bool:
        """Another open of the same file is under way."""
        return (fsid, fid) in self._opening

    def begin_open(self, fsid: int, fid: int) -> None:
        """Nobody else may open it for writing until `end_open`."""
        assert (fsid, fid) not in self._opening, "two opens of one upload"
        self._opening[fsid, fid] = None

    def end_open(self, fsid: int, fid: int) -> None:
        """Opened, or failed."""
        del self._opening[fsid, fid]

    def add(self, upload: Upload) -> None:
        """A new upload."""
        key = upload.store.fsid, upload.origin.fid
        assert key not in self._by_key, "two uploads of one file"
        self._by_key[key] = upload
        upload.store.open_write += 1

    # -- clients come and go -----------------------------------------------------------------
    def attach(self, upload: Upload, writer: Writer) -> None:
        """A client writes."""
        self._stop_timer(upload)
        upload.attach(writer)

    def detach(self, upload: Upload, writer: Writer) -> None:
        """The client is gone without a close: it has `partial_seconds` to come back."""
        if not upload.detach(writer) or upload.phase is not Phase.OPEN:
            return
        loop = asyncio.get_running_loop()
        key = upload.store.fsid, upload.origin.fid
        self._timers[key] = loop.call_later(self._partial_seconds, self._expired, upload)
        self._log.info("client of an upload is gone", fid=upload.origin.fid, fsid=key[0])

    def _expired(self, upload: Upload) -> None:
        self._timers.pop((upload.store.fsid, upload.origin.fid), None)
        if upload.phase is Phase.OPEN:
            upload.phase = Phase.CLOSING
            self._tasks.start(f"expire {upload.origin.fid:08x}", self._expire(upload))

    async def _expire(self, upload: Upload) -> None:
        self._log.info(
            "upload given up", fid=upload.origin.fid, fsid=upload.store.fsid, op=upload.origin.op
        )
        if not upload.origin.is_head:
            await self.resolve(upload)
        elif upload.origin.op == Op.CREATE:
            await self.abort(upload)
        else:
            try:
                await self.commit(upload)
            except OperationError as error:
                self._log.warning(
                    "abandoned update not committed", fid=upload.origin.fid, reason=error.text
                )

    async def watch(self) -> None:
        """Let go of uploads whose client is connected and has forgotten them, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(UPLOAD_SWEEP_SECONDS)
            for upload in list(self._by_key.values()):
                writer = upload.writer
                if writer is not None and loop.time() - upload.used_at > UPLOAD_SECONDS_MAX:
                    writer.void()
                    self.detach(upload, writer)

    # -- ends --------------------------------------------------------------------------------
    async def commit(self, upload: Upload) -> None:
        """The head's close. Raises OperationError."""
        self._stop_timer(upload)
        try:
            await self._finisher.commit(upload)
        finally:
            self._remove(upload)

    async def abort(self, upload: Upload) -> None:
        """Give up."""
        self._stop_timer(upload)
        try:
            await self._finisher.abort(upload)
        finally:
            self._remove(upload)

    async def settle(self, upload: Upload, *, keep: bool) -> None:
        """The head's last word about its replica here."""
        self._stop_timer(upload)
        if await self._finisher.settle(upload, keep=keep):
            self._remove(upload)
        else:
            await self.resolve(upload)

    async def resolve(self, upload: Upload) -> None:
        """Let the MGM say what becomes of a replica whose head said nothing."""
        store, fid = upload.store, upload.origin.fid
        await upload.end()
        self._remove(upload)
        state = MarkerState.SEALED if upload.is_sealed else MarkerState.OPEN
        self._recovery.add(store, fid, marker_of(upload.origin, store.fsid, state), 0.0)

    async def cancel(self, fsid: int, fid: int) -> None:
        """The file was deleted: stop writing it. A commit under way goes on, and hears it from the
        MGM."""
        upload = self._by_key.get((fsid, fid))
        if upload is None or upload.phase is not Phase.OPEN:
            return
        upload.phase = Phase.CLOSING
        upload.fail(OperationError(errno.ENOENT, "the file was deleted"))
        await self.abort(upload)

    async def close(self) -> None:
        """The process stops: files are closed, markers stay for the next boot."""
        for key in list(self._timers):
            self._timers.pop(key).cancel()
        for upload in list(self._by_key.values()):
            await upload.end()
        self._by_key.clear()

    # -- inside ------------------------------------------------------------------------------
    def _stop_timer(self, upload: Upload) -> None:
        timer = self._timers.pop((upload.store.fsid, upload.origin.fid), None)
        if timer is not None:
            timer.cancel()

    def _remove(self, upload: Upload) -> None:
        key = upload.store.fsid, upload.origin.fid
        if self._by_key.get(key) is upload:
            del self._by_key[key]
            upload.store.open_write -= 1
        if self._one_ended is not None and not self._one_ended.done():
            self._one_ended.set_result(None)
