"""The steps that ops are made of. Each assumes that every check was made: none of them fails."""

from thesan.core.namespace import keys
from thesan.core.namespace.inode import (
    FLAG_XATTRS,
    Directory,
    Inode,
    Symlink,
    encode_record,
    encode_xattrs,
)
from thesan.core.namespace.tree import Tree


def record(tree: Tree, inode: Inode, tag: int) -> None:
    """The inode has changed: write its record. Call it last."""
    inode.seq = tag
    inode.text = None
    tree.tables.touched.append(inode)
    tree.tables.changes.append((keys.inode(inode.fid), encode_record(inode)))


def stamp(tree: Tree, directory: Directory, time_ns: int, tag: int) -> None:
    """An entry came or went: new times, and the record."""
    directory.mtime_ns = directory.ctime_ns = time_ns
    record(tree, directory, tag)


def add_entry(tree: Tree, directory: Directory, name: str, inode: Inode) -> None:
    """A name for an inode; the caller stamps the directory and records the inode."""
    tree.tables.changes.append((keys.entry(directory.fid, name), keys.pack_fid(inode.fid)))
    tree.attach(directory, name, inode)
    directory.size += 1
    directory.names = None
    if isinstance(inode, Directory):
        directory.nlink += 1


def remove_entry(tree: Tree, directory: Directory, name: str) -> None:
    """Take a cached name away; the caller stamps the directory."""
    if isinstance(directory.children[name], Directory):
        directory.nlink -= 1
    tree.tables.changes.append((keys.entry(directory.fid, name), None))
    tree.detach(directory, name)
    directory.size -= 1
    directory.names = None


def set_xattrs(tree: Tree, inode: Inode, xattrs: dict[str, bytes]) -> None:
    """Replace all attributes; the caller records the inode."""
    if xattrs:
        inode.xattrs = xattrs
        inode.flags |= FLAG_XATTRS
        tree.tables.changes.append((keys.xattrs(inode.fid), encode_xattrs(xattrs)))
    else:
        inode.xattrs = None
        inode.flags &= ~FLAG_XATTRS
        tree.tables.changes.append((keys.xattrs(inode.fid), None))
    if isinstance(inode, Directory):
        inode.set_open()


def account(tree: Tree, node: int, inode: Inode, sign: int) -> None:
    """Count a file or symbolic link in (sign 1) or out (-1), with its registered replicas.

    `node` is the quota node that it belongs to, 0 for none.
    """
    tables = tree.tables
    if isinstance(inode, Symlink):
        tables.add_to_instance(symlinks=sign)
        logical = physical = 0
    else:
        logical = sign * inode.size
        physical = logical * len(inode.locations)
        tables.add_to_instance(sign, 0, 0, logical, physical)
        for fsid in inode.locations:
            tables.add(keys.fs_counters(fsid), sign, logical, 0)
    if node:
        charge(tree, node, inode, physical, logical, sign)


def charge(tree: Tree, node: int, inode: Inode, physical: int, logical: int, files: int) -> None:
    """Add to the usage of the accounts of an inode in a quota node."""
    add = tree.tables.add
    add(keys.quota_counters(node, "u", inode.uid), physical, logical, files)
    add(keys.quota_counters(node, "g", inode.gid), physical, logical, files)
    add(keys.quota_counters(node, "p", 0), physical, logical, files)


def move_charge(tree: Tree, source: int, target: int, inode: Inode) -> None:
    """A file goes from one quota node to another (0: none)."""
    logical = 0 if isinstance(inode, Symlink) else inode.size
    physical = logical * len(inode.locations)
    if source:
        charge(tree, source, inode, -physical, -logical, -1)
    if target:
        charge(tree, target, inode, physical, logical, 1)


def register(tree: Tree, inode: Inode) -> None:
    """Write the replica index of all locations; counters are the caller's."""
    for fsid in inode.locations:
        tree.tables.changes.append((keys.replica(fsid, inode.fid), b""))


def unregister(tree: Tree, fid: int, fsids: tuple[int, ...], *, delete: bool = True) -> None:
    """Take replicas out of the index; `delete` has the FST remove them from disk."""
    for fsid in fsids:
        tree.tables.changes.append((keys.replica(fsid, fid), None))
    if delete:
        discard(tree, fid, fsids)


def discard(tree: Tree, fid: int, fsids: tuple[int, ...]) -> None:
    """Have FSTs remove replicas that are not in the index (any more)."""
    for fsid in fsids:
        tree.tables.changes.append((keys.deletion(fsid, fid), b""))
        tree.tables.add(keys.fs_counters(fsid), 0, 0, 1)


def drop_inode(tree: Tree, node: int, inode: Inode) -> None:
    """The last name of a file or symbolic link is gone: remove it, its replicas await deletion."""
    account(tree, node, inode, -1)
    tree.tables.changes.append((keys.inode(inode.fid), None))
    if inode.xattrs:
        tree.tables.changes.append((keys.xattrs(inode.fid), None))
    unregister(tree, inode.fid, inode.locations)


def drop_name(tree: Tree, directory: Directory, name: str, time_ns: int, tag: int) -> None:
    """Remove a cached name of a file or symbolic link, and the inode with its last name; the
    caller stamps the directory."""
    inode = directory.children[name]
    node = tree.quota_node(directory)
    if isinstance(inode, Symlink):
        tree.tree_tag = tag
    if inode.nlink == 1:
        remove_entry(tree, directory, name)
        drop_inode(tree, node, inode)
        return
    changes = tree.tables.changes
    gone = keys.link(inode.fid, directory.fid, name)
    changes.append((gone, None))
    if inode.nlink == 2 or (inode.parent == directory.fid and inode.name == name):
        others = [key for key in first_links(tree, inode, 2) if key != gone]
        inode.parent, inode.name = keys.link_name(others[0])
        if inode.nlink == 2:
            changes.append((others[0], None))
    remove_entry(tree, directory, name)
    if inode.nlink == 2:
        tree.unlink_slots(inode)
    inode.nlink -= 1
    inode.ctime_ns = time_ns
    record(tree, inode, tag)


def first_links(tree: Tree, inode: Inode, count: int) -> list[bytes]:
    """At least `count` L keys (or all) of an inode with several names, in order."""
    prefix = keys.links(inode.fid)
    found: list[bytes] = []
    start: bytes | None = prefix
    while start is not None and len(found) < count:
        rows, start = tree.tables.scan_group(prefix, start, count)
        found += [key for key, _ in rows]
    return found
