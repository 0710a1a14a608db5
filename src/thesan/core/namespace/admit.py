"""Admission of changes to names: permission, quota and name checks; a request becomes ops.

Every function raises OperationError with the errno that POSIX gives. An op that was admitted
applies if nothing was applied in between: apply it before the next request is looked at.
`fids` yields fresh ids. The part on content and attributes is in admit_files, admit_attributes;
all names are to be had from here.
"""

import errno
from collections.abc import Callable

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.limits import SYMLINK_TARGET_BYTES_MAX
from thesan.core.model.paths import check_name, components
from thesan.core.namespace.access import (
    acting,
    check_create,
    check_list,
    check_remove,
    check_search,
)
from thesan.core.namespace.acl import rights
from thesan.core.namespace.admit_attributes import (
    chmod,
    chown,
    remove_xattr,
    set_xattr,
    utimes,
    xattrs,
)
from thesan.core.namespace.admit_files import (
    Upload,
    quota,
    quota_for_move,
    read,
    touch,
    update,
    upload,
)
from thesan.core.namespace.inode import S_ISGID, Directory, Inode
from thesan.core.namespace.ops import Link, MakeDirectory, Op, RemoveDirectory, Rename, Symlink
from thesan.core.namespace.ops import Unlink as UnlinkOp
from thesan.core.namespace.policy import mask_of
from thesan.core.namespace.queries import lookup, resolve
from thesan.core.namespace.state import Namespace

__all__ = [
    "Fids",
    "Upload",
    "chmod",
    "chown",
    "link",
    "listing",
    "mkdir",
    "quota",
    "read",
    "readlink",
    "remove_xattr",
    "rename",
    "rmdir",
    "set_xattr",
    "symlink",
    "touch",
    "unlink",
    "update",
    "upload",
    "utimes",
    "xattrs",
]

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
    if not parents:
        parent, name = resolve(ns, path, who)
        if ns.tree.child(parent, name) is not None:
            raise OperationError(errno.EEXIST, f"{path}: exists")
        return _mkdirs(parent, [name], who, mode, now_ns, fids, op_id)
    names = components(path)
    depth = len(names)
    while True:
        try:
            top = lookup(ns, "/" + "/".join(names[:depth]), who)
            break
        except OperationError as error:
            if error.errno != errno.ENOENT or depth == 0:
                raise
            depth -= 1
    if not isinstance(top, Directory):
        number = errno.EEXIST if depth == len(names) else errno.ENOTDIR
        raise OperationError(number, f"{path}: {top.name!r} is not a directory")
    if depth == len(names):
        return []
    if ns.tree.child(top, names[depth]) is not None:
        raise OperationError(errno.ENOENT, f"{path}: {names[depth]!r} is a dangling link")
    return _mkdirs(top, names[depth:], who, mode, now_ns, fids, op_id)


def _mkdirs(
    top: Directory,
    names: list[str],
    who: Identity,
    mode: int,
    now_ns: int,
    fids: Fids,
    op_id: bytes,
) -> list[Op]:
    """New directories, each in the one before; only the last carries the op id."""
    check_search(top, who)
    actor, owned = acting(top, who)
    check_create(top, actor)
    uid = top.uid if owned else actor.uid
    inherits = top.mode & S_ISGID
    gid = top.gid if inherits or owned else actor.gid
    bits = mode & (mask_of(top) | 0o7000) | inherits
    parent_fid = top.fid
    made: list[Op] = []
    for name in names:
        check_name(name)
        op = MakeDirectory(parent_fid, name, fids(), bits, uid, gid, now_ns)
        made.append(op)
        parent_fid = op.fid
    if op_id:
        last = MakeDirectory(op.parent, op.name, op.fid, bits, uid, gid, now_ns, op_id)
        made[-1] = last
    return made


def unlink(ns: Namespace, who: Identity, path: str, now_ns: int, op_id: bytes = b"") -> Op:
    """Remove a file or symbolic link (the link itself, not what it points to)."""
    parent, name, inode = _existing(ns, who, path)
    if isinstance(inode, Directory):
        raise OperationError(errno.EISDIR, f"{path}: is a directory")
    check_remove(parent, inode, acting(parent, who)[0])
    return UnlinkOp(parent.fid, name, now_ns, op_id)


