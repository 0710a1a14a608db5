"""The server's side: who may say what when, bounds before memory, bodies by window."""

import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import WireError, Xrd
from thesan.core.model.limits import (
    AUTH_ROUNDS_MAX,
    BODY_BYTES_FIRST,
    HANDSHAKE_BODY_BYTES_MAX,
    REQUEST_BODY_BYTES_MAX,
    SKIP_BYTES_MAX,
    WINDOW_BYTES_MIN,
    WRITE_BODY_BYTES_MAX,
)
from thesan.core.wire import requests as rq
from thesan.core.wire import responses as rs
from thesan.core.wire.bodies import parse_error
from thesan.core.wire.numbers import HANDSHAKE, NO_SID, RequestId, Status
from thesan.core.wire.request_codec import HEAD, encode
from thesan.core.wire.server import (
    ADMITTED,
    FST_SETTINGS,
    MGM_SETTINGS,
    TRANSITIONS,
    Event,
    ServerSession,
    State,
)

SID = b"\1\0"
Make = Callable[..., ServerSession]


def errors_in(output: bytes) -> list[tuple[bytes, int, str]]:
    """(sid, code, text) of answers that must all be errors."""
    found = []
    while output:
        sid, status, length = rs.HEAD.unpack_from(output)
        assert status == Status.ERROR
        found.append((sid, *parse_error(output[8 : 8 + length])))
        output = output[8 + length :]
    return found


def greeted() -> ServerSession:
    session = ServerSession(FST_SETTINGS)
    assert session.receive(HANDSHAKE) == []
    session.take_output()
    return session


# -- who may say what when -----------------------------------------------------------------------
def test_table_is_closed() -> None:
    """Every state is reached, and every verdict state has all its ways out."""
    reached = {State.START} | set(TRANSITIONS.values())
    assert reached == set(State) == set(ADMITTED)
    verdicts = {Event.ACCEPTED, Event.REFUSED}
    for waiting in (State.LOGGING_IN, State.AUTHENTICATING, State.BINDING):
        ways = {event for state, event in TRANSITIONS if state is waiting}
        assert ways >= verdicts
        assert not ADMITTED[waiting]


def test_handshake_and_protocol_in_one_segment() -> None:
    session = ServerSession(MGM_SETTINGS)
    request = rq.Protocol(NO_SID, 0x520, 9, 3)
    assert session.receive(HANDSHAKE + encode(request)) == []
    assert session.take_output().hex() == (
        "0000 0000 00000008 00000511 00000000"  # kXR_LBalServer
        "0000 0000 00000008 00000511 00000002"  # isManager only
    ).replace(" ", "")
    assert session.take_output() == b""
    assert (session.client_version, session.client_flags) == (0x520, 9)
    assert session.state is State.GREETED


def test_a_data_server_says_so() -> None:
    session = ServerSession(FST_SETTINGS)
    session.receive(HANDSHAKE + encode(rq.Protocol(NO_SID)))
    output = session.take_output().hex()
    assert output.endswith("0000051100300001")
    assert output[16:32] == "0000051100000001"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", bytes(19) + b"\1"])
def test_what_is_no_handshake_ends_the_connection_at_once(data: bytes) -> None:
    session = ServerSession(FST_SETTINGS)
    with pytest.raises(WireError, match="not an XRootD client") as caught:
        session.receive(data)
    assert caught.value.fatal
    assert session.take_output() == b""


def test_before_login_only_the_entrance_is_open() -> None:
    early = [
        rq.Stat(SID, "/f"), rq.Open(SID, "/f"), rq.Read(SID, 1, 0, 10), rq.Query(SID, 7),
        rq.Auth(SID, b"unix"), rq.Write(SID, 1, 0, 0, b"data"), rq.Unsupported(SID, 3005),
        rq.Unsupported(SID, 9999),
    ]  # fmt: skip
    for request in early:
        session = greeted()
        assert session.receive(encode(request)) == []
        assert [code for _, code, _ in errors_in(session.take_output())] == [Xrd.INVALID_REQUEST]
        assert session.receive(encode(rq.Ping(SID))) == [rq.Ping(SID)], "the stream is usable"
    session = greeted()
    old = rq.EndSession(SID, b"x" * 16)
    assert session.receive(encode(old)) == [old], "first request after a reconnect"
    session.receive(encode(rq.Protocol(SID)))
    assert session.take_output() == rs.ok(SID, b"\0\0\5\x11\0\x30\0\1")


