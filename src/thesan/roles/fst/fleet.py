"""The filesystems of this FST: which there are, as the settings and the MGMs say.

Three ways in: a directory of the settings whose disk has a label is booted at once, without an MGM;
one without a label registers itself and gets its label; one that was added by `fs add` comes with a
beat's answer. What the MGMs no longer list is taken out of service, its label and data stay.
"""

import asyncio
from collections.abc import Callable, Sequence

from thesan.core.control.messages import FsConfig, FsRegister, FsRegisterReply
from thesan.core.model.errors import OperationError, StoreError
from thesan.core.model.limits import FST_BOOT_SECONDS_MAX
from thesan.io.tasks import TaskOwner
from thesan.ports.disk import Disk
from thesan.ports.entropy import Entropy
from thesan.ports.log import Log
from thesan.roles.fst.boot import Booter
from thesan.roles.fst.config import FsSetting, FstConfig
from thesan.roles.fst.mgms import Mgms
from thesan.roles.fst.store import BootState, FsStore


class Fleet:
    """All stores of the process."""

    def __init__(
        self,
        config: FstConfig,
        node: str,
        make_disk: Callable[[str], Disk],
        booter: Booter,
        mgms: Mgms,
        entropy: Entropy,
        machine_boot_id: str,
        tasks: TaskOwner,
        log: Log,
    ) -> None:
        self.stores: list[FsStore] = []
        """In the order in which they came."""
        self._config = config
        self._node = node
        self._make_disk = make_disk
        self._booter = booter
        self._mgms = mgms
        self._entropy = entropy
        self._machine_boot_id = machine_boot_id
        self._tasks = tasks
        self._log = log
        self.on_change: Callable[[], None] = _nothing
        """Called when a filesystem came into service or failed to."""
        self._by_fsid: dict[int, FsStore] = {}

    def find(self, fsid: int) -> FsStore | None:
        """The filesystem with that number, in whatever state."""
        return self._by_fsid.get(fsid)

    async def start(self) -> None:
        """Boot what has a label; begin to register the rest.

        Returns when all disks have answered, or after FST_BOOT_SECONDS_MAX.
        """
        booting = []
        for setting in self._config.filesystems:
            store = self._add(setting.path)
            store.space = setting.space
            work = self._begin(store, setting)
            booting.append(self._tasks.start(f"boot {setting.path}", work))
        try:
            async with asyncio.timeout(FST_BOOT_SECONDS_MAX):
                await asyncio.gather(*[asyncio.shield(task) for task in booting])
        except TimeoutError:
            slow = [store.path for store in self.stores if store.state is BootState.BOOTING]
            self._log.warning("disks do not answer", paths=" ".join(slow))

    async def _begin(self, store: FsStore, setting: FsSetting) -> None:
        if await self._has_label(store):
            await self._booter.boot(store)
            self._note(store)
        self._tasks.start(f"register {setting.path}", self._register(store, setting))

    async def _has_label(self, store: FsStore) -> bool:
        try:
            store.begin_boot()
            return await store.read_label() is not None
        except (OperationError, StoreError) as error:
            store.fail_boot(error)
            self._log.error("boot failed", path=store.path, reason=str(error))
            return False

    async def _register(self, store: FsStore, setting: FsSetting) -> None:
        """Make the filesystem known to the MGM; one that has a label asks for its old number."""
        if store.state is BootState.BOOTFAILURE:
            return
        uuid = store.uuid or self._new_uuid()
        request = FsRegister(self._node, uuid, store.path, setting.space, store.fsid)
        try:
            reply = await self._mgms.ask_master(
                lambda: request, FsRegisterReply, f"registration of {store.path}"
            )
        except OperationError as error:
            if store.config is not None:
                # The MGM has told us meanwhile what this path is: that is being booted.
                self._log.info("registration refused", path=store.path, reason=error.text)
                return
            store.fail_boot(error)
            self._log.error("registration refused", path=store.path, reason=error.text)
            return
        if store.fsid == reply.fsid and store.uuid == uuid:
            return
        await self._booter.boot(store, reply.fsid, uuid)
        self._note(store)

    def _new_uuid(self) -> str:
        """RFC 9562 version 4, from the world's entropy."""
        token = bytearray(self._entropy.token(16))
        token[6] = token[6] & 0x0F | 0x40
        token[8] = token[8] & 0x3F | 0x80
        text = token.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    # -- told by the MGMs --------------------------------------------------------------------
    def configure(self, wanted: Sequence[FsConfig]) -> None:
        """The whole list of this node's filesystems changed."""
        listed: dict[int, None] = {}
        for config in wanted:
            listed[config.fsid] = None
            store = self._by_fsid.get(config.fsid) or self._at(config.path)
            if store is None:
                store = self._add(config.path)
            self._configure(store, config)
        for store in self.stores:
            if store.config is not None and store.config.fsid not in listed:
                self._log.info("filesystem removed by the MGM", fsid=store.fsid, path=store.path)
                store.config = None
                store.state = BootState.DOWN
                self._by_fsid.pop(store.fsid, None)
        self.stores = [store for store in self.stores if store.config or self._is_own(store)]

    def _configure(self, store: FsStore, config: FsConfig) -> None:
        before, store.config = store.config, config
        asked = before is not None and config.boot_request > before.boot_request
        fits = (store.fsid, store.uuid) == (config.fsid, config.uuid)
        if asked:
            self._tasks.start(f"boot fs {config.fsid}", self._boot_again(store, config))
        elif store.state is BootState.BOOTED and fits:
            return
        elif store.state in (BootState.DOWN, BootState.BOOTED) or before is None:
            self._tasks.start(f"boot fs {config.fsid}", self._boot(store, config))

    async def _boot(self, store: FsStore, config: FsConfig) -> None:
        await self._booter.boot(store, config.fsid, config.uuid)
        self._note(store)

    async def _boot_again(self, store: FsStore, config: FsConfig) -> None:
        """`fs boot`: also the data files are compared with what is registered."""
        await self._booter.boot(store, config.fsid, config.uuid, again=True)
        self._note(store)
        if store.state is BootState.BOOTED:
            self._booter.start_check(store)

    # -- inside ------------------------------------------------------------------------------
    def _add(self, path: str) -> FsStore:
        store = FsStore(path, self._make_disk, self._config.headroom_bytes, self._machine_boot_id)
        self.stores.append(store)
        return store

    def _at(self, path: str) -> FsStore | None:
        return next((store for store in self.stores if store.path == path), None)

    def _is_own(self, store: FsStore) -> bool:
        return any(setting.path == store.path for setting in self._config.filesystems)

    def _note(self, store: FsStore) -> None:
        if store.state is BootState.BOOTED:
            self._by_fsid[store.fsid] = store
        self.on_change()


def _nothing() -> None:
    return