def rmdir(ns: Namespace, who: Identity, path: str, now_ns: int, op_id: bytes = b"") -> Op:
    """Remove an empty directory."""
    parent, name, inode = _existing(ns, who, path)
    if not isinstance(inode, Directory):
        raise OperationError(errno.ENOTDIR, f"{path}: not a directory")
    check_remove(parent, inode, acting(parent, who)[0])
    return RemoveDirectory(parent.fid, name, now_ns, op_id)


def rename(
    ns: Namespace,
    who: Identity,
    source: str,
    target: str,
    now_ns: int,
    no_replace: bool = False,
    op_id: bytes = b"",
) -> Op:
    """POSIX rename; symbolic links themselves are moved and replaced."""
    source_parent, source_name, moved = _existing(ns, who, source)
    target_parent, target_name = resolve(ns, target, who)
    check_remove(source_parent, moved, acting(source_parent, who)[0])
    actor = acting(target_parent, who)[0]
    check_create(target_parent, actor)
    victim = ns.tree.child(target_parent, target_name)
    if victim is not None and victim is not moved:
        check_remove(target_parent, victim, actor)
    if isinstance(moved, Directory):
        if target_parent is not source_parent and not rights(moved, actor) & 2:
            raise OperationError(errno.EACCES, f"{source}: no permission to move the directory")
    else:
        quota_for_move(ns, moved, source_parent, target_parent)
    return Rename(
        source_parent.fid,
        source_name,
        target_parent.fid,
        target_name,
        now_ns,
        no_replace,
        op_id,
    )


def symlink(
    ns: Namespace,
    who: Identity,
    target: str,
    path: str,
    now_ns: int,
    fids: Fids,
    op_id: bytes = b"",
) -> Op:
    """A symbolic link at `path` to `target`, which need not exist and is kept as it is."""
    if not target or "\0" in target or len(target.encode()) > SYMLINK_TARGET_BYTES_MAX:
        raise OperationError(errno.EINVAL, "not a target for a symbolic link")
    parent, name = _absent(ns, who, path)
    actor, owned = acting(parent, who)
    check_create(parent, actor)
    uid = parent.uid if owned else actor.uid
    gid = parent.gid if parent.mode & S_ISGID or owned else actor.gid
    quota(ns, parent, uid, gid, 0, 1)
    return Symlink(parent.fid, name, fids(), target, uid, gid, now_ns, op_id)


def link(
    ns: Namespace, who: Identity, source: str, path: str, now_ns: int, op_id: bytes = b""
) -> Op:
    """One more name `path` for the file `source`. As Linux' protected_hardlinks: only for one's
    own files and those that one may read and write."""
    holder, _, inode = _existing(ns, who, source)
    if isinstance(inode, Directory):
        raise OperationError(errno.EPERM, f"{source}: a directory can't have a second name")
    if who.uid not in (0, inode.uid) and rights(inode, who, holder) & 6 != 6:
        raise OperationError(errno.EPERM, f"{source}: no permission to link it")
    parent, name = _absent(ns, who, path)
    check_create(parent, acting(parent, who)[0])
    return Link(inode.fid, parent.fid, name, now_ns, op_id)


def readlink(ns: Namespace, who: Identity, path: str) -> str:
    """Target of a symbolic link. EINVAL for anything else."""
    inode = lookup(ns, path, who, follow=False)
    target = inode.target
    if target is None:
        raise OperationError(errno.EINVAL, f"{path}: not a symbolic link")
    return target


def listing(ns: Namespace, who: Identity, path: str) -> Inode:
    """The directory, if the caller may list it."""
    directory = lookup(ns, path, who)
    if not isinstance(directory, Directory):
        raise OperationError(errno.ENOTDIR, f"{path}: not a directory")
    check_list(directory, acting(directory, who)[0])
    return directory


def _existing(ns: Namespace, who: Identity, path: str) -> tuple[Directory, str, Inode]:
    parent, name = resolve(ns, path, who)
    inode = ns.tree.child(parent, name)
    if inode is None:
        raise OperationError(errno.ENOENT, f"{path}: no such file or directory")
    return parent, name, inode


def _absent(ns: Namespace, who: Identity, path: str) -> tuple[Directory, str]:
    parent, name = resolve(ns, path, who)
    if ns.tree.child(parent, name) is not None:
        raise OperationError(errno.EEXIST, f"{path}: exists")
    return parent, name
