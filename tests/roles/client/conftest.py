"""A cluster in memory: MGMs that redirect, FSTs that keep bytes, faults on demand.

Small, but it speaks the real wire over real sockets; what a file holds appears at its commit.
"""

import asyncio
import errno
import itertools
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from thesan.core.control.messages import (
    Admin,
    AdminReply,
    FileOp,
    FileOpReply,
    Watch,
    decode_request,
    encode_reply,
)
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import NOBODY
from thesan.core.model.paths import parse_cgi, split_cgi
from thesan.core.wire import bodies, responses
from thesan.core.wire import requests as rq
from thesan.core.wire.fattr import FAttrResult, build_fattr, build_fattr_list
from thesan.core.wire.numbers import DirListFlag, FAttrCode, OpenFlag, QueryCode, StatFlag
from thesan.core.wire.pages import pgread_answer, pgwrite_answer, split_pages
from thesan.core.wire.server import FST_SETTINGS, MGM_SETTINGS
from thesan.io.transport.client import LoginSettings
from thesan.io.transport.server import Listener, listen
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.filesystem import Filesystem, connect
from thesan.roles.client.url import Endpoint, Url
from thesan.worlds.real.entropy import RealEntropy
from thesan.worlds.simulated.loop import SimLoop

WRITES = OpenFlag.DELETE | OpenFlag.NEW | OpenFlag.UPDATE


class Node(msgspec.Struct):
    """A file (data), a directory (neither) or a link (target)."""

    fid: int
    data: bytes | None = None
    target: str | None = None
    mode: int = 0o755
    mtime: int = 1_700_000_000
    xattrs: dict[str, bytes] = {}

    @property
    def is_dir(self) -> bool:
        return self.data is self.target is None


class Daemon:
    """What an MGM and an FST share: a listener, a record of requests, faults."""

    def __init__(self, cluster: "Cluster", host: str, port: int) -> None:
        self.cluster = cluster
        self.host = host
        self.listener: Listener | None = None
        self.port = port
        self.seen: list[Any] = []
        self.faults: list[Callable[[Any, Any], bytes | str | None]] = []
        """Asked in turn for each request; "pass" goes on to the next, None answers nothing."""
        self.on_watch = refuse(errno.ENOTSUP, "nobody is master here")
        self.standby_answer = lambda request: None
        """None: it is no standby."""

    async def start(self) -> None:
        entropy = self.cluster.entropy
        self.listener = await listen(self, self.host, self.port, entropy=entropy, bulk=None)
        self.port = self.listener.port

    async def stop(self) -> None:
        if self.listener is not None:
            listener, self.listener = self.listener, None
            for connection in listener.connections:
                connection.abort()
            await listener.close()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port)

    def login(self, connection, request):
        connection.identity = NOBODY
        connection.state = {}
        return responses.ok(request.sid, bodies.build_login(connection.session_id))

    def closed(self, connection):
        pass

    def handle(self, connection, request):
        if is_watch(request):
            return self.on_watch(connection, request)
        self.seen.append(request)
        if (answer := self.standby_answer(request)) is not None:
            return answer
        if operation_of(request) in self.cluster.remembered:
            return responses.ok(request.sid)
        for fault in list(self.faults):
            answer = fault(connection, request)
            if answer != "pass":
                return answer
        answer = getattr(self, f"on_{type(request).__name__.lower()}")(connection, request)
        self.cluster.remember(request)
        return answer

    def fail(self, kind: type, answer: Callable[[Any, Any], Any], times: int = 1) -> None:
        """Let the next `times` requests of a kind be answered by `answer(connection, request)`."""

        def fault(connection, request):
            if not isinstance(request, kind):
                return "pass"
            left[0] -= 1
            if left[0] == 0:
                self.faults.remove(fault)
            return answer(connection, request)

        left = [times]
        self.faults.append(fault)

    def requests(self, kind: type) -> list[Any]:
        return [request for request in self.seen if isinstance(request, kind)]


def operation_of(request) -> str:
    return parse_cgi(getattr(request, "cgi", "") or getattr(request, "source_cgi", "")).get(
        "thesan.op", ""
    )


def is_watch(request) -> bool:
    is_control = getattr(request, "infotype", None) == QueryCode.OPAQUE
    return is_control and isinstance(decode_request(request.args), Watch)


def hang_up(connection, request):
    """Fault: the connection dies, the request was not done."""
    connection.abort()