@pytest.mark.parametrize("requestid", [RequestId.WRITEV, RequestId.CHKPOINT])
def test_before_login_uncounted_data_end_the_connection(requestid: int) -> None:
    session = greeted()
    with pytest.raises(WireError) as caught:
        session.receive(HEAD.pack(SID, requestid, bytes(16), 0))
    assert caught.value.fatal
    assert errors_in(session.take_output())


def test_nothing_behind_a_login_is_parsed_before_the_verdict() -> None:
    session = greeted()
    login, stat = rq.Login(SID, "me"), rq.Stat(b"\2\0", "/f")
    assert session.receive(encode(login) + encode(stat)) == [login]
    assert session.receive(encode(stat)) == []
    assert session.state is State.LOGGING_IN
    assert session.conclude(Event.ACCEPTED) == [stat, stat]
    assert session.state is State.READY


def test_a_refused_login_leaves_the_door_shut() -> None:
    session = greeted()
    login, stat = rq.Login(SID, "me"), rq.Stat(b"\2\0", "/f")
    assert session.receive(encode(login) + encode(stat) + encode(login)) == [login]
    assert session.conclude(Event.REFUSED) == [login]
    assert [code for _, code, _ in errors_in(session.take_output())] == [Xrd.INVALID_REQUEST]


def test_authentication_in_rounds() -> None:
    session = greeted()
    login, auth = rq.Login(SID, "me"), rq.Auth(SID, b"thk", b"hello")
    assert session.receive(encode(login)) == [login]
    assert session.conclude(Event.MORE) == []
    assert session.state is State.UNPROVEN
    assert session.receive(encode(rq.Stat(SID, "/f")) + encode(login)) == []
    assert len(errors_in(session.take_output())) == 2, "neither stat nor another login"
    for verdict, state in (
        (Event.MORE, State.UNPROVEN),
        (Event.REFUSED, State.UNPROVEN),
        (Event.ACCEPTED, State.READY),
    ):
        assert session.receive(encode(auth)) == [auth]
        session.conclude(verdict)
        assert session.state is state


def test_tries_are_bounded() -> None:
    session = greeted()
    for _ in range(AUTH_ROUNDS_MAX):
        session.receive(encode(rq.Login(SID, "me")))
        session.conclude(Event.REFUSED)
    with pytest.raises(WireError, match="too many tries") as caught:
        session.receive(encode(rq.Login(SID, "me")))
    assert caught.value.fatal


def test_bind_makes_a_substream_that_takes_no_requests() -> None:
    session = greeted()
    bind = rq.Bind(SID, b"0123456789abcdef")
    assert session.receive(encode(bind)) == [bind]
    assert session.conclude(Event.ACCEPTED) == []
    assert session.state is State.BOUND
    ping = rq.Ping(SID)
    assert session.receive(encode(rq.Stat(SID, "/f")) + encode(ping)) == [ping]
    assert "substream" in errors_in(session.take_output())[0][2]


def test_after_login_no_second_one(server: Make) -> None:
    for request in (rq.Login(SID, "me"), rq.Auth(SID, b"unix"), rq.Bind(SID, bytes(16))):
        session = server()
        assert session.receive(encode(request)) == []
        assert len(errors_in(session.take_output())) == 1


def test_a_verdict_without_a_question_is_our_mistake(server: Make) -> None:
    with pytest.raises(KeyError):
        server().conclude(Event.ACCEPTED)


