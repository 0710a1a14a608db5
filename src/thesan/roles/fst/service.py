"""An FST process: it listens, and knows which of its parts answers which request."""

import asyncio
import errno
from collections.abc import Callable
from typing import Any, Final

from thesan.core.authority.keytab import Keytab, parse_keytab
from thesan.core.authority.thk import NONCE_BYTES, ThkServer
from thesan.core.model.addresses import join_address
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import DAEMON_UID, Identity
from thesan.core.model.limits import (
    FST_DRAIN_SECONDS_MAX,
    PEER_ALIVE_SECONDS,
    PEER_SILENCE_SECONDS_MAX,
)
from thesan.core.model.paths import split_cgi
from thesan.core.model.units import NS_PER_S
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_login
from thesan.core.wire.numbers import PrepareFlag, QueryCode
from thesan.core.wire.requests import (
    Auth,
    Chmod,
    Close,
    DirList,
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
from thesan.core.wire.server import FST_SETTINGS, ServerSettings
from thesan.io.tasks import TaskOwner
from thesan.io.transport.server import Listener, ServerConnection, listen
from thesan.ports.world import World
from thesan.roles.fst.answers import Answer
from thesan.roles.fst.config import FstConfig
from thesan.roles.fst.handles import Session
from thesan.roles.fst.wiring import PEER_LOGIN, Parts

_START_WAIT_SECONDS: Final = 1
Handler = Callable[[ServerConnection, Session, "Request"], Answer | None]


class Fst:
    """One FST: `await start()`, and later `await stop()`."""

    def __init__(self, config: FstConfig, world: World) -> None:
        """Raises ConfigError for a keytab that can't be used."""
        self._config = config
        self._world = world
        self._keys = parse_keytab(config.keytab.encode())
        self._tasks = TaskOwner("fst", self._task_failed)
        self._listener: Listener | None = None
        self._parts: Parts | None = None

    @property
    def port(self) -> int:
        """TCP port listened on, once started."""
        assert self._listener is not None, "not started"
        return self._listener.port

    @property
    def parts(self) -> Parts:
        """What it is made of, once started; for tests and for whoever watches."""
        assert self._parts is not None, "not started"
        return self._parts

    async def start(self, sock: Any = None) -> None:
        """Listen (on `sock` when a supervisor holds it), boot, begin to beat. Raises OSError.

        The port comes first, since the node is named after it; requests that arrive before the
        filesystems are booted are told to wait.
        """
        service = FstService(self._keys, self._world)
        config, world = self._config, self._world
        self._listener = await listen(
            service,
            config.host,
            config.port,
            entropy=world.entropy,
            bulk=world.bulk,
            sock=sock,
        )
        node = config.advertise or join_address(config.host, self._listener.port)
        parts = Parts(config, world, node, self._keys, self._tasks, self._listener)
        self._parts = parts
        await parts.fleet.start()
        service.serve(parts, self._tasks)
        parts.mgms.start(parts.heart.visit)
        self._tasks.start("measure", parts.heart.measure())
        self._tasks.start("watch", parts.uploads.watch())
        self._tasks.start("keep alive", parts.peers.keep_alive())
        self._tasks.start("watch peers", service.watch_peers())
        world.log.info("FST started", node=node, filesystems=len(parts.fleet.stores))

    async def stop(self) -> None:
        """Let closes under way finish for a while, then end everything; markers stay."""
        parts = self._parts
        if parts is not None:
            parts.heart.is_active = False
            await parts.uploads.until_idle(FST_DRAIN_SECONDS_MAX)
        if self._listener is not None:
            await self._listener.close()
        await self._tasks.close()
        if parts is not None:
            await parts.uploads.close()
            await parts.peers.close()
        self._world.log.info("FST stopped")

    def _task_failed(self, name: str, error: BaseException) -> None:
        self._world.log.error("task failed", task=name, error=repr(error))


class FstService:
    """io.transport's Service: from a request to the part that answers it."""

    def __init__(self, keys: Keytab, world: World) -> None:
        self._keys = keys
        self._world = world
        self._parts: Parts | None = None
        self._tasks: TaskOwner | None = None
        self._prepared = 0
        self._peers: dict[ServerConnection, Session] = {}

    def serve(self, parts: Parts, tasks: TaskOwner) -> None:
        """Everything is ready."""
        self._parts, self._tasks = parts, tasks

    @property
    def settings(self) -> ServerSettings:
        """What native data servers say of themselves."""
        return FST_SETTINGS

    def login(self, connection: ServerConnection, request: Login) -> bytes:
        """Everybody is let in: only what an MGM signed opens anything.

        Other FSTs alone have to prove the keytab, since they may write replicas without a grant.
        """
        session = Session()
        connection.state = session
        connection.limit_writes(session.writable)
        security = ""
        if request.username == PEER_LOGIN:
            session.thk = ThkServer(self._world.entropy.token(NONCE_BYTES))
            security = session.thk.offer
            session.heard_at = asyncio.get_running_loop().time()
            self._peers[connection] = session
        else:
            connection.identity = Identity(prot="none", host=connection.peer_host)
        return responses.ok(request.sid, build_login(connection.session_id, security))

    def auth(self, connection: ServerConnection, request: Auth) -> bytes | None:
        """The proof of another FST. Raises OperationError EBADE."""
        session = connection.state
        if not isinstance(session, Session) or session.thk is None:
            raise OperationError(errno.EINVAL, "no authentication is wanted")
        now_s = self._world.clock.now_ns() // NS_PER_S
        peer, proof = session.thk.accept(request.credentials, self._keys, now_s)
        connection.identity = Identity(
            uid=DAEMON_UID,
            gid=DAEMON_UID,
            gids=(DAEMON_UID,),
            name="daemon",
            prot="thk",
            host=connection.peer_host,
            daemon=peer.role,
        )
        return responses.ok(request.sid, proof)

    def closed(self, connection: ServerConnection) -> None:
        """Close what the client read, and wait for the return of what it wrote."""
        session = connection.state
        self._peers.pop(connection, None)
        if self._parts is None or self._tasks is None or not isinstance(session, Session):
            return
        for file in session.files.values():
            self._tasks.start("let go", self._parts.opener.let_go(file))
        session.files.clear()
        session.writable.clear()

    async def watch_peers(self) -> None:
        """Drop the connections of FSTs that are silent, for ever: their machine may be gone."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(PEER_ALIVE_SECONDS)
            for connection, session in list(self._peers.items()):
                if loop.time() - session.heard_at > PEER_SILENCE_SECONDS_MAX:
                    self._world.log.warning("an FST is silent", host=connection.peer_host)
                    connection.abort()

    def handle(self, connection: ServerConnection, request: Request) -> Answer | None:
        """Answer now, or later (None). Raises OperationError and other ThesanErrors."""
        parts = self._parts
        if parts is None:
            return responses.wait(request.sid, _START_WAIT_SECONDS, "the server starts")
        session = connection.state
        assert isinstance(session, Session), "login made the session"
        if session.thk is not None:
            session.heard_at = asyncio.get_running_loop().time()
        match request:
            case Read():
                return parts.reads.read(connection, session, request)
            case PgRead():
                return parts.reads.pgread(connection, session, request)
            case Write():
                parts.writes.write(connection, session, request)
            case PgWrite():
                parts.writes.pgwrite(connection, session, request)
            case ReadV():
                return parts.reads.readv(connection, session, request)
            case Open():
                if not parts.gate.has_ticket(request.cgi):
                    return self._elsewhere(parts, request.sid)
                work = parts.opener.open(connection, request)
                parts.late.later(connection, request.sid, work)
            case Close():
                return parts.writes.close(connection, session, request)
            case Stat():
                return self._stat(parts, connection, session, request)
            case Sync():
                return parts.writes.sync(connection, session, request)
            case WriteV():
                return parts.writes.writev(connection, session, request)
            case Truncate():
                return parts.writes.truncate(connection, session, request)
            case Query():
                return self._query(parts, connection, session, request)
            case Locate():
                return parts.queries.locate(request)
            case Set():
                return responses.ok(request.sid)
            case Prepare():
                return self._prepare(parts, request)
            case DirList() | StatX() | Mkdir() | Rm() | Rmdir() | Mv() | Chmod():
                return self._elsewhere(parts, request.sid)
            case _:
                raise OperationError(errno.ENOTSUP, f"{type(request).__name__} is not served here")
        return None

    def _stat(
        self, parts: Parts, connection: ServerConnection, session: Session, request: Stat
    ) -> Answer | None:
        if request.path and not request.options and not parts.gate.has_ticket(request.cgi):
            return self._elsewhere(parts, request.sid)
        return parts.queries.stat(connection, session, request)

    def _query(
        self, parts: Parts, connection: ServerConnection, session: Session, request: Query
    ) -> Answer | None:
        if request.infotype == QueryCode.OPAQUE_HANDLE:
            parts.writes.order(connection, session, request)
            return None
        if request.infotype == QueryCode.CHECKSUM:
            path, cgi = split_cgi(request.args.decode(errors="replace"))
            if path and not parts.gate.has_ticket(cgi):
                return self._elsewhere(parts, request.sid)
        return parts.queries.query(connection, session, request)

    def _prepare(self, parts: Parts, request: Prepare) -> Answer:
        """Everything here is on disk: a stage request is done when it comes."""
        if request.options & PrepareFlag.CANCEL:
            return responses.ok(request.sid)
        self._prepared += 1
        return responses.ok(request.sid, f"{parts.node}.{self._prepared}".encode())

    def _elsewhere(self, parts: Parts, sid: bytes) -> Answer:
        """The namespace is the MGM's: a client that asks here is shown the way."""
        redirect = parts.gate.to_master(sid)
        if redirect is None:
            raise OperationError(errno.EHOSTUNREACH, "no MGM is known: try again later")
        return redirect
