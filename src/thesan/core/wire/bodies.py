"""Bodies of answers: a builder for the server and a parser for the client, side by side.

Parsers raise WireError and nothing else, and read no more than LISTING_ENTRIES_MAX entries.
Layouts: XProtocol.hh ServerResponseBody_*, texts as native 5.5.3 sends them.
"""

import re
from collections.abc import Iterable
from struct import Struct
from typing import Final

import msgspec

from thesan.core.model.errors import OperationError, WireError, errno_of
from thesan.core.model.limits import LISTING_ENTRIES_MAX, NAME_BYTES_MAX, READV_ITEMS_MAX
from thesan.core.model.paths import check_name
from thesan.core.wire.numbers import PROTOCOL_VERSION, SESSION_ID_BYTES

_I32: Final = Struct(">i")
_PROTOCOL: Final = Struct(">iI")
_OPEN: Final = Struct(">Ii4s")
_HANDLE: Final = Struct(">I")
_ITEM: Final = Struct(">Iiq")
"""readahead_list: fh, length, offset."""

DIRLIST_LEAD: Final = b".\n0 0 0 0\n"
"""First entry of a listing with stat: without it clients read names only."""


class StatInfo(msgspec.Struct, gc=False):
    """A stat text. `flags` are StatFlag; times in whole seconds; `id` is never 0.

    Only the first four fields are sure to come from a foreign server.
    """

    id: int
    size: int
    flags: int
    mtime: int
    ctime: int = 0
    atime: int = 0
    mode: int = 0
    owner: str = ""
    group: str = ""


class VfsInfo(msgspec.Struct, gc=False):
    """Answer to stat with StatOption.VFS: nodes, free MiB and use in % for disk and staging."""

    rw_nodes: int
    rw_free_mib: int
    rw_use: int
    staging_nodes: int = 0
    staging_free_mib: int = 0
    staging_use: int = 0


class DirEntry(msgspec.Struct, gc=False):
    """One entry of a parsed listing. `checksum` is `kind:value` or empty."""

    name: str
    stat: StatInfo | None = None
    checksum: str = ""


class Location(msgspec.Struct, gc=False):
    """One entry of kXR_locate: `address` is host:port with an IPv6 host in brackets."""

    address: str
    manager: bool = False
    writable: bool = False
    pending: bool = False


class ProtocolInfo(msgspec.Struct, gc=False):
    """Answer to kXR_protocol. `flags` are ProtocolFlag; security and bind blocks stay unread."""

    version: int
    flags: int


class Redirect(msgspec.Struct, gc=False):
    """kXR_redirect. When `port` is negative `host` is a full URL."""

    host: str
    port: int
    cgi: str = ""


def _fail(text: str) -> WireError:
    return WireError(text)


def _text(body: bytes | bytearray) -> str:
    try:
        return body.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise _fail("text of the answer is not UTF-8") from None


# -- session -------------------------------------------------------------------------------------
def build_protocol(flags: int, version: int = PROTOCOL_VERSION) -> bytes:
    """Version and flags. No 'S' block: thesan requires no signing; no 'B' block: clients bind to
    the address they know. Every client accepts the 8 bytes alone, whatever it asked for."""
    return _PROTOCOL.pack(version, flags)


def parse_protocol(body: bytes | bytearray) -> ProtocolInfo:
    """Read version and flags; security and bind blocks of other servers are skipped."""
    if len(body) < _PROTOCOL.size:
        raise _fail("protocol answer is too short")
    return ProtocolInfo(*_PROTOCOL.unpack_from(body))


def build_login(session_id: bytes, security: str = "") -> bytes:
    """`security` is `&P=proto,parms&P=...` when authentication is wanted, else empty."""
    return session_id + security.encode()


def parse_login(body: bytes | bytearray) -> tuple[bytes, str]:
    """(session id, security text)."""
    if len(body) < SESSION_ID_BYTES:
        raise _fail("login answer has no session id")
    return bytes(body[:SESSION_ID_BYTES]), _text(body[SESSION_ID_BYTES:])


def security_protocols(security: str) -> list[tuple[str, str]]:
    """(protocol, parameters) of a `&P=proto,parms&P=...` text, in the server's order."""
    protocols = []
    for part in security.split("&"):
        if part.startswith("P="):
            name, _, parameters = part[2:].partition(",")
            protocols.append((name, parameters))
    return protocols


def build_bind(path_id: int) -> bytes:
    """One byte: number of the substream, from 1."""
    return bytes((path_id,))


def parse_bind(body: bytes | bytearray) -> int:
    """Number of the substream."""
    if len(body) != 1 or body[0] == 0:
        raise _fail("bind answer is not a substream number")
    return body[0]


def parse_error(body: bytes | bytearray) -> tuple[int, str]:
    """(Xrd code, text) of kXR_error."""
    if len(body) < 4:
        raise _fail("error answer is too short")
    text = bytes(body[4:]).rstrip(b"\0").decode(errors="replace")
    return _I32.unpack_from(body)[0], text


