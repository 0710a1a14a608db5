"""The outgoing connection: against our own server, against peers that misbehave, on both loops."""

import asyncio
import errno
import struct

import pytest

from thesan.core.authority.keytab import Key, make_keytab
from thesan.core.authority.thk import ThkServer
from thesan.core.model import limits
from thesan.core.model.errors import OperationError, Retry
from thesan.core.model.identity import NOBODY
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_login, parse_error
from thesan.core.wire.numbers import HANDSHAKE, NO_SID, Status
from thesan.core.wire.request_codec import HEAD
from thesan.core.wire.responses import HEAD as ANSWER_HEAD
from thesan.io.transport import client as module
from thesan.io.transport import credentials, vigil
from thesan.io.transport.client import ClientConnection, LoginSettings, dial, error_of

KEYS = make_keytab([Key(1, b"k" * 32, 1)])
OTHER_KEYS = make_keytab([Key(1, b"x" * 32, 1)])


class FixedClock:
    def now_ns(self) -> int:
        return 10**18


async def dialled(bench, **login) -> ClientConnection:
    return await dial("127.0.0.1", bench.listener.port, LoginSettings(**login), timeout=20)


def test_many_calls_out_of_order(loop_run):
    waiting = []

    async def test(bench):
        bench.service.answers[rq.Stat] = lambda connection, request: waiting.append(
            (connection, request)
        )
        await bench.listen()
        connection = await dialled(bench, user="somebody-long", pid=5)
        assert bench.service.logins[0].user == "somebody"
        assert connection.session_id == bench.service.logins[0].session_id
        assert not connection.is_manager
        calls = [
            asyncio.get_running_loop().create_task(connection.call(rq.Stat(NO_SID, f"/{n}"), 20))
            for n in range(300)
        ]
        while len(waiting) < len(calls):
            await asyncio.sleep(0.001)
        assert connection.in_flight == len(calls)
        for server, request in reversed(waiting):
            server.reply(responses.ok(request.sid, request.path.encode()))
        answers = await asyncio.gather(*calls)
        assert [bytes(answer.body) for answer in answers] == [b"/%d" % n for n in range(300)]
        assert connection.in_flight == 0
        await connection.close()
        assert connection.is_closed

    loop_run(test)


def test_large_bodies_both_ways(loop_run):
    data = bytes(range(256)) * 20_000

    async def test(bench):
        stored = bytearray()

        def write(connection, request):
            stored[request.offset : request.offset + len(request.data)] = request.data
            return responses.ok(request.sid)

        bench.service.answers[rq.Write] = write
        bench.service.answers[rq.Read] = lambda connection, request: responses.ok(
            request.sid, bytes(stored[request.offset : request.offset + request.length])
        )
        await bench.listen()
        connection = await dialled(bench)
        half = len(data) // 2
        await asyncio.gather(
            connection.call(rq.Write(NO_SID, 1, 0, data=data[:half]), 20),
            connection.call(rq.Write(NO_SID, 1, half, data=data[half:]), 20),
        )
        parts = await asyncio.gather(
            *(
                connection.call(rq.Read(NO_SID, 1, at, 1 << 20), 20)
                for at in range(0, 5 << 20, 1 << 20)
            )
        )
        assert b"".join(bytes(part.body) for part in parts) == data
        await connection.close()

    loop_run(test)


def test_one_segment_carries_the_requests_of_one_round(loop_run):
    async def test(bench):
        await bench.listen()
        connection = await dialled(bench)
        server = bench.service.logins[0]
        blocks = []
        update = server.buffer_updated

        def counted(nbytes):
            blocks.append(nbytes)
            update(nbytes)

        server.buffer_updated = counted
        if bench.loop_name == "asyncio":
            await asyncio.gather(*(connection.call(rq.Ping(NO_SID), 20) for _ in range(100)))
            assert blocks == [2400]
        await connection.close()

    loop_run(test)


