"""One accepted connection, driven without a network."""

import asyncio
import errno
import random
import struct

import pytest

from thesan.core.model.errors import CapabilityError, OperationError, Xrd
from thesan.core.model.identity import NOBODY
from thesan.core.model.limits import (
    LOGIN_SECONDS_MAX,
    OUTPUT_BYTES_HIGH,
    OUTPUT_STALL_SECONDS_MAX,
    REQUESTS_PER_TURN_MAX,
    SESSION_IDLE_SECONDS_MAX,
    SESSION_REQUESTS_MAX,
    WRITE_WINDOW_BYTES,
)
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.core.wire.bodies import parse_error, parse_login
from thesan.core.wire.numbers import NO_SID, Status
from thesan.core.wire.request_codec import encode


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


def test_handshake_protocol_login_and_requests_in_one_segment_get_few_writes(bench_run):
    async def test(bench):
        peer = bench.peer()
        peer.say(b"".join([*_greeting(), stat(1), stat(2), encode(rq.Ping(b"P1"))]))
        assert len(peer.transport.writes) == 1
        frames = peer.take()
        assert [frame[0] for frame in frames] == [
            NO_SID, NO_SID, b"L0", sid_of(1), sid_of(2), b"P1",
        ]  # fmt: skip
        assert all(status == Status.OK for _, status, _ in frames)
        assert parse_login(frames[2][2])[0] == peer.connection.session_id
        assert [request.path for request in bench.service.seen] == ["/f", "/f"]

    bench_run(test)


def _greeting():
    from thesan.core.wire.numbers import HANDSHAKE

    return [HANDSHAKE, encode(rq.Protocol(NO_SID)), encode(rq.Login(b"L0", "me", 7))]


def test_many_requests_in_one_block_are_answered_in_one_write(bench_run):
    async def test(bench):
        peer = bench.peer().log_in()
        peer.take()
        peer.say(pings(1000))
        assert len(peer.transport.writes) == 1
        assert [frame[0] for frame in peer.take()] == [sid_of(n) for n in range(1000)]

    bench_run(test)


def test_a_long_block_yields_the_loop(bench_run):
    async def test(bench):
        peer = bench.peer().log_in()
        peer.take()
        count = REQUESTS_PER_TURN_MAX * 2 + 10
        peer.say(pings(count))
        assert not peer.transport.reading
        assert len(peer.take()) == REQUESTS_PER_TURN_MAX
        await asyncio.sleep(0)
        assert len(peer.take()) == REQUESTS_PER_TURN_MAX
        await asyncio.sleep(0)
        assert len(peer.take()) == 10
        assert peer.transport.reading

    bench_run(test)


def test_late_answers_of_one_round_leave_in_one_write_in_any_order(bench_run):
    async def test(bench):
        bench.service.answers[rq.Stat] = later
        peer = bench.peer().log_in()
        peer.take()
        peer.say(stat(1) + stat(2) + stat(3))
        assert peer.connection.unanswered_count == 3
        assert not peer.transport.writes
        peer.connection.reply(responses.ok(sid_of(3)))
        peer.connection.reply(responses.ok(sid_of(1)) + responses.ok(sid_of(2)))
        assert not peer.transport.writes
        await asyncio.sleep(0)
        assert len(peer.transport.writes) == 1
        assert [frame[0] for frame in peer.take()] == [sid_of(3), sid_of(1), sid_of(2)]
        assert peer.connection.unanswered_count == 0

    bench_run(test)


def test_reply_inside_handle_joins_the_write(bench_run):
    async def test(bench):
        bench.service.answers[rq.Stat] = lambda connection, request: connection.reply(
            responses.ok(request.sid, b"now")
        )
        peer = bench.peer().log_in()
        peer.take()
        peer.say(stat(1) + pings(2))
        assert len(peer.transport.writes) == 1
        assert peer.connection.unanswered_count == 0
        await asyncio.sleep(0)
        assert len(peer.transport.writes) == 1

    bench_run(test)


