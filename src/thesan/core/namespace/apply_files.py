"""Ops on content and replicas. All checks first, then the changes."""

import errno

from thesan.core.model.errors import OperationError
from thesan.core.model.ids import FSID_MAX, FSID_MIN
from thesan.core.model.limits import REPLICA_COUNT_MAX
from thesan.core.namespace import edit, keys
from thesan.core.namespace.apply_names import add_file, fresh_fid, parent_of
from thesan.core.namespace.inode import (
    S_IFREG,
    S_ISGID,
    S_ISUID,
    Directory,
    Inode,
    Symlink,
    new_inode,
    pack_checksums,
    share_int,
    share_locations,
)
from thesan.core.namespace.ops import (
    AddReplica,
    CommitFile,
    DeletionDone,
    DiscardReplicas,
    DropReplica,
    Result,
    UpdateFile,
)
from thesan.core.namespace.tree import Tree


def commit_file(tree: Tree, op: CommitFile, tag: int) -> Result:
    """See ops.CommitFile."""
    if op.fid < tree.fid_seen and _was_committed(tree, op):
        return Result(op.fid, repeated=True)
    parent = parent_of(tree, op.parent)
    existing = tree.child(parent, op.name)
    if existing is not None:
        if op.exclusive:
            raise OperationError(errno.EEXIST, f"{op.name!r} exists")
        if existing.is_dir:
            raise OperationError(errno.EISDIR, f"{op.name!r} is a directory")
    fresh_fid(tree, op.fid)
    _check_locations(op.locations, op.size)
    lost = _to_discard(tree, op.fid, op.lost, op.locations) if op.lost else ()

    replaced = 0
    if existing is not None and not isinstance(existing, Symlink):
        replaced = existing.fid
        _exchange_content(tree, parent, existing, op, tag)
    else:
        if existing is not None:
            replaced = existing.fid if existing.nlink == 1 else 0
            edit.drop_name(tree, parent, op.name, op.time_ns, tag)
        add_file(tree, parent, _new_file(parent, op), op.time_ns, tag)
    if lost:
        edit.discard(tree, op.fid, lost)
    return Result(op.fid, replaced=replaced)


def _new_file(parent: Directory, op: CommitFile) -> Inode:
    mtime_ns = op.mtime_ns
    time_ns = mtime_ns if op.time_ns == mtime_ns else op.time_ns
    return new_inode(
        S_IFREG | op.mode,
        parent.fid,
        op.name,
        op.uid,
        op.gid,
        1,
        op.size,
        mtime_ns,
        time_ns,
        time_ns,
        0,
        op.layout,
        op.locations,
        op.adler32,
        op.crc32c,
        fid=op.fid,
    )


def _was_committed(tree: Tree, op: CommitFile) -> bool:
    """Is this a resend? ESTALE when the file was deleted since, before the FSTs heard of it."""
    if tree.tables.get(keys.inode(op.fid)) is not None:
        return True
    gone = tree.tables.get_many([keys.deletion(fsid, op.fid) for fsid in op.locations])
    if any(value is not None for value in gone):
        raise OperationError(errno.ESTALE, f"file {op.fid} was deleted")
    return False


def _check_locations(locations: tuple[int, ...], size: int) -> None:
    if len(set(locations)) != len(locations) or len(locations) > REPLICA_COUNT_MAX:
        raise OperationError(errno.EINVAL, f"not a set of locations: {locations}")
    if size and not locations:
        raise OperationError(errno.EIO, "a file with content needs a replica")
    for fsid in locations:
        check_fsid(fsid)


def check_fsid(fsid: int) -> None:
    """EINVAL for what can't be a filesystem id."""
    if not FSID_MIN <= fsid <= FSID_MAX:
        raise OperationError(errno.EINVAL, f"not an fsid: {fsid}")


def _exchange_content(
    tree: Tree, parent: Directory, inode: Inode, op: CommitFile, tag: int
) -> None:
    """The file stays what it is (owner, names, attributes) and gets content, replicas and fid of
    the upload: every record that names the old fid is written anew."""
    changes = tree.tables.changes
    node = tree.quota_node(parent)
    old_fid = inode.fid
    edit.account(tree, node, inode, -1)
    edit.unregister(tree, old_fid, inode.locations)
    changes.append((keys.inode(old_fid), None))
    if inode.nlink > 1:
        for key in edit.first_links(tree, inode, inode.nlink):
            holder, name = keys.link_name(key)
            changes.append((key, None))
            changes.append((keys.link(op.fid, holder, name), b""))
            changes.append((keys.entry(holder, name), keys.pack_fid(op.fid)))
        tree.rename_linked(inode, op.fid)
    else:
        changes.append((keys.entry(parent.fid, op.name), keys.pack_fid(op.fid)))
    inode.fid = op.fid
    if inode.xattrs:
        changes.append((keys.xattrs(old_fid), None))
        edit.set_xattrs(tree, inode, inode.xattrs)
    inode.size = op.size
    inode.layout = share_int(op.layout)
    inode.locations = share_locations(op.locations)
    inode.body = pack_checksums(op.adler32, op.crc32c)
    inode.mtime_ns, inode.ctime_ns = op.mtime_ns, op.time_ns
    inode.mode = share_int(inode.mode & ~(S_ISUID | S_ISGID))
    tree.see(op.fid)
    edit.account(tree, node, inode, 1)
    edit.register(tree, inode)
    edit.record(tree, inode, tag)


