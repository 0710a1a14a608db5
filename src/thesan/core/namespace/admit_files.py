"""Admission of reads, uploads and updates, and the quota check."""

import errno
from collections.abc import Callable

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.limits import SYMLINK_FOLLOW_MAX
from thesan.core.namespace import keys
from thesan.core.namespace.access import acting, check_create, check_owner, check_read, check_write
from thesan.core.namespace.acl import WRITE, WRITE_ONCE, rights, verdict
from thesan.core.namespace.apply_instance import account_name, limits_of
from thesan.core.namespace.inode import S_IFMT, S_IFREG, S_ISGID, Directory, Inode
from thesan.core.namespace.ops import CreateFile, Op, SetAttributes
from thesan.core.namespace.policy import mask_of
from thesan.core.namespace.queries import lookup, parent_of, resolve
from thesan.core.namespace.state import Namespace


class Upload(msgspec.Struct, frozen=True):
    """What the CommitFile of an admitted upload must say."""

    parent: Directory
    name: str
    existing: Inode | None
    """The regular file that the upload will replace; its owner, mode and attributes stay."""
    uid: int
    gid: int
    mode: int
    """Permission bits of a new file."""


def upload(
    ns: Namespace,
    who: Identity,
    path: str,
    mode: int,
    booking_bytes: int,
    replica_count: int,
    exclusive: bool,
) -> Upload:
    """Open a file for writing from nothing (kXR_new, kXR_delete).

    Symbolic links are followed. A new name needs write permission in its directory, an existing
    file its own; `exclusive` refuses it with EEXIST. `booking_bytes` is the announced size, for
    the quota check.
    """
    parent, name, existing = _final_name(ns, who, path)
    actor, owned = acting(parent, who)
    if existing is not None:
        if exclusive:
            raise OperationError(errno.EEXIST, f"{path}: exists")
        if not existing.is_file:
            raise OperationError(errno.EISDIR, f"{path}: is a directory")
        _check_overwrite(parent, existing, actor)
        growth = max(booking_bytes * replica_count - existing.physical_bytes, 0)
        quota(ns, parent, existing.uid, existing.gid, growth, 0)
        return Upload(parent, name, existing, existing.uid, existing.gid, existing.mode & 0o777)
    check_create(parent, actor)
    uid, gid, bits = _new_file_owner(parent, actor, owned, mode)
    quota(ns, parent, uid, gid, booking_bytes * replica_count, 1)
    return Upload(parent, name, None, uid, gid, bits)


def _new_file_owner(
    parent: Directory, actor: Identity, owned: bool, mode: int
) -> tuple[int, int, int]:
    uid = parent.uid if owned else actor.uid
    gid = parent.gid if owned or parent.mode & S_ISGID else actor.gid
    return uid, gid, mode & 0o777 & mask_of(parent)


def _check_overwrite(parent: Directory, inode: Inode, who: Identity) -> None:
    granted, _ = verdict(parent, who, inode)
    if granted & WRITE_ONCE and not granted & WRITE and who.uid not in (0, inode.uid):
        raise OperationError(errno.EEXIST, f"{inode.name!r} exists and is write-once")
    check_write(parent, inode, who)


def _final_name(ns: Namespace, who: Identity, path: str) -> tuple[Directory, str, Inode | None]:
    """Where a path ends when symbolic links are followed, whether or not something is there."""
    for _ in range(SYMLINK_FOLLOW_MAX):
        parent, name = resolve(ns, path, who)
        existing = ns.tree.child(parent, name)
        target = existing.target if existing is not None else None
        if target is None:
            return parent, name, existing
        path = _join(ns.tree.path(parent), target)
    raise OperationError(errno.ELOOP, f"{path}: too many symbolic links")


def _join(base: str, target: str) -> str:
    """Target of a link seen from its directory. `..` is taken by text here: the directory's own
    path has no links in it, and a link further down is rare enough to be refused (EINVAL)."""
    names = [] if target.startswith("/") else [name for name in base.split("/") if name]
    for step in target.split("/"):
        if step == "..":
            del names[-1:]
        elif step and step != ".":
            names.append(step)
    return "/" + "/".join(names)


