"""Good inputs to start from: frames and bodies as our own encoders write them."""

from thesan.core.authority import capability as cap
from thesan.core.authority.keytab import Key, Keytab, format_keytab
from thesan.core.control import messages as m
from thesan.core.control import replica
from thesan.core.journal import entry
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace import ops
from thesan.core.wire import bodies, fattr, pages
from thesan.core.wire import requests as rq
from thesan.core.wire import responses as rs
from thesan.core.wire.numbers import FST_FLAGS, HANDSHAKE, NO_SID, Status
from thesan.core.wire.request_codec import HEAD, encode

SID = b"\1\0"
SESSION_ID = b"0123456789abcdef"
SECRET = bytes(range(32))
NODE = "fst1:1095"
NOW_S = 1_800_000_000
PATH = "/eos/d/f"

REQUESTS: list[rq.Request] = [
    rq.Protocol(SID, 0x520, 11, 3),
    rq.Ping(SID),
    rq.EndSession(SID, SESSION_ID),
    rq.Open(SID, "//d/f", "oss.asize=10&tried=h1,h2", 0o644, 0x468),
    rq.Close(SID, 1),
    rq.Read(SID, 1, 4096, 100),
    rq.Read(SID, 1, 0, 100, 2),
    rq.ReadV(SID, [(1, 10, 0), (1, 20, 4096)]),
    rq.PgRead(SID, 1, 100, 5000, 0, 0),
    rq.Write(SID, 1, 0, 0, b"some data"),
    rq.Write(SID, 1, 0, 0, bytes(3000)),
    rq.PgWrite(SID, 1, 5000, 0, 0, bytes(pages.interleave(bytes(5000), 5000))),
    rq.WriteV(SID, 1, [(1, 3, 0), (2, 4, 100)], b"abcdefg"),
    rq.Sync(SID, 1),
    rq.Truncate(SID, "/d/f", "", 0, 77),
    rq.Truncate(SID, "", "", 1, 77),
    rq.Stat(SID, "/d/f"),
    rq.Stat(SID, "", "", 0, 1),
    rq.StatX(SID, ["/a", "/b/c"]),
    rq.DirList(SID, "/d", "", 6),
    rq.Locate(SID, "*/d", "", 0x501),
    rq.Mkdir(SID, "/d/e", "", 0o755, 1),
    rq.Rm(SID, "/d/f"),
    rq.Rmdir(SID, "/d/e"),
    rq.Mv(SID, "/d/f", "/d/g h"),
    rq.Chmod(SID, "/d/f", "", 0o600),
    rq.Query(SID, 7, 0, b"chksum tpc"),
    rq.Query(SID, 3, 0, b"/d/f?cks.type=adler32"),
    rq.Set(SID, 0, b"appid x"),
    rq.FAttr(SID, 3, "/d/f", "", 0, 0, ["user.a", "user.b"], [b"1", b"xyz"]),
    rq.FAttr(SID, 1, "/d/f", "", 0, 0, ["user.a"]),
    rq.FAttr(SID, 2, "/d/f", "", 0, 16),
    rq.Prepare(SID, 8, 1, 0, 0, ["/a", "/b?x=y"]),
    rq.Unsupported(SID, 3012),
    rq.Unsupported(SID, 4711),
]
FRAMES = [encode(request) for request in REQUESTS]
FRAMES.append(HEAD.pack(SID, 3012, bytes(15) + b"\4", 24) + bytes(24))

LONG_FRAMES = [
    encode(rq.Write(SID, 1, 0, 0, bytes(100_000))),
    encode(rq.PgWrite(SID, 2, 100, 0, 0, bytes(pages.interleave(bytes(90_000), 100)))),
    encode(rq.WriteV(SID, 0, [(1, 70_000, 0), (2, 10_000, 100)], bytes(80_000))),
    encode(rq.Query(SID, 16, 0, bytes(90_000))),
    encode(rq.Ping(SID)),
]

LOGIN = encode(rq.Login(NO_SID, "me", 77, 0xDD, 0, 0x85, b"xrd.cc=ch"))
ENTRANCE = [
    HANDSHAKE + encode(rq.Protocol(NO_SID)) + LOGIN + FRAMES[1] + FRAMES[16],
    HANDSHAKE + LOGIN + encode(rq.Auth(NO_SID, b"thk", b"thk\0hello")) + FRAMES[16],
    HANDSHAKE + encode(rq.Auth(NO_SID, b"unix", b"unix\0me users\0")),
    HANDSHAKE + encode(rq.EndSession(SID, SESSION_ID)) + LOGIN,
    HANDSHAKE + encode(rq.Bind(SID, SESSION_ID)) + FRAMES[1],
    HANDSHAKE + FRAMES[11] + FRAMES[12],
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
]

