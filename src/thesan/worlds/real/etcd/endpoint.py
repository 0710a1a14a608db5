"""One member of an etcd: a channel of its own, calls with a deadline, streams, failures by kind.

grpcio's threads do the network; a call's end comes back to the event loop by one
call_soon_threadsafe. Not grpc.aio: its one poller serves all event loops of a process, so that a
busy loop would hold up another one's beats.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from typing import Any, Final

import grpc

from thesan.core.model.errors import Unavailable
from thesan.core.model.etcd_limits import (
    ETCD_ANSWER_BYTES_MAX,
    ETCD_OVERDUE_SECONDS,
    ETCD_RECONNECT_SECONDS_MAX,
)
from thesan.worlds.real.etcd import messages

Metadata = tuple[tuple[str, str], ...]


class Failure(Enum):
    """Why a member did not do what was asked."""

    SILENT = auto()
    """No answer, no leader, no connection: another member may do it. Perhaps it was done."""
    TOKEN = auto()
    """Not logged in (any more). Nothing was done."""
    FULL = auto()
    """The quota is reached: nothing is written until `thesan engine recover`. But the very write
    that goes over it is done all the same (etcd's quotaApplierV3), so its outcome is unknown."""
    COMPACTED = auto()
    """The revision asked for is gone."""
    REFUSED = auto()
    """A final no: permission, an argument."""


class EtcdError(Unavailable):
    """One call at one member failed."""

    def __init__(self, kind: Failure, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Method:
    """A gRPC method by its path, so that no generated stub is needed."""

    def __init__(self, path: str, request: Any, response: Any) -> None:
        self.path = path
        self.encode: Callable[[Any], bytes] = request.SerializeToString
        self.decode: Callable[[bytes], Any] = response.FromString


_KV: Final = "/etcdserverpb.KV"
_MAINTENANCE: Final = "/etcdserverpb.Maintenance"
RANGE: Final = Method(f"{_KV}/Range", messages.RangeRequest, messages.RangeResponse)
TXN: Final = Method(f"{_KV}/Txn", messages.TxnRequest, messages.TxnResponse)
COMPACT: Final = Method(f"{_KV}/Compact", messages.CompactionRequest, messages.CompactionResponse)
WATCH: Final = Method("/etcdserverpb.Watch/Watch", messages.WatchRequest, messages.WatchResponse)
AUTHENTICATE: Final = Method(
    "/etcdserverpb.Auth/Authenticate", messages.AuthenticateRequest, messages.AuthenticateResponse
)
MEMBER_LIST: Final = Method(
    "/etcdserverpb.Cluster/MemberList", messages.MemberListRequest, messages.MemberListResponse
)
STATUS: Final = Method(f"{_MAINTENANCE}/Status", messages.StatusRequest, messages.StatusResponse)
ALARM: Final = Method(f"{_MAINTENANCE}/Alarm", messages.AlarmRequest, messages.AlarmResponse)
DEFRAGMENT: Final = Method(
    f"{_MAINTENANCE}/Defragment", messages.DefragmentRequest, messages.DefragmentResponse
)
MOVE_LEADER: Final = Method(
    f"{_MAINTENANCE}/MoveLeader", messages.MoveLeaderRequest, messages.MoveLeaderResponse
)

_OPTIONS: Final = (
    # A connection of this object alone: another engine in this process shares no fate with it.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", ETCD_ANSWER_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", int(ETCD_RECONNECT_SECONDS_MAX * 1000)),
    # What is sent again, and where, is decided by who knows whether that is safe.
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)
"""No keepalive pings: etcd closes connections that ping more often than its own setting allows
(5 s), which is too seldom to be of use. Deadlines and the watch's own look do that work."""


class Endpoint:
    """A channel to one member. `address` is host:port."""

    def __init__(self, address: str, credentials: Any = None) -> None:
        self.address = address
        self.member_id = 0
        """0 until its first answer."""
        self.refusal = ""
        """Why this member must not be used; empty when it may."""
        self.is_known = False
        """Whether its version and its cluster were looked at."""
        self.failed = False
        """Whether its last call got no answer."""
        self._channel = _channel(address, credentials)
        self._stubs: dict[str, Any] = {}

    def replace_channel(self, credentials: Any) -> Callable[[], None]:
        """Go on with a new channel; returns the function that closes the old one."""
        old, self._channel = self._channel, _channel(self.address, credentials)
        self._stubs.clear()
        close: Callable[[], None] = old.close
        return close

    def call_here(
        self, method: Method, request: Any, seconds: float, metadata: Metadata = ()
    ) -> Any:
        """As `call`, but the thread itself waits: no other thread takes part, and the interpreter
        is asked for a few times instead of some twenty. Raises EtcdError."""
        stub = self._stub(method)
        try:
            return stub(request, timeout=seconds, metadata=metadata)
        except ValueError as error:  # The channel was closed meanwhile.
            raise EtcdError(Failure.SILENT, f"etcd {self.address}: {error}") from error
        except grpc.RpcError as error:
            raise self._failure(error) from error

    def _stub(self, method: Method) -> Any:
        stub = self._stubs.get(method.path)
        if stub is None:
            stub = self._stubs[method.path] = self._channel.unary_unary(
                method.path,
                request_serializer=method.encode,
                response_deserializer=method.decode,
            )
        return stub

    async def call(
        self, method: Method, request: Any, seconds: float, metadata: Metadata = ()
    ) -> Any:
        """One call with its deadline. Raises EtcdError."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        stub = self._stub(method)
        try:
            call = stub.future(request, timeout=seconds, metadata=metadata)
        except ValueError as error:  # The channel was closed meanwhile.
            raise EtcdError(Failure.SILENT, f"etcd {self.address}: {error}") from error
        call.add_done_callback(lambda _: _wake(loop, done))
        # grpcio keeps the deadline; this one is for the day on which it forgets a call.
        overdue = loop.call_later(seconds + ETCD_OVERDUE_SECONDS, _finish, done)
        try:
            await done
        except asyncio.CancelledError:
            call.cancel()
            raise
        finally:
            overdue.cancel()
        if not call.done():
            call.cancel()
            text = f"etcd {self.address}: no answer {ETCD_OVERDUE_SECONDS:g} s after the deadline"
            raise EtcdError(Failure.SILENT, text)
        if call.code() is grpc.StatusCode.OK:
            return call.result()
        raise self._failure(call)

    def stream(self, method: Method, request: Any, metadata: Metadata = ()) -> "Stream":
        """Send one request and read answers until closed.

        etcd's watch reads requests until the sender ends and goes on to answer, so a stream of
        one direction is enough.
        """
        stub = self._channel.unary_stream(
            method.path, request_serializer=method.encode, response_deserializer=method.decode
        )
        try:
            return Stream(self, stub(request, metadata=metadata), self._failure)
        except ValueError as error:
            raise EtcdError(Failure.SILENT, f"etcd {self.address}: {error}") from error

    def close(self) -> None:
        """Calls under way fail."""
        self._channel.close()

    def _failure(self, call: Any) -> EtcdError:
        code, details = call.code(), str(call.details() or "")
        name = code.name.lower().replace("_", " ")
        return EtcdError(_kind_of(code, details), f"etcd {self.address}: {details or name}")


class Stream:
    """Answers of one streaming call, one at a time, read by a thread that waits in grpcio."""

    def __init__(self, endpoint: Endpoint, call: Any, failure: Callable[[Any], EtcdError]) -> None:
        self.endpoint = endpoint
        self._call = call
        self._failure = failure
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="etcd-watch")
        self._next: asyncio.Future[Any] | None = None

    async def receive(self, seconds: float) -> Any:
        """The next answer; None when there is none in that time (then just ask again).

        Raises EtcdError when the stream is over.
        """
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.run_in_executor(self._thread, self._read)
        try:
            async with asyncio.timeout(seconds):
                answer = await asyncio.shield(self._next)
        except TimeoutError:
            return None
        self._next = None
        if isinstance(answer, EtcdError):
            raise answer
        return answer

    async def close(self) -> None:
        """End the call and, at once, the thread."""
        self._call.cancel()
        self._thread.shutdown(wait=False)
        if self._next is not None:
            await asyncio.shield(self._next)

    def _read(self) -> Any:
        """In the thread. Errors are returned: nobody may be left to take a raised one."""
        try:
            return next(self._call)
        except StopIteration:
            return EtcdError(Failure.SILENT, f"etcd {self.endpoint.address} ended a stream")
        except grpc.RpcError:
            return self._failure(self._call)


def _channel(address: str, credentials: Any) -> Any:
    if credentials is None:
        return grpc.insecure_channel(address, options=_OPTIONS)
    return grpc.secure_channel(address, credentials, options=_OPTIONS)


def _wake(loop: asyncio.AbstractEventLoop, done: "asyncio.Future[None]") -> None:
    """From a thread of grpcio."""
    try:
        loop.call_soon_threadsafe(_finish, done)
    except RuntimeError:
        pass  # The loop was closed: nobody waits any more.


def _finish(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)


def _kind_of(code: Any, details: str) -> Failure:
    """Codes and texts are etcd's, api/v3rpc/rpctypes/error.go."""
    match code:
        case grpc.StatusCode.UNAUTHENTICATED:
            return Failure.TOKEN
        case grpc.StatusCode.INVALID_ARGUMENT:
            # ErrGRPCAuthOldRevision, ErrGRPCUserEmpty
            if "revision of auth store is old" in details or "user name is empty" in details:
                return Failure.TOKEN
            return Failure.REFUSED
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            # ErrGRPCNoSpace; the other one, "too many requests", passes.
            return Failure.FULL if "database space exceeded" in details else Failure.SILENT
        case grpc.StatusCode.OUT_OF_RANGE:
            return Failure.COMPACTED
        case (
            grpc.StatusCode.PERMISSION_DENIED
            | grpc.StatusCode.FAILED_PRECONDITION
            | grpc.StatusCode.UNIMPLEMENTED
        ):
            return Failure.REFUSED
        case _:
            return Failure.SILENT
