"""The client's side: answers put together, checked, bounded; nonsense ends the connection."""

import errno
from collections.abc import Callable
from contextlib import suppress

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError, WireError
from thesan.core.model.limits import (
    ANSWER_BYTES_MAX,
    LISTING_BYTES_MAX,
    PAGE_BYTES,
    PGWRITE_ERRORS_MAX,
    SESSION_REQUESTS_MAX,
)
from thesan.core.wire import pages
from thesan.core.wire import requests as rq
from thesan.core.wire import responses as rs
from thesan.core.wire.bodies import ProtocolInfo, build_login, build_protocol
from thesan.core.wire.client import SUBMITTABLE, TRANSITIONS, ClientSession, Event, State
from thesan.core.wire.numbers import FST_FLAGS, HANDSHAKE, MGM_FLAGS, NO_SID, Status
from thesan.core.wire.request_codec import encode

SESSION_ID = b"0123456789abcdef"
GREETING = rs.ok(NO_SID, b"\0\0\5\x11\0\0\0\1")
PROTOCOL = rs.ok(NO_SID, build_protocol(FST_FLAGS))
Make = Callable[[], ClientSession]


def asked(session: ClientSession, request: rq.Request) -> bytes:
    return session.submit(request)[0]


def nonsense(session: ClientSession, data: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why) as caught:
        session.receive(data)
    assert caught.value.fatal


# -- entrance ------------------------------------------------------------------------------------
def test_table_is_closed() -> None:
    assert {State.START} | set(TRANSITIONS.values()) == set(State) == set(SUBMITTABLE)
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_hello_and_login_leave_together() -> None:
    session = ClientSession()
    assert session.hello() == HANDSHAKE + encode(rq.Protocol(NO_SID, 0x511, 0, 3))
    sid, frame = session.submit(rq.Login(NO_SID, "me"))
    assert frame == encode(rq.Login(NO_SID, "me"), sid)
    (response,) = session.receive(GREETING + PROTOCOL + rs.ok(sid, build_login(SESSION_ID)))
    assert (response.sid, response.status, response.body) == (sid, Status.OK, SESSION_ID)
    assert session.state is State.READY
    assert session.server_type == 1
    assert session.server == ProtocolInfo(0x511, FST_FLAGS)
    assert session.session_id == SESSION_ID


def test_authentication_rounds() -> None:
    session = ClientSession()
    session.hello()
    sid = asked(session, rq.Login(NO_SID, "me"))
    session.receive(
        GREETING
        + rs.ok(NO_SID, build_protocol(MGM_FLAGS))
        + rs.ok(sid, build_login(SESSION_ID, "&P=thk"))
    )
    assert (session.state, session.security) == (State.UNPROVEN, "&P=thk")
    sid = asked(session, rq.Auth(NO_SID, b"thk", b"hello"))
    (more,) = session.receive(rs.authmore(sid, b"challenge"))
    assert (more.status, more.body) == (Status.AUTHMORE, b"challenge")
    assert session.state is State.UNPROVEN
    sid = asked(session, rq.Auth(NO_SID, b"thk", b"proof"))
    session.receive(rs.error(sid, 3030, "wrong"))
    assert session.state is State.UNPROVEN
    sid = asked(session, rq.Auth(NO_SID, b"thk", b"better proof"))
    (done,) = session.receive(rs.ok(sid, b"server proof"))
    assert done.body == b"server proof"
    assert session.state is State.READY


def test_a_substream_gets_answers_to_requests_of_the_main_stream(client: Make) -> None:
    main, sub = client(), ClientSession()
    sub.hello()
    sid = asked(sub, rq.Bind(NO_SID, main.session_id))
    sub.receive(GREETING + PROTOCOL + rs.ok(sid, b"\1"))
    assert sub.state is State.BOUND
    sub.attach(main)
    sid = asked(main, rq.Read(NO_SID, 1, 0, 3, 1))
    (response,) = sub.receive(rs.ok(sid, b"abc"))
    assert response.body == b"abc"
    assert main.awaited_count == 0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400 Bad Request", "answer of|no request"),
        (rs.ok(NO_SID, b"abc"), "not an XRootD server"),
        (rs.error(NO_SID, 3000, "go away"), "go away"),
        (rs.wait(NO_SID, 5), "status 4005"),
        (GREETING + rs.ok(NO_SID, b"abc"), "too short"),
        (GREETING + PROTOCOL + PROTOCOL, "no request"),
    ],
)
def test_a_server_that_is_none(data: bytes, why: str) -> None:
    session = ClientSession()
    session.hello()
    nonsense(session, data, why)