STAT = bodies.StatInfo(42, 10, 48, 1700000000, 1700000001, 1700000002, 0o644, "ada", "users")
STAT_TEXT = bodies.stat_text(STAT)
FATTRS = [fattr.FAttrResult("user.a", 0, b"1"), fattr.FAttrResult("user.b", 3027)]
BODIES = {
    "parse_protocol": [bodies.build_protocol(FST_FLAGS), bodies.build_protocol(1) + b"S\0\0\0\0\0"],
    "parse_login": [bodies.build_login(SESSION_ID), bodies.build_login(SESSION_ID, "&P=thk,a")],
    "parse_bind": [bodies.build_bind(1)],
    "parse_error": [rs.error(SID, 3011, "no such file")[8:]],
    "parse_wait": [rs.wait(SID, 5, "busy")[8:]],
    "parse_redirect": [
        rs.redirect(SID, "h", 1095, "cap=x.y&a=b")[8:],
        b"\xff\xff\xff\xffroot://h//f",
    ],
    "parse_stat": [bodies.build_stat(STAT), b"1 2 3 4\0"],
    "parse_vfs": [bodies.build_vfs(bodies.VfsInfo(1, 2000, 30))],
    "parse_open": [bodies.build_open(1), bodies.build_open(1, bodies.build_stat(STAT))],
    "parse_readv": [bodies.build_readv([(1, 0, b"abc"), (1, 9, b""), (2, 4096, bytes(100))])],
    "parse_dirlist": [
        bodies.build_dirlist([b"a", b"b c", b"d"]),
        bodies.build_dirlist_stat([(b"a", STAT_TEXT), (b"b", STAT_TEXT)]),
        bodies.build_dirlist_stat([(b"a", STAT_TEXT + bodies.checksum_suffix("adler32", "1"))]),
    ],
    "parse_locate": [
        bodies.build_locate([bodies.Location("[::1]:1094", True), bodies.Location("h:1")])
    ],
    "parse_checksum": [bodies.build_checksum("adler32", "8a28dd14")],
    "parse_config": [bodies.build_config([("a", "1"), ("b", None)])],
    "parse_statx": [bodies.build_statx([0, 2, 48])],
}
FATTR_ANSWERS = [fattr.build_fattr(FATTRS), fattr.build_fattr(FATTRS, values=True)]
FATTR_LISTS = [
    fattr.build_fattr_list([("a", b"1"), ("b", b"")], values=True),
    fattr.build_fattr_list([("a", b""), ("b", b"")]),
]
PAGES = [bytes(pages.interleave(bytes(5000), offset)) for offset in (0, 100, 4095)]

AWAITED: list[rq.Request] = [
    rq.Read(NO_SID, 1, 0, 200_000),
    rq.PgRead(NO_SID, 1, 100, 200_000),
    rq.PgWrite(NO_SID, 1, 0, 0, 0, b""),
    rq.ReadV(NO_SID, [(1, 10, 0), (1, 20, 4096)]),
    rq.Stat(NO_SID, "/d/f"),
    rq.DirList(NO_SID, "/d"),
    rq.Query(NO_SID, 16, 0, b"x"),
    rq.Open(NO_SID, "/d/f"),
]
"""What the client under test waits for: stream ids 2, 3, ... (the login had 1)."""
_SIDS = [number.to_bytes(2, "big") for number in range(2, 2 + len(AWAITED))]
_READ, _PGREAD, _PGWRITE, _READV, _STAT, _DIRLIST, _QUERY, _OPEN = _SIDS
ANSWERS = [
    rs.ok(_READ, bytes(300)),
    rs.oksofar(_READ, bytes(100)) + rs.oksofar(_READ, b"abc") + rs.ok(_READ),
    bytes(pages.pgread_answer(_PGREAD, 100, bytes(6000))),
    bytes(pages.pgread_answer(_PGREAD, 100, bytes(3996), final=False))
    + bytes(pages.pgread_answer(_PGREAD, 4096, bytes(4096))),
    rs.pgwrite_ok(_PGWRITE, 0),
    rs.pgwrite_bad(_PGWRITE, 0, [0, 4096], 4096, 4096),
    rs.ok(_READV, BODIES["parse_readv"][0]),
    rs.ok(_STAT, bodies.build_stat(STAT)),
    rs.error(_STAT, 3011, "no"),
    rs.oksofar(_DIRLIST, b"a\nb\n") + rs.ok(_DIRLIST, b"c\0"),
    rs.waitresp(_QUERY, 10) + rs.async_response(_QUERY, Status.OK, b"late"),
    rs.waitresp(_OPEN, 10) + rs.as_async(rs.redirect(_OPEN, "h", 1095, "cap=x")),
    rs.redirect(_OPEN, "h", 1095, "cap=x"),
    rs.wait(_OPEN, 2, "busy"),
    rs.HEAD.pack(NO_SID, Status.ATTN, 8) + b"\0\0\x13\x8anote",
    rs.authmore(_STAT, b"challenge"),
]