def test_two_final_answers_are_a_fault(bench_run):
    async def test(bench):
        bench.service.answers[rq.Stat] = later
        peer = bench.peer().log_in()
        peer.say(stat(1))
        peer.connection.reply(responses.oksofar(sid_of(1), b"part"))
        assert peer.connection.unanswered_count == 1
        peer.connection.reply(responses.ok(sid_of(1)))
        with pytest.raises(AssertionError, match="answered twice"):
            peer.connection.reply(responses.ok(sid_of(1)))

    bench_run(test)


def test_errors_of_the_service_become_answers(bench_run):
    def fail(error):
        def answer(connection, request):
            raise error

        return answer

    async def test(bench):
        peer = bench.peer().log_in()
        peer.take()
        for number, (error, code) in enumerate(
            [
                (OperationError(errno.ENOENT, "no such file"), Xrd.NOT_FOUND),
                (CapabilityError("expired"), Xrd.NOT_AUTHORIZED),
                (ZeroDivisionError("ours"), Xrd.SERVER_ERROR),
            ]
        ):
            bench.service.answers[rq.Stat] = fail(error)
            peer.say(stat(number))
            ((sid, status, body),) = peer.take()
            assert (sid, status, error_code(body)) == (sid_of(number), Status.ERROR, code)
        assert peer.connection.unanswered_count == 0
        assert isinstance(bench.faults[0]["exception"], ZeroDivisionError)

    bench_run(test, faults=1)


def test_a_sid_in_use_closes(bench_run):
    async def test(bench):
        bench.service.answers[rq.Stat] = later
        peer = bench.peer().log_in()
        peer.take()
        peer.say(stat(1) + stat(1) + stat(2))
        await asyncio.sleep(0)
        ((sid, status, _),) = peer.take()
        assert (sid, status) == (NO_SID, Status.ERROR)
        assert peer.transport.lost
        assert len(bench.service.seen) == 1
        assert bench.service.gone == [peer.connection]
        peer.connection.reply(responses.ok(sid_of(1)))

    bench_run(test)


def test_waitresp_then_attn(bench_run):
    async def test(bench):
        bench.service.answers[rq.Stat] = later
        peer = bench.peer().log_in()
        peer.take()
        peer.say(stat(1) + stat(2))
        peer.connection.wait_then_answer(sid_of(1), 9)
        await asyncio.sleep(0)
        assert peer.take() == [(sid_of(1), Status.WAITRESP, struct.pack(">i", 9))]
        assert peer.connection.unanswered_count == 2
        frame = responses.ok(sid_of(1), b"late")
        peer.connection.reply(responses.ok(sid_of(2), b"plain") + frame)
        await asyncio.sleep(0)
        plain, attn = peer.take()
        assert plain == (sid_of(2), Status.OK, b"plain")
        assert attn == (NO_SID, Status.ATTN, struct.pack(">i4x", 5008) + frame)
        assert peer.connection.unanswered_count == 0

    bench_run(test)


# -- limits ----------------------------------------------------------------------------------------
def test_requests_in_flight_are_bounded(bench_run):
    async def test(bench):
        bench.service.answers[rq.Stat] = later
        peer = bench.peer().log_in()
        peer.take()
        count = SESSION_REQUESTS_MAX + 100
        peer.say(b"".join(stat(n) for n in range(count)))
        while len(bench.service.seen) < SESSION_REQUESTS_MAX:
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        assert peer.connection.unanswered_count == SESSION_REQUESTS_MAX
        assert not peer.transport.reading
        for n in range(SESSION_REQUESTS_MAX):
            peer.connection.reply(responses.ok(sid_of(n)))
        await asyncio.sleep(0)
        assert len(bench.service.seen) == count
        assert peer.transport.reading

    bench_run(test)