def refuse(number: int, text: str = "refused"):
    """Fault: an error."""

    def answer(connection, request):
        return responses.error_of(request.sid, OperationError(number, text))

    return answer


def need(condition, number: int) -> None:
    if not condition:
        raise OperationError(number, "it is not so")


class Mgm(Daemon):
    """The namespace."""

    settings = MGM_SETTINGS

    def node(self, path: str, follow: bool = True) -> Node:
        node = self.cluster.names.get(path)
        need(node is not None, errno.ENOENT)
        if follow and node.target is not None:
            return self.node(node.target)
        return node

    def info(self, node: Node) -> bodies.StatInfo:
        kind = StatFlag.IS_DIR if node.is_dir else 0 if node.target is None else StatFlag.OTHER
        flags = int(StatFlag.READABLE | kind)
        size, mtime = len(node.data or b""), node.mtime
        return bodies.StatInfo(node.fid, size, flags, mtime, mtime, mtime, node.mode, "u", "g")

    def on_stat(self, connection, request):
        return responses.ok(request.sid, bodies.build_stat(self.info(self.node(request.path))))

    def on_dirlist(self, connection, request):
        top = self.node(request.path)
        need(top.is_dir, errno.ENOTDIR)
        prefix = request.path.rstrip("/") + "/"
        below = [path[len(prefix) :] for path in self.cluster.names if path.startswith(prefix)]
        names = [name for name in below if name and "/" not in name]
        if not request.options & DirListFlag.STAT:
            return responses.ok(request.sid, bodies.build_dirlist(map(str.encode, names)))
        nodes = (self.cluster.names[prefix + name] for name in names)
        shown = (self.info(self.cluster.names.get(node.target, node)) for node in nodes)
        entries = zip(map(str.encode, names), map(bodies.stat_text, shown), strict=True)
        return responses.ok(request.sid, bodies.build_dirlist_stat(entries))

    def on_mkdir(self, connection, request):
        names = self.cluster.names
        if request.path in names:
            need(request.options & 1 and names[request.path].is_dir, errno.EEXIST)
            return responses.ok(request.sid)
        self.cluster.make_parents(request.path, make=bool(request.options & 1))
        names[request.path] = Node(self.cluster.next_fid(), mode=request.mode)
        return responses.ok(request.sid)

    def on_rm(self, connection, request):
        need(not self.node(request.path, follow=False).is_dir, errno.EISDIR)
        del self.cluster.names[request.path]
        return responses.ok(request.sid)

    def on_rmdir(self, connection, request):
        need(self.node(request.path, follow=False).is_dir, errno.ENOTDIR)
        names = self.cluster.names
        need(not any(path.startswith(request.path + "/") for path in names), errno.ENOTEMPTY)
        del self.cluster.names[request.path]
        return responses.ok(request.sid)

    def on_mv(self, connection, request):
        self.node(request.source, follow=False)
        self.cluster.names[request.target] = self.cluster.names.pop(request.source)
        return responses.ok(request.sid)

    def on_chmod(self, connection, request):
        self.node(request.path).mode = request.mode
        return responses.ok(request.sid)

    def on_truncate(self, connection, request):
        node = self.node(request.path)
        node.data = (node.data or b"")[: request.size].ljust(request.size, b"\0")
        return responses.ok(request.sid)

    def on_locate(self, connection, request):
        places = [bodies.Location(str(fst.endpoint)) for fst in self.cluster.fsts]
        return responses.ok(request.sid, bodies.build_locate(places))

    def on_open(self, connection, request):
        names = self.cluster.names
        if request.options & WRITES:
            need(not (request.options & OpenFlag.NEW and request.path in names), errno.EEXIST)
            self.cluster.make_parents(request.path, make=bool(request.options & OpenFlag.MKPATH))
        else:
            need(not self.node(request.path).is_dir, errno.EISDIR)
        tried = parse_cgi(request.cgi).get("tried", "").split(",")
        for fst in self.cluster.fsts:
            if fst.host not in tried:
                return responses.redirect(request.sid, fst.host, fst.port, "cap=x")
        raise OperationError(errno.EADDRNOTAVAIL, "no FST is left")

    def on_query(self, connection, request):
        if request.infotype == QueryCode.CHECKSUM:
            data = self.node(split_cgi(request.args.decode())[0]).data or b""
            value = f"{zlib.adler32(data):08x}"
            return responses.ok(request.sid, bodies.build_checksum("adler32", value))
        if request.infotype == QueryCode.CONFIG:
            values = [(key, {"version": "v1"}.get(key)) for key in request.args.decode().split()]
            return responses.ok(request.sid, bodies.build_config(values))
        message = decode_request(request.args)
        self.cluster.control.append(message)
        match message:
            case FileOp():
                reply = FileOpReply(self.file_op(message))
            case Admin():
                page = int(message.args.get("page", "0"))
                reply = AdminReply([{"page": page}], next_page=str(page + 1) if page < 2 else "")
            case _:
                raise OperationError(errno.ENOTSUP, "no")
        return responses.ok(request.sid, encode_reply(reply))

    def file_op(self, message: FileOp) -> dict[str, Any]:
        names, path = self.cluster.names, message.path
        match message.verb:
            case "readlink":
                node = self.node(path, follow=False)
                need(node.target is not None, errno.EINVAL)
                return {"target": node.target}
            case "symlink":
                need(path not in names, errno.EEXIST)
                names[path] = Node(self.cluster.next_fid(), target=message.args["target"])
            case "link":
                names[path] = self.node(message.args["source"])
            case "touch":
                names.setdefault(path, Node(self.cluster.next_fid(), data=b""))
            case "utime":
                self.node(path).mtime = message.args["mtime_ns"] // 10**9
            case "lstat":
                return {"mode": 0o100644, "fid": self.node(path, follow=False).fid}
            case _:
                return dict(message.args)
        return {}

    def on_fattr(self, connection, request):
        xattrs = self.node(request.path).xattrs
        if request.subcode == FAttrCode.LIST:
            body = build_fattr_list(sorted(xattrs.items()), values=True)
            return responses.ok(request.sid, body)
        results = [FAttrResult(name, 0, xattrs.get(name, b"")) for name in request.names]
        if request.subcode == FAttrCode.SET:
            xattrs.update(zip(request.names, request.values, strict=True))
        for result in results:
            result.code = 0 if result.name in xattrs else 3027
            if request.subcode == FAttrCode.DELETE:
                xattrs.pop(result.name, None)
        body = build_fattr(results, values=request.subcode == FAttrCode.GET)
        return responses.ok(request.sid, body)


