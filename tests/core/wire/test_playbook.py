"""What real clients say, byte by byte, and what we say: tests that read as protocol traces.

`client` is the client's own hand: bytes as XrdCl 5.5.3 sends them, written without our encoders.
`server` is what the session answers by itself, `up` what the role gets, `down` what the role
answers and how that looks on the wire; `...` stands for bytes that a trace does not care about.
"""

from typing import Final

import google_crc32c

from thesan.core.wire import bodies, pages
from thesan.core.wire import requests as rq
from thesan.core.wire import responses as rs
from thesan.core.wire.bodies import StatInfo
from thesan.core.wire.fattr import FAttrResult, build_fattr
from thesan.core.wire.numbers import FAttrCode
from thesan.core.wire.server import FST_SETTINGS, MGM_SETTINGS, Event, ServerSession, ServerSettings

HELLO: Final = "00000000 00000000 00000000 00000004 000007dc"
XRDCP_PROTOCOL: Final = "0000 0bbe 00000511 0b 03 00000000000000000000 00000000"
XRDCP_LOGIN: Final = "0000 0bbf 00001234 726f6f7400000000 00 dd 85 00 00000009"  # root
SESSION: Final = bytes(range(16))
FILE: Final = StatInfo(42, 5, 48, 1700000000, 1700000001, 1700000002, 0o644, "ada", "users")
STAT_TEXT: Final = b"42 5 48 1700000000 1700000001 1700000002 0644 ada users\0"


def raw(*parts: str | bytes) -> bytes:
    """Hex text and bytes, joined."""
    return b"".join(bytes.fromhex(p) if isinstance(p, str) else p for p in parts)


class Play:
    """One connection of a trace."""

    def __init__(self, settings: ServerSettings) -> None:
        self.session = ServerSession(settings)
        self.waiting: list[rq.Request] = []

    def client(self, *parts: str | bytes) -> "Play":
        self.waiting += self.session.receive(raw(*parts))
        return self

    def server(self, *parts: str | bytes) -> "Play":
        """The session answers by itself."""
        assert self.session.take_output() == raw(*parts)
        return self

    def up(self, request: rq.Request) -> "Play":
        assert self.waiting.pop(0) == request
        return self

    def down(self, frame: bytes, *wire: str | bytes) -> "Play":
        """The role answers with `frame`."""
        wanted = raw(*[part for part in wire if part != "..."])
        assert frame.startswith(wanted) if wire[-1] == "..." else frame == wanted
        assert self.session.take_output() == b""
        return self

    def verdict(self, event: Event) -> "Play":
        self.waiting += self.session.conclude(event)
        return self

    def end(self) -> None:
        assert self.waiting == []
        assert self.session.take_output() == b""
        assert self.session.held_bytes == 0


def entrance(settings: ServerSettings, kind: str, flags: str) -> Play:
    """Handshake and kXR_protocol in one segment, then the login."""
    return (
        Play(settings)
        .client(HELLO, XRDCP_PROTOCOL)
        .server(
            "0000 0000 00000008 00000511", kind,
            "0000 0000 00000008 00000511", flags,
        )
        .client(XRDCP_LOGIN, b"xrd.cc=ch")
        .up(rq.Login(b"\0\0", "root", 0x1234, 0xDD, 0, 0x85, b"xrd.cc=ch"))
        .down(rs.ok(b"\0\0", bodies.build_login(SESSION)), "0000 0000 00000010", SESSION)
        .verdict(Event.ACCEPTED)
    )  # fmt: skip


def test_xrdcp_put_at_the_manager() -> None:
    sid = b"\1\0"
    (
        entrance(MGM_SETTINGS, "00000000", "00000002")
        .client("0100 0bc9", bytes(16), "00000005", b"//d/f")
        .up(rq.Stat(sid, "//d/f"))
        .down(rs.error(sid, 3011, "none"), "0100 0fa3 00000009 00000bc3", b"none\0")
        # open: mode 0644, new | update | async | retstat
        .client("0100 0bc2 01a4 0468 0000 000000000000 00000000 00000011", b"//d/f?oss.asize=5")
        .up(rq.Open(sid, "//d/f", "oss.asize=5", 0o644, 0x468))
        .down(
            rs.redirect(sid, "fst1", 1095, "cap.sym=s&cap.msg=m"),
            "0100 0fa4 0000001c 00000447", b"fst1?cap.sym=s&cap.msg=m",
        )
        .end()
    )  # fmt: skip


