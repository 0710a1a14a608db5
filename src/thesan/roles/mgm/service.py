"""The MGM process: listens, lives through its roles, answers in each of them. Never ends by itself.

    STARTING ─► STANDBY ─► (claim, replay) ─► MASTER ─► lost, handed over ─► STARTING ...

A client that is told to wait comes back, one that is refused or misled does not: no connection is
ever refused, and "not master" is never an error.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from thesan.core.authority.keytab import parse_keytab
from thesan.core.leadership.records import (
    HISTORY_SECTION,
    StoryRecord,
    decode_leadership,
    story_key,
)
from thesan.core.model.errors import (
    Diverged,
    Fenced,
    OperationError,
    StoreError,
    ThesanError,
    Trimmed,
    Unavailable,
)
from thesan.core.model.leadership_limits import (
    FAULT_SECONDS,
    HANDOVER_POLL_SECONDS,
    HANDOVER_SECONDS_MAX,
    LEAVE_SECONDS_MAX,
    LOOP_BLOCKED_SECONDS,
    LOOP_TURN_SECONDS,
    MGM_DISK_SECONDS,
)
from thesan.core.model.limits import FIGURES_SAMPLE_EVERY
from thesan.core.namespace import queries
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
from thesan.ports.pacemaker import Pacemaker
from thesan.ports.store import Store
from thesan.ports.world import World
from thesan.roles.mgm import empty, metadata, query
from thesan.roles.mgm.attributes import fattr
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.data import MgmData
from thesan.roles.mgm.endless import for_ever
from thesan.roles.mgm.figures import Figures
from thesan.roles.mgm.front import Front
from thesan.roles.mgm.listing import dirlist
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.names import Names
from thesan.roles.mgm.open import open_file, truncate
from thesan.roles.mgm.order import Order
from thesan.roles.mgm.parking import Parking
from thesan.roles.mgm.process import Flush, Process, Role
from thesan.roles.mgm.reign import HandedOver, Reign
from thesan.roles.mgm.seed_link import dial_peer
from thesan.roles.mgm.sessions import Sessions
from thesan.roles.mgm.standby import Mandate, Standby
from thesan.roles.mgm.successors import is_replaceable

__all__ = ["HANDLERS", "Mgm", "Role"]

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


class Mgm:
    """One MGM. `engine`, `store` and `pacemaker` are the caller's: it closes them after `stop`."""

    def __init__(
        self,
        world: World,
        config: MgmConfig,
        engine: Engine,
        store: Store,
        flush: Flush | None,
        pacemaker: Pacemaker,
        data: MgmData | None = None,
    ) -> None:
        """`flush` runs `store.flush` where it does not stop the loop (a worker thread); None: the
        store is in memory, where flushing takes no time. With `data`, open, it is `data.engine`,
        `data.store` and `data.flush`.

        Raises ConfigError for a keytab that can't be used.
        """
        self._world = world
        self._config = config
        self._engine = engine
        self._store = store
        self._flush = flush if flush is not None else self._flush_inline
        self._pacemaker = pacemaker
        self._data = data
        self._keytab = parse_keytab(config.keytab.encode())
        self._names = Names(world.host)
        self._sessions = Sessions(world, self._keytab, config.security, self._names)
        self._listener: Listener | None = None
        self._master: Master | None = None
        self._reigning: Reign | None = None
        self._is_stopping = False
        self._tasks = TaskOwner("mgm", self._task_failed)
        self._turn = 0

    # -- life ----------------------------------------------------------------------------------
    async def start(self, sock: Any = None) -> None:
        """Listen (on `sock` when a supervisor holds it), and begin to be an MGM.

        Raises OSError when the address can't be had.
        """
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self._is_ready = asyncio.Event()
        self._figures = Figures(self._world.clock.now_ns(), self._loop.time())
        self._calls = self._figures.calls
        config = self._config
        self._parking = Parking(self.handle)
        self._listener = await listen(
            self,
            config.host,
            config.port,
            entropy=self._world.entropy,
            bulk=self._world.bulk,
            sock=sock,
        )
        self.address = config.advertise or f"{config.host}:{self._listener.port}"
        self.process = Process(
            self._world,
            config,
            self.address,
            self._engine,
            self._store,
            self._flush,
            self._pacemaker,
            self._keytab,
            self._sessions,
            self._names,
            self._figures,
        )
        if self._data is not None:
            self.process.data = self._data
            dial = partial(dial_peer, self._world, self._keytab, self.address)
            self._data.seeds_from(self.process.others, dial)
        self.process.order_hand_over = self.order_hand_over
        self._front = Front(self.process, self._parking, self._serve)
        self._keep_on("observer", self.process.observer.run)
        self._keep_on("peers", partial(self.process.peers.run, self._tasks))
        self._keep_on("news", self._spread_news)
        self._keep_on("turns", self._tell_turns)
        self._keep_on("disk", self._look_at_disk)
        self._tasks.start("role", for_ever(self._live_once, self._role_ended))

    def _keep_on(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Have `work` done until `stop`, begun anew whenever it fails."""
        self._tasks.start(name, for_ever(work, partial(self._report, name)))

    @property
    def role(self) -> Role:
        """What it is now."""
        if self._is_stopping or self._listener is None:
            return Role.STOPPED if self._is_stopping else Role.STARTING
        return self.process.role

    @property
    def port(self) -> int:
        """TCP port listened on; 0 before `start`."""
        return self._listener.port if self._listener is not None else 0

    @property
    def master(self) -> Master | None:
        """The object graph of the current mastership; None while there is none."""
        return self._master

    @property
    def desk(self) -> Master | None:
        """The object graph of the current role; None while it has none."""
        standby = self._front.standby
        return self._master or (standby.desk if standby is not None else None)

    async def until_master(self) -> None:
        """Wait until this MGM is master; the caller bounds the time."""
        await self._is_ready.wait()

    async def stop(self) -> None:
        """Hand over if master, answer what is pending, then end. Safe to call twice."""
        if self._reigning is not None and not self._is_stopping:
            await self._leave(self._reigning)
        self._is_stopping = True
        await self._tasks.close()
        if self._listener is not None:
            self.process.watchers.close()
            self._parking.close()
            await self._listener.close()
            self._listener = None
        await self._pacemaker.close()

    async def _leave(self, reign: Reign) -> None:
        """Hand over before the end, if anybody can take it."""
        if not is_replaceable(self.process):
            return
        try:
            async with asyncio.timeout(LEAVE_SECONDS_MAX):
                await reign.hand_over("", "stops")
        except (OperationError, TimeoutError) as error:
            reason = str(error) or "the journal engine does not answer"
            self._world.log.warning("stops without a successor", reason=reason)

    # -- roles -----------------------------------------------------------------------------------
    def _role_ended(self, error: BaseException | None) -> None:
        """What goes wrong ends a role, never the MGM."""
        if isinstance(error, ThesanError):
            is_weather = isinstance(error, Unavailable | Fenced)
            note = self._world.log.warning if is_weather else self._world.log.error
            note("role ended", reason=str(error), kind=type(error).__name__)
        elif error is not None:
            self._report("role", error)
        if error is not None:
            is_known = isinstance(error, ThesanError) and not isinstance(error, StoreError)
            if self._data is not None and not is_known:
                self._data.distrust()
            self.process.why = f"starts anew: {str(error) or type(error).__name__}"
        self._set_role(Role.STARTING)

    async def _live_once(self) -> None:
        """A store that can be followed from, a stay as standby, a term. Raises what ended it."""
        if self._data is not None:
            await self._data.check()
            self.process.store = self._data.store
        try:
            mandate = await self._stand_by()
            await self._reign(mandate)
        except (Trimmed, Diverged) as error:
            self._set_role(Role.STARTING, f"is seeded anew: {error}")
            if not await self.process.seed(error):
                raise

    async def _stand_by(self) -> Mandate:
        """Follow until the journal is ours. Raises what ended the role."""
        process = self.process
        standby = Standby(process)
        try:
            standby.start()
            self._front.standby = standby
            return await standby.until_claimed()
        finally:
            self._front.standby = None
            process.is_eligible = False
            await standby.close()

    async def _reign(self, mandate: Mandate) -> None:
        """Be master with this mandate, until it is over."""
        process = self.process
        self._set_role(Role.STARTING, mandate.verdict.why)
        self._reigning = Reign(process, mandate, self._show)
        try:
            why = await self._reigning.run()
            process.why = f"lost the mastership: {why}"
        finally:
            self._reigning = None

    def _show(self, master: Master | None, why: str) -> None:
        """Answer as master from now on, or as none."""
        self._master = master
        if master is not None:
            self._set_role(Role.MASTER, why)
            self._is_ready.set()
        else:
            self._is_ready.clear()
            self._set_role(Role.STARTING, why)
        self._parking.wake()

    async def _flush_inline(self) -> None:
        self._store.flush()

    # -- handing over ----------------------------------------------------------------------------
    def order_hand_over(self, order: Order) -> None:
        """`ns master HOST`: begin; the answer comes when it is over."""
        self._tasks.start("hand over", self._obey(order))

    async def _obey(self, order: Order) -> None:
        try:
            if self._reigning is None:
                raise OperationError(errno.EAGAIN, "this MGM is not master any more")
            done = await self._reigning.hand_over(order.wanted, f"ordered by {order.who}")
            order.answer(await self._outcome(done))
        except OperationError as error:
            order.refuse(error)

    async def _outcome(self, done: HandedOver) -> StoryRecord | None:
        """The new master's own story, as soon as it is here: then it serves."""
        until_s = self._loop.time() + HANDOVER_SECONDS_MAX
        while self._loop.time() < until_s:
            standby = self._front.standby
            if standby is not None:
                told = queries.config(standby.desk.namespace, HISTORY_SECTION)
                later = [key for key in told if key > story_key(done.epoch)]
                if later:
                    return decode_leadership(StoryRecord, told[min(later)])
            await asyncio.sleep(HANDOVER_POLL_SECONDS)
        return None

    async def _hand_over_by_itself(self, reign: Reign, why: str) -> None:
        """By own decision: if nobody can take over, things stay as they are."""
        try:
            await reign.hand_over("", why)
        except OperationError as error:
            self._world.log.warning("stays master", reason=why, obstacle=error.text)
        else:
            self.process.set_fault(f"it handed over: {why}", FAULT_SECONDS)

    def _set_role(self, role: Role, why: str = "") -> None:
        process = self.process
        if why:
            process.why = why
        if process.role is not role:
            process.role = role
            self._world.log.info("role", role=role.value, reason=process.why)
            process.peers.tell()
        process.watchers.tell()

    async def _spread_news(self) -> None:
        """After each look at the journal: tell those who wait, that there is another master."""
        known = ("", 0)
        process = self.process
        while True:
            await process.observer.next_look()
            standby = self._front.standby
            if standby is not None and standby.is_caught_up and process.role is Role.STARTING:
                self._set_role(Role.STANDBY)
            leader = process.leader()
            if (leader.master_address, leader.epoch) != known:
                known = leader.master_address, leader.epoch
                process.watchers.tell()
                if leader.master_address:
                    self._parking.wake()

    async def _tell_turns(self) -> None:
        """The pacemaker beats for a loop that turns, and for no other. A master that sees itself
        in trouble hands over."""
        due_s = self._loop.time()
        while True:
            self._pacemaker.turned()
            late_s = self._loop.time() - due_s
            reign = self._reigning
            if reign is not None:
                if late_s > LOOP_BLOCKED_SECONDS:
                    reign.blocked(late_s)
                why = reign.look()
                if why and not self.process.is_alone:
                    self._tasks.start("own hand over", self._hand_over_by_itself(reign, why))
            due_s = self._loop.time() + LOOP_TURN_SECONDS
            await asyncio.sleep(LOOP_TURN_SECONDS)

    async def _look_at_disk(self) -> None:
        """A master whose disk is nearly full hands over while it still can write."""
        while True:
            why = await self.process.look_at_disk()
            reign = self._reigning
            if why and reign is not None and not self.process.is_alone:
                await self._hand_over_by_itself(reign, why)
            await asyncio.sleep(MGM_DISK_SECONDS)

    def _task_failed(self, name: str, error: BaseException) -> None:
        self._world.log.error("task failed", task=name, reason=repr(error))

    def _report(self, name: str, error: BaseException | None) -> None:
        """A fault of this program, which goes on: the world's exception handler logs where."""
        if error is not None:
            message = f"{name} failed and begins anew"
            self._loop.call_exception_handler({"message": message, "exception": error})

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
        self.process.watchers.closed(connection)

    def handle(self, connection: ServerConnection, request: Request) -> bytes | bytearray | None:
        """Answer one request; the hot path of the MGM."""
        master = self._master
        if master is None:
            return self._front.answer(connection, request)
        try:
            return self._serve(master, connection, request)
        except OperationError as error:
            return master.refuse(connection, request.sid, error)
        except StoreError as error:
            if not is_replaceable(self.process):
                raise  # An instance that lacks a block is better than none.
            master.pipeline.store_failed(error)
            return responses.wait(request.sid, 1, "another MGM is to be master")

    def _serve(
        self, master: Master, connection: ServerConnection, request: Request
    ) -> bytes | None:
        """Call the handler, and take notes. Raises OperationError."""
        kind = type(request)
        handler = HANDLERS.get(kind)
        if handler is None:
            raise OperationError(errno.ENOTSUP, f"{kind.__name__} is not served by an MGM")
        self._calls[kind] = self._calls.get(kind, 0) + 1
        self._turn = turn = self._turn + 1
        if turn % FIGURES_SAMPLE_EVERY:
            return handler(master, connection, request)
        started_s = self._clock()
        try:
            return handler(master, connection, request)
        finally:
            self._figures.took(kind, self._clock() - started_s)