_ERRNO_AT_END: Final = re.compile(r" \(errc=(\d{1,3})\)\Z")


def errno_in(code: int, text: str) -> tuple[int, str]:
    """(errno, text without it) of an error answer: what a thesan server added to the text
    (`responses.tell_errno`), else what the XRootD code stands for."""
    found = _ERRNO_AT_END.search(text)
    if found is None:
        return errno_of(code), text
    return int(found[1]) or errno_of(code), text[: found.start()]


def parse_wait(body: bytes | bytearray) -> tuple[int, str]:
    """(seconds, text) of kXR_wait or kXR_waitresp; seconds are not negative."""
    if len(body) < 4:
        raise _fail("wait answer is too short")
    text = bytes(body[4:]).rstrip(b"\0").decode(errors="replace")
    return max(0, _I32.unpack_from(body)[0]), text


def parse_redirect(body: bytes | bytearray) -> Redirect:
    """Read kXR_redirect: i32 port, `host[?cgi[?token]]`."""
    if len(body) < 5:
        raise _fail("redirect answer is too short")
    port = _I32.unpack_from(body)[0]
    host, _, cgi = _text(body[4:]).partition("?")
    if not host or port > 65535:
        raise _fail("redirect without host or with a port that can't be")
    return Redirect(host, port, cgi)


# -- stat ----------------------------------------------------------------------------------------
def build_stat(info: StatInfo) -> bytes:
    """The nine-field text with its NUL. 2 us: keep the result beside what it was made from."""
    return stat_text(info) + b"\0"


def stat_text(info: StatInfo) -> bytes:
    """The nine-field text as listings hold it, without NUL."""
    owner = info.owner or "-"
    group = info.group or "-"
    return (
        f"{info.id} {info.size} {info.flags} {info.mtime} {info.ctime} {info.atime} "
        f"{info.mode:04o} {owner} {group}"
    ).encode()


def parse_stat(body: bytes | bytearray) -> StatInfo:
    """Read the text of kXR_stat: four fields or nine."""
    return _stat_of(_text(body))


def _stat_of(text: str) -> StatInfo:
    fields = text.split(" ")
    try:
        info = StatInfo(int(fields[0]), int(fields[1]), int(fields[2]), int(fields[3]))
        if len(fields) >= 9:
            info.ctime, info.atime = int(fields[4]), int(fields[5])
            info.mode = int(fields[6], 8)
            info.owner, info.group = fields[7], fields[8]
    except (ValueError, IndexError):
        raise _fail(f"unreadable stat text: {text[:80]!r}") from None
    return info


def build_vfs(info: VfsInfo) -> bytes:
    """Text of a kXR_stat with kXR_vfs."""
    return (
        f"{info.rw_nodes} {info.rw_free_mib} {info.rw_use} "
        f"{info.staging_nodes} {info.staging_free_mib} {info.staging_use}\0"
    ).encode()


def parse_vfs(body: bytes | bytearray) -> VfsInfo:
    """Read the text of a kXR_stat with kXR_vfs."""
    fields = _text(body).split(" ")
    try:
        rw_nodes, rw_free, rw_use, nodes, free, use = (int(field) for field in fields[:6])
        return VfsInfo(rw_nodes, rw_free, rw_use, nodes, free, use)
    except ValueError:
        raise _fail("unreadable vfs text") from None


# -- open, read ----------------------------------------------------------------------------------
def build_open(fh: int, stat: bytes | None = None) -> bytes:
    """`stat` is the text of `build_stat` when kXR_retstat was asked for."""
    if stat is None:
        return _HANDLE.pack(fh)
    return _OPEN.pack(fh, 0, b"") + stat


def parse_open(body: bytes | bytearray) -> tuple[int, StatInfo | None]:
    """(handle, stat when the server sent it)."""
    if len(body) < 4:
        raise _fail("open answer has no handle")
    fh: int = _HANDLE.unpack_from(body)[0]
    if len(body) <= _OPEN.size:
        return fh, None
    return fh, parse_stat(body[_OPEN.size :])


def build_readv(items: Iterable[tuple[int, int, bytes]]) -> bytes:
    """`items` are (fh, offset, data) in the order of the request."""
    parts: list[bytes] = []
    for fh, offset, data in items:
        parts.append(_ITEM.pack(fh, len(data), offset))
        parts.append(data)
    return b"".join(parts)


def parse_readv(body: bytes | bytearray) -> list[tuple[int, int, memoryview]]:
    """(fh, offset, data) in the order of the request; the data are views of `body`."""
    view, position = memoryview(body), 0
    items: list[tuple[int, int, memoryview]] = []
    while position < len(body):
        if position + _ITEM.size > len(body) or len(items) == READV_ITEMS_MAX:
            raise _fail("readv answer is cut short or too long")
        fh, length, offset = _ITEM.unpack_from(body, position)
        position += _ITEM.size
        if length < 0 or position + length > len(body):
            raise _fail("readv item is longer than the answer")
        items.append((fh, offset, view[position : position + length]))
        position += length
    return items


