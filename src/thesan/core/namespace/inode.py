"""Inodes in memory and their records in the store.

An Inode lives in the `children` of its parent directory; a Directory also in Tree.directories, an
inode with several names also in Tree.linked. An object is valid within the synchronous call that
got it; across awaits keep the fid (eviction drops objects). Only ops change one.
"""

import struct
from typing import Final

import msgspec

from thesan.core.model.errors import StoreError

S_IFMT: Final = 0o170000
S_IFDIR: Final = 0o040000
S_IFREG: Final = 0o100000
S_IFLNK: Final = 0o120000
S_ISUID: Final = 0o4000
S_ISGID: Final = 0o2000
S_ISVTX: Final = 0o1000
PERMISSION_BITS: Final = 0o7777
EVERYBODY_X: Final = 0o111

FLAG_XATTRS: Final = 1
"""The inode has an X record."""
FLAG_QUOTA: Final = 2
"""The directory is a quota node."""


class Inode(msgspec.Struct, gc=False, array_like=True):
    """A regular file; Symlink and Directory are subclasses. About 440 bytes with name and slot.

    gc=False: an Inode refers to nothing that could refer back to it. The fields up to `body` are
    its record in the store, in this order; the others live in memory only.
    """

    mode: int
    """st_mode: type and permission bits."""
    parent: int
    """Fid of the directory that holds the primary name; 0 for the root."""
    name: str
    """Primary name; the other names of a hard-linked inode are in its L records."""
    uid: int
    gid: int
    nlink: int
    """Of a directory 2 + number of subdirectories."""
    size: int
    """Bytes; of a symbolic link the length of its target; of a directory its entry count."""
    mtime_ns: int
    ctime_ns: int
    birth_ns: int
    flags: int
    """FLAG_XATTRS, FLAG_QUOTA."""
    layout: int
    """Layout id, core/model/layouts.py; 0 for what is not a file."""
    locations: tuple[int, ...]
    """fsids of the replicas."""
    body: bytes | None
    """Of a file its checksums (pack_checksums), of a symbolic link its target in UTF-8: one short
    object where three fields would cost 80 bytes in each of 10^6 inodes."""
    fid: int = 0
    seq: int = 0
    """Tag of the last op that changed it (argument of Namespace.apply); 0 when that is settled."""
    xattrs: dict[str, bytes] | None = None
    """None when there are none."""
    text: bytes | None = None
    """Free for the MGM to keep the finished stat text; every change of the inode resets it."""

    @property
    def adler32(self) -> int | None:
        """Of the content; None when not known."""
        body = self.body
        return None if body is None else _CHECKSUMS.unpack(body)[1] if body[0] & 1 else None

    @property
    def crc32c(self) -> int | None:
        """Of the content; None when not known."""
        body = self.body
        return None if body is None else _CHECKSUMS.unpack(body)[2] if body[0] & 2 else None

    @property
    def target(self) -> str | None:
        """Of a symbolic link; None for what is none."""
        return None

    @property
    def is_dir(self) -> bool:
        """True for a directory."""
        return self.mode & S_IFMT == S_IFDIR

    @property
    def is_file(self) -> bool:
        """True for a regular file."""
        return self.mode & S_IFMT == S_IFREG

    @property
    def is_symlink(self) -> bool:
        """True for a symbolic link."""
        return self.mode & S_IFMT == S_IFLNK

    @property
    def physical_bytes(self) -> int:
        """Size times replicas."""
        return self.size * len(self.locations)


class Symlink(Inode, gc=False, array_like=True):
    """A symbolic link; it has no fields of its own."""

    @property
    def adler32(self) -> int | None:
        """Never known."""
        return None

    @property
    def crc32c(self) -> int | None:
        """Never known."""
        return None

    @property
    def target(self) -> str | None:
        """Where it points, as it was given."""
        return self.body.decode() if self.body is not None else None


class Directory(Inode, gc=False, array_like=True):
    """A directory with the part of its entries that is in memory."""

    children: dict[str, Inode] = msgspec.field(default_factory=dict)
    complete: bool = False
    """True when `children` has every entry: a name that is not there does not exist."""
    open_x: bool = False
    """True when anybody may search it, by mode bits and without an ACL that could forbid it."""
    used: bool = False
    """Set by lookups, cleared by the eviction clock."""
    names: list[str] | None = None
    """Sorted names of a complete directory, kept from one listing page to the next."""

    @property
    def is_quota_node(self) -> bool:
        """True when usage below is accounted here."""
        return self.flags & FLAG_QUOTA != 0

    def set_open(self) -> None:
        """Recompute `open_x` after a change of mode or attributes."""
        xattrs = self.xattrs
        self.open_x = self.mode & EVERYBODY_X == EVERYBODY_X and (
            xattrs is None or ("sys.acl" not in xattrs and "user.acl" not in xattrs)
        )


_CHECKSUMS: Final = struct.Struct(">BII")
"""Which are known (bit 0 adler32, bit 1 crc32c), and their values."""


def pack_checksums(adler32: int | None, crc32c: int | None) -> bytes | None:
    """Body of a file; None when neither is known. Values that are none (32 bits) are unknown."""
    known = 0
    if adler32 is not None and 0 <= adler32 < 1 << 32:
        known = 1
    if crc32c is not None and 0 <= crc32c < 1 << 32:
        known |= 2
    if not known:
        return None
    return _CHECKSUMS.pack(known, adler32 if known & 1 else 0, crc32c if known & 2 else 0)


