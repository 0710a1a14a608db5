"""A whole MGM in the simulated world: memory engine and store, virtual time, no FST but what a test
pretends to be. Requests go straight to `Mgm.handle`, or through the simulated network."""

import asyncio
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from thesan.core.authority.capability import Capability, Verifier
from thesan.core.authority.keytab import Key, Keytab, format_keytab, make_keytab
from thesan.core.control import messages
from thesan.core.model.errors import OperationError, errno_of
from thesan.core.model.identity import DAEMON_UID, ROOT, Identity
from thesan.core.model.paths import parse_cgi
from thesan.core.wire.bodies import parse_error, parse_redirect, parse_stat
from thesan.core.wire.numbers import QueryCode, Status
from thesan.core.wire.requests import Query
from thesan.core.wire.responses import HEAD
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.service import Mgm
from thesan.roles.mgm.sessions import Session
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal
from thesan.worlds.simulated.memory_store import MemoryStore
from thesan.worlds.simulated.pacemaker import SimPacemaker
from thesan.worlds.simulated.world import SimWorld

SECRET = b"k" * 32
KEYTAB = make_keytab([Key(1, SECRET, 0)])
ALICE = Identity(1001, 1001, (1001, 2000), "alice", "unix", "10.0.0.9")
BOB = Identity(1002, 1002, (1002, 2000), "bob", "unix", "10.0.0.8")
FST = Identity(DAEMON_UID, DAEMON_UID, (DAEMON_UID,), "fst1:1095", "thk", "fst1", daemon="fst")
CLIENT = ("alice", 1, "10.0.0.9")
GIB = 1 << 30


class Peer:
    """A connection as handlers see it; collects what is sent later."""

    def __init__(self, who: Identity = ROOT) -> None:
        self.identity: Identity | None = who
        self.peer_host = who.host or "10.0.0.1"
        self.session_id = b"s" * 16
        self.user, self.pid = who.name[:8], 1
        self.state: Any = Session(prot=who.prot, name=who.name)
        self.sent: list[bytes] = []
        self.is_closed = False
        self.unsent_bytes = 0
        self.idle_seconds = 0.0
        self._arrived: asyncio.Event = asyncio.Event()

    def reply(self, data: bytes) -> None:
        self.sent.append(data)
        self._arrived.set()

    def wait_then_answer(self, sid: bytes, seconds: int) -> None:
        self.announced = getattr(self, "announced", 0) + 1

    def close(self) -> None:
        self.is_closed = True
        self._arrived.set()

    def abort(self) -> None:
        self.close()

    async def wait(self) -> None:
        if not self.is_closed:
            await self._arrived.wait()
            self._arrived.clear()

    @property
    def frames(self) -> list[tuple[bytes, int, bytes]]:
        """(sid, status, body) of everything sent so far."""
        return frames_of(b"".join(self.sent))


def frames_of(data: bytes) -> list[tuple[bytes, int, bytes]]:
    found = []
    while data:
        sid, status, size = HEAD.unpack_from(data)
        found.append((sid, status, data[8 : 8 + size]))
        data = data[8 + size :]
    return found