# -- listings ------------------------------------------------------------------------------------
def build_dirlist(names: Iterable[bytes], *, last: bool = True) -> bytes:
    """Names, newline between; the last one of the last chunk is closed by NUL.

    The chunks of a long listing are sent as oksofar; an empty directory has an empty answer.
    """
    text = b"\n".join(names)
    if not text:
        return b""
    return text + (b"\0" if last else b"\n")


def build_dirlist_stat(
    entries: Iterable[tuple[bytes, bytes]], *, first: bool = True, last: bool = True
) -> bytes:
    """`entries` are (name, stat text without NUL, perhaps with `checksum_suffix`).

    The first chunk opens with the lead-in entry, also when the directory is empty.
    """
    lines = [b"%b\n%b" % entry for entry in entries]
    if first:
        lines.insert(0, DIRLIST_LEAD[:-1])
    if not lines:
        return b"\0" if last else b""
    return b"\n".join(lines) + (b"\0" if last else b"\n")


def checksum_suffix(kind: str, value: str) -> bytes:
    """What DirListFlag.CHECKSUM adds to a stat text; `value` is `none` when unknown."""
    return f" [ {kind}:{value} ]".encode()


def parse_dirlist(body: bytes | bytearray) -> list[DirEntry]:
    """Read a whole listing, with or without stat (told apart by the lead-in entry).

    What is no name (`..`, `a/b`) is refused: callers join names to paths of their own machine.
    """
    if body.count(b"\n") > 2 * LISTING_ENTRIES_MAX:
        raise _fail("listing has too many entries")
    text = _text(body)
    if text.endswith("\n"):
        text = text[:-1]
    if not text:
        return []
    lines = text.split("\n")
    if not body.startswith(DIRLIST_LEAD[:-1]):
        names = [name for name in lines if name]
        _check_listed(names)
        return [DirEntry(name) for name in names]
    if len(lines) % 2:
        raise _fail("listing with stat has a name without stat")
    _check_listed(lines[2::2])
    entries = []
    for index in range(2, len(lines), 2):
        stat, _, checksum = lines[index + 1].partition(" [ ")
        entries.append(DirEntry(lines[index], _stat_of(stat), checksum.rstrip(" ]")))
    return entries


_NO_NAMES: Final = frozenset(("", ".", ".."))


def _check_listed(names: list[str]) -> None:
    """Refuse what is no name. Almost all listings are fine, which a few searches tell."""
    text = "".join(names)
    longest = max(map(len, names), default=0)
    if (
        "/" in text
        or "\0" in text
        or 4 * longest > NAME_BYTES_MAX
        or not _NO_NAMES.isdisjoint(names)
    ):
        for name in names:
            try:
                check_name(name)
            except OperationError as error:
                raise _fail(f"listing: {error.text}") from None


def build_statx(flags: Iterable[int]) -> bytes:
    """One StatFlag byte for each path of kXR_statx."""
    return bytes(flags)


def parse_statx(body: bytes | bytearray) -> list[int]:
    """StatFlag of each path."""
    return list(body)


def build_locate(locations: Iterable[Location]) -> bytes:
    """`Xy<host:port>` entries, blank between, NUL at the end."""
    parts = []
    for location in locations:
        kind = "M" if location.manager else "S"
        if location.pending:
            kind = kind.lower()
        parts.append(f"{kind}{'w' if location.writable else 'r'}{location.address}")
    return " ".join(parts).encode() + b"\0"


def parse_locate(body: bytes | bytearray) -> list[Location]:
    """Read the entries of kXR_locate."""
    locations = []
    for part in _text(body).split(" ", LISTING_ENTRIES_MAX):
        if not part:
            continue
        if len(part) < 3 or part[0] not in "SMsm" or part[1] not in "rw":
            raise _fail(f"unreadable location: {part[:80]!r}")
        manager, pending = part[0] in "Mm", part[0] in "sm"
        locations.append(Location(part[2:], manager, part[1] == "w", pending))
    return locations


# -- query ---------------------------------------------------------------------------------------
def build_checksum(kind: str, value: str) -> bytes:
    """`adler32 8a28dd14` and NUL."""
    return f"{kind} {value}\0".encode()


def parse_checksum(body: bytes | bytearray) -> tuple[str, str]:
    """(kind, value) of a checksum query."""
    fields = _text(body).split()
    if len(fields) != 2:
        raise _fail("unreadable checksum answer")
    return fields[0], fields[1]


def build_config(values: Iterable[tuple[str, str | None]]) -> bytes:
    """One line for each asked key, newline ended; an unknown key (None) is echoed."""
    lines = [key if value is None else value for key, value in values]
    return "".join(f"{line}\n" for line in lines).encode()


def parse_config(body: bytes | bytearray) -> list[str]:
    """One line per asked key."""
    text = _text(body)
    return text.removesuffix("\n").split("\n", LISTING_ENTRIES_MAX) if text else []
