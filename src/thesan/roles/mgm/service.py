"""The MGM process: listens, becomes master, answers, and starts anew when the mastership is lost.

While there is no master here, every request is answered kXR_wait: a client that is told to wait
comes back, one that is refused or misled does not.
"""

import asyncio
import errno
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, Final

from thesan.core.authority.keytab import parse_keytab
from thesan.core.model.errors import Fenced, JournalError, OperationError, StoreError
from thesan.core.model.limits import (
    BECOME_MASTER_SECONDS_MAX,
    FIGURES_SAMPLE_EVERY,
    JOURNAL_RETRY_SECONDS,
    MGM_DRAIN_SECONDS_MAX,
)
from thesan.core.wire import responses
from thesan.core.wire.requests import (
    Auth,
    Chmod,
    Close,
    DirList,
    FAttr,
    Locate,
    Login,
    Mkdir,
    Mv,
    Open,
    PgRead,
    PgWrite,
    Prepare,
    Query,
    Read,
    ReadV,
    Request,
    Rm,
    Rmdir,
    Set,
    Stat,
    StatX,
    Sync,
    Truncate,
    Write,
    WriteV,
)
from thesan.core.wire.server import MGM_SETTINGS, ServerSettings
from thesan.io.tasks import TaskOwner
from thesan.io.transport.server import Listener, ServerConnection, listen
from thesan.ports.engine import Engine
from thesan.ports.store import Store
from thesan.ports.world import World
from thesan.roles.mgm import empty, metadata, query
from thesan.roles.mgm.attributes import fattr
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.figures import Figures
from thesan.roles.mgm.listing import dirlist
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.mastership import Flush, Mastership, Process, take_over
from thesan.roles.mgm.names import Names
from thesan.roles.mgm.open import open_file, truncate
from thesan.roles.mgm.sessions import Sessions

Handler = Callable[[Master, ServerConnection, Any], bytes | None]

HANDLERS: Final[dict[type, Handler]] = {
    Stat: metadata.stat,
    Open: open_file,
    DirList: dirlist,
    Query: query.query,
    Locate: metadata.locate,
    Mkdir: metadata.mkdir,
    Rm: metadata.rm,
    Rmdir: metadata.rmdir,
    Mv: metadata.mv,
    Chmod: metadata.chmod,
    Truncate: truncate,
    StatX: metadata.statx,
    FAttr: fattr,
    Prepare: query.prepare,
    Set: query.set_info,
    Read: empty.read,
    ReadV: empty.readv,
    PgRead: empty.pgread,
    Sync: empty.sync,
    Close: empty.close,
    Write: empty.refuse_write,
    PgWrite: empty.refuse_write,
    WriteV: empty.refuse_write,
}
"""What a master does with each request; others are answered kXR_Unsupported."""


class Role(Enum):
    """What this MGM is now."""

    STARTING = "starting"
    """On the way to mastership: claims, replays."""
    MASTER = "master"
    STANDBY = "standby"
    """Another MGM is master."""
    STOPPED = "stopped"


