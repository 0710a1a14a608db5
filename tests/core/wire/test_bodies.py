"""Bodies of answers: built and parsed back, and native 5.5.3's own bytes understood."""

import errno
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError, WireError
from thesan.core.wire import bodies as b
from thesan.core.wire import responses
from thesan.core.wire.numbers import StatFlag

u31 = st.integers(0, 2**31 - 1)
u63 = st.integers(0, 2**63 - 1)
words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)
file_names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\n/"), min_size=1, max_size=30
).filter(lambda name: name not in (".", ".."))
stats = st.builds(
    b.StatInfo, u63, u63, st.integers(0, 1023), u31, u31, u31, st.integers(0, 0o7777), words, words
)


@given(stats)
def test_stat(info: b.StatInfo) -> None:
    assert b.parse_stat(b.build_stat(info)) == info


@given(st.builds(b.VfsInfo, u31, u63, st.integers(0, 100), u31, u63, st.integers(0, 100)))
def test_vfs(info: b.VfsInfo) -> None:
    assert b.parse_vfs(b.build_vfs(info)) == info


@given(st.integers(0, 2**32 - 1), st.none() | stats)
def test_open(fh: int, info: b.StatInfo | None) -> None:
    body = b.build_open(fh, None if info is None else b.build_stat(info))
    assert b.parse_open(body) == (fh, info)
    assert len(body) == 4 or body[4:12] == bytes(8)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), u63, st.binary(max_size=40)), max_size=20))
def test_readv(items: list[tuple[int, int, bytes]]) -> None:
    body = b.build_readv(items)
    assert [(fh, at, bytes(data)) for fh, at, data in b.parse_readv(body)] == items
    for end in range(1, len(body)):
        try:
            assert b.parse_readv(body[:end]) != items
        except WireError:
            pass


@given(st.lists(file_names, max_size=20), st.integers(1, 7))
def test_dirlist_in_chunks(names: list[str], chunk: int) -> None:
    raw = [name.encode() for name in names]
    cuts = [raw[at : at + chunk] for at in range(0, len(raw), chunk)] or [[]]
    body = b"".join(b.build_dirlist(cut, last=cut is cuts[-1]) for cut in cuts)
    assert [entry.name for entry in b.parse_dirlist(body)] == names


@given(st.lists(st.tuples(file_names, stats), max_size=20), st.integers(1, 7), st.booleans())
def test_dirlist_with_stat_in_chunks(
    entries: list[tuple[str, b.StatInfo]], chunk: int, checksums: bool
) -> None:
    suffix = b.checksum_suffix("adler32", "0a0b0c0d") if checksums else b""
    raw = [(name.encode(), b.stat_text(info) + suffix) for name, info in entries]
    cuts = [raw[at : at + chunk] for at in range(0, len(raw), chunk)] or [[]]
    body = b"".join(
        b.build_dirlist_stat(cut, first=cut is cuts[0], last=cut is cuts[-1]) for cut in cuts
    )
    want = "adler32:0a0b0c0d" if checksums else ""
    assert b.parse_dirlist(body) == [b.DirEntry(name, info, want) for name, info in entries]


def test_dirlist_may_end_with_an_empty_chunk() -> None:
    """Who streams a directory does not know which chunk is the last until the next is empty."""
    stat = b.stat_text(b.StatInfo(1, 2, 3, 4))
    first = b.build_dirlist_stat([(b"a", stat)], last=False)
    body = first + b.build_dirlist_stat([], first=False)
    assert [entry.name for entry in b.parse_dirlist(body)] == ["a"]
    assert b.build_dirlist_stat([], first=False, last=False) == b""
    assert b.parse_dirlist(b.build_dirlist_stat([])) == []


def test_dirlist_of_native() -> None:
    times = b"1795438438 1795438438 1795438438"
    body = (
        b".\n0 0 0 0"
        b"\nf\n93 1000 48 " + times + b" 0644 daemon daemon [ adler32:6233f617 ]"
        b"\ne\n94 4096 51 " + times + b" 0755 daemon daemon [ adler32:none ]\0"
    )
    f, e = b.parse_dirlist(body)
    assert (f.name, f.checksum) == ("f", "adler32:6233f617")
    assert f.stat == b.StatInfo(
        93, 1000, 48, 1795438438, 1795438438, 1795438438, 0o644, "daemon", "daemon"
    )
    assert (e.name, e.checksum) == ("e", "adler32:none")
    assert e.stat is not None
    assert e.stat.flags & StatFlag.IS_DIR
    assert b.parse_dirlist(b"f\ne\0") == [b.DirEntry("f"), b.DirEntry("e")]


