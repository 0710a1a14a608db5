"""Etcd as its client meets it: real members, members that lie or hang, lines that are cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import grpc
import pytest

from thesan.worlds.real.etcd import messages
from thesan.worlds.real.etcd.endpoint import AUTHENTICATE, RANGE, STATUS, Method
from thesan.worlds.real.etcd.engine import EtcdEngine
from thesan.worlds.real.etcd.spec import EtcdSpec, parse_spec
from thesan.worlds.real.loop import new_event_loop


class Line:
    """A TCP proxy in front of one member: forwards, cuts, hangs or swallows answers."""

    def __init__(self, target: str) -> None:
        self.address = ""
        self.bytes_until_cut: Callable[[], int] | None = None
        """Asked at each connection: how many bytes of the member's go through before the cut."""
        self.swallows = False
        """Requests go through, answers do not, and the connection is cut instead."""
        self.is_hung = False
        """Nothing goes through, nothing is closed."""
        self.cuts = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Cut every connection now."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        try:
            other_reader, other_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        pair = [writer, other_writer]
        self._writers += pair
        left = self.bytes_until_cut() if self.bytes_until_cut else 1 << 60
        with contextlib.suppress(asyncio.CancelledError):  # The test is over.
            await asyncio.gather(
                self._pump(reader, other_writer, 1 << 60, pair, is_answer=False),
                self._pump(other_reader, writer, left, pair, is_answer=True),
            )

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        left: int,
        pair: list[asyncio.StreamWriter],
        *,
        is_answer: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                while self.is_hung:
                    await asyncio.sleep(0.01)
                if is_answer and self.swallows:
                    self.cuts += 1
                    break
                writer.write(data[:left])
                await writer.drain()
                left -= len(data)
                if left <= 0:
                    self.cuts += 1
                    break
        for one in pair:
            one.transport.abort()


@pytest.fixture
def play() -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Run a story on the loop that real processes use, with a deadline."""

    def run(story: Callable[[], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            async with asyncio.timeout(60):
                return await story()

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(whole())

    return run


@pytest.fixture
def lines() -> Callable[[list[str]], contextlib.AbstractAsyncContextManager[list[Line]]]:
    """`async with lines(cluster.clients) as [line, ...]`: a proxy in front of each member."""

    @contextlib.asynccontextmanager
    async def opened(targets: list[str]) -> AsyncIterator[list[Line]]:
        found = [Line(target) for target in targets]
        for line in found:
            await line.open()
        try:
            yield found
        finally:
            for line in found:
                await line.close()

    return opened


@pytest.fixture
def spec(etcd: Any, request: pytest.FixtureRequest) -> EtcdSpec:
    """A prefix of its own in a real etcd of three members."""
    return parse_spec(f"{','.join(etcd.clients)}/{request.node.name}")


@pytest.fixture
def engine_of() -> Callable[..., contextlib.AbstractAsyncContextManager[EtcdEngine]]:
    """`async with engine_of(spec, addresses) as engine`: perhaps through lines."""

    @contextlib.asynccontextmanager
    async def opened(spec: EtcdSpec, lines: list[Line] | None = None) -> AsyncIterator[EtcdEngine]:
        if lines is not None:
            addresses = tuple(line.address for line in lines)
            spec = EtcdSpec(addresses, spec.prefix)
        engine = await EtcdEngine.open(spec)
        try:
            yield engine
        finally:
            await engine.close()

    return opened


class FakeMember(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A member that says of itself what a test wants. Answers Status, Range and Authenticate."""

    def __init__(self, member_id: int, version: str = "3.4.23", cluster_id: int = 7) -> None:
        self.member_id = member_id
        self.version = version
        self.cluster_id = cluster_id
        self.leader = member_id
        self.term = 2
        self.token = ""
        """Wanted in metadata when not empty."""
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.failure: tuple[grpc.StatusCode, str] | None = None
        self._server = grpc.server(ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()

    def methods(self) -> list[str]:
        return [path.rpartition("/")[2] for path, _ in self.calls]

    def service(self, details: Any) -> Any:
        methods: dict[str, tuple[Method, Any, Callable[[Any], Any]]] = {
            STATUS.path: (STATUS, messages.StatusRequest, self._status),
            RANGE.path: (RANGE, messages.RangeRequest, self._range),
            AUTHENTICATE.path: (AUTHENTICATE, messages.AuthenticateRequest, self._authenticate),
        }
        method, request, answer = methods[details.method]

        def handle(message: Any, context: Any) -> Any:
            self.calls.append((details.method, dict(context.invocation_metadata())))
            if method is not STATUS and self.failure is not None:
                context.abort(*self.failure)
            given = dict(context.invocation_metadata()).get("token", "")
            if method is RANGE and given != self.token:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")
            return answer(message)

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=request.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _header(self) -> Any:
        return messages.RangeResponse().header.__class__(
            cluster_id=self.cluster_id, member_id=self.member_id, revision=1, raft_term=self.term
        )

    def _status(self, _: Any) -> Any:
        return messages.StatusResponse(
            header=self._header(), version=self.version, leader=self.leader
        )

    def _range(self, _: Any) -> Any:
        return messages.RangeResponse(header=self._header())

    def _authenticate(self, request: Any) -> Any:
        if request.password != "secret":
            return messages.AuthenticateResponse(header=self._header(), token="wrong")
        return messages.AuthenticateResponse(header=self._header(), token=self.token)


@pytest.fixture
def fake() -> Iterator[Callable[..., FakeMember]]:
    """`fake(member_id, version=..., cluster_id=...)`: a running fake member."""
    started: list[FakeMember] = []

    def start(*args: Any, **kwargs: Any) -> FakeMember:
        started.append(FakeMember(*args, **kwargs))
        return started[-1]

    yield start
    for member in started:
        member.stop()


@pytest.fixture
def dice() -> Random:
    """Seeded, so that a failure comes back."""
    return Random(2026)
