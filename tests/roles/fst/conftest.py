"""A bench for FSTs: real processes' objects on loopback, a scripted MGM, and a bare client."""

import asyncio
import contextlib
import errno
from collections.abc import Callable

import pytest

from thesan.core.authority.capability import Capability, Op, Replica, Signer, hash_path
from thesan.core.authority.keytab import Key, Keytab, format_keytab
from thesan.core.authority.thk import NONCE_BYTES, ThkServer
from thesan.core.control import messages
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.wire import bodies, responses
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, OpenFlag, QueryCode, Status
from thesan.core.wire.server import MGM_SETTINGS
from thesan.io.transport.client import LoginSettings, dial, error_of
from thesan.io.transport.server import listen
from thesan.roles.fst.config import FsSetting, FstConfig
from thesan.roles.fst.service import Fst
from thesan.worlds.real.log import Format, Level, RealLog
from thesan.worlds.real.world import RealWorld

SECRET = bytes(range(32))
KEYTAB = Keytab((Key(1, SECRET, 1),))
READ = int(OpenFlag.READ | OpenFlag.RETSTAT)
NEW = int(OpenFlag.NEW | OpenFlag.UPDATE | OpenFlag.RETSTAT)
UPDATE = int(OpenFlag.UPDATE | OpenFlag.RETSTAT)


class FakeMgm:
    """A Service that plays the master: what it answers is scripted by its attributes."""

    settings = MGM_SETTINGS

    def __init__(self, world):
        self.world = world
        self.address = ""
        self.epoch = 1
        self.is_master = True
        self.is_active = True
        self.config_seq = 0
        self.filesystems = {}
        """fsid -> FsConfig."""
        self.known = set()
        """(fsid, fid) registered."""
        self.commits = []
        self.refusal = None
        """OperationError that commits are answered with."""
        self.is_silent = False
        """Commits and inquiries are answered with kXR_wait."""
        self.deletions = {}
        """node -> [(fsid, fid)]."""
        self.beats = []
        self.beaten = asyncio.Event()
        self.inquiries = []

    def login(self, connection, request):
        connection.state = ThkServer(self.world.entropy.token(NONCE_BYTES))
        body = bodies.build_login(connection.session_id, connection.state.offer)
        return responses.ok(request.sid, body)

    def auth(self, connection, request):
        peer, proof = connection.state.accept(request.credentials, KEYTAB, 2)
        connection.identity = Identity(uid=2, gid=2, prot="thk", daemon=peer.role)
        return responses.ok(request.sid, proof)

    def closed(self, connection):
        pass

    def handle(self, connection, request):
        assert isinstance(request, rq.Query)
        assert request.infotype == QueryCode.OPAQUE
        message = messages.decode_request(request.args)
        match message:
            case messages.Beat():
                reply = self.beat(message)
            case messages.FsRegister():
                reply = self.register(message)
            case messages.Commit():
                if self.is_silent:
                    return responses.wait(request.sid, 1, "no master")
                self.commits.append(message)
                if self.refusal is not None:
                    raise self.refusal
                fid = int.from_bytes(message.grant, "big")
                self.known |= {(replica.fsid, fid) for replica in message.replicas}
                self.known -= {(fsid, fid) for fsid in message.failed_fsids}
                reply = messages.CommitReply(len(self.commits), self.epoch)
            case messages.Inquire():
                if self.is_silent:
                    return responses.wait(request.sid, 1, "no master")
                self.inquiries.append(message)
                known = [(message.fsid, fid) in self.known for fid in message.fids]
                reply = messages.InquireReply(known, self.epoch)
            case _:
                raise OperationError(errno.ENOTSUP, "not scripted")
        return responses.ok(request.sid, messages.encode_reply(reply))

    def beat(self, beat):
        self.beats.append(beat)
        self.beaten.set()
        own = [fs for fs in self.filesystems.values() if fs.node == beat.node]
        deletions = self.deletions.get(beat.node, [])
        for pair in beat.deleted:
            if tuple(pair) in deletions:
                deletions.remove(tuple(pair))
        return messages.BeatReply(
            master=self.is_master,
            epoch=self.epoch,
            master_address=self.address if self.is_master else "",
            mgms=[self.address],
            config_seq=self.config_seq,
            active=self.is_active,
            filesystems=None if beat.config_seq == self.config_seq else [fs.config for fs in own],
            deletions=list(deletions),
        )

    def register(self, message):
        for fsid, fs in self.filesystems.items():
            if fs.config.uuid == message.uuid:
                return messages.FsRegisterReply(fsid)
        fsid = message.fsid or max(self.filesystems, default=0) + 1
        self.add_filesystem(message.node, fsid, message.uuid, message.path)
        return messages.FsRegisterReply(fsid)

    def add_filesystem(self, node, fsid, uuid, path, **more):
        config = messages.FsConfig(fsid, uuid, path, "rw", **more)
        self.filesystems[fsid] = FakeFs(node, config)
        self.config_seq += 1

    async def until_beat(self, accept: Callable[[messages.Beat], bool]):
        """The next beat that is accepted."""
        async with asyncio.timeout(20):
            while True:
                for beat in self.beats:
                    if accept(beat):
                        return beat
                self.beats.clear()
                self.beaten.clear()
                await self.beaten.wait()