def test_calls_are_bounded_and_go_on_in_order(loop_run, monkeypatch):
    monkeypatch.setattr(module, "CLIENT_REQUESTS_MAX", 10)
    waiting = []

    async def test(bench):
        bench.service.answers[rq.Stat] = lambda connection, request: waiting.append(
            (connection, request)
        )
        await bench.listen()
        connection = await dialled(bench)
        loop = asyncio.get_running_loop()
        calls = [loop.create_task(connection.call(rq.Stat(NO_SID, f"/{n}"), 20)) for n in range(25)]
        order = []
        while len(order) < 25:
            while len(waiting) < min(10, 25 - len(order)):
                await asyncio.sleep(0.001)
            assert connection.in_flight <= 10
            server, request = waiting.pop(0)
            order.append(request.path)
            server.reply(responses.ok(request.sid))
        assert order == [f"/{n}" for n in range(25)]
        await asyncio.gather(*calls)
        await connection.close()

    loop_run(test)


def test_output_is_bounded(loop_run, monkeypatch):
    """A server that reads nothing: calls wait with their data, and give up in time."""
    monkeypatch.setattr(module, "CLIENT_OUTPUT_BYTES_HIGH", 1 << 20)

    async def test(bench):
        async with silent_server(answer_login=True, then_read=False) as port:
            connection = await dial("127.0.0.1", port, LoginSettings(), timeout=20)
            data = bytes(1 << 20)
            calls = [
                asyncio.get_running_loop().create_task(
                    connection.call(rq.Write(NO_SID, 1, 0, data=data), 0.5)
                )
                for _ in range(40)
            ]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, OperationError) for result in results)
            assert {result.errno for result in results} == {errno.ETIMEDOUT}
            later = [result for result in results if result.retry is Retry.LATER]
            assert len(later) >= 20
            connection.abort("test is over")
            await connection.lost

    loop_run(test)


def test_timeout_and_cancellation_leave_the_connection_usable(loop_run):
    waiting = []

    async def test(bench):
        bench.service.answers[rq.Stat] = lambda connection, request: waiting.append(
            (connection, request)
        )
        await bench.listen()
        connection = await dialled(bench)
        with pytest.raises(OperationError, match="no answer to stat") as caught:
            await connection.call(rq.Stat(NO_SID, "/a"), 0.01)
        assert caught.value.errno == errno.ETIMEDOUT
        assert caught.value.retry is Retry.SAME_ID
        call = asyncio.get_running_loop().create_task(connection.call(rq.Stat(NO_SID, "/b"), 20))
        while len(waiting) < 2:
            await asyncio.sleep(0.001)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        for server, request in waiting:
            server.reply(responses.ok(request.sid, b"too late"))
        response = await connection.call(rq.Ping(NO_SID), 20)
        assert response.status == Status.OK
        assert connection.in_flight == 0
        await connection.close()

    loop_run(test)


def test_waitresp_prolongs_the_call(loop_run):
    waiting = []

    async def test(bench):
        def stat(connection, request):
            connection.wait_then_answer(request.sid, 20)
            waiting.append((connection, request))

        bench.service.answers[rq.Stat] = stat
        await bench.listen()
        connection = await dialled(bench)
        call = asyncio.get_running_loop().create_task(connection.call(rq.Stat(NO_SID, "/"), 0.3))
        await asyncio.sleep(0.5)
        assert not call.done()
        server, request = waiting[0]
        server.reply(responses.error(request.sid, 3011, "gone"))
        response = await call
        assert response.status == Status.ERROR
        assert error_of(response).errno == errno.ENOENT
        await connection.close()

    loop_run(test)


@pytest.mark.parametrize("how", ["abort", "close"])
def test_a_lost_connection_fails_every_call_at_once(loop_run, how):
    async def test(bench):
        bench.service.answers[rq.Stat] = lambda connection, request: None
        await bench.listen()
        connection = await dialled(bench)
        loop = asyncio.get_running_loop()
        calls = [loop.create_task(connection.call(rq.Stat(NO_SID, "/"), 20)) for _ in range(5)]
        while len(bench.service.seen) < 5:
            await asyncio.sleep(0.001)
        getattr(bench.service.logins[0], how)()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {(error.errno, error.retry) for error in results} == {
            (errno.ECONNRESET, Retry.SAME_ID)
        }
        assert connection.is_closed
        with pytest.raises(OperationError) as caught:
            await connection.call(rq.Ping(NO_SID), 20)
        assert (caught.value.errno, caught.value.retry) == (errno.ECONNRESET, Retry.ELSEWHERE)
        await connection.close()

    loop_run(test)


