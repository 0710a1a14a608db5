"""Ops on names: make, link, remove. All checks first, then the changes."""

import errno

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import LINK_COUNT_MAX
from thesan.core.namespace import edit, keys
from thesan.core.namespace.inode import (
    S_IFLNK,
    S_IFREG,
    Directory,
    Inode,
    new_directory,
    new_inode,
    share_int,
)
from thesan.core.namespace.ops import (
    CreateFile,
    Link,
    MakeDirectory,
    RemoveDirectory,
    Result,
    Symlink,
    Unlink,
)
from thesan.core.namespace.tree import Tree


def parent_of(tree: Tree, fid: int) -> Directory:
    """The directory of an op. ENOENT; ENOTDIR."""
    directory = tree.directories.get(fid) or tree.directory(fid)
    if directory is None:
        if tree.inode(fid) is not None:
            raise OperationError(errno.ENOTDIR, "the parent is not a directory")
        raise OperationError(errno.ENOENT, "the parent directory does not exist")
    return directory


def absent(tree: Tree, directory: Directory, name: str) -> None:
    """EEXIST when the name is taken."""
    if tree.child(directory, name) is not None:
        raise OperationError(errno.EEXIST, f"{name!r} exists")


def present(tree: Tree, directory: Directory, name: str) -> Inode:
    """The entry. ENOENT."""
    inode = tree.child(directory, name)
    if inode is None:
        raise OperationError(errno.ENOENT, f"{name!r} does not exist")
    return inode


def fresh_fid(tree: Tree, fid: int) -> None:
    """Refuse a fid that is not reserved or in use: EINVAL."""
    if fid >= tree.fid_limit:
        raise OperationError(errno.EINVAL, f"fid {fid} is not reserved")
    if fid < tree.fid_seen and tree.tables.get(keys.inode(fid)) is not None:
        raise OperationError(errno.EINVAL, f"fid {fid} is in use")


def make_directory(tree: Tree, op: MakeDirectory, tag: int) -> Result:
    """See ops.MakeDirectory."""
    parent = parent_of(tree, op.parent)
    absent(tree, parent, op.name)
    fresh_fid(tree, op.fid)
    made = new_directory(
        op.fid,
        parent.fid,
        op.name,
        op.mode,
        share_int(op.uid),
        share_int(op.gid),
        op.time_ns,
    )
    tree.see(op.fid)
    edit.add_entry(tree, parent, op.name, made)
    inherited = {
        name: value
        for name, value in (parent.xattrs or {}).items()
        if name.startswith("sys.") and not name.startswith("sys.tmp.")
    }
    if inherited:
        edit.set_xattrs(tree, made, inherited)
    tree.tables.add_to_instance(directories=1)
    edit.record(tree, made, tag)
    edit.stamp(tree, parent, op.time_ns, tag)
    return Result(op.fid)


def create_file(tree: Tree, op: CreateFile, tag: int) -> Result:
    """See ops.CreateFile."""
    parent = parent_of(tree, op.parent)
    absent(tree, parent, op.name)
    fresh_fid(tree, op.fid)
    add_file(
        tree,
        parent,
        new_inode(
            S_IFREG | op.mode,
            parent.fid,
            op.name,
            op.uid,
            op.gid,
            1,
            0,
            op.time_ns,
            op.time_ns,
            op.time_ns,
            0,
            op.layout,
            (),
            fid=op.fid,
        ),
        op.time_ns,
        tag,
    )
    return Result(op.fid)


def symlink(tree: Tree, op: Symlink, tag: int) -> Result:
    """See ops.Symlink."""
    parent = parent_of(tree, op.parent)
    absent(tree, parent, op.name)
    fresh_fid(tree, op.fid)
    tree.tree_tag = tag
    add_file(
        tree,
        parent,
        new_inode(
            S_IFLNK | 0o777,
            parent.fid,
            op.name,
            op.uid,
            op.gid,
            1,
            len(op.target.encode()),
            op.time_ns,
            op.time_ns,
            op.time_ns,
            0,
            0,
            (),
            target=op.target,
            fid=op.fid,
        ),
        op.time_ns,
        tag,
    )
    return Result(op.fid)