OpenFile = msgspec.defstruct("OpenFile", ["path", "data", "writes", "mode"])


class Fst(Daemon):
    """Bytes."""

    settings = FST_SETTINGS

    def __init__(self, *place) -> None:
        super().__init__(*place)
        self.writes_in_order: list[int] = []

    def on_open(self, connection, request):
        assert "cap=x" in request.cgi
        node = self.cluster.names.get(request.path)
        writes = bool(request.options & WRITES)
        need(writes or (node is not None and node.data is not None), errno.ENOENT)
        keep = not request.options & (OpenFlag.DELETE | OpenFlag.NEW)
        data = bytearray(node.data) if node is not None and node.data and keep else bytearray()
        handle = max(connection.state, default=0) + 1
        connection.state[handle] = OpenFile(request.path, data, writes, request.mode)
        fid = node.fid if node is not None else 999
        text = bodies.build_stat(bodies.StatInfo(fid, len(data), int(StatFlag.READABLE), 0))
        return responses.ok(request.sid, bodies.build_open(handle, text))

    def file(self, connection, fh: int) -> OpenFile:
        return connection.state[fh]

    def on_read(self, connection, request):
        data = self.file(connection, request.fh).data
        return responses.ok(request.sid, data[request.offset : request.offset + request.length])

    def on_pgread(self, connection, request):
        data = self.file(connection, request.fh).data
        part = data[request.offset : request.offset + request.length]
        return pgread_answer(request.sid, request.offset, part)

    def on_readv(self, connection, request):
        items = [
            (fh, offset, bytes(self.file(connection, fh).data[offset : offset + length]))
            for fh, length, offset in request.items
        ]
        return responses.ok(request.sid, bodies.build_readv(items))

    def store(self, connection, fh: int, offset: int, data) -> None:
        file = self.file(connection, fh)
        file.data.extend(bytes(max(0, offset - len(file.data))))
        file.data[offset : offset + len(data)] = data
        self.writes_in_order.append(offset)

    def on_write(self, connection, request):
        self.store(connection, request.fh, request.offset, request.data)
        return responses.ok(request.sid)

    def on_pgwrite(self, connection, request):
        start = request.offset
        data, bad = split_pages(request.data, start)
        self.store(connection, request.fh, start, data)
        return pgwrite_answer(request.sid, start, len(data), bad)

    def on_truncate(self, connection, request):
        del self.file(connection, request.fh).data[request.size :]
        return responses.ok(request.sid)

    def on_stat(self, connection, request):
        size = len(self.file(connection, request.fh).data)
        return responses.ok(request.sid, bodies.build_stat(bodies.StatInfo(5, size, 16, 0)))

    def on_close(self, connection, request):
        self.commit(connection, request)
        return responses.ok(request.sid)

    def on_sync(self, connection, request):
        return responses.ok(request.sid)

    def commit(self, connection, request):
        if (file := connection.state.pop(request.fh)).writes:
            node = Node(self.cluster.next_fid(), bytes(file.data), mode=file.mode)
            self.cluster.names[file.path] = node