# -- requests ------------------------------------------------------------------------------------
def test_a_whole_block_at_once(server: Make) -> None:
    wanted = [
        rq.Ping(SID), rq.Stat(b"\2\0", "/a"), rq.Write(b"\3\0", 1, 0, 0, b"abc"),
        rq.WriteV(b"\4\0", 0, [(1, 2, 0), (2, 1, 9)], b"xyz"), rq.Close(b"\5\0", 1),
        rq.PgWrite(b"\6\0", 1, 0, 0, 0, b"12345"), rq.Unsupported(b"\7\0", RequestId.GPFILE),
    ]  # fmt: skip
    assert server().receive(b"".join(map(encode, wanted))) == wanted


def test_unknown_and_malformed_requests_leave_the_stream_usable(server: Make) -> None:
    session = server()
    stream = (
        HEAD.pack(b"\1\0", 4711, bytes(16), 3) + b"abc"
        + HEAD.pack(b"\2\0", RequestId.STAT, bytes(16), 2) + b"\xff\xff"
        + HEAD.pack(b"\3\0", RequestId.MV, bytes(16), 1) + b"x"
        + encode(rq.Ping(b"\4\0"))
    )  # fmt: skip
    assert session.receive(stream) == [rq.Ping(b"\4\0")]
    assert [(sid, code) for sid, code, _ in errors_in(session.take_output())] == [
        (b"\1\0", Xrd.INVALID_REQUEST),
        (b"\2\0", Xrd.ARG_INVALID),
        (b"\3\0", Xrd.ARG_INVALID),
    ]


@pytest.mark.parametrize("requestid", [*RequestId, 0, 65535])
def test_a_negative_length_ends_the_connection(server: Make, requestid: int) -> None:
    session = server()
    with pytest.raises(WireError, match=r"length|list") as caught:
        session.receive(HEAD.pack(SID, requestid, bytes(16), -1))
    assert caught.value.fatal
    assert session.held_bytes == 0
    assert errors_in(session.take_output())


def test_a_body_that_is_too_long_is_skipped(server: Make) -> None:
    session = server()
    head = HEAD.pack(SID, RequestId.STAT, bytes(16), REQUEST_BODY_BYTES_MAX + 1)
    assert session.receive(head) == []
    assert errors_in(session.take_output())[0][1] == Xrd.ARG_TOO_LONG
    assert session.held_bytes == 0
    rest = REQUEST_BODY_BYTES_MAX + 1
    while rest:
        part = bytes(min(rest, 50_000))
        rest -= len(part)
        assert session.receive(part + (encode(rq.Ping(SID)) if not rest else b"")) == (
            [] if rest else [rq.Ping(SID)]
        )
        assert session.held_bytes == 0


def test_a_body_far_too_long_ends_the_connection(server: Make) -> None:
    session = server()
    with pytest.raises(WireError) as caught:
        session.receive(HEAD.pack(SID, RequestId.STAT, bytes(16), SKIP_BYTES_MAX + 1))
    assert caught.value.fatal
    assert errors_in(session.take_output())[0][1] == Xrd.ARG_TOO_LONG


def test_a_stranger_may_not_send_long_bodies() -> None:
    session = greeted()
    with pytest.raises(WireError):
        session.receive(HEAD.pack(SID, RequestId.LOGIN, bytes(16), HANDSHAKE_BODY_BYTES_MAX + 1))


# -- data ----------------------------------------------------------------------------------------
def write_params(fh: int, offset: int, path_id: int = 0) -> bytes:
    return struct.pack(">IqBB2x", fh, offset, path_id, 0)


def test_a_long_write_is_received_into_its_own_buffer(server: Make) -> None:
    session = server()
    data = bytes(range(256)) * 2048
    frame = encode(rq.Write(SID, 7, 4096, 0, data))
    start = 10_000
    assert session.receive(frame[:start]) == []
    sent = start
    while True:
        window = session.window()
        assert window is not None
        part = frame[sent : sent + min(len(window), 65_536)]
        window[: len(part)] = part
        sent += len(part)
        got = session.filled(len(part))
        if got:
            break
    assert got == [rq.Write(SID, 7, 4096, 0, data)]
    assert isinstance(got[0], rq.Write)
    assert isinstance(got[0].data, bytearray)
    assert session.window() is None
    assert session.held_bytes == 0
    assert session.receive(encode(rq.Ping(SID))) == [rq.Ping(SID)]


