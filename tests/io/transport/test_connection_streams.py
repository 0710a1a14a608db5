"""One accepted connection: substreams, sessions that end, bulk sends."""

import asyncio
import errno
import struct

import pytest

from thesan.core.model.errors import OperationError, Xrd
from thesan.core.model.limits import BIND_STREAMS_MAX, OUTPUT_BYTES_HIGH
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.core.wire.bodies import parse_error
from thesan.core.wire.numbers import HANDSHAKE, NO_SID, Status
from thesan.core.wire.request_codec import encode

HELLO = HANDSHAKE + encode(rq.Protocol(NO_SID))


def sid_of(number: int) -> bytes:
    return struct.pack(">H", number)


def pings(count: int) -> bytes:
    return b"".join(encode(rq.Ping(sid_of(n))) for n in range(count))


def stat(number: int) -> bytes:
    return encode(rq.Stat(sid_of(number), "/f"))


def later(connection, request) -> None:
    """A service method that answers by `reply` some time."""


def error_code(body: bytes) -> int:
    return parse_error(body)[0]


# -- bind, endsess ---------------------------------------------------------------------------------
def bind(peer, main) -> list[tuple[bytes, int, bytes]]:
    peer.say(HELLO + encode(rq.Bind(b"b0", main.connection.session_id)))
    return peer.take()[2:]


def bound(bench):
    """A session, and its substream 1."""
    main, other = bench.peer().log_in(), bench.peer()
    main.take()
    bind(other, main)
    return main, other


def test_bind_and_answers_on_the_substream(bench_run):
    async def test(bench):
        main = bench.peer().log_in()
        main.take()
        first, second = bench.peer(), bench.peer()
        assert bind(first, main) == [(b"b0", Status.OK, b"\1")]
        assert bind(second, main) == [(b"b0", Status.OK, b"\2")]
        bench.service.answers[rq.Read] = lambda connection, request: connection.reply(
            responses.ok(request.sid, b"data"), request.path_id
        )
        main.say(encode(rq.Read(b"r1", 1, 0, 4, 2)) + encode(rq.Read(b"r2", 1, 0, 4, 0)))
        await asyncio.sleep(0)
        assert main.take() == [(b"r2", Status.OK, b"data")]
        assert second.take() == [(b"r1", Status.OK, b"data")]
        main.say(encode(rq.Read(b"r3", 1, 0, 4, 9)))
        assert error_code(main.take()[0][2]) == Xrd.ARG_INVALID
        second.say(encode(rq.Ping(b"p1")) + stat(5))
        answers = second.take()
        assert sorted((sid, status) for sid, status, _ in answers) == [
            (sid_of(5), Status.ERROR), (b"p1", Status.OK),
        ]  # fmt: skip
        second.transport.lose()
        assert bind(bench.peer(), main) == [(b"b0", Status.OK, b"\2")]
        main.transport.lose()
        await asyncio.sleep(0)
        assert first.transport.lost
        assert bench.service.gone == [main.connection]

    bench_run(test)


def test_bind_is_refused_to_strangers_and_beyond_the_limit(bench_run):
    async def test(bench):
        main = bench.peer().log_in()
        stranger = bench.peer("10.0.0.2")
        assert bind(stranger, main)[0][1] == Status.ERROR
        unknown = bench.peer()
        unknown.say(HELLO + encode(rq.Bind(b"b0", bytes(16))))
        assert unknown.take()[-1][1] == Status.ERROR
        for n in range(BIND_STREAMS_MAX):
            assert bind(bench.peer(), main)[0][2] == bytes((n + 1,))
        assert error_code(bind(bench.peer(), main)[0][2]) == Xrd.OVERLOADED

    bench_run(test)


@pytest.mark.parametrize("ends", ["drains", "goes"])
def test_a_substream_that_nobody_reads_holds_bounded_memory(bench_run, ends):
    async def test(bench):
        piece = 1 << 20
        bench.service.answers[rq.Read] = lambda connection, request: connection.reply(
            responses.ok(request.sid, bytes(piece)), request.path_id
        )
        main, other = bound(bench)
        other.transport.room = 10
        count = 60
        main.say(b"".join(encode(rq.Read(sid_of(n), 1, 0, 4, 1)) for n in range(count)))
        for _ in range(20):
            await asyncio.sleep(0)
        asked = len(bench.service.seen)
        assert asked * piece <= 2 * OUTPUT_BYTES_HIGH + 2 * piece
        assert not main.transport.reading
        assert main.connection.unsent_bytes == 0
        if ends == "drains":
            other.transport.drain()
        else:
            other.transport.lose()
        for _ in range(200):
            await asyncio.sleep(0)
        assert main.transport.reading
        assert len(bench.service.seen) == count
        if ends == "drains":
            assert len(other.transport.data) > count * piece
        else:
            refused = [status for _, status, _ in main.take()]
            assert refused == [Status.ERROR] * (count - asked)

    bench_run(test)


def test_a_bulk_answer_that_lost_its_substream_ends_the_session(bench_run):
    """Its request would never be answered."""

    async def test(bench):
        bench.bulk.gate = asyncio.Event()
        bench.service.answers[rq.Read] = later
        main, other = bound(bench)
        main.say(encode(rq.Read(b"r1", 1, 0, 5, 1)) + encode(rq.Read(b"r2", 1, 0, 5, 1)))
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(main.connection.send_file(sid, None, 1, 0, 5, 1))
            for sid in (b"r1", b"r2")
        ]
        await asyncio.sleep(0)
        other.transport.lose()
        bench.bulk.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[1], OperationError)
        await asyncio.sleep(0)
        assert main.transport.lost

    bench_run(test)


