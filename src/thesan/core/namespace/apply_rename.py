"""Rename, with every rule that POSIX has for it."""

import errno

from thesan.core.model.errors import OperationError
from thesan.core.namespace import edit, keys
from thesan.core.namespace.apply_names import (
    check_removable,
    drop_directory,
    parent_of,
    present,
)
from thesan.core.namespace.inode import Directory, Inode, Symlink
from thesan.core.namespace.ops import Rename, Result
from thesan.core.namespace.tree import Tree


def rename(tree: Tree, op: Rename, tag: int) -> Result:
    """See ops.Rename."""
    source = parent_of(tree, op.source_parent)
    moved = present(tree, source, op.source_name)
    target = parent_of(tree, op.target_parent)
    victim = tree.child(target, op.target_name)
    if victim is not None:
        if op.no_replace:
            raise OperationError(errno.EEXIST, f"{op.target_name!r} exists")
        if victim is moved:
            return Result(moved.fid)
        _check_victim(moved, victim, op.target_name)
    if isinstance(moved, Directory):
        _check_no_cycle(tree, moved, target)
    source_node, target_node = tree.quota_node(source), tree.quota_node(target)
    if source_node != target_node:
        _check_crossing(moved)

    replaced = 0
    if victim is not None:
        replaced = victim.fid if victim.nlink == 1 or victim.is_dir else 0
        if victim.is_dir:
            drop_directory(tree, target, op.target_name, tag)
        else:
            edit.drop_name(tree, target, op.target_name, op.time_ns, tag)
    if source_node != target_node and not isinstance(moved, Directory):
        edit.move_charge(tree, source_node, target_node, moved)
    _move(tree, op, moved, source, target)
    moved.ctime_ns = op.time_ns
    edit.record(tree, moved, tag)
    if target is not source:
        edit.stamp(tree, source, op.time_ns, tag)
    edit.stamp(tree, target, op.time_ns, tag)
    if isinstance(moved, Directory | Symlink):
        tree.tree_tag = tag
    return Result(moved.fid, replaced=replaced)


def _move(tree: Tree, op: Rename, moved: Inode, source: Directory, target: Directory) -> None:
    primary = moved.parent == source.fid and moved.name == op.source_name
    edit.remove_entry(tree, source, op.source_name)
    if primary:
        moved.parent, moved.name = target.fid, op.target_name
    if moved.nlink > 1 and not isinstance(moved, Directory):
        changes = tree.tables.changes
        changes.append((keys.link(moved.fid, source.fid, op.source_name), None))
        changes.append((keys.link(moved.fid, target.fid, op.target_name), b""))
    edit.add_entry(tree, target, op.target_name, moved)


def _check_victim(moved: Inode, victim: Inode, name: str) -> None:
    if isinstance(moved, Directory):
        check_removable(victim, name)
    elif victim.is_dir:
        raise OperationError(errno.EISDIR, f"{name!r} is a directory")


def _check_no_cycle(tree: Tree, moved: Directory, target: Directory) -> None:
    step: Directory | None = target
    while step is not None:
        if step is moved:
            raise OperationError(errno.EINVAL, "a directory can't be moved below itself")
        step = tree.directories.get(step.parent)


def _check_crossing(moved: Inode) -> None:
    """From one quota node to another: files are charged anew, but a tree can't be in one op."""
    if isinstance(moved, Directory):
        if moved.size and not moved.is_quota_node:
            raise OperationError(
                errno.EXDEV, "a directory with content can't be moved to another quota node"
            )
    elif moved.nlink > 1:
        raise OperationError(errno.EXDEV, "a hard-linked file can't leave its quota node")