locations = st.builds(
    b.Location,
    st.from_regex(r"[a-z0-9.:\[\]]{3,20}", fullmatch=True),
    st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip


@given(st.lists(locations, max_size=5))
def test_locate(found: list[b.Location]) -> None:
    assert b.parse_locate(b.build_locate(found)) == found


def test_locate_of_native() -> None:
    assert b.parse_locate(b"Sw[::127.0.0.1]:23743\0") == [
        b.Location("[::127.0.0.1]:23743", writable=True)
    ]
    assert b.parse_locate(b"mrh:1\0") == [b.Location("h:1", manager=True, pending=True)]


@given(st.binary(min_size=16, max_size=16), st.sampled_from(["", "&P=unix", "&P=thk,v1&P=unix"]))
def test_login(session_id: bytes, security: str) -> None:
    assert b.parse_login(b.build_login(session_id, security)) == (session_id, security)


def test_security_protocols() -> None:
    text = "&P=thk,v:1&P=sss,0.+13:/etc/k&P=unix"
    assert b.security_protocols(text) == [("thk", "v:1"), ("sss", "0.+13:/etc/k"), ("unix", "")]
    assert b.security_protocols("") == []


def test_protocol() -> None:
    assert b.build_protocol(0x300001).hex() == "0000051100300001"
    assert b.parse_protocol(b.build_protocol(2, 0x520)) == b.ProtocolInfo(0x520, 2)
    longer = b.build_protocol(0x80000001) + b"S\0\0\0\0\0"
    assert b.parse_protocol(longer) == b.ProtocolInfo(0x511, 0x80000001)


def test_redirect_wait_error() -> None:
    assert b.parse_redirect(b"\0\0\4\x46host?cap.sym=a&cap.msg=b?c") == b.Redirect(
        "host", 1094, "cap.sym=a&cap.msg=b?c"
    )
    assert b.parse_redirect(b"\xff\xff\xff\xffroot://h:1//f\0") == b.Redirect("root://h:1//f", -1)
    assert b.parse_wait(b"\0\0\0\5soon\0") == (5, "soon")
    assert b.parse_wait(b"\xff\xff\xff\xff") == (0, "")
    assert b.parse_error(b"\0\0\x0b\xc3no such file\0") == (3011, "no such file")
    assert b.parse_error(b"\0\0\x0b\xc3\xff") == (3011, "\ufffd")


def test_texts() -> None:
    assert b.build_checksum("adler32", "8a28dd14") == b"adler32 8a28dd14\0"
    assert b.parse_checksum(b"adler32 8a28dd14\0") == ("adler32", "8a28dd14")
    config = b.build_config([("chksum", "adler32"), ("nonsense", None), ("tpc", "1")])
    assert config == b"adler32\nnonsense\n1\n"
    assert b.parse_config(config) == ["adler32", "nonsense", "1"]
    assert b.parse_config(b"") == []
    assert b.parse_config(b"1\n2\0") == ["1", "2"], "the last line may lack its newline"
    assert b.parse_statx(b.build_statx([2, 16, 48])) == [2, 16, 48]
    assert b.parse_bind(b.build_bind(3)) == 3
    assert b.parse_stat(b"5 10 48 1700000000\0") == b.StatInfo(5, 10, 48, 1700000000)


PARSERS = sorted(name for name, f in inspect.getmembers(b, inspect.isfunction)
                 if name.startswith("parse_"))  # fmt: skip


@pytest.mark.parametrize("name", PARSERS)
@given(
    body=st.binary(max_size=120) | st.text("0123456789 -\n\0SMwr.:[]", max_size=60).map(str.encode)
)
def test_random_bytes_raise_wire_errors_only(name: str, body: bytes) -> None:
    try:
        getattr(b, name)(body)
    except WireError:
        pass


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("parse_protocol", b"\0" * 7),
        ("parse_login", b"\0" * 15),
        ("parse_login", b"\0" * 16 + b"\xff"),
        ("parse_bind", b""),
        ("parse_bind", b"\0"),
        ("parse_error", b"\0"),
        ("parse_wait", b"\0"),
        ("parse_redirect", b"\0\0\4\x46"),
        ("parse_redirect", b"\0\1\0\0h"),
        ("parse_redirect", b"\0\0\4\x46?x"),
        ("parse_stat", b"1 2 3\0"),
        ("parse_stat", b"a 2 3 4\0"),
        ("parse_stat", b"1 2 3 4 5 6 9999 o g\0"),
        ("parse_vfs", b"1 2 3\0"),
        ("parse_open", b"\0\0"),
        ("parse_readv", b"\0" * 10),
        ("parse_readv", b"\0\0\0\1\xff\xff\xff\xff" + bytes(8)),
        ("parse_readv", bytes(16) * 1025),
        ("parse_dirlist", b".\n0 0 0 0\nname\0"),
        ("parse_dirlist", b".\n0 0 0 0\nname\nnot a stat\0"),
        ("parse_dirlist", b"\xff\0"),
        ("parse_dirlist", b"a\n..\0"),
        ("parse_dirlist", b"a/b\0"),
        ("parse_dirlist", b".\n0 0 0 0\n../../up\n1 2 3 4\0"),
        ("parse_dirlist", b".\n0 0 0 0\n\n1 2 3 4\0"),
        ("parse_locate", b"Qw1\0"),
        ("parse_locate", b"S\0"),
        ("parse_checksum", b"adler32\0"),
    ],
)
def test_refused(name: str, body: bytes) -> None:
    with pytest.raises(WireError):
        getattr(b, name)(body)


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_errno_survives_the_wire(number: int) -> None:
    frame = responses.error_of(b"\1\0", OperationError(number, "it can't be done"))
    assert b.errno_in(*b.parse_error(frame[8:])) == (number, "it can't be done")


def test_a_foreign_servers_code_stands_for_its_errno() -> None:
    assert b.errno_in(3011, "no such file (errc=x)") == (errno.ENOENT, "no such file (errc=x)")
    assert b.errno_in(3011, "gone (errc=000)") == (errno.ENOENT, "gone")