def test_endsess_drops_the_old_session_of_the_same_host_only(bench_run):
    async def test(bench):
        old = bench.peer().log_in()
        end = encode(rq.EndSession(b"e0", old.connection.session_id))
        stranger = bench.peer("10.0.0.2").log_in()
        stranger.say(end)
        assert stranger.take()[-1][:2] == (b"e0", Status.OK)
        assert not old.transport.closing
        new = bench.peer()
        new.say(HELLO + end)
        assert new.take()[-1][:2] == (b"e0", Status.OK)
        await asyncio.sleep(0)
        assert old.transport.lost
        new.say(encode(rq.EndSession(b"e1", bytes(16))))
        assert new.take() == [(b"e1", Status.OK, b"")]

    bench_run(test)


# -- bulk sends ------------------------------------------------------------------------------------
def test_during_a_bulk_send_other_answers_wait(bench_run):
    async def test(bench):
        bench.bulk.gate = asyncio.Event()
        tasks = []

        def read(connection, request):
            work = connection.send_file(request.sid, None, 1, request.offset, request.length)
            tasks.append(asyncio.get_running_loop().create_task(work))

        bench.service.answers[rq.Read] = read
        peer = bench.peer().log_in()
        peer.take()
        peer.say(encode(rq.Read(b"r1", 1, 0, 5)) + encode(rq.Read(b"r2", 1, 5, 3)) + pings(3))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        peer.say(encode(rq.Ping(b"p9")))
        assert [frame[0] for frame in peer.take()] == [sid_of(0), sid_of(1), sid_of(2), b"r1"]
        bench.bulk.gate.set()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0)
        data = peer.transport.data
        assert data == (
            b"fffff"
            + responses.ok(b"p9")
            + responses.ok_head(b"r2", 3)
            + b"fff"
        )  # fmt: skip
        assert bench.bulk.running_max == 1
        assert peer.connection.unanswered_count == 0

    bench_run(test)


def test_a_bulk_send_waits_until_the_transport_is_empty(bench_run):
    async def test(bench):
        peer = bench.peer().log_in()
        bench.service.answers[rq.Read] = later
        peer.take()
        peer.transport.room = 4
        peer.say(pings(1) + encode(rq.Read(b"r1", 1, 0, 5)))
        task = asyncio.get_running_loop().create_task(
            peer.connection.send_file(b"r1", None, 1, 0, 5)
        )
        for _ in range(5):
            await asyncio.sleep(0)
        assert bench.bulk.running_max == 0
        peer.transport.drain()
        await task
        assert peer.transport.data == responses.ok(sid_of(0)) + responses.ok(b"r1", b"fffff")

    bench_run(test)


def test_a_failed_bulk_send_ends_the_connection(bench_run):
    async def test(bench):
        bench.bulk.fail = OperationError(errno.EIO, "file shrank")
        bench.service.answers[rq.Read] = later
        peer = bench.peer().log_in()
        peer.say(encode(rq.Read(b"r1", 1, 0, 5)))
        with pytest.raises(OperationError, match="shrank"):
            await peer.connection.send_file(b"r1", None, 1, 0, 5)
        await asyncio.sleep(0)
        assert peer.transport.lost
        with pytest.raises(OperationError) as caught:
            await peer.connection.send_file(b"r1", None, 1, 0, 5)
        assert caught.value.errno == errno.ECONNRESET

    bench_run(test)


def test_waiting_bulk_sends_end_with_the_connection(bench_run):
    async def test(bench):
        bench.bulk.gate = asyncio.Event()
        bench.service.answers[rq.Read] = later
        peer = bench.peer().log_in()
        peer.say(encode(rq.Read(b"r1", 1, 0, 5)) + encode(rq.Read(b"r2", 1, 0, 5)))
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(peer.connection.send_file(sid, None, 1, 0, 5))
            for sid in (b"r1", b"r2")
        ]
        await asyncio.sleep(0)
        peer.transport.lose()
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert isinstance(results[1], OperationError)
        assert results[1].errno == errno.ECONNRESET

    bench_run(test)


def test_close_during_a_bulk_send_lets_it_finish(bench_run):
    async def test(bench):
        bench.bulk.gate = asyncio.Event()
        bench.service.answers[rq.Read] = later
        peer = bench.peer().log_in()
        peer.take()
        peer.say(encode(rq.Read(b"r1", 1, 0, 5)))
        task = asyncio.get_running_loop().create_task(
            peer.connection.send_file(b"r1", None, 1, 0, 5)
        )
        await asyncio.sleep(0)
        peer.say(encode(rq.Ping(b"p1")))
        peer.connection.close()
        assert not peer.transport.closing
        bench.bulk.gate.set()
        await task
        assert peer.transport.closing
        assert peer.transport.data.endswith(b"fffff" + responses.ok(b"p1"))

    bench_run(test)


def test_pages_are_sent_by_the_bulk_port(bench_run):
    async def test(bench):
        bench.service.answers[rq.PgRead] = later
        peer = bench.peer().log_in()
        peer.take()
        peer.say(encode(rq.PgRead(b"r1", 1, 0, 5)))
        await peer.connection.send_pages(b"r1", None, 1, 0, 5)
        assert peer.transport.data.startswith(b"r1" + struct.pack(">H", Status.STATUS))
        assert peer.connection.unanswered_count == 0

    bench_run(test)