def silent_server(*, answer_login: bool, then_read: bool = True, after: bytes = b""):
    """A server that says nothing after the login; `after` are bytes that it sends then."""

    class Silent:
        async def __aenter__(self) -> int:
            self.writers = []
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
            return self.server.sockets[0].getsockname()[1]

        async def serve(self, reader, writer) -> None:
            self.writers.append(writer)
            try:
                await reader.readexactly(len(HANDSHAKE) + HEAD.size)
                head = await reader.readexactly(HEAD.size)
            except asyncio.IncompleteReadError:
                return  # somebody looked whether we are there
            sid, _, _, length = HEAD.unpack(head)
            await reader.readexactly(length)
            if answer_login:
                writer.write(responses.ok(NO_SID, struct.pack(">ii", 0x511, 1)))
                writer.write(responses.ok(NO_SID, struct.pack(">iI", 0x511, 1)))
                writer.write(responses.ok(sid, build_login(bytes(16))))
                writer.write(after)
            if then_read:
                while await reader.read(1 << 16):
                    pass

        async def __aexit__(self, *exc) -> None:
            self.server.close()
            for writer in self.writers:
                writer.close()
                try:
                    await writer.wait_closed()
                except ConnectionError:
                    pass

    return Silent()


def test_a_half_open_peer_is_noticed_by_silence(loop_run, monkeypatch):
    monkeypatch.setattr(vigil, "CLIENT_PROBE_SECONDS", 0.05)

    async def test(bench):
        async with silent_server(answer_login=True) as port:
            connection = await dial(
                "127.0.0.1", port, LoginSettings(), timeout=20, silence_seconds_max=0.2
            )
            with pytest.raises(OperationError, match="silent for") as caught:
                await connection.call(rq.Stat(NO_SID, "/"), 60)
            assert caught.value.retry is Retry.SAME_ID

    loop_run(test)


def test_a_slow_answer_is_not_silence(loop_run, monkeypatch):
    """Pings are answered though the request is not: busy is not dead."""
    monkeypatch.setattr(vigil, "CLIENT_PROBE_SECONDS", 0.02)

    async def test(bench):
        bench.service.answers[rq.Stat] = lambda connection, request: None
        await bench.listen()
        connection = await dial(
            "127.0.0.1", bench.listener.port, LoginSettings(), timeout=20, silence_seconds_max=1
        )
        with pytest.raises(OperationError) as caught:
            await connection.call(rq.Stat(NO_SID, "/"), 1.5)
        assert caught.value.errno == errno.ETIMEDOUT
        assert not connection.is_closed
        await connection.close()

    loop_run(test)


@pytest.mark.parametrize(
    "garbage",
    [
        ANSWER_HEAD.pack(b"zz", 0, 4) + b"oops",
        ANSWER_HEAD.pack(NO_SID, 0, 0x7FFF_FFFF),
        ANSWER_HEAD.pack(NO_SID, 4001, -5),
        b"\xff" * 64,
    ],
)
def test_a_server_that_breaks_the_protocol_is_dropped(loop_run, garbage):
    async def test(bench):
        async with silent_server(answer_login=True, after=garbage) as port:

            async def talk() -> None:
                connection = await dial("127.0.0.1", port, LoginSettings(), timeout=20)
                await connection.call(rq.Stat(NO_SID, "/"), 20)

            with pytest.raises(OperationError, match="broke the protocol") as caught:
                await talk()
            assert caught.value.errno == errno.ECONNRESET

    loop_run(test)


def test_dial_gives_up_in_time(loop_run):
    async def test(bench):
        async with silent_server(answer_login=False) as port:
            with pytest.raises(OperationError) as caught:
                await dial("127.0.0.1", port, LoginSettings(), timeout=0.1)
            assert caught.value.errno == errno.ETIMEDOUT

    loop_run(test)


def test_nobody_listens(loop_run):
    async def test(bench):
        await bench.listen()
        port = bench.listener.port
        await bench.listener.close()
        with pytest.raises(OperationError) as caught:
            await dial("127.0.0.1", port, LoginSettings(), timeout=5)
        assert (caught.value.errno, caught.value.retry) == (errno.ECONNREFUSED, Retry.ELSEWHERE)

    loop_run(test)


def test_every_address_of_a_name_is_tried(loop_run, monkeypatch):
    async def test(bench):
        await bench.listen()

        async def addresses(host, port, deadline):
            assert host == "name"
            return ["127.0.0.99", "127.0.0.1"]

        monkeypatch.setattr(module, "addresses_of", addresses)
        connection = await dial("name", bench.listener.port, LoginSettings(), timeout=10)
        assert connection.host == "name"
        await connection.close()

    loop_run(test)