def test_a_slow_reader_holds_bounded_memory(bench_run):
    async def test(bench):
        piece = 1 << 20
        bench.service.answers[rq.Stat] = lambda connection, request: responses.ok(
            request.sid, bytes(piece)
        )
        peer = bench.peer().log_in()
        peer.take()
        peer.transport.room = 10
        peer.say(b"".join(stat(n) for n in range(40)))
        for _ in range(20):
            await asyncio.sleep(0)
        first = len(peer.transport.data)
        assert OUTPUT_BYTES_HIGH < peer.connection.unsent_bytes < 2 * OUTPUT_BYTES_HIGH + 2 * piece
        assert first <= OUTPUT_BYTES_HIGH + piece + 8
        answered = len(bench.service.seen)
        assert answered * piece <= 2 * OUTPUT_BYTES_HIGH + 2 * piece
        assert not peer.transport.reading
        peer.transport.drain()
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(bench.service.seen) == 40
        assert peer.transport.reading
        assert len(peer.transport.data) == 40 * (8 + piece)

    bench_run(test)


def test_unwritten_data_are_bounded(bench_run):
    async def test(bench):
        bench.service.answers[rq.Write] = later
        peer = bench.peer().log_in()
        peer.take()
        data = bytes(WRITE_WINDOW_BYTES // 4)
        for n in range(6):
            peer.say(encode(rq.Write(sid_of(n), 1, 0, 0, data)))
        assert len(bench.service.seen) == 4
        assert not peer.transport.reading
        peer.connection.reply(responses.ok(sid_of(0)))
        await asyncio.sleep(0)
        assert len(bench.service.seen) == 5
        for n in range(1, 5):
            peer.connection.reply(responses.ok(sid_of(n)))
        await asyncio.sleep(0)
        assert len(bench.service.seen) == 6
        assert peer.transport.reading

    bench_run(test)


def test_writes_to_closed_handles_are_refused_unread(bench_run):
    async def test(bench):
        peer = bench.peer().log_in()
        peer.take()
        peer.connection.limit_writes({1})
        peer.say(encode(rq.Write(b"w1", 1, 0, 0, b"x")) + encode(rq.Write(b"w2", 2, 0, 0, b"x")))
        frames = {sid: (status, body) for sid, status, body in peer.take()}
        assert frames[b"w1"][0] == Status.OK
        assert error_code(frames[b"w2"][1]) == Xrd.FILE_NOT_OPEN

    bench_run(test)


def test_idle_and_stalled_connections_are_swept(bench_run):
    async def test(bench):
        now = asyncio.get_running_loop().time()
        idle, busy, stalled = (bench.peer().log_in() for _ in range(3))
        bench.service.answers[rq.Stat] = later
        busy.say(stat(1))
        stalled.transport.room = 3
        stalled.say(pings(2))
        for peer in (idle, busy, stalled):
            peer.connection.sweep(now)
        stalled.transport.kept -= 1
        for peer in (idle, busy, stalled):
            peer.connection.sweep(now + OUTPUT_STALL_SECONDS_MAX + 1)
        assert not any(peer.transport.closing for peer in (idle, busy, stalled))
        stalled.connection.sweep(now + 2 * OUTPUT_STALL_SECONDS_MAX + 3)
        assert stalled.transport.closing
        for peer in (idle, busy):
            peer.connection.sweep(now + SESSION_IDLE_SECONDS_MAX + 1)
        assert idle.transport.closing
        assert not busy.transport.closing

    bench_run(test)


# -- login -----------------------------------------------------------------------------------------
def test_nothing_passes_before_login(bench_run):
    async def test(bench):
        peer = bench.peer()
        peer.say(_greeting()[0] + _greeting()[1] + stat(1))
        assert peer.take()[-1][1] == Status.ERROR
        assert bench.service.seen == []
        assert bench.service.gone == []

    bench_run(test)


def test_authentication_in_rounds_then_requests_that_came_behind(bench_run):
    async def test(bench):
        bench.service.security = "&P=thk,00"
        rounds = []

        def auth(connection, request):
            rounds.append(request.credentials)
            if len(rounds) == 1:
                return responses.authmore(request.sid, b"again")
            return None

        bench.service.answers[rq.Auth] = auth
        peer = bench.peer().log_in()
        peer.say(stat(1))
        assert peer.take()[-1][1] == Status.ERROR
        peer.say(encode(rq.Auth(b"a1", b"thk", b"one")))
        assert peer.take() == [(b"a1", Status.AUTHMORE, b"again")]
        peer.say(encode(rq.Auth(b"a2", b"thk", b"two")) + stat(2))
        assert bench.service.seen == []
        peer.connection.identity = NOBODY
        peer.connection.reply(responses.ok(b"a2", b"proof"))
        await asyncio.sleep(0)
        assert [frame[:2] for frame in peer.take()] == [(b"a2", 0), (sid_of(2), 0)]
        assert rounds == [b"one", b"two"]

    bench_run(test)


def test_a_refused_login_may_be_repeated(bench_run):
    async def test(bench):
        peer = bench.peer()
        login = bench.service.login

        def refuse(connection, request):
            raise OperationError(errno.EACCES, "not you")

        bench.service.login = refuse
        peer.log_in()
        assert error_code(peer.take()[-1][2]) == Xrd.NOT_AUTHORIZED
        bench.service.login = login
        peer.say(encode(rq.Login(b"L1", "me", 7)) + stat(1))
        assert [frame[:2] for frame in peer.take()] == [(b"L1", 0), (sid_of(1), 0)]

    bench_run(test)


def test_a_silent_peer_is_dropped_at_the_login_deadline(bench_run, monkeypatch):
    timers = []

    async def test(bench):
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(
            loop, "call_later", lambda delay, call, *args: timers.append((delay, call)) or _Timer()
        )
        silent = bench.peer()
        logged_in = bench.peer().log_in()
        monkeypatch.undo()
        (delay, call), (_, other) = timers
        assert delay == LOGIN_SECONDS_MAX
        call()
        await asyncio.sleep(0)
        assert silent.transport.lost
        assert not logged_in.transport.closing
        assert other == logged_in.connection.abort

    bench_run(test)


class _Timer:
    def cancel(self) -> None:
        pass


def test_bytes_that_are_no_xrootd_close(bench_run):
    async def test(bench):
        peer = bench.peer()
        peer.say(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0)
        assert peer.transport.lost
        assert peer.transport.data == b""

    bench_run(test)


def test_an_oversized_frame_is_answered_and_closed_without_memory(bench_run):
    async def test(bench):
        peer = bench.peer().log_in()
        peer.take()
        peer.say(struct.pack(">2sH16si", b"xx", 3017, bytes(16), 0x7FFF_FFFF))
        await asyncio.sleep(0)
        ((sid, status, _),) = peer.take()
        assert (sid, status) == (b"xx", Status.ERROR)
        assert peer.transport.lost

    bench_run(test)


@pytest.mark.parametrize("seed", range(20))
def test_however_the_bytes_are_cut_the_answers_are_the_same(bench_run, seed):
    dice = random.Random(seed)
    requests = [*_greeting()]
    for n in range(60):
        requests.append(
            dice.choice(
                [
                    encode(rq.Ping(sid_of(n))),
                    stat(n),
                    encode(rq.Write(sid_of(n), 1, 0, 0, dice.randbytes(dice.randrange(20_000)))),
                    struct.pack(">2sH16si", sid_of(n), 3017, bytes(16), 3) + b"\xff\xff\0",
                    struct.pack(">2sH16si", sid_of(n), 2999, bytes(16), 0),
                ]
            )
        )
    stream = b"".join(requests)

    async def test(bench):
        whole, cut = bench.peer(), bench.peer()
        whole.say(stream)
        position = 0
        while position < len(stream):
            size = dice.choice([1, 2, 23, 24, 25, 4096, 30_000])
            cut.say(stream[position : position + size])
            position += size
        for peer in (whole, cut):
            await asyncio.sleep(0)
            assert peer.connection.unanswered_count == 0
        expected, got = whole.take(), cut.take()
        # The session answers what it refuses at once, so that the order depends on the cuts.
        assert sorted(frame[:2] for frame in got) == sorted(frame[:2] for frame in expected)
        assert len(got) == len(expected) == 63

    bench_run(test)