def new_inode(
    mode: int,
    parent: int,
    name: str,
    uid: int,
    gid: int,
    nlink: int,
    size: int,
    mtime_ns: int,
    ctime_ns: int,
    birth_ns: int,
    flags: int,
    layout: int,
    locations: tuple[int, ...],
    adler32: int | None = None,
    crc32c: int | None = None,
    target: str | None = None,
    fid: int = 0,
) -> Inode:
    """A file, or a symbolic link when there is a `target`; `mode` with type bits."""
    kind = Inode if target is None else Symlink
    body = pack_checksums(adler32, crc32c) if target is None else target.encode()
    return kind(
        share_int(mode),
        parent,
        name,
        share_int(uid),
        share_int(gid),
        nlink,
        size,
        mtime_ns,
        ctime_ns,
        birth_ns,
        flags,
        share_int(layout),
        share_locations(locations),
        body,
        fid,
    )


def new_directory(
    fid: int, parent: int, name: str, mode: int, uid: int, gid: int, time_ns: int
) -> Directory:
    """An empty directory; `mode` without type bits."""
    directory = Directory(
        S_IFDIR | mode,
        parent,
        name,
        uid,
        gid,
        2,
        0,
        time_ns,
        time_ns,
        time_ns,
        0,
        0,
        (),
        None,
        fid,
        complete=True,
    )
    directory.set_open()
    return directory


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_encode = msgspec.msgpack.Encoder().encode
_inode_decoder = msgspec.msgpack.Decoder(Inode)
_symlink_decoder = msgspec.msgpack.Decoder(Symlink)
_directory_decoder = msgspec.msgpack.Decoder(Directory)
_xattrs_decoder = msgspec.msgpack.Decoder(dict[str, bytes])


def encode_record(inode: Inode) -> bytes:
    """Value of an I record: msgpack array of the fields of Inode up to `body`."""
    return _encode(
        (
            inode.mode,
            inode.parent,
            inode.name,
            inode.uid,
            inode.gid,
            inode.nlink,
            inode.size,
            inode.mtime_ns,
            inode.ctime_ns,
            inode.birth_ns,
            inode.flags,
            inode.layout,
            inode.locations,
            inode.body,
        )
    )


def decode_record(fid: int, record: bytes) -> Inode:
    """Inode, Symlink or Directory of an I record, without its attributes. Raises StoreError."""
    try:
        inode = _inode_decoder.decode(record)
        kind = inode.mode & S_IFMT
        if kind == S_IFDIR:
            inode = _directory_decoder.decode(record)
        elif kind == S_IFLNK:
            inode = _symlink_decoder.decode(record)
        elif inode.body is not None and len(inode.body) != _CHECKSUMS.size:
            raise StoreError(f"unreadable checksums of inode {fid}")
    except msgspec.DecodeError as error:
        raise StoreError(f"unreadable inode record {fid}: {error}") from error
    inode.fid = fid
    _share(inode)
    return inode


def encode_xattrs(xattrs: dict[str, bytes]) -> bytes:
    """Value of an X record; the same for every order of insertion."""
    return _encoder.encode(xattrs)


def decode_xattrs(fid: int, record: bytes) -> dict[str, bytes]:
    """Raises StoreError."""
    try:
        return _xattrs_decoder.decode(record)
    except msgspec.DecodeError as error:
        raise StoreError(f"unreadable attribute record {fid}: {error}") from error


_SMALL_INT_MAX: Final = 256
"""CPython has one object for each of these anyway."""
_SHARED_MAX: Final = 65536
_shared: dict[int | tuple[int, ...], int | tuple[int, ...]] = {}
"""Values that many inodes have in common: modes, owners, layouts, location sets, parents."""


def share_int(value: int) -> int:
    """The one object for this number."""
    kept = _shared.get(value)
    return kept if kept is not None else _keep(value)  # type: ignore[return-value]


def share_locations(value: tuple[int, ...]) -> tuple[int, ...]:
    """The one object for this set of locations."""
    kept = _shared.get(value)
    return kept if kept is not None else _keep(value)  # type: ignore[return-value]


def _keep(value: int | tuple[int, ...]) -> int | tuple[int, ...]:
    if len(_shared) >= _SHARED_MAX:
        _shared.clear()
    _shared[value] = value
    return value


def _share(inode: Inode) -> None:
    get = _shared.get
    mode, uid, gid, layout, locations = (
        inode.mode,
        inode.uid,
        inode.gid,
        inode.layout,
        inode.locations,
    )
    inode.mode = get(mode) or _keep(mode)  # type: ignore[assignment]
    if uid > _SMALL_INT_MAX:
        inode.uid = get(uid) or _keep(uid)  # type: ignore[assignment]
    if gid > _SMALL_INT_MAX:
        inode.gid = get(gid) or _keep(gid)  # type: ignore[assignment]
    if layout > _SMALL_INT_MAX:
        inode.layout = get(layout) or _keep(layout)  # type: ignore[assignment]
    if locations:
        inode.locations = get(locations) or _keep(locations)  # type: ignore[assignment]
    mtime_ns, ctime_ns = inode.mtime_ns, inode.ctime_ns
    if ctime_ns == mtime_ns:
        inode.ctime_ns = ctime_ns = mtime_ns
    if inode.birth_ns == ctime_ns:
        inode.birth_ns = ctime_ns