class FakeFs:
    """A filesystem as the scripted MGM has it."""

    def __init__(self, node, config):
        self.node = node
        self.config = config


class Client:
    """One logged-in connection, one method per request that the tests need."""

    def __init__(self, connection):
        self.connection = connection

    async def ask(self, request, *, timeout=30):
        """The body of an ok; OperationError for an error, AssertionError for anything else."""
        while True:
            response = await self.connection.call(request, timeout)
            if response.status == Status.ERROR:
                raise error_of(response)
            if response.status == Status.WAIT:
                await asyncio.sleep(0.05)
                continue
            assert response.status in (Status.OK, Status.STATUS), response
            return bytes(response.body)

    async def open(self, path, cap, options=READ):
        body = await self.ask(rq.Open(NO_SID, path, f"cap={cap}" if cap else "", 0o644, options))
        return bodies.parse_open(body)[0]

    async def read(self, fh, offset, length):
        return await self.ask(rq.Read(NO_SID, fh, offset, length))

    async def write(self, fh, offset, data):
        await self.ask(rq.Write(NO_SID, fh, offset, data=data))

    async def close(self, fh):
        await self.ask(rq.Close(NO_SID, fh))

    async def put(self, path, cap, data):
        fh = await self.open(path, cap, NEW)
        for start in range(0, len(data), 1 << 20):
            await self.write(fh, start, data[start : start + (1 << 20)])
        await self.close(fh)

    async def get(self, path, cap, size=1 << 24):
        fh = await self.open(path, cap)
        data = b""
        while part := await self.read(fh, len(data), size):
            data += part
        await self.close(fh)
        return data

    async def query(self, kind, args=b"", fh=0):
        return await self.ask(rq.Query(NO_SID, kind, fh, args))

    async def quit(self):
        await self.connection.close()