def test_a_login_answer_without_session_id() -> None:
    session = ClientSession()
    session.hello()
    sid = asked(session, rq.Login(NO_SID, "me"))
    nonsense(session, GREETING + PROTOCOL + rs.ok(sid, b"short"), "session id")


def test_a_login_answered_before_the_hello_is() -> None:
    session = ClientSession()
    session.hello()
    sid = asked(session, rq.Login(NO_SID, "me"))
    nonsense(session, rs.ok(sid, SESSION_ID), "logged-in while greeting")


def test_our_own_order_is_checked(client: Make) -> None:
    session = ClientSession()
    with pytest.raises(AssertionError):
        session.submit(rq.Login(NO_SID, "me"))
    session.hello()
    with pytest.raises(AssertionError):
        session.submit(rq.Stat(NO_SID, "/f"))
    with pytest.raises(AssertionError):
        client().submit(rq.Login(NO_SID, "me"))
    with pytest.raises(AssertionError):
        client().submit(rq.Unsupported(NO_SID, 3005))
    with pytest.raises(AssertionError):
        client().attach(client())


# -- answers -------------------------------------------------------------------------------------
def test_answers_in_any_order(client: Make) -> None:
    session = client()
    sids = [asked(session, rq.Stat(NO_SID, f"/{n}")) for n in range(3)]
    assert len(set(sids)) == 3
    assert NO_SID not in sids
    stream = b"".join(rs.ok(sid, sid) for sid in reversed(sids))
    assert [r.body for r in session.receive(stream)] == list(reversed(sids))
    assert session.awaited_count == 0


def test_errors_redirects_and_waits_go_up_as_they_came(client: Make) -> None:
    session = client()
    for make in (
        lambda sid: rs.error(sid, 3011, "no"),
        lambda sid: rs.redirect(sid, "h", 1094, "cap=x"),
        lambda sid: rs.wait(sid, 3, "busy"),
    ):
        sid = asked(session, rq.Open(NO_SID, "/f"))
        frame = make(sid)
        (response,) = session.receive(frame)
        assert (response.sid, response.body) == (sid, frame[8:])
        assert response.status == int.from_bytes(frame[2:4], "big")
        assert session.awaited_count == 0


def test_parts_are_put_together(client: Make) -> None:
    session = client()
    sid = asked(session, rq.Read(NO_SID, 1, 0, 10))
    assert session.receive(rs.oksofar(sid, b"abc") + rs.oksofar(sid, b"def")) == []
    (response,) = session.receive(rs.ok(sid))
    assert bytes(response.body) == b"abcdef"


def test_a_long_answer_is_received_into_its_own_buffer(client: Make) -> None:
    session = client()
    data = bytes(range(256)) * 4096
    sid = asked(session, rq.Read(NO_SID, 1, 0, len(data)))
    frame = rs.ok(sid, data)
    assert session.receive(frame[:100]) == []
    window = session.window()
    assert window is not None
    assert len(window) == len(frame) - 100
    window[:] = frame[100:]
    (response,) = session.filled(len(frame) - 100)
    assert response.body == data
    assert isinstance(response.body, bytearray)


def test_parts_through_a_window_that_is_still_held(client: Make) -> None:
    """An event loop may let go of its receive buffer late: parts are put together all the same."""
    session = client()
    data = bytes(range(256)) * 1024
    sid = asked(session, rq.Read(NO_SID, 1, 0, 2 * len(data)))
    assert session.receive(rs.oksofar(sid, data)[:10]) == []
    window = session.window()
    assert window is not None
    window[:] = data[2:]
    assert session.filled(len(window)) == []
    (response,) = session.receive(rs.ok(sid, data))
    assert response.body == data + data
    assert window == data[2:]