def test_a_very_long_write_grows_with_what_has_come(server: Make) -> None:
    session = server()
    total = 3 * BODY_BYTES_FIRST + 5
    head = HEAD.pack(SID, RequestId.WRITE, write_params(7, 0), total)
    assert session.receive(head + b"a") == []
    sent, got, marks = 1, [], []
    while not got:
        window = session.window()
        assert window is not None
        assert session.held_bytes <= max(BODY_BYTES_FIRST, 2 * sent)
        window[-1:] = b"z"
        marks.append(sent + len(window))
        got = session.filled(len(window))  # with the window still held, as event loops do
        sent = marks[-1]
        if len(marks) == 1:
            assert session.receive(bytes(1000)) == [], "through the scratch buffer as well"
            sent += 1000
    (request,) = got
    assert isinstance(request, rq.Write)
    assert marks == [BODY_BYTES_FIRST, 2 * BODY_BYTES_FIRST, total]
    assert len(request.data) == total
    assert [request.data[mark - 1] for mark in marks] == [ord("z")] * 3
    assert request.data[0] == ord("a")


def test_a_short_rest_is_not_worth_a_window(server: Make) -> None:
    session = server()
    frame = encode(rq.Write(SID, 7, 0, 0, bytes(WINDOW_BYTES_MIN)))
    assert session.receive(frame[:30]) == []
    assert session.window() is None
    assert len(session.receive(frame[30:])) == 1


def test_vector_write_data_have_a_window(server: Make) -> None:
    session = server()
    request = rq.WriteV(SID, 1, [(1, 3, 0), (1, 4, 50)], b"abcdefg")
    frame = encode(request)
    assert session.receive(frame[:-6]) == []
    window = session.window()
    assert window is not None
    assert len(window) == 6
    window[:] = b"bcdefg"
    assert session.filled(6) == [request]


def test_vector_write_longer_than_allowed_is_skipped_whole(server: Make) -> None:
    session = server(MGM_SETTINGS)
    items = [(1, 1024 * 1024, 0), (1, 1024, 0)]
    frame = encode(rq.WriteV(SID, 0, items, bytes(1024 * 1025)))
    assert session.receive(frame + encode(rq.Ping(SID))) == [rq.Ping(SID)]
    assert errors_in(session.take_output())[0][1] == Xrd.ARG_TOO_LONG


@pytest.mark.parametrize(
    ("items", "why"),
    [
        (b"", "missing"),
        (bytes(15), "whole items"),
        (struct.pack(">Iiq", 1, -1, 0), "negative"),
        (struct.pack(">Iiq", 1, WRITE_BODY_BYTES_MAX + 1, 0), "too long"),
        (bytes(16 * 1025), "too many"),
    ],
)
def test_a_vector_write_that_cannot_be_counted_ends_the_connection(
    server: Make, items: bytes, why: str
) -> None:
    session = server()
    with pytest.raises(WireError, match=why) as caught:
        session.receive(HEAD.pack(SID, RequestId.WRITEV, bytes(16), len(items)) + items)
    assert caught.value.fatal
    assert len(errors_in(session.take_output())) == 1


@pytest.mark.parametrize("requestid", [RequestId.WRITE, RequestId.PGWRITE])
def test_write_bounds_hold_before_memory_is_taken(server: Make, requestid: int) -> None:
    session = server()
    session.writable = {7: "a file"}
    long = HEAD.pack(SID, requestid, write_params(7, 0), WRITE_BODY_BYTES_MAX + 1)
    assert session.receive(long) == []
    assert errors_in(session.take_output())[0][1] == Xrd.ARG_TOO_LONG
    assert session.held_bytes == 0

    session = server()
    session.writable = {7: "a file"}
    closed = HEAD.pack(SID, requestid, write_params(8, 0), WRITE_BODY_BYTES_MAX)
    assert session.receive(closed) == []
    assert errors_in(session.take_output())[0][1] == Xrd.FILE_NOT_OPEN
    assert session.held_bytes == 0

    session = server()
    session.writable = {7: "a file"}
    good = HEAD.pack(SID, requestid, write_params(7, 0), WRITE_BODY_BYTES_MAX)
    assert session.receive(good) == []
    assert session.held_bytes == BODY_BYTES_FIRST < WRITE_BODY_BYTES_MAX


