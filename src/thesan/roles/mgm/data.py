"""What an MGM keeps on its own disk: the store, segments of the journal, checkpoints of the store.

    data = MgmData(world, home, world.disk(directory), engine)
    await data.open()        store and segments are there
    data.engine              to be used instead of the engine: entries that pass are archived
    data.store, data.flush   what a role is built over
    await data.check()       Rewound: the engine is not the one that was followed
    await data.reseed(why)   after Trimmed or Diverged: another data.store

It outlives every role; nothing of a role may use the store while `reseed` runs.
"""

import asyncio
import errno
from collections.abc import Callable, Sequence

from thesan.core.control.messages import CheckpointPage, JournalPage, encode_reply
from thesan.core.journal.entry import Position
from thesan.core.journal.retention import Keep
from thesan.core.model.archive_limits import ARCHIVE_TEND_SECONDS, CHECKPOINTS_SERVED_MAX
from thesan.core.model.errors import JournalError, OperationError, StoreDamaged, StoreError
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace import keys
from thesan.core.namespace.snapshot import applied_of
from thesan.core.wire import responses
from thesan.io.journal.archive import Archive, ArchiveSettings
from thesan.io.journal.history import check_history
from thesan.io.journal.recorded import RecordedEngine
from thesan.io.tasks import TaskOwner
from thesan.io.transport.server import ServerConnection
from thesan.ports.disk import Disk
from thesan.ports.engine import Engine
from thesan.ports.store import Store, StoreHome
from thesan.ports.world import World
from thesan.roles.mgm.checkpoint_service import CheckpointService
from thesan.roles.mgm.endless import for_ever
from thesan.roles.mgm.reseed import Dial, Seeder

_PAGES_MAX = 4 * CHECKPOINTS_SERVED_MAX
"""Pages that are read for peers at the same time; a peer waits for each before it wants more."""


class MgmData:
    """One per process."""

    def __init__(
        self,
        world: World,
        home: StoreHome,
        disk: Disk,
        engine: Engine,
        archive: ArchiveSettings | None = None,
        keep: Keep | None = None,
    ) -> None:
        """`disk` is the data directory, `engine` stays the caller's."""
        log = world.log
        self._disk = disk
        self.archive = Archive(disk, world.clock, log, engine.read, archive)
        self.engine: Engine = RecordedEngine(engine, self.archive)
        self.store: Store
        """The current store, after `open`; another one after each `reseed`."""
        self._is_store_trusted = True
        self._log = log
        self._home = home
        self._seeder: Seeder | None = None
        self.checkpoints = CheckpointService(
            home, self.archive, lambda: self.store, world.clock, log, keep
        )
        self._tasks = TaskOwner("data", self._task_failed)

    async def open(self) -> None:
        """Open store and segments. Raises StoreError, OperationError."""
        await self._open_store()
        await self.archive.open()
        self._tasks.start("tend", for_ever(self._tend, self._tend_ended))

    async def _open_store(self) -> None:
        try:
            self.store = await self._home.open()
        except StoreDamaged as error:
            # All that it held is in the journal, or at another MGM.
            kept_as = await self._home.set_aside()
            self._log.error("store damaged: begins anew", reason=str(error), kept_as=kept_as)
            self.store = await self._home.open()
        self._is_store_trusted = True

    async def free_bytes(self) -> int:
        """What is left on the disk. Raises OperationError."""
        return (await self._disk.usage()).free_bytes

    async def close(self) -> None:
        """Flush and release everything. The engine must still be open."""
        await self._tasks.close()
        await self.archive.close()
        await self.checkpoints.close()
        await self._home.release(self.store)

    async def flush(self) -> None:
        """Make everything written to the store durable. Raises StoreError."""
        await self._home.flush(self.store)

    def closed_through(self) -> Seq:
        """Newest entry in a closed segment: no MGM may count on more being here, see trim."""
        return self.archive.closed_through

    @property
    def sentence(self) -> str:
        """What is wrong or under way, for `ns`; empty when nothing is."""
        if self._seeder is not None and self._seeder.sentence:
            return self._seeder.sentence
        return f"segments: {self.archive.failure}" if self.archive.failure else ""

    # -- the journal that is followed ----------------------------------------------------------
    async def check(self) -> None:
        """Before anything is followed or claimed. Raises Rewound, Unavailable, StoreError."""
        if not self._is_store_trusted:
            await self._open_anew()
        applied = applied_of(self.store)
        stored = None
        if applied is not None:
            stored = Position(Seq(applied.seq), Epoch(applied.epoch), applied.chain_crc)
        await check_history(self.engine, (stored, self.archive.position))

    def distrust(self) -> None:
        """The store failed: RocksDB refuses every write after one that failed, whatever the disk
        says by now. The next `check` opens it anew."""
        self._is_store_trusted = False

    async def _open_anew(self) -> None:
        try:
            await self._home.release(self.store)
        except StoreError as error:
            self._log.warning("store closed with an error", reason=str(error))
        await self._open_store()
        self._log.info("store opened anew")

    def seeds_from(self, peers: Callable[[], Sequence[str]], dial: Dial) -> None:
        """Who can seed this MGM; call once, before `reseed`."""
        self._seeder = Seeder(self._home, self.engine, self.archive, dial, peers, self._log)

    async def reseed(self, why: JournalError) -> None:
        """Bring the store to where the engine can be followed. Raises StoreError (nobody can help
        now), Unavailable; may be asked again."""
        assert self._seeder is not None
        try:
            await self._seeder.reseed(self.store, why, self._switched)
        except StoreError:
            # A switch that failed half-way has closed it.
            if not self._is_open():
                self.store = await self._home.open()
            raise

    def _switched(self, store: Store) -> None:
        self.store = store

    def _is_open(self) -> bool:
        try:
            self.store.get(keys.M_APPLIED)
        except StoreError:
            return False
        return True

    # -- for other MGMs ------------------------------------------------------------------------
    def answer(
        self, connection: ServerConnection, sid: bytes, message: CheckpointPage | JournalPage
    ) -> bytes | None:
        """Answer a peer, later. Raises OperationError EAGAIN when too many are waiting."""
        if len(self._tasks) > _PAGES_MAX:
            raise OperationError(errno.EAGAIN, "other MGMs are being seeded")
        self._tasks.start("page", self._answer(connection, sid, message))
        return None

    async def _answer(
        self, connection: ServerConnection, sid: bytes, message: CheckpointPage | JournalPage
    ) -> None:
        try:
            if isinstance(message, CheckpointPage):
                body = encode_reply(await self.checkpoints.page(message))
            else:
                body = encode_reply(await self.checkpoints.entries(message))
            connection.reply(responses.ok(sid, body))
        except OperationError as error:
            if error.errno == errno.EAGAIN:
                connection.reply(responses.wait(sid, 1, error.text))
            else:
                connection.reply(responses.error_of(sid, error))

    async def _tend(self) -> None:
        """Retention and periodic checkpoints, for ever."""
        while True:
            await asyncio.sleep(ARCHIVE_TEND_SECONDS)
            try:
                await self.checkpoints.tend()
            except (StoreError, OperationError) as error:
                self._log.warning("segments and checkpoints not tended", reason=str(error))

    def _tend_ended(self, error: BaseException | None) -> None:
        self._log.error("tending failed and begins anew", reason=repr(error))

    def _task_failed(self, name: str, error: BaseException) -> None:
        self._log.error("task failed", task=name, reason=repr(error))