def test_a_deferred_answer(client: Make) -> None:
    session = client()
    sid = asked(session, rq.Query(NO_SID, 3, 0, b"/f"))
    (later,) = session.receive(rs.waitresp(sid, 10))
    assert (later.sid, later.status) == (sid, Status.WAITRESP)
    assert session.awaited_count == 1
    message = rs.HEAD.pack(NO_SID, Status.ATTN, 8) + b"\0\0\x13\x8a" + b"note"
    assert session.receive(message) == [], "kXR_asyncms is ignored"
    (done,) = session.receive(rs.async_response(sid, Status.OK, b"adler32 1\0"))
    assert (done.sid, done.status, done.body) == (sid, Status.OK, b"adler32 1\0")
    assert session.awaited_count == 0
    sid = asked(session, rq.Query(NO_SID, 3, 0, b"/f"))
    session.receive(rs.waitresp(sid, 10))
    (failed,) = session.receive(rs.as_async(rs.error(sid, 3005, "x")))
    assert failed.status == Status.ERROR


def test_a_forgotten_request_is_dropped_when_answered(client: Make) -> None:
    session = client()
    gone, kept = (asked(session, rq.Read(NO_SID, 1, 0, 9)) for _ in range(2))
    session.receive(rs.oksofar(gone, b"abc"))
    session.forget(gone)
    session.forget(b"\xff\xff")
    assert asked(session, rq.Ping(NO_SID)) != gone, "its number is not used again"
    stream = rs.oksofar(gone, b"def") + rs.waitresp(gone, 1) + rs.ok(gone) + rs.ok(kept, b"x")
    assert [r.sid for r in session.receive(stream)] == [kept]
    session.forget(asked(session, rq.Ping(NO_SID)))
    assert session.receive(rs.error(session_sid(session), 3000, "late")) == []


def session_sid(session: ClientSession) -> bytes:
    return max(session._awaited)


def test_numbers_wrap_around_and_skip_those_under_way(client: Make) -> None:
    session = client()
    slow = asked(session, rq.Ping(NO_SID))
    seen = set()
    for _ in range(0xFFFF + 3):
        sid = asked(session, rq.Ping(NO_SID))
        assert sid not in (slow, NO_SID)
        seen.add(sid)
        session.receive(rs.ok(sid))
    assert len(seen) == 0xFFFF - 1


def test_requests_under_way_are_bounded(client: Make) -> None:
    session = client()
    for _ in range(SESSION_REQUESTS_MAX):
        session.submit(rq.Ping(NO_SID))
    with pytest.raises(AssertionError, match="too many"):
        session.submit(rq.Ping(NO_SID))


@pytest.mark.parametrize(
    ("request_", "number"),
    [
        (rq.Stat(NO_SID, "/caf\udce9"), errno.EILSEQ),
        (rq.Read(NO_SID, 1, 1 << 63, 1), errno.EINVAL),
    ],
)
def test_what_cannot_be_said_is_not_awaited(
    client: Make, request_: rq.Request, number: int
) -> None:
    session = client()
    with pytest.raises(OperationError) as caught:
        session.submit(request_)
    assert caught.value.errno == number
    with pytest.raises(OperationError):
        session.submit_head(rq.Write(NO_SID, 1, 1 << 63, 0, b"data"))
    assert session.awaited_count == 0


def test_data_may_be_sent_apart(client: Make) -> None:
    request = rq.Write(NO_SID, 1, 0, 0, b"data")
    sid, head = client().submit_head(request)
    assert head + b"data" == encode(request, sid)


# -- pages ---------------------------------------------------------------------------------------
@given(st.integers(0, 9000), st.integers(0, 20_000), st.lists(st.integers(1, 9000), max_size=9))
def test_pages_in_parts(offset: int, length: int, cuts: list[int]) -> None:
    data = bytes(n % 253 for n in range(length))
    session = logged_in()
    sid = asked(session, rq.PgRead(NO_SID, 1, offset, length + 10))
    stream, position = b"", 0
    for cut in cuts:
        part = data[position : position + cut]
        stream += bytes(pages.pgread_answer(sid, offset + position, part, final=False))
        position += len(part)
    stream += bytes(pages.pgread_answer(sid, offset + position, data[position:]))
    got = []
    for start in range(0, len(stream), 777):
        got += session.receive(stream[start : start + 777])
    (response,) = got
    assert bytes(response.body) == data
    assert response.bad_offsets == []