def _file(tree: Tree, fid: int) -> tuple[Inode, int]:
    """(regular file, its quota node). ENOENT, EISDIR, EINVAL."""
    inode = tree.inode(fid)
    if inode is None:
        raise OperationError(errno.ENOENT, f"file {fid} does not exist")
    if inode.is_dir:
        raise OperationError(errno.EISDIR, f"{inode.name!r} is a directory")
    if not inode.is_file:
        raise OperationError(errno.EINVAL, f"{inode.name!r} is not a regular file")
    return inode, tree.quota_node(parent_of(tree, inode.parent))


def update_file(tree: Tree, op: UpdateFile, tag: int) -> Result:
    """See ops.UpdateFile."""
    inode, node = _file(tree, op.fid)
    good = inode.locations if op.locations is None else op.locations
    locations = tuple(fsid for fsid in good if fsid not in op.lost)
    _check_locations(locations, op.size)
    fresh = tuple(fsid for fsid in locations if fsid not in inode.locations)
    _check_not_deleting(tree, op.fid, fresh)
    dropped = tuple(fsid for fsid in inode.locations if fsid not in locations)
    never = _to_discard(tree, op.fid, op.lost, inode.locations)

    edit.account(tree, node, inode, -1)
    edit.unregister(tree, op.fid, dropped)
    edit.discard(tree, op.fid, never)
    inode.size = op.size
    inode.body = pack_checksums(op.adler32, op.crc32c)
    inode.mtime_ns, inode.ctime_ns = op.mtime_ns, op.time_ns
    inode.mode = share_int(inode.mode & ~(S_ISUID | S_ISGID))
    _relocate(tree, inode, node, locations, tag)
    return Result(op.fid)


def _relocate(tree: Tree, inode: Inode, node: int, locations: tuple[int, ...], tag: int) -> None:
    """Give a file that was counted out its new locations, and count it in."""
    fresh = [fsid for fsid in locations if fsid not in inode.locations]
    inode.locations = share_locations(locations)
    edit.account(tree, node, inode, 1)
    for fsid in fresh:
        tree.tables.changes.append((keys.replica(fsid, inode.fid), b""))
    edit.record(tree, inode, tag)


def _to_discard(
    tree: Tree, fid: int, lost: tuple[int, ...], registered: tuple[int, ...]
) -> tuple[int, ...]:
    """Those lost fsids that are not registered and not on the way out already."""
    fsids = tuple(fsid for fsid in dict.fromkeys(lost) if fsid not in registered)
    for fsid in fsids:
        check_fsid(fsid)
    return tuple(fsid for fsid in fsids if not _is_deleting(tree, fid, fsid))


def _is_deleting(tree: Tree, fid: int, fsid: int) -> bool:
    return tree.tables.get(keys.deletion(fsid, fid)) is not None


def _check_not_deleting(tree: Tree, fid: int, fsids: tuple[int, ...]) -> None:
    for fsid in fsids:
        if _is_deleting(tree, fid, fsid):
            raise OperationError(
                errno.EINPROGRESS, f"fs {fsid} is still to delete an older replica of {fid}"
            )


def add_replica(tree: Tree, op: AddReplica, tag: int) -> Result:
    """See ops.AddReplica."""
    inode, node = _file(tree, op.fid)
    check_fsid(op.fsid)
    if op.fsid in inode.locations:
        return Result(op.fid, repeated=True)
    if len(inode.locations) >= REPLICA_COUNT_MAX:
        raise OperationError(errno.EMLINK, f"the file has {len(inode.locations)} replicas already")
    _check_not_deleting(tree, op.fid, (op.fsid,))
    edit.account(tree, node, inode, -1)
    _relocate(tree, inode, node, (*inode.locations, op.fsid), tag)
    return Result(op.fid)


def drop_replica(tree: Tree, op: DropReplica, tag: int) -> Result:
    """See ops.DropReplica."""
    inode, node = _file(tree, op.fid)
    if op.fsid not in inode.locations:
        raise OperationError(errno.ENODATA, f"fs {op.fsid} has no replica of {inode.name!r}")
    if len(inode.locations) == 1 and inode.size and not op.force:
        raise OperationError(errno.EINVAL, f"this is the last replica of {inode.name!r}")
    edit.account(tree, node, inode, -1)
    edit.unregister(tree, op.fid, (op.fsid,), delete=op.delete)
    left = tuple(fsid for fsid in inode.locations if fsid != op.fsid)
    _relocate(tree, inode, node, left, tag)
    return Result(op.fid)


def discard_replicas(tree: Tree, op: DiscardReplicas, tag: int) -> Result:
    """See ops.DiscardReplicas."""
    fsids: list[int] = []
    for fsid in dict.fromkeys(op.fsids):
        check_fsid(fsid)
        if tree.tables.get(keys.replica(fsid, op.fid)) is not None:
            raise OperationError(errno.EEXIST, f"fs {fsid} has a registered replica of {op.fid}")
        if not _is_deleting(tree, op.fid, fsid):
            fsids.append(fsid)
    tree.see(op.fid)
    edit.discard(tree, op.fid, tuple(fsids))
    return Result(op.fid)


def deletion_done(tree: Tree, op: DeletionDone, tag: int) -> Result:
    """See ops.DeletionDone."""
    for fsid, fid in dict.fromkeys(op.pairs):
        if FSID_MIN <= fsid <= FSID_MAX and _is_deleting(tree, fid, fsid):
            tree.tables.changes.append((keys.deletion(fsid, fid), None))
            tree.tables.add(keys.fs_counters(fsid), 0, 0, -1)
    return Result()