class Bench:
    """One MGM and the ways to talk to it."""

    def __init__(
        self,
        loop: SimLoop,
        name: str = "mgm",
        journal: MemoryJournal | None = None,
        **settings: Any,
    ) -> None:
        self.loop = loop
        self.name = name
        self.settings = settings
        self.journal = journal if journal is not None else MemoryJournal()
        self.store = MemoryStore()
        self.engine: MemoryEngine
        self.mgm: Mgm
        self.process: Any
        self.number = 0
        self.flush: Any = None

    # -- life ----------------------------------------------------------------------------------
    def start(self, *, wait: bool = True) -> None:
        """A new process on the same journal and store."""
        self.number += 1
        self.process = self.loop.network.process(self.name, f"mgm{self.number}")
        world = SimWorld(self.loop, self.process)
        self.engine = MemoryEngine(self.journal, Random(f"{self.name} {self.number}"))
        values = {
            "host": self.name,
            "advertise": f"{self.name}:1094",
            "keytab": format_keytab(KEYTAB).decode(),
            **self.settings,
        }
        pacemaker = SimPacemaker(self.engine, world.clock)
        config = MgmConfig(**values)
        self.mgm = Mgm(world, config, self.engine, self.store, self.flush, pacemaker)
        self.run(self.mgm.start())
        if wait:
            self.run(asyncio.wait_for(self.mgm.until_master(), 30))

    def run(self, work: Any) -> Any:
        """Run a coroutine in the MGM's process."""
        return self.loop.run_until_complete(self.loop.start(self.process, work, "test"))

    def stop(self) -> None:
        self.run(self.mgm.stop())

    def crash(self, keep_writes: int = 0) -> None:
        """kill -9: nothing of the process runs any more; the store keeps what was flushed."""
        self.loop.network.kill(self.process)
        self.store = self.store.crash(keep_writes)

    def sleep(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    # -- requests ------------------------------------------------------------------------------
    def peer(self, who: Identity = ROOT, login: int = 0) -> Peer:
        """`login`: which one it was, where that matters."""

        async def make() -> Peer:
            peer = Peer(who)
            peer.state.number = login
            return peer

        return self.run(make())

    def send(self, peer: Peer, request: Any) -> bytes | None:
        """Hand over one request; what comes at once."""

        async def call() -> bytes | None:
            return self.mgm.handle(peer, request)

        return self.run(call())

    def ask(
        self, request: Any, who: Identity = ROOT, peer: Peer | None = None
    ) -> tuple[int, bytes]:
        """(status, body) of the final answer; oksofar parts are joined."""
        peer = peer or self.peer(who)
        before = len(peer.frames)

        async def call() -> bytes:
            answer = self.mgm.handle(peer, request)
            while answer is None:
                if peer.is_closed:
                    raise ConnectionResetError
                sent = peer.frames[before:]
                if sent and sent[-1][1] != Status.OKSOFAR:
                    return b""
                await asyncio.wait_for(peer.wait(), 60)
            return answer

        data = self.run(call())
        if peer.is_closed:
            raise ConnectionResetError
        frames = peer.frames[before:] + frames_of(data)
        assert {sid for sid, _, _ in frames} == {request.sid}
        return frames[-1][1], b"".join(body for _, _, body in frames)

    def ok(self, request: Any, who: Identity = ROOT, peer: Peer | None = None) -> bytes:
        """Body of an ok."""
        status, body = self.ask(request, who, peer)
        assert status == Status.OK, (status, body)
        return body

    def errno(self, request: Any, who: Identity = ROOT) -> int:
        """errno of an error."""
        status, body = self.ask(request, who)
        assert status == Status.ERROR, (status, body)
        return errno_of(parse_error(body)[0])

    def capability(self, request: Any, who: Identity = ROOT) -> Capability:
        """What a redirect allows, checked as the FST that it names would."""
        status, body = self.ask(request, who)
        assert status == Status.REDIRECT, (status, body)
        target = parse_redirect(body)
        text = parse_cgi(target.cgi)["cap"]
        node = f"{target.host}:{target.port}"
        return Verifier([SECRET], node).verify(
            text,
            ops=range(1, 8),
            path=request.path,
            client=CLIENT,
            now_s=self.mgm.master.now_unix(),
        )

    def control(self, message: Any, who: Identity = FST, peer: Peer | None = None) -> Any:
        """Reply to a control message; OperationError when it is an error."""
        query = Query(b"\0\7", QueryCode.OPAQUE, args=messages.encode_request(message))
        status, body = self.ask(query, who, peer)
        if status == Status.ERROR:
            code, text = parse_error(body)
            raise OperationError(errno_of(code), text)
        assert status == Status.OK, (status, body)
        return messages.decode_reply(body)

    async def call(self, message: Any, who: Identity = FST) -> Any:
        """As `control`, for a task of its own; only for messages that are answered with ok."""
        peer = Peer(who)
        query = Query(b"\0\7", QueryCode.OPAQUE, args=messages.encode_request(message))
        answer = self.mgm.handle(peer, query)
        while answer is None and not peer.frames:
            await peer.wait()
        _, status, body = peer.frames[0] if answer is None else frames_of(answer)[0]
        assert status == Status.OK
        return messages.decode_reply(body)

    def redirect_of(self, message: Any, who: Identity = ROOT) -> str:
        """Host that a control message is redirected to."""
        query = Query(b"\0\7", QueryCode.OPAQUE, args=messages.encode_request(message))
        status, body = self.ask(query, who)
        assert status == Status.REDIRECT, (status, body)
        return parse_redirect(body).host

    def admin(self, noun: str, verb: str, who: Identity = ROOT, **args: Any) -> Any:
        return self.control(messages.Admin(noun=noun, verb=verb, args=args), who)

    def stat(self, path: str, who: Identity = ROOT) -> Any:
        from thesan.core.wire.requests import Stat

        return parse_stat(self.ok(Stat(b"\0\1", path), who))

    # -- pretended FSTs --------------------------------------------------------------------------
    def beat(self, number: int = 1, *, fs: int = 1, **report: Any) -> Any:
        """A beat of `fst<number>:1095` with `fs` filesystems, registered at the first one."""
        node = f"fst{number}:1095"
        reports = []
        for index in range(fs):
            uuid = f"uuid-{number}-{index}"
            reply = self.control(
                messages.FsRegister(node=node, uuid=uuid, path=f"/data{index}", space="default")
            )
            values = {
                "boot": "booted",
                "capacity_bytes": 100 * GIB,
                "free_bytes": 50 * GIB,
                "free_files": 10**6,
                **report,
            }
            reports.append(messages.FsReport(reply.fsid, uuid, f"/data{index}", **values))
        return self.control(
            messages.Beat(
                node=node,
                boot_id="b",
                report=messages.NodeReport(geotag=f"rack{number}"),
                filesystems=reports,
            )
        )

    def beat_only(self, number: int = 1, *, fs: int = 1) -> Any:
        """The same beat at an MGM that need not be master: what is registered already."""
        node = f"fst{number}:1095"
        states = self.mgm.desk.view.filesystems_of(node)
        assert len(states) == fs
        reports = [
            messages.FsReport(
                state.fsid,
                state.record.uuid,
                state.record.path,
                boot="booted",
                capacity_bytes=100 * GIB,
                free_bytes=50 * GIB,
                free_files=10**6,
            )
            for state in states
        ]
        report = messages.NodeReport(geotag=f"rack{number}")
        return self.control(
            messages.Beat(node=node, boot_id="b", report=report, filesystems=reports)
        )

    def store_file(self, path: str, size: int = 10, who: Identity = ROOT, **open_args: Any) -> int:
        """Open for writing and commit as the head FST would; the fid."""
        from thesan.core.wire.numbers import OpenFlag
        from thesan.core.wire.requests import Open

        options = int(OpenFlag.UPDATE | OpenFlag.DELETE | OpenFlag.MKPATH)
        values = {"options": options, "mode": 0o644, **open_args}
        capability = self.capability(Open(b"\0\2", path, **values), who)
        self.commit(capability, size)
        return capability.fid

    def commit(
        self, capability: Capability, size: int = 10, peer: Peer | None = None, **changes: Any
    ) -> Any:
        """The commit that follows from a capability."""
        fsids = (capability.fsid, *(replica.fsid for replica in capability.replicas))
        values = {
            "node": capability.node,
            "grant": capability.grant,
            "replicas": [messages.ReplicaCommit(fsid, size, 0x11, 0x22) for fsid in fsids],
            "mtime_ns": 1_700_000_000 * 10**9,
            "epoch": self.mgm.master.epoch,
            **changes,
        }
        return self.control(messages.Commit(**values), peer=peer)


class Trio:
    """Three MGMs on one journal, each on a machine of its own."""

    def __init__(self, loop: SimLoop, count: int = 3, **settings: Any) -> None:
        self.loop = loop
        self.journal = MemoryJournal()
        names = [f"mgm{number + 1}" for number in range(count)]
        mgms = tuple(f"{name}:1094" for name in names)
        self.benches = [Bench(loop, name, self.journal, mgms=mgms, **settings) for name in names]
        self.outside = loop.network.process("client", "client")

    def start(self) -> None:
        for bench in self.benches:
            bench.start(wait=False)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(self.loop.start(self.outside, work, "test"))

    def sleep(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def until_master(self, but: Bench | None = None) -> Bench:
        """The one that serves as master, but not that one; it must not take long."""

        async def wait() -> Bench:
            async with asyncio.timeout(30):
                while True:
                    for bench in self.benches:
                        if bench is not but and bench.mgm.master is not None:
                            return bench
                    await asyncio.sleep(0.01)

        found = self.run(wait())
        assert isinstance(found, Bench)
        return found

    def peer(self, who: Identity = ROOT) -> Peer:
        async def make() -> Peer:
            return Peer(who)

        found = self.run(make())
        assert isinstance(found, Peer)
        return found

    def send(self, bench: Bench, peer: Peer, request: Any) -> Any:
        """Hand over one request; what comes at once."""
        return bench.send(peer, request)


@pytest.fixture
def trio(loop: SimLoop) -> Trio:
    """Not started yet."""
    return Trio(loop)


@pytest.fixture
def make_trio(loop: SimLoop) -> Callable[..., Trio]:
    """With other settings, or another number of them."""
    return lambda count=3, **settings: Trio(loop, count, **settings)


@pytest.fixture
def loop() -> Iterator[SimLoop]:
    loop = SimLoop(1)
    yield loop
    loop.close()


@pytest.fixture
def cold(loop: SimLoop) -> Bench:
    """Nothing started yet."""
    return Bench(loop)


@pytest.fixture
def bench(loop: SimLoop) -> Iterator[Bench]:
    """A master without FSTs."""
    bench = Bench(loop)
    bench.start()
    yield bench
    bench.stop()


@pytest.fixture
def cluster(bench: Bench) -> Bench:
    """A master with two FSTs of one filesystem each."""
    bench.beat(1)
    bench.beat(2)
    return bench


@pytest.fixture
def alice() -> Identity:
    return ALICE


@pytest.fixture
def bob() -> Identity:
    return BOB


@pytest.fixture
def keytab() -> Keytab:
    return KEYTAB


@pytest.fixture
def make_bench(loop: SimLoop) -> Callable[..., Bench]:
    """A master with other settings; the test stops it."""

    def make(**settings: Any) -> Bench:
        bench = Bench(loop, **settings)
        bench.start()
        return bench

    return make