def test_a_damaged_page_is_named(client: Make) -> None:
    session = client()
    sid = asked(session, rq.PgRead(NO_SID, 1, 0, 3 * PAGE_BYTES))
    frame = pages.pgread_answer(sid, 0, bytes(3 * PAGE_BYTES))
    frame[32 + 4100 + 20] ^= 1
    (response,) = session.receive(frame)
    assert response.bad_offsets == [PAGE_BYTES]
    assert len(response.body) == 3 * PAGE_BYTES


def test_pages_that_arrived_damaged(client: Make) -> None:
    session = client()
    sid = asked(session, rq.PgWrite(NO_SID, 1, 0, 0, 0, b""))
    (good,) = session.receive(rs.pgwrite_ok(sid, 0))
    assert (good.status, good.bad_offsets) == (Status.OK, [])
    sid = asked(session, rq.PgWrite(NO_SID, 1, 0, 0, 0, b""))
    (bad,) = session.receive(rs.pgwrite_bad(sid, 0, [4096, 8192], 4096, 5))
    assert bad.bad_offsets == [4096, 8192]


def test_page_nonsense(client: Make) -> None:
    def page_request() -> tuple[ClientSession, bytes]:
        session = client()
        return session, asked(session, rq.PgRead(NO_SID, 1, 0, 100))

    session, sid = page_request()
    frame = pages.pgread_answer(sid, 0, bytes(100))
    frame[9] ^= 1
    nonsense(session, frame, "checksum of a status")

    session, sid = page_request()
    nonsense(session, pages.pgread_answer(sid, 0, bytes(101)), "too much data")
    session, sid = page_request()
    nonsense(session, pages.pgread_answer(sid, 1, bytes(10)), "out of order")
    session, sid = page_request()
    nonsense(session, rs.ok(sid, bytes(10)), "without checksums")
    session, sid = page_request()
    nonsense(session, rs.pgwrite_ok(sid, 0), "another request")
    session, sid = page_request()
    nonsense(session, rs.HEAD.pack(sid, Status.STATUS, 16) + bytes(16), "unknown length")
    session, sid = page_request()
    nonsense(session, pages.pgread_answer(b"\xee\xee", 0, b""), "no request")
    session, sid = page_request()
    frame = pages.pgread_answer(sid, 0, b"")
    frame[15] = 2
    frame[8:12] = google_crc32c.value(bytes(frame[12:32])).to_bytes(4, "big")
    nonsense(session, frame, "unknown status type")


@pytest.mark.parametrize("change", [lambda f: f[:-1], lambda f: f[:-9] + b"x" + f[-8:]])
def test_a_damaged_list_of_bad_pages(client: Make, change: Callable[[bytes], bytes]) -> None:
    session = client()
    sid = asked(session, rq.PgWrite(NO_SID, 1, 0, 0, 0, b""))
    good = rs.pgwrite_bad(sid, 0, [4096, 8192], 4096, 5)
    tail = change(good[32:])
    body = bytearray(good[:32])
    body[20:24] = len(tail).to_bytes(4, "big")
    body[8:12] = google_crc32c.value(bytes(body[12:])).to_bytes(4, "big")
    nonsense(session, bytes(body) + tail, "list of bad pages")


def test_too_many_bad_pages(client: Make) -> None:
    session = client()
    sid = asked(session, rq.PgWrite(NO_SID, 1, 0, 0, 0, b""))
    bad = [PAGE_BYTES * n for n in range(PGWRITE_ERRORS_MAX + 1)]
    nonsense(session, rs.pgwrite_bad(sid, 0, bad, 4096, 4096), "too much data")