def test_names_are_resolved(loop_run):
    async def test(bench):
        await bench.listen()
        connection = await dial("localhost", bench.listener.port, LoginSettings(), timeout=10)
        await connection.close()
        with pytest.raises(OperationError) as caught:
            await dial("no-such-host.invalid", 1, LoginSettings(), timeout=10)
        assert caught.value.retry is Retry.ELSEWHERE

    loop_run(test)


# -- authentication --------------------------------------------------------------------------------
class Thk:
    """The server's half of thk in a scripted service."""

    def __init__(self, bench, *, proof: bytes | None = None) -> None:
        self.server = ThkServer(b"n" * 32)
        self.peer = None
        self.proof = proof
        bench.service.security = "&P=unix" + self.server.offer
        bench.service.answers[rq.Auth] = self.auth

    def auth(self, connection, request) -> bytes:
        if request.credtype == b"unix":
            connection.identity = NOBODY
            return responses.ok(request.sid)
        self.peer, proof = self.server.accept(request.credentials, KEYS, 10**9)
        connection.identity = NOBODY
        return responses.ok(request.sid, self.proof or proof)


def thk_method(bench, keys=KEYS) -> credentials.Method:
    return credentials.keytab(keys, "fst", "n1:1095", entropy=bench.entropy, clock=FixedClock())


def test_keytab_login_is_mutual(loop_run):
    async def test(bench):
        bench.entropy.token = lambda count: b"c" * count
        thk = Thk(bench)
        await bench.listen()
        connection = await dialled(bench, methods=(thk_method(bench),))
        assert thk.peer.role == "fst"
        assert thk.peer.name == "n1:1095"
        await connection.close()

    loop_run(test)


def test_a_server_without_the_key_is_refused(loop_run):
    async def test(bench):
        Thk(bench, proof=b"f" * 32)
        await bench.listen()
        with pytest.raises(OperationError, match="did not prove") as caught:
            await dialled(bench, methods=(thk_method(bench),))
        assert caught.value.errno == errno.EBADE
        Thk(bench, proof=b"f" * 32)
        with pytest.raises(OperationError, match="did not prove"):
            await dialled(bench, methods=(thk_method(bench), credentials.unix("me", "us")))

    loop_run(test)


def test_methods_are_tried_in_our_order_until_one_holds(loop_run):
    async def test(bench):
        bench.entropy.token = lambda count: b"c" * count
        thk = Thk(bench)
        await bench.listen()
        methods = (credentials.host(), thk_method(bench, OTHER_KEYS), credentials.unix("me", "us"))
        connection = await dialled(bench, methods=methods)
        assert thk.peer is None
        await connection.close()
        Thk(bench)
        with pytest.raises(OperationError, match="wrong key") as caught:
            await dialled(bench, methods=methods[:2])
        assert caught.value.errno == errno.EBADE
        with pytest.raises(OperationError, match="wants one of unix, thk; there is host"):
            await dialled(bench, methods=methods[:1])

    loop_run(test)


def test_wait_and_error_in_answer_to_login(loop_run):
    async def test(bench):
        await bench.listen()
        bench.service.login = lambda connection, request: responses.wait(request.sid, 3)
        with pytest.raises(OperationError) as caught:
            await dialled(bench)
        assert caught.value.retry is Retry.LATER

        def refuse(connection, request):
            raise OperationError(errno.EUSERS, "full")

        bench.service.login = refuse
        with pytest.raises(OperationError, match="full") as caught:
            await dialled(bench)
        assert caught.value.errno == errno.EUSERS

    loop_run(test)


def test_error_of_an_unexpected_status():
    assert error_of(module.Response(b"01", Status.REDIRECT, b"")).errno == errno.EPROTO
    assert error_of(module.Response(b"01", Status.ERROR, b"")).errno == errno.EPROTO
    frame = responses.error(b"01", 3011, "no")
    assert parse_error(frame[8:]) == (3011, "no")
    assert error_of(module.Response(b"01", Status.ERROR, frame[8:])).text == "no"


def test_limits_fit_together():
    assert limits.CLIENT_REQUESTS_MAX < limits.SESSION_REQUESTS_MAX
    assert limits.CLIENT_PROBE_SECONDS < limits.CLIENT_SILENCE_SECONDS_MAX
