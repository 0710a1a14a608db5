"""Admission: permission, quota and name checks; a request becomes ops (signatures; bodies follow).

Every function raises OperationError with the errno that POSIX gives. `fids` yields fresh ids."""

from collections.abc import Callable

from thesan.core.model.identity import Identity
from thesan.core.namespace.inode import Inode
from thesan.core.namespace.ops import Op
from thesan.core.namespace.state import Namespace

Fids = Callable[[], int]


def mkdir(
    ns: Namespace,
    who: Identity,
    path: str,
    mode: int,
    now_ns: int,
    fids: Fids,
    parents: bool = False,
    op_id: bytes = b"",
) -> list[Op]:
    """MakeDirectory ops, outermost first; [] when `parents` and the directory exists."""
    raise NotImplementedError


def touch(
    ns: Namespace,
    who: Identity,
    path: str,
    mode: int,
    now_ns: int,
    fids: Fids,
    layout: int,
    op_id: bytes = b"",
) -> list[Op]:
    """CreateFile, or SetAttributes(mtime) when it exists."""
    raise NotImplementedError


def unlink(ns: Namespace, who: Identity, path: str, now_ns: int, op_id: bytes = b"") -> Op:
    raise NotImplementedError


def rmdir(ns: Namespace, who: Identity, path: str, now_ns: int, op_id: bytes = b"") -> Op:
    raise NotImplementedError


def rename(
    ns: Namespace,
    who: Identity,
    source: str,
    target: str,
    now_ns: int,
    no_replace: bool = False,
    op_id: bytes = b"",
) -> Op:
    raise NotImplementedError


def symlink(
    ns: Namespace,
    who: Identity,
    target: str,
    path: str,
    now_ns: int,
    fids: Fids,
    op_id: bytes = b"",
) -> Op:
    raise NotImplementedError


def link(
    ns: Namespace, who: Identity, source: str, path: str, now_ns: int, op_id: bytes = b""
) -> Op:
    raise NotImplementedError


def chmod(
    ns: Namespace, who: Identity, path: str, mode: int, now_ns: int, op_id: bytes = b""
) -> Op:
    raise NotImplementedError


def chown(
    ns: Namespace,
    who: Identity,
    path: str,
    uid: int | None,
    gid: int | None,
    now_ns: int,
    follow: bool = True,
    op_id: bytes = b"",
) -> Op:
    raise NotImplementedError


def utimes(
    ns: Namespace, who: Identity, path: str, mtime_ns: int | None, now_ns: int, op_id: bytes = b""
) -> Op:
    """None = now."""
    raise NotImplementedError


def set_xattr(
    ns: Namespace,
    who: Identity,
    path: str,
    name: str,
    value: bytes,
    now_ns: int,
    create: bool = False,
    replace: bool = False,
    op_id: bytes = b"",
) -> Op:
    raise NotImplementedError


def remove_xattr(
    ns: Namespace, who: Identity, path: str, name: str, now_ns: int, op_id: bytes = b""
) -> Op:
    raise NotImplementedError


def xattrs(ns: Namespace, who: Identity, path: str) -> dict[str, bytes]:
    """Attributes that the caller may see. Also decides kXR_fattr get and list."""
    raise NotImplementedError


def listing(ns: Namespace, who: Identity, path: str) -> Inode:
    """The directory, if the caller may list it."""
    raise NotImplementedError


def read(ns: Namespace, who: Identity, path: str) -> Inode:
    """The file, if the caller may read it."""
    raise NotImplementedError


def upload(
    ns: Namespace, who: Identity, path: str, booking_bytes: int, replica_count: int, exclusive: bool
) -> tuple[Inode, str, Inode | None]:
    """(parent, name, existing file or None) for open(new) and open(delete): checks w+x on the
    parent, or the file's own w when it is replaced, and quota. Build CommitFile from it."""
    raise NotImplementedError


def update(ns: Namespace, who: Identity, path: str, growth_bytes: int = 0) -> Inode:
    """The file, if the caller may change its content."""
    raise NotImplementedError


def quota(
    ns: Namespace, directory: Inode, uid: int, gid: int, physical_bytes: int, files: int
) -> None:
    """EDQUOT when the account of the directory's quota node has no room for that much more."""
    raise NotImplementedError