# -- bounds --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (rq.Read(NO_SID, 1, 0, 100), 100),
        (rq.ReadV(NO_SID, [(1, 10, 0), (1, 20, 0)]), 62),
        (rq.Stat(NO_SID, "/f"), ANSWER_BYTES_MAX),
        (rq.DirList(NO_SID, "/"), LISTING_BYTES_MAX),
        (rq.Query(NO_SID, 16, 0, b"x"), LISTING_BYTES_MAX),
    ],
)
def test_an_answer_longer_than_was_asked_for(
    client: Make, request_: rq.Request, allowed: int
) -> None:
    session = client()
    sid = asked(session, request_)
    nonsense(session, rs.HEAD.pack(sid, Status.OK, allowed + 1), "too long")
    assert session.held_bytes == 0
    session = client()
    sid = asked(session, request_)
    nonsense(session, rs.HEAD.pack(sid, Status.ERROR, ANSWER_BYTES_MAX + 1), "too long")
    session = client()
    sid = asked(session, request_)
    nonsense(session, rs.HEAD.pack(sid, Status.OK, -1), "answer of -1")


def test_parts_longer_than_was_asked_for_together(client: Make) -> None:
    session = client()
    sid = asked(session, rq.Read(NO_SID, 1, 0, 10))
    session.receive(rs.oksofar(sid, b"123456"))
    nonsense(session, rs.ok(sid, b"12345"), "too long")


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (rs.ok(b"\x77\x77"), "no request"),
        (rs.error(b"\x77\x77", 3000, ""), "no request"),
        (rs.HEAD.pack(NO_SID, Status.ATTN, 2) + b"\0\0", "without an action"),
        (rs.HEAD.pack(NO_SID, Status.ATTN, 4) + b"\0\0\x13\x90", "cut short"),
        (rs.async_response(b"\x77\x77", 0), "no request"),
        (rs.HEAD.pack(NO_SID, Status.ATTN, ANSWER_BYTES_MAX + 17), "too long"),
    ],
)
def test_nonsense(client: Make, frame: bytes, why: str) -> None:
    nonsense(client(), frame, why)


def test_asynchronous_nonsense(client: Make) -> None:
    session = client()
    sid = asked(session, rq.Ping(NO_SID))
    nonsense(session, rs.async_response(sid, 0), "does not wait")
    for inner in (Status.ATTN, Status.STATUS):
        session = client()
        sid = asked(session, rq.Ping(NO_SID))
        session.receive(rs.waitresp(sid, 1))
        nonsense(session, rs.async_response(sid, inner), "can't be")
    session = client()
    sid = asked(session, rq.Read(NO_SID, 1, 0, 10))
    session.receive(rs.waitresp(sid, 1))
    nonsense(session, rs.async_response(sid, 0, bytes(11)), "too long")
    session = client()
    sid = asked(session, rq.Ping(NO_SID))
    nonsense(session, rs.HEAD.pack(sid, 4711, 0), "unknown status")


def logged_in() -> ClientSession:
    session = ClientSession()
    session.hello()
    sid = asked(session, rq.Login(NO_SID, "me"))
    session.receive(GREETING + PROTOCOL + rs.ok(sid, build_login(SESSION_ID)))
    return session


@given(st.binary(max_size=400))
def test_random_bytes_end_in_a_close(data: bytes) -> None:
    session = logged_in()
    for request in (rq.Read(NO_SID, 1, 0, 100), rq.PgRead(NO_SID, 1, 0, 100), rq.Ping(NO_SID)):
        session.submit(request)
    with suppress(WireError):
        session.receive(data)
    assert session.held_bytes <= ANSWER_BYTES_MAX + 16


def test_a_truncated_answer_is_never_taken_for_a_whole_one() -> None:
    for make in (
        lambda sid: rs.ok(sid, b"abc"),
        lambda sid: rs.error(sid, 3011, "no"),
        lambda sid: bytes(pages.pgread_answer(sid, 0, b"abc")),
    ):
        for end in range(40):
            session = logged_in()
            paged = len(make(NO_SID)) > 32
            request = rq.PgRead(NO_SID, 1, 0, 9) if paged else rq.Read(NO_SID, 1, 0, 9)
            frame = make(asked(session, request))
            if end >= len(frame):
                break
            assert session.receive(frame[:end]) == []
            assert len(session.receive(frame[end:])) == 1
