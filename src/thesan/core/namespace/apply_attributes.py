"""Ops on modes, owners, times and extended attributes. All checks first, then the changes."""

import errno

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import XATTR_COUNT_MAX, XATTR_TOTAL_BYTES_MAX
from thesan.core.namespace import edit
from thesan.core.namespace.apply_names import parent_of
from thesan.core.namespace.inode import S_IFMT, Directory, Inode, share_int
from thesan.core.namespace.ops import RemoveXattr, Result, SetAttributes, SetXattr
from thesan.core.namespace.tree import Tree


def _any(tree: Tree, fid: int) -> Inode:
    inode = tree.inode(fid)
    if inode is None:
        raise OperationError(errno.ENOENT, f"object {fid} does not exist")
    return inode


def _note_walk(tree: Tree, inode: Inode, tag: int) -> None:
    """Permissions of a directory and a link's owner decide what walks through them."""
    if isinstance(inode, Directory):
        inode.set_open()
        tree.tree_tag = tag


def set_attributes(tree: Tree, op: SetAttributes, tag: int) -> Result:
    """See ops.SetAttributes."""
    inode = _any(tree, op.fid)
    node = 0
    if not isinstance(inode, Directory) and (op.uid is not None or op.gid is not None):
        node = tree.quota_node(parent_of(tree, inode.parent))
    if node:
        edit.move_charge(tree, node, 0, inode)
    if op.uid is not None:
        inode.uid = share_int(op.uid)
    if op.gid is not None:
        inode.gid = share_int(op.gid)
    if node:
        edit.move_charge(tree, 0, node, inode)
    if op.mode is not None:
        inode.mode = share_int(inode.mode & S_IFMT | op.mode)
    if op.mtime_ns is not None:
        inode.mtime_ns = op.mtime_ns
    if op.layout is not None and inode.is_file:
        inode.layout = share_int(op.layout)
    inode.ctime_ns = op.time_ns
    _note_walk(tree, inode, tag)
    edit.record(tree, inode, tag)
    return Result(op.fid)


def set_xattr(tree: Tree, op: SetXattr, tag: int) -> Result:
    """See ops.SetXattr."""
    inode = _any(tree, op.fid)
    xattrs = dict(inode.xattrs or {})
    if op.create and op.name in xattrs:
        raise OperationError(errno.EEXIST, f"attribute {op.name} exists")
    if op.replace and op.name not in xattrs:
        raise OperationError(errno.ENODATA, f"attribute {op.name} does not exist")
    xattrs[op.name] = op.value
    if len(xattrs) > XATTR_COUNT_MAX:
        raise OperationError(errno.ENOSPC, f"more than {XATTR_COUNT_MAX} attributes")
    total = sum(len(name) + len(value) for name, value in xattrs.items())
    if total > XATTR_TOTAL_BYTES_MAX:
        raise OperationError(errno.ENOSPC, f"attributes above {XATTR_TOTAL_BYTES_MAX} bytes")
    _replace_xattrs(tree, inode, xattrs, op.time_ns, tag)
    return Result(op.fid)


def remove_xattr(tree: Tree, op: RemoveXattr, tag: int) -> Result:
    """See ops.RemoveXattr."""
    inode = _any(tree, op.fid)
    xattrs = dict(inode.xattrs or {})
    if xattrs.pop(op.name, None) is None:
        raise OperationError(errno.ENODATA, f"attribute {op.name} does not exist")
    _replace_xattrs(tree, inode, xattrs, op.time_ns, tag)
    return Result(op.fid)


def _replace_xattrs(
    tree: Tree, inode: Inode, xattrs: dict[str, bytes], time_ns: int, tag: int
) -> None:
    edit.set_xattrs(tree, inode, xattrs)
    inode.ctime_ns = time_ns
    _note_walk(tree, inode, tag)
    edit.record(tree, inode, tag)
