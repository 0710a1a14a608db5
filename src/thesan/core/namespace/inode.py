"""Inodes in memory and their records in the store.

An Inode lives in the `children` of its parent directory, a Directory also in Tree.directories. An
object is valid within the synchronous call that got it; across awaits keep the fid (eviction drops
objects). Only `state` and the `apply_*` files change one.
"""

import errno
from typing import Any, Final

import msgspec

from thesan.core.model.errors import OperationError, StoreError

S_IFMT: Final = 0o170000
S_IFDIR: Final = 0o040000
S_IFREG: Final = 0o100000
S_IFLNK: Final = 0o120000
PERMISSION_BITS: Final = 0o7777


class Inode(msgspec.Struct, gc=False, weakref=False):
    """A file or symbolic link; Directory is a subclass. About 430 bytes with name and dict slot.

    gc=False: an Inode refers to no container that could refer back to it.
    """

    fid: int
    seq: int
    """Tag of the last op that changed it (argument of Namespace.apply); 0 when loaded."""
    parent: int
    """Fid of the directory that holds the primary name."""
    name: str
    """Primary name; a hard link's other names are in the store's L records."""
    mode: int
    """st_mode: type and permission bits."""
    uid: int
    gid: int
    nlink: int
    size: int
    """Bytes; of a symbolic link the length of its target; of a directory its entry count."""
    mtime_ns: int
    ctime_ns: int
    birth_ns: int
    layout: int = 0
    """Layout id, core/model/layouts.py; 0 for what is not a file."""
    locations: tuple[int, ...] = ()
    """fsids of the replicas."""
    adler32: int | None = None
    crc32c: int | None = None
    xattrs: dict[str, bytes] | None = None
    target: str | None = None
    """Of a symbolic link."""
    text: bytes | None = None
    """Free for the MGM to keep the finished stat text; every change of the inode resets it."""

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
