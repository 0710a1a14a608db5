"""Admission of changes to modes, owners, times and extended attributes."""

import errno

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.limits import XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX
from thesan.core.namespace import acl
from thesan.core.namespace.access import (
    acting,
    check_chmod,
    check_chown,
    check_owner,
    check_read,
    check_sys_xattr,
    check_write,
)
from thesan.core.namespace.inode import PERMISSION_BITS, S_ISGID, S_ISUID, Directory, Inode, Symlink
from thesan.core.namespace.ops import Op, RemoveXattr, SetAttributes, SetXattr
from thesan.core.namespace.policy import check_attribute
from thesan.core.namespace.queries import lookup, parent_of
from thesan.core.namespace.state import Namespace

_UID_MAX = (1 << 32) - 2
"""(uid_t)-1 means 'leave it' on Linux."""


def _target(
    ns: Namespace, who: Identity, path: str, follow: bool = True
) -> tuple[Inode, Directory, Identity]:
    """(inode, directory whose rules hold for it, who acts)."""
    inode = lookup(ns, path, who, follow)
    parent = inode if isinstance(inode, Directory) else parent_of(ns, inode)
    return inode, parent, acting(parent, who)[0]


def chmod(
    ns: Namespace, who: Identity, path: str, mode: int, now_ns: int, op_id: bytes = b""
) -> Op:
    """Owner, root or who has `m`. Set-group-id goes when the caller is not of the group."""
    inode, parent, actor = _target(ns, who, path)
    check_chmod(parent, inode, actor)
    bits = mode & PERMISSION_BITS
    if actor.uid and inode.is_file and inode.gid not in actor.gids:
        bits &= ~S_ISGID
    return SetAttributes(inode.fid, now_ns, mode=bits, op_id=op_id)


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
    """Owner by root (or `c` on a directory), group by the owner to one of his own. A file loses
    set-user-id and set-group-id when somebody else than root does it."""
    for number in (uid, gid):
        if number is not None and not 0 <= number <= _UID_MAX:
            raise OperationError(errno.EINVAL, f"not a uid or gid: {number}")
    inode, _, actor = _target(ns, who, path, follow)
    check_chown(inode, actor, uid, gid)
    bits: int | None = None
    if actor.uid and inode.is_file and inode.mode & (S_ISUID | S_ISGID):
        bits = inode.mode & PERMISSION_BITS & ~(S_ISUID | S_ISGID)
    return SetAttributes(inode.fid, now_ns, mode=bits, uid=uid, gid=gid, op_id=op_id)


def utimes(
    ns: Namespace,
    who: Identity,
    path: str,
    mtime_ns: int | None,
    now_ns: int,
    op_id: bytes = b"",
) -> Op:
    """mtime by the owner; None = now, also by who may write."""
    inode, parent, actor = _target(ns, who, path)
    if mtime_ns is None and acl.rights(inode, actor, parent) & 2:
        return SetAttributes(inode.fid, now_ns, mtime_ns=now_ns, op_id=op_id)
    check_owner(inode, actor, "set the time of")
    if mtime_ns is not None and not 0 <= mtime_ns < 1 << 63:
        raise OperationError(errno.EINVAL, f"not a time: {mtime_ns}")
    return SetAttributes(
        inode.fid, now_ns, mtime_ns=now_ns if mtime_ns is None else mtime_ns, op_id=op_id
    )


# -- extended attributes -------------------------------------------------------------------------
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
    """`user.*` by who may write, `user.acl` by the owner, `sys.*` by administrators and who has X
    (A for sys.acl). ACLs, masks and forced values must be readable: EINVAL."""
    inode = _admit_xattr(ns, who, path, name)
    if len(value) > XATTR_VALUE_BYTES_MAX:
        raise OperationError(errno.E2BIG, f"attribute value of {len(value)} bytes")
    if name in ("sys.acl", "user.acl"):
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            raise OperationError(errno.EINVAL, f"{name} is not text") from error
        acl.parse(text, system=name == "sys.acl")
    check_attribute(name, value)
    return SetXattr(inode.fid, name, value, now_ns, create, replace, op_id)


def remove_xattr(
    ns: Namespace, who: Identity, path: str, name: str, now_ns: int, op_id: bytes = b""
) -> Op:
    """As `set_xattr`."""
    inode = _admit_xattr(ns, who, path, name)
    return RemoveXattr(inode.fid, name, now_ns, op_id)


def _admit_xattr(ns: Namespace, who: Identity, path: str, name: str) -> Inode:
    if len(name.encode(errors="replace")) > XATTR_NAME_BYTES_MAX:
        raise OperationError(errno.ERANGE, f"attribute name of {len(name)} characters")
    prefix, _, rest = name.partition(".")
    if not rest or "\0" in name:
        raise OperationError(errno.EINVAL, f"not an attribute name: {name[:80]!r}")
    inode, parent, actor = _target(ns, who, path)
    if isinstance(inode, Symlink):
        raise OperationError(errno.EPERM, "a symbolic link has no attributes")
    match prefix:
        case "sys":
            check_sys_xattr(parent, actor, name)
        case "user" if name == "user.acl":
            check_owner(inode, actor, "change the ACL of")
        case "user":
            check_write(parent, inode, actor)
        case _:
            raise OperationError(errno.ENOTSUP, f"no attributes {prefix}.* here: use user.*")
    return inode


def xattrs(ns: Namespace, who: Identity, path: str) -> dict[str, bytes]:
    """All attributes, if the caller may read the object (for a directory: list or search it)."""
    inode, parent, actor = _target(ns, who, path)
    if not (isinstance(inode, Directory) and acl.rights(inode, actor) & 5):
        check_read(parent, inode, actor)
    return dict(inode.xattrs or {})