def test_xrdcp_put_at_the_data_server() -> None:
    sid, data = b"\1\0", b"hello"
    crc = google_crc32c.value(data).to_bytes(4, "big")
    status = raw("0100 1a 00 00000000 00000000 0000000000000000")
    (
        entrance(FST_SETTINGS, "00000001", "00300001")
        .client("0100 0bc2 01a4 0468 0000 000000000000 00000000 00000010", b"//d/f?cap.msg=me")
        .up(rq.Open(sid, "//d/f", "cap.msg=me", 0o644, 0x468))
        .down(
            rs.ok(sid, bodies.build_open(7, bodies.build_stat(FILE))),
            "0100 0000 00000044 00000007 00000000 00000000", STAT_TEXT,
        )
        # pgwrite of 5 bytes: dlen counts the checksum
        .client("0100 0bd2 00000007 0000000000000000 00 00 0000 00000009", crc, data)
        .up(rq.PgWrite(sid, 7, 0, 0, 0, crc + data))
        .down(
            pages.pgwrite_answer(sid, 0, 5, []),
            "0100 0fa7 00000018", google_crc32c.value(status).to_bytes(4, "big"), status,
        )
        .client("0100 0bbb 00000007", bytes(12), "00000000")
        .up(rq.Close(sid, 7))
        .down(rs.waitresp(sid, 10), "0100 0fa6 00000004 0000000a")
        .down(
            rs.async_response(sid, 0),
            "0000 0fa1 00000010 00001390 00000000 0100 0000 00000000",
        )
        .end()
    )  # fmt: skip


def test_xrdcp_get_with_two_page_reads_in_flight() -> None:
    one, two = b"\1\0", b"\2\0"
    data = bytes(5000)
    (
        entrance(FST_SETTINGS, "00000001", "00300001")
        .client("0100 0bc2 0000 0450 0000 000000000000 00000000 00000005", b"//d/f")
        .up(rq.Open(one, "//d/f", "", 0, 0x450))
        .down(
            rs.ok(one, bodies.build_open(1, bodies.build_stat(FILE))), "0100 0000 00000044", "..."
        )
        .client(
            "0100 0bd6 00000001 0000000000000000 00800000 00000002 0000",
            "0200 0bd6 00000001 0000000000800000 00001388 00000002 0000",
        )
        .up(rq.PgRead(one, 1, 0, 8 << 20))
        .up(rq.PgRead(two, 1, 8 << 20, 5000))
        # answers in any order; two pages: 4096 and 904 bytes, each behind its checksum
        .down(bytes(pages.pgread_answer(two, 8 << 20, data)), "0200 0fa7 00000018", "...")
        .client("0100 0bbb 00000001", bytes(12), "00000000")
        .up(rq.Close(one, 1))
        .down(rs.ok(one), "0100 0000 00000000")
        .end()
    )


def test_xrdcp_get_on_four_streams() -> None:
    """The second connection says that it means to bind, and takes no requests."""
    sid = b"\0\0"
    (
        Play(FST_SETTINGS)
        .client(HELLO, "0000 0bbe 00000511 0b 01 00000000000000000000 00000000")
        .server(
            "0000 0000 00000008 00000511 00000001 0000 0000 00000008 00000511 00300001",
        )
        .client("0000 0bd0", SESSION, "00000000")
        .up(rq.Bind(sid, SESSION))
        .down(rs.ok(sid, bodies.build_bind(1)), "0000 0000 00000001 01")
        .verdict(Event.ACCEPTED)
        .end()
    )


def test_a_reconnect_ends_the_old_session_first() -> None:
    (
        Play(FST_SETTINGS)
        .client(HELLO, XRDCP_PROTOCOL, "0100 0bcf", SESSION, "00000000")
        .server(
            "0000 0000 00000008 00000511 00000001 0000 0000 00000008 00000511 00300001",
        )
        .up(rq.EndSession(b"\1\0", SESSION))
        .down(rs.ok(b"\1\0"), "0100 0000 00000000")
        .end()
    )


def test_a_server_without_a_master_says_wait() -> None:
    sid = b"\1\0"
    stat = raw("0100 0bc9", bytes(16), "00000003", b"/d/")
    (
        entrance(MGM_SETTINGS, "00000000", "00000002")
        .client(stat)
        .up(rq.Stat(sid, "/d/"))
        .down(rs.wait(sid, 2, "no master"), "0100 0fa5 0000000d 00000002", b"no master")
        .client(stat)
        .up(rq.Stat(sid, "/d/"))
        .down(rs.ok(sid, bodies.build_stat(FILE)), "0100 0000 00000038", STAT_TEXT)
        .end()
    )