def test_vector_write_to_a_closed_handle_is_skipped(server: Make) -> None:
    session = server()
    session.writable = {1: "a file"}
    frame = encode(rq.WriteV(SID, 0, [(1, 2, 0), (2, 2, 0)], b"abcd"))
    assert session.receive(frame + encode(rq.Ping(SID))) == [rq.Ping(SID)]
    assert errors_in(session.take_output())[0][1] == Xrd.FILE_NOT_OPEN


def test_a_bad_write_is_refused_when_its_data_are_there(server: Make) -> None:
    session = server()
    data = bytes(2 * WINDOW_BYTES_MIN)
    frame = HEAD.pack(SID, RequestId.WRITE, write_params(7, -1), len(data)) + data
    assert session.receive(frame[:100]) == []
    assert session.receive(frame[100:]) == []
    assert errors_in(session.take_output())[0][1] == Xrd.ARG_INVALID
    assert session.receive(encode(rq.Ping(SID))) == [rq.Ping(SID)]


def test_data_on_a_substream_end_the_connection(server: Make) -> None:
    session = server()
    with pytest.raises(WireError, match="substream") as caught:
        session.receive(HEAD.pack(SID, RequestId.WRITE, write_params(7, 0, 1), 10))
    assert caught.value.fatal
    assert errors_in(session.take_output())[0][1] == Xrd.UNSUPPORTED


# -- however it is cut ---------------------------------------------------------------------------
MIXED = [
    rq.Open(b"\1\0", "/d/f", "oss.asize=10", 0o644, 0x468), rq.Write(b"\2\0", 1, 0, 0, b"a" * 300),
    rq.WriteV(b"\3\0", 0, [(1, 5, 0), (1, 0, 5), (1, 3, 5)], b"b" * 8), rq.Ping(b"\4\0"),
    rq.ReadV(b"\5\0", [(1, 10, 0), (1, 20, 100)]), rq.Query(b"\6\0", 16, 0, b"thesan1\n\x80"),
    rq.FAttr(b"\7\0", 3, "/d/f", names=["user.a"], values=[b"1"]), rq.Close(b"\x08\0", 1),
]  # fmt: skip
STREAM = b"".join(map(encode, MIXED))


def logged_in() -> ServerSession:
    session = greeted()
    session.receive(encode(rq.Login(SID, "me")))
    session.conclude(Event.ACCEPTED)
    return session


@given(st.lists(st.integers(1, 200), max_size=40))
def test_however_the_stream_is_cut_the_requests_are_the_same(cuts: list[int]) -> None:
    session, rest, got = logged_in(), STREAM, []
    while rest:
        size = cuts.pop() if cuts else len(rest)
        got += session.receive(memoryview(bytearray(rest[:size])))
        rest = rest[size:]
    assert got == MIXED
    assert session.take_output() == b""
    assert session.held_bytes == 0


def test_a_truncated_request_is_never_taken_for_a_whole_one() -> None:
    for request in MIXED:
        frame = encode(request)
        for end in range(len(frame)):
            session = logged_in()
            assert session.receive(frame[:end]) == []
            assert session.take_output() == b""
            assert session.receive(frame[end:]) == [request]


@given(st.binary(max_size=400))
def test_random_bytes_end_in_answers_or_a_close(data: bytes) -> None:
    session = logged_in()
    with suppress(WireError):
        session.receive(data)
    session.take_output()
    assert session.held_bytes <= BODY_BYTES_FIRST