LONG_ANSWERS = [
    rs.ok(_READ, bytes(100_000)),
    rs.oksofar(_READ, bytes(80_000)) + rs.ok(_READ, bytes(70_000)),
    bytes(pages.pgread_answer(_PGREAD, 100, bytes(90_000))),
    rs.ok(_DIRLIST, b"name\n" * 20_000),
    rs.ok(_STAT, bodies.build_stat(STAT)),
]

COMMIT = m.Commit(NODE, b"grant", [m.ReplicaCommit(1, 10, 2, 3)], 1_700_000_000_000_000_000)
CONTROL_REQUESTS = [
    m.encode_request(m.Beat(NODE, "boot", m.NodeReport(), [m.FsReport(1, "u", "/d", "booted")])),
    m.encode_request(COMMIT),
    m.encode_request(m.Inquire(NODE, 1, [1, 2, 3])),
    m.encode_request(m.FsRegister(NODE, "u", "/d", "default")),
    m.encode_request(m.Admin("fs", "ls", {"a": [1, {"b": None}]}, "op")),
    m.encode_request(m.FileOp("symlink", "/a", {"target": "/b"}, "op")),
]
CONTROL_REPLIES = [
    m.encode_reply(m.BeatReply(True, 3, "mgm:1094", ["mgm:1094"], 5, True, [], [(1, 2)])),
    m.encode_reply(m.CommitReply(7, 3)),
    m.encode_reply(m.InquireReply([True, False], 3)),
    m.encode_reply(m.AdminReply([{"host": "h", "port": 1}], "done")),
    m.encode_reply(m.FileOpReply({"target": "/b"}, 9)),
]
ORDERS = [
    replica.encode_order(replica.Seal(1)),
    replica.encode_order(replica.Settle(True)),
]
OUTCOMES = [replica.encode_outcome(replica.Sealed(1, 2, 3)), replica.encode_outcome(replica.Done())]

OPS = [
    ops.encode_op(ops.MakeDirectory(1, "d", 2, 0o755, 0, 0, 1)),
    ops.encode_op(ops.CreateFile(2, "f", 3, 0o644, 0, 0, 1, 0x100112)),
    ops.encode_op(ops.Symlink(2, "l", 4, "/d/f", 0, 0, 1)),
    ops.encode_op(ops.Unlink(2, "f", 1)),
]
ENTRIES = [
    entry.encode(Epoch(1), Seq(1), 0, OPS),
    entry.encode(Epoch(2), Seq(9), 77, [bytes(2000)], bytes(range(16))),
    entry.encode(Epoch(2), Seq(9), 77, [b""]),
]
POSITIONS = [entry.Position(Seq(3), Epoch(2), 77).encode()]

CAPABILITY = cap.Capability(
    op=cap.Op.CREATE, fid=3, node=NODE, fsid=1, path_hash=cap.hash_path(PATH), layout=0x100112,
    uid=1, gid=1, epoch=1, issued_s=NOW_S, expires_s=NOW_S + 60, nonce=bytes(12),
    replicas=(cap.Replica(2, "fst2:1095", "token"),), grant=b"sealed",
)  # fmt: skip
CAPABILITIES = [cap.Signer(SECRET).sign(CAPABILITY).encode()]
GRANT = cap.Grant(
    kind=cap.GrantKind.CREATE, fid=3, parent=2, name="f", path=PATH, mode=0o644, uid=1, gid=1,
    layout=0x100112, fsids=(1, 2), space="default", exclusive=True, replaced=0, epoch=1,
    issued_s=NOW_S, xattrs=(("user.a", b"1"),),
)  # fmt: skip
GRANTS = [cap.GrantKeys([SECRET]).seal(GRANT)]
KEYTABS = [format_keytab(Keytab((Key(2, SECRET, NOW_S), Key(1, SECRET, NOW_S - 9, NOW_S))))]
ACLS = [b"u:alice:rwx,g:99:rx!d,egroup:x:rwo+d,z:r", b"k:1:rx"]
VID_RULES = [b'unix:"<pwd>":uid=0', b"2:uids=1,2", b'tident:"unix@h*":gid=4', b"geotag:10.0=a::b"]