def update(ns: Namespace, who: Identity, path: str, growth_bytes: int = 0) -> Inode:
    """The regular file, if the caller may change its content in place. `growth_bytes` is what
    each replica may grow by, for the quota check."""
    inode = lookup(ns, path, who)
    if not inode.is_file:
        raise OperationError(errno.EISDIR, f"{path}: is a directory")
    parent = parent_of(ns, inode)
    check_write(parent, inode, acting(parent, who)[0])
    if growth_bytes:
        growth = growth_bytes * max(len(inode.locations), 1)
        quota(ns, parent, inode.uid, inode.gid, growth, 0)
    return inode


def read(ns: Namespace, who: Identity, path: str) -> Inode:
    """The regular file, if the caller may read it."""
    inode = lookup(ns, path, who)
    if inode.mode & S_IFMT != S_IFREG:
        raise OperationError(errno.EISDIR, f"{path}: is a directory")
    if who.uid:
        parent = parent_of(ns, inode)
        # Without attributes nobody acts for somebody else, which is the common case.
        actor = who if parent.xattrs is None else acting(parent, who)[0]
        check_read(parent, inode, actor)
    return inode


def touch(
    ns: Namespace,
    who: Identity,
    path: str,
    mode: int,
    now_ns: int,
    fids: Callable[[], int],
    layout: int,
    op_id: bytes = b"",
) -> list[Op]:
    """CreateFile of an empty file, or SetAttributes of the time when something is there."""
    parent, name, existing = _final_name(ns, who, path)
    actor, owned = acting(parent, who)
    if existing is not None:
        holder = existing if isinstance(existing, Directory) else parent
        if not rights(existing, actor, holder) & 2:
            check_owner(existing, actor, "touch")
        return [SetAttributes(existing.fid, now_ns, mtime_ns=now_ns, op_id=op_id)]
    check_create(parent, actor)
    uid, gid, bits = _new_file_owner(parent, actor, owned, mode)
    quota(ns, parent, uid, gid, 0, 1)
    return [CreateFile(parent.fid, name, fids(), bits, uid, gid, now_ns, layout, op_id)]


# -- quota ---------------------------------------------------------------------------------------
def quota(
    ns: Namespace, directory: Inode, uid: int, gid: int, physical_bytes: int, files: int
) -> None:
    """EDQUOT when an account of the directory's quota node has no room for that much more.

    Checked at open against what is committed or pending; uploads under way are not counted, so a
    burst of them may end above the limit by their sum.
    """
    tree = ns.tree
    node = tree.quota_node(directory) if isinstance(directory, Directory) else 0
    if node:
        _check_node(ns, node, uid, gid, physical_bytes, files)


def _check_node(
    ns: Namespace, node: int, uid: int, gid: int, physical_bytes: int, files: int
) -> None:
    limits = limits_of(ns.tree, node)
    for kind, number in (("u", uid), ("g", gid), ("p", 0)):
        limit = limits.get(account_name(kind, number))
        if limit is None:
            continue
        used = ns.tree.tables.counters(keys.quota_counters(node, kind, number), keys.QUOTA_COUNTERS)
        bytes_max, files_max = limit
        if bytes_max is not None and used[0] + physical_bytes > bytes_max:
            raise OperationError(
                errno.EDQUOT, f"quota: {used[0]} of {bytes_max} bytes used by {kind}:{number}"
            )
        if files_max is not None and used[2] + files > files_max:
            raise OperationError(
                errno.EDQUOT, f"quota: {used[2]} of {files_max} files used by {kind}:{number}"
            )


def quota_for_move(ns: Namespace, inode: Inode, source: Directory, target: Directory) -> None:
    """EDQUOT when a file that changes its quota node does not fit in the new one."""
    node = ns.tree.quota_node(target)
    if node and node != ns.tree.quota_node(source):
        _check_node(ns, node, inode.uid, inode.gid, inode.physical_bytes, 1)