class Bench:
    """An MGM of paper and FSTs of flesh."""

    def __init__(self, root, fs_count, settings):
        self.root = root
        self.fs_count = fs_count
        self.settings = settings
        self.fsts = []
        self.clients = []
        self.worlds = []
        self.listeners = []
        self.log_path = str(root / "log")

    def world(self):
        world = RealWorld(RealLog(self.log_path, Format.LOGFMT, Level.INFO))
        self.worlds.append(world)
        return world

    async def listen(self, service, host="127.0.0.1", port=0):
        """One more server, closed at the end."""
        world = self.worlds[0]
        made = await listen(service, host, port, entropy=world.entropy, bulk=world.bulk)
        self.listeners.append(made)
        return made

    async def start(self, count):
        self.mgm = FakeMgm(self.world())
        self.mgm_listener = await self.listen(self.mgm)
        self.mgm.address = f"127.0.0.1:{self.mgm_listener.port}"
        for index in range(count):
            await self.start_fst(index)
        for index in range(count):
            await self.until_booted(index)

    def paths(self, index):
        return [self.root / f"fst{index}" / f"fs{n}" for n in range(self.fs_count)]

    async def start_fst(self, index, port=0, **more):
        for path in self.paths(index):
            path.mkdir(parents=True, exist_ok=True)
        config = FstConfig(
            host=f"127.0.0.{index + 1}",
            port=port,
            mgms=(self.mgm.address,),
            keytab=format_keytab(KEYTAB).decode(),
            filesystems=tuple(FsSetting(str(path)) for path in self.paths(index)),
            **{"headroom_bytes": 0, **self.settings, **more},
        )
        fst = Fst(config, self.world())
        await fst.start()
        self.fsts[index:] = [fst, *self.fsts[index + 1 :]]
        return fst

    async def until_booted(self, index=0):
        node = self.fsts[index].parts.node
        await self.mgm.until_beat(
            lambda beat: (
                beat.node == node
                and len(beat.filesystems) == self.fs_count
                and all(fs.boot == "booted" for fs in beat.filesystems)
            )
        )

    async def kill(self, index=0):
        """As kill -9: connections drop, nothing is said, nothing is cleaned up."""
        fst = self.fsts[index]
        port = fst.port
        for connection in list(fst._listener._connections):
            connection.abort()
        fst._listener._server.close()
        await fst._tasks.close()
        for connection in fst.parts.peers._connections.values():
            connection.abort("killed")
        for link in fst.parts.mgms.links.values():
            if link.connection is not None:
                link.connection.abort("killed")
        for timer in fst.parts.uploads._timers.values():
            timer.cancel()
        fst._listener._sweep_timer.cancel()
        await asyncio.sleep(0)
        return port

    async def restart(self, index=0, port=None, **more):
        return await self.start_fst(
            index, port=self.fsts[index].port if port is None else port, **more
        )

    async def stop(self):
        for client in self.clients:
            await client.quit()
        for fst in self.fsts:
            with contextlib.suppress(Exception):
                await fst.stop()
        for listener in self.listeners:
            await listener.close()
        for world in self.worlds:
            world.shutdown()

    async def client(self, index=0, user="user", pid=7):
        fst = self.fsts[index]
        connection = await dial(f"127.0.0.{index + 1}", fst.port, LoginSettings(user, pid))
        client = Client(connection)
        self.clients.append(client)
        return client

    def store(self, index=0, fs=0):
        return self.fsts[index].parts.fleet.stores[fs]

    def files(self, index=0, fs=0):
        """Data files, and pending markers, of one filesystem: names only."""
        root = self.paths(index)[fs]
        data = sorted(p.name for p in root.glob("[0-9a-f]*/*"))
        marks = sorted(p.name for p in (root / ".thesan" / "pending").glob("*"))
        return data, marks

    def cap(self, op, fid, path, *, fst=0, fs=0, others=(), **changes):
        """Text of a capability; `others` are (fst, fs) of further replicas."""
        now_s = changes.pop("now_s", self.worlds[0].clock.now_ns() // 10**9)
        writes = op in (Op.CREATE, Op.UPDATE, Op.TRUNCATE)
        replicas = tuple(
            Replica(
                self.store(*other).fsid,
                self.fsts[other[0]].parts.node,
                self.cap(op, fid, path, fst=other[0], fs=other[1], grant=b""),
            )
            for other in others
        )
        fields = {
            "op": int(op),
            "fid": fid,
            "node": self.fsts[fst].parts.node,
            "fsid": self.store(fst, fs).fsid,
            "path_hash": hash_path(path),
            "layout": 0,
            "uid": 1000,
            "gid": 1000,
            "epoch": self.mgm.epoch,
            "issued_s": now_s,
            "expires_s": now_s + 300,
            "nonce": self.worlds[0].entropy.token(12),
            "replicas": replicas,
            "grant": fid.to_bytes(8, "big") if writes else b"",
        }
        return Signer(SECRET).sign(Capability(**{**fields, **changes}))


@pytest.fixture
def bench(tmp_path):
    """Run a test body on a fresh bench: bench(body, fsts=1, fs=1, **FstConfig fields)."""

    def run(body, fsts=1, fs=1, **settings):
        async def main():
            made = Bench(tmp_path, fs, settings)
            try:
                await made.start(fsts)
                return await asyncio.wait_for(body(made), 60)
            finally:
                await made.stop()

        return asyncio.run(main())

    return run