class Mgm:
    """One MGM. `engine` and `store` are the caller's: it closes them after `stop`."""

    def __init__(
        self,
        world: World,
        config: MgmConfig,
        engine: Engine,
        store: Store,
        flush: Flush | None = None,
    ) -> None:
        """`flush` runs `store.flush` where it does not stop the loop (a worker thread); None: the
        store is in memory, where flushing takes no time.

        Raises ConfigError for a keytab that can't be used.
        """
        self.role = Role.STARTING
        self._world = world
        self._config = config
        self._engine = engine
        self._store = store
        self._flush = flush if flush is not None else self._flush_inline
        self._keytab = parse_keytab(config.keytab.encode())
        self._names = Names(world.host)
        self._sessions = Sessions(world, self._keytab, config.security, self._names)
        self._listener: Listener | None = None
        self._master: Master | None = None
        self._tasks = TaskOwner("mgm", self._task_failed)
        self._turn = 0

    # -- life ----------------------------------------------------------------------------------
    async def start(self, sock: Any = None) -> None:
        """Listen (on `sock` when a supervisor holds it), and begin to become master.

        Raises OSError when the address can't be had.
        """
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._started_s = self._loop.time()
        self._is_ready = asyncio.Event()
        self._figures = Figures(self._world.clock.now_ns(), self._started_s)
        self._calls = self._figures.calls
        config = self._config
        self._listener = await listen(
            self,
            config.host,
            config.port,
            entropy=self._world.entropy,
            bulk=self._world.bulk,
            sock=sock,
        )
        self.address = config.advertise or f"{config.host}:{self._listener.port}"
        self._tasks.start("mastership", self._serve())

    @property
    def port(self) -> int:
        """TCP port listened on; 0 before `start`."""
        return self._listener.port if self._listener is not None else 0

    @property
    def master(self) -> Master | None:
        """The object graph of the current mastership; None while there is none."""
        return self._master

    async def until_master(self) -> None:
        """Wait until this MGM is master; the caller bounds the time."""
        await self._is_ready.wait()

    async def stop(self) -> None:
        """Answer what is pending, then end. Safe to call twice."""
        self.role = Role.STOPPED
        await self._tasks.close()
        if self._listener is not None:
            await self._listener.close()
            self._listener = None

    async def _serve(self) -> None:
        """Be master, term after term, until somebody else is."""
        process = Process(
            self._world,
            self._config,
            self.address,
            self._engine,
            self._store,
            self._flush,
            self._keytab,
            self._sessions,
            self._names,
            self._figures,
            self._started_s,
        )
        log = self._world.log
        pause = JOURNAL_RETRY_SECONDS
        while True:
            self.role = Role.STARTING
            lost: asyncio.Future[str] = self._loop.create_future()
            try:
                term = await take_over(process, partial(self._lose, lost))
            except Fenced as error:
                self._stand_by(str(error))
                return
            except (JournalError, StoreError) as error:
                log.error("can't become master", reason=str(error), kind=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(2 * pause, BECOME_MASTER_SECONDS_MAX)
                continue
            pause = JOURNAL_RETRY_SECONDS
            if await self._reign(term, lost):
                return

    async def _reign(self, term: Mastership, lost: "asyncio.Future[str]") -> bool:
        """Serve until the mastership ends; True when another MGM has it then."""
        log = self._world.log
        epoch = term.owner.epoch
        if not lost.done():
            self._master = term.master
            self.role = Role.MASTER
            self._is_ready.set()
            log.info(
                "master",
                epoch=epoch,
                address=self.address,
                geotag=self._config.geotag,
                head=term.master.pipeline.held.committed,
                files=term.master.context.figures().file_count,
                seconds=round(self._loop.time() - self._started_s, 3),
            )
        try:
            why = await lost
        except asyncio.CancelledError:
            await self._abdicate(term)
            raise
        log.error("mastership lost", epoch=epoch, reason=why)
        await term.close()
        try:
            owner = await self._engine.owner()
        except JournalError:
            return False
        if owner is not None and owner.epoch > epoch:
            self._stand_by(f"{owner.address} is master with epoch {owner.epoch}")
            return True
        return False

    async def _abdicate(self, term: Mastership) -> None:
        """A planned end: take nothing more, finish what was taken."""
        self._forget()
        try:
            async with asyncio.timeout(MGM_DRAIN_SECONDS_MAX):
                await term.drain()
        except (JournalError, TimeoutError) as error:
            self._world.log.warning("stopped with changes pending", reason=str(error))
        await term.close()

    async def _flush_inline(self) -> None:
        self._store.flush()

    def _lose(self, lost: "asyncio.Future[str]", why: str) -> None:
        """From this moment on no request reaches the lost master."""
        self._forget()
        if not lost.done():
            lost.set_result(why)

    def _forget(self) -> None:
        self._master = None
        self._is_ready.clear()

    def _stand_by(self, why: str) -> None:
        self.role = Role.STANDBY
        self._world.log.warning("standby", reason=why)

    def _task_failed(self, name: str, error: BaseException) -> None:
        self._world.log.error("task failed", task=name, reason=repr(error))

    # -- Service: the transport's calls ----------------------------------------------------------
    @property
    def settings(self) -> ServerSettings:
        """Manager, not server."""
        return MGM_SETTINGS

    def login(self, connection: ServerConnection, request: Login) -> bytes:
        """Works in every role: a client that logged in can be told to wait."""
        return self._sessions.login(connection, request, self._loop.time())

    def auth(self, connection: ServerConnection, request: Auth) -> bytes:
        """Likewise."""
        return self._sessions.auth(connection, request, self._loop.time())

    def closed(self, connection: ServerConnection) -> None:
        """A client is gone."""
        self._sessions.closed(connection)

    def handle(self, connection: ServerConnection, request: Request) -> bytes | None:
        """Answer one request; the hot path of the MGM."""
        master = self._master
        if master is None:
            return responses.wait(request.sid, 1, "no master here yet")
        kind = type(request)
        handler = HANDLERS.get(kind)
        if handler is None:
            raise OperationError(errno.ENOTSUP, f"{kind.__name__} is not served by an MGM")
        self._calls[kind] = self._calls.get(kind, 0) + 1
        self._turn = turn = self._turn + 1
        started_s = self._clock() if turn % FIGURES_SAMPLE_EVERY == 0 else 0.0
        try:
            answer = handler(master, connection, request)
        except OperationError as error:
            answer = master.refuse(connection, request.sid, error)
        if started_s:
            self._figures.took(kind, self._clock() - started_s)
        return answer