class Cluster:
    """Everything of one test."""

    def __init__(self, mgm_hosts: list[str], fst_hosts: list[str], port: int = 0) -> None:
        self.entropy = RealEntropy()
        self.names: dict[str, Node] = {"/": Node(1)}
        self.control: list[Any] = []
        self.remembered: dict[str, None] = {}
        self.next_fid = itertools.count(2).__next__
        self.mgms = [Mgm(self, host, port) for host in mgm_hosts]
        self.fsts = [Fst(self, host, port) for host in fst_hosts]
        self.clients: list[Filesystem] = []
        self.faults: list[dict[str, Any]] = []

    @property
    def mgm(self) -> Mgm:
        return self.mgms[0]

    def remember(self, request) -> None:
        """As an MGM does: what was done under an operation id is not done again."""
        operation = operation_of(request)
        if operation and not isinstance(request, rq.Open):
            self.remembered[operation] = None

    def make_parents(self, path: str, *, make: bool) -> None:
        parent = path.rpartition("/")[0] or "/"
        if parent in self.names:
            return
        need(make, errno.ENOENT)
        self.make_parents(parent, make=True)
        self.names[parent] = Node(self.next_fid())

    def put(self, path: str, data: bytes) -> None:
        self.make_parents(path, make=True)
        self.names[path] = Node(self.next_fid(), data, mode=0o644)

    async def start(self) -> None:
        for daemon in (*self.mgms, *self.fsts):
            await daemon.start()

    async def stop(self) -> None:
        for client in self.clients:
            await client.close()
        for daemon in (*self.mgms, *self.fsts):
            await daemon.stop()

    def connect(self, act_as=None, **settings: Any) -> Filesystem:
        settings.setdefault("patience_seconds", 20.0)
        settings.setdefault("chunk_bytes", 8192)
        config = ClientConfig(login=LoginSettings(user="me"), **settings)
        url = Url(tuple(mgm.endpoint for mgm in self.mgms))
        client = connect(url, config, self.entropy, act_as=act_as)
        self.clients.append(client)
        return client


@pytest.fixture
def cluster_run():
    """Run a coroutine function with a started Cluster; no daemon may report a fault of its own."""

    def run(test, *, mgms: int = 1, fsts: int = 2) -> None:
        async def main() -> None:
            hosts = [f"127.0.0.{n + 2}" for n in range(fsts)]
            cluster = Cluster(["127.0.0.1"] * mgms, hosts)
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: cluster.faults.append(context))
            await cluster.start()
            try:
                await asyncio.wait_for(test(cluster), 60)
            finally:
                await cluster.stop()
            assert not cluster.faults, cluster.faults
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main())

    return run


@pytest.fixture
def machines_run():
    """As `cluster_run`, in the simulated world: each daemon on a machine `mgm1`, `fst1`, ..., so
    that a test can cut networks and switch machines off: `test(cluster, network)`."""

    def run(test, *, mgms: int = 2, fsts: int = 2, seed: int = 5) -> None:
        loop = SimLoop(seed)
        cluster = Cluster(
            [f"mgm{n + 1}" for n in range(mgms)], [f"fst{n + 1}" for n in range(fsts)], 1094
        )
        for daemon in (*cluster.mgms, *cluster.fsts):
            process = loop.network.process(daemon.host, daemon.host)
            loop.start(process, daemon.start(), "start")

        async def main() -> None:
            await asyncio.sleep(0.1)
            await asyncio.wait_for(test(cluster, loop.network), 3600)
            for client in cluster.clients:
                await client.close()

        client = loop.network.process("client", "client")
        try:
            loop.run_until_complete(loop.start(client, main(), "main"))
            assert not loop.trace.failures, loop.trace.failures
        finally:
            loop.close()

    return run


@pytest.fixture
def faults():
    """(hang_up, refuse): answers for Daemon.fail."""
    return hang_up, refuse