def test_xrdfs_ls_long() -> None:
    sid = b"\1\0"
    entry = STAT_TEXT[:-1]
    (
        entrance(MGM_SETTINGS, "00000000", "00000002")
        .client("0100 0bd3 0501", bytes(14), "00000003", b"*/d")
        .up(rq.Locate(sid, "*/d", "", 0x501))
        .down(
            rs.ok(sid, bodies.build_locate([bodies.Location("mgm:1094", writable=True)])),
            "0100 0000 0000000b", b"Swmgm:1094\0",
        )
        .client("0100 0bbc", bytes(15), "02 00000002", b"/d")
        .up(rq.DirList(sid, "/d", "", 2))
        .down(
            rs.oksofar(sid, bodies.build_dirlist_stat([(b"a", entry)], last=False)),
            "0100 0fa0 00000044", b".\n0 0 0 0\na\n", entry, b"\n",
        )
        .down(
            rs.ok(sid, bodies.build_dirlist_stat([(b"b", entry)], first=False)),
            "0100 0000 0000003a", b"b\n", entry, b"\0",
        )
        .end()
    )  # fmt: skip


def test_uproot_reads() -> None:
    sid = b"\1\0"
    (
        entrance(FST_SETTINGS, "00000001", "00300001")
        .client("0100 0bb9 0007", bytes(14), "0000001c", b"readv_iov_max readv_ior_max\0")
        .up(rq.Query(sid, 7, 0, b"readv_iov_max readv_ior_max"))
        .down(
            rs.ok(sid, bodies.build_config([("a", "1024"), ("b", "2097136")])),
            "0100 0000 0000000d", b"1024\n2097136\n",
        )
        .client("0100 0bc5 00000001 0000000000000000 00000003 00000008 00 00000000000000")
        .up(rq.Read(sid, 1, 0, 3))
        .down(rs.ok(sid, b"abc"), "0100 0000 00000003", b"abc")
        .client(
            "0100 0bd1", bytes(15), "00 00000020",
            "00000001 00000002 0000000000000000 00000001 00000001 0000000000000004",
        )
        .up(rq.ReadV(sid, [(1, 2, 0), (1, 1, 4)]))
        .down(
            rs.ok(sid, bodies.build_readv([(1, 0, b"ab"), (1, 4, b"e")])),
            "0100 0000 00000023",
            "00000001 00000002 0000000000000000", b"ab",
            "00000001 00000001 0000000000000004", b"e",
        )
        .end()
    )  # fmt: skip


def test_vector_write_and_attributes() -> None:
    sid = b"\1\0"
    (
        entrance(FST_SETTINGS, "00000001", "00300001")
        # writev: dlen counts the list only
        .client(
            "0100 0bd7 01", bytes(15), "00000020",
            "00000001 00000002 0000000000000000 00000001 00000001 0000000000000004", b"abe",
        )
        .up(rq.WriteV(sid, 1, [(1, 2, 0), (1, 1, 4)], b"abe"))
        .down(rs.ok(sid), "0100 0000 00000000")
        .client("0100 0bcc 00000000 01 01 00", bytes(9), "0000000c", b"/f\0", "0000", b"user.a\0")
        .up(rq.FAttr(sid, FAttrCode.GET, "/f", names=["user.a"]))
        .down(
            rs.ok(sid, build_fattr([FAttrResult("user.a", 0, b"1")], values=True)),
            "0100 0000 00000010", "0001 0000", b"user.a\0", "00000001", b"1",
        )
        .end()
    )  # fmt: skip


def test_native_commands_that_nobody_serves() -> None:
    sid = b"\1\0"
    play = entrance(FST_SETTINGS, "00000001", "00300001")
    for requestid in ("0bbd", "0bd5", "0bd8"):  # gpfile, sigver, clone
        play.client("0100", requestid, bytes(16), "00000000")
        play.up(rq.Unsupported(sid, int(requestid, 16)))
        play.down(rs.error(sid, 3013, "no"), "0100 0fa3 00000007 00000bc5", b"no\0")
    play.client("0100 1267", bytes(16), "00000000")
    play.server("0100 0fa3 0000001e 00000bbe", b"invalid request code 4711\0")
    play.end()