def add_file(tree: Tree, parent: Directory, inode: Inode, time_ns: int, tag: int) -> None:
    """A new file or symbolic link enters the namespace under its primary name."""
    tree.see(inode.fid)
    edit.add_entry(tree, parent, inode.name, inode)
    edit.account(tree, tree.quota_node(parent), inode, 1)
    edit.register(tree, inode)
    edit.record(tree, inode, tag)
    edit.stamp(tree, parent, time_ns, tag)


def link(tree: Tree, op: Link, tag: int) -> Result:
    """See ops.Link."""
    inode = tree.inode(op.fid)
    if inode is None:
        raise OperationError(errno.ENOENT, "the file to link does not exist")
    if inode.is_dir:
        raise OperationError(errno.EPERM, "a directory can't have a second name")
    parent = parent_of(tree, op.parent)
    absent(tree, parent, op.name)
    if inode.nlink >= LINK_COUNT_MAX:
        raise OperationError(errno.EMLINK, f"the file has {inode.nlink} names already")
    holder = parent_of(tree, inode.parent)
    if tree.quota_node(holder) != tree.quota_node(parent):
        raise OperationError(errno.EXDEV, "a hard link can't reach into another quota node")
    changes = tree.tables.changes
    if inode.nlink == 1:
        tree.link_slots(inode)
        changes.append((keys.link(inode.fid, inode.parent, inode.name), b""))
    inode.nlink += 1
    changes.append((keys.link(inode.fid, parent.fid, op.name), b""))
    edit.add_entry(tree, parent, op.name, inode)
    inode.ctime_ns = op.time_ns
    edit.record(tree, inode, tag)
    edit.stamp(tree, parent, op.time_ns, tag)
    return Result(op.fid)


def unlink(tree: Tree, op: Unlink, tag: int) -> Result:
    """See ops.Unlink."""
    parent = parent_of(tree, op.parent)
    inode = present(tree, parent, op.name)
    if inode.is_dir:
        raise OperationError(errno.EISDIR, f"{op.name!r} is a directory")
    gone = inode.fid if inode.nlink == 1 else 0
    edit.drop_name(tree, parent, op.name, op.time_ns, tag)
    edit.stamp(tree, parent, op.time_ns, tag)
    return Result(inode.fid, replaced=gone)


def remove_directory(tree: Tree, op: RemoveDirectory, tag: int) -> Result:
    """See ops.RemoveDirectory."""
    parent = parent_of(tree, op.parent)
    inode = present(tree, parent, op.name)
    check_removable(inode, op.name)
    drop_directory(tree, parent, op.name, tag)
    edit.stamp(tree, parent, op.time_ns, tag)
    return Result(inode.fid, replaced=inode.fid)


def check_removable(inode: Inode, name: str) -> None:
    """Can this directory go? ENOTDIR, ENOTEMPTY, EBUSY."""
    if not isinstance(inode, Directory):
        raise OperationError(errno.ENOTDIR, f"{name!r} is not a directory")
    if inode.size:
        raise OperationError(errno.ENOTEMPTY, f"{name!r} has {inode.size} entries")
    if inode.is_quota_node:
        raise OperationError(errno.EBUSY, f"{name!r} is a quota node: remove the quota first")


def drop_directory(tree: Tree, parent: Directory, name: str, tag: int) -> None:
    """Remove a cached, checked directory; the caller stamps the parent."""
    inode = parent.children[name]
    tree.tree_tag = tag
    edit.remove_entry(tree, parent, name)
    tree.tables.changes.append((keys.inode(inode.fid), None))
    if inode.xattrs:
        tree.tables.changes.append((keys.xattrs(inode.fid), None))
    tree.tables.add_to_instance(directories=-1)
