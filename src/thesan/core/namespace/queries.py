"""Read-only views of a Namespace.

An Inode is good for the synchronous call that got it; across awaits keep its fid.
"""

import errno
from bisect import bisect_right
from collections.abc import Iterator, Mapping

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.limits import (
    LIST_PAGE_ENTRIES,
    LIST_SORTED_ENTRIES_MAX,
    PATH_BYTES_MAX,
    PATH_DEPTH_MAX,
    SYMLINK_FOLLOW_MAX,
)
from thesan.core.model.paths import check_name, components, normalise
from thesan.core.namespace import acl, keys
from thesan.core.namespace.access import check_search
from thesan.core.namespace.apply_instance import account_name, limits_of, section
from thesan.core.namespace.inode import Directory, Inode, Symlink
from thesan.core.namespace.state import Namespace


# -- paths ---------------------------------------------------------------------------------------
def lookup(ns: Namespace, path: str, identity: Identity, follow: bool = True) -> Inode:
    """The inode at an absolute path; symbolic links on the way are followed, the last one if
    `follow`. `..` in a link's target never leads above the root.

    Needs search permission (x) on each directory on the way. Raises OperationError ENOENT,
    ENOTDIR, EACCES, ELOOP, EINVAL, ENAMETOOLONG.
    """
    tree = ns.tree
    node: Inode = tree.root
    parent = node
    names = iter(path.split("/"))
    if next(names) == "" and path:
        uid = identity.uid
        try:
            for name in names:
                parent = node
                if uid and not node.open_x:  # type: ignore[attr-defined]
                    break
                node = node.children[name]  # type: ignore[attr-defined]
            else:
                if type(node) is not Symlink or not follow:
                    parent.used = True  # type: ignore[attr-defined]
                    return node
        except (KeyError, AttributeError):
            # Not cached, a file or a link on the way, or a name that has no entry: walk slowly.
            pass
    tree.make_room()
    return _walk(ns, components(path), identity, follow, path)


def _walk(ns: Namespace, names: list[str], who: Identity, follow: bool, path: str) -> Inode:
    tree = ns.tree
    node: Inode = tree.root
    ahead = names[::-1]
    links_seen = 0
    while ahead:
        name = ahead.pop()
        if not isinstance(node, Directory):
            raise OperationError(errno.ENOTDIR, f"{path}: {node.name!r} is not a directory")
        if name == "..":
            node = tree.directories.get(node.parent, tree.root)
            continue
        check_search(node, who)
        child = tree.child(node, name)
        if child is None:
            raise OperationError(errno.ENOENT, f"{path}: no such file or directory")
        target = child.target
        if target is None or not (ahead or follow):
            node = child
            continue
        links_seen += 1
        if links_seen > SYMLINK_FOLLOW_MAX:
            raise OperationError(errno.ELOOP, f"{path}: too many symbolic links")
        if target.startswith("/"):
            node = tree.root
        ahead += [step for step in reversed(target.split("/")) if step not in ("", ".")]
    return node


def resolve(ns: Namespace, path: str, identity: Identity) -> tuple[Directory, str]:
    """(parent directory, last name) of a path whose last component may not exist.

    Raises as `lookup` does for the parent; EBUSY for the root.
    """
    head, _, name = path.rpartition("/")
    if (
        name in ("", ".", "..")
        or not path.startswith("/")
        or len(path) * 4 > PATH_BYTES_MAX
        or path.count("/") > PATH_DEPTH_MAX
    ):
        # What is made must be reachable: the bounds of paths hold although the way is cached.
        head, _, name = normalise(path).rpartition("/")
        if not name:
            raise OperationError(errno.EBUSY, "the root directory can't be changed that way")
    is_old = "\n" in name  # an older version made such names: what is there can be removed
    if not is_old:
        check_name(name)
    parent = lookup(ns, head or "/", identity)
    if not isinstance(parent, Directory):
        raise OperationError(errno.ENOTDIR, f"{head}: not a directory")
    check_search(parent, identity)
    if is_old and ns.tree.child(parent, name) is None:
        check_name(name)
    return parent, name


def inode_of(ns: Namespace, fid: int) -> Inode | None:
    """By fid, without permission check; None when it does not exist."""
    ns.tree.make_room()
    return ns.tree.inode(fid)


def parent_of(ns: Namespace, inode: Inode) -> Directory:
    """Directory of the primary name; of the root itself."""
    return ns.tree.directory(inode.parent) or ns.tree.root


def path_of(ns: Namespace, fid: int) -> str | None:
    """Absolute path of the primary name; None when it does not exist."""
    inode = inode_of(ns, fid)
    return ns.tree.path(inode) if inode is not None else None


def rights(ns: Namespace, inode: Inode, identity: Identity) -> int:
    """rwx (4, 2, 1) that the caller has on a cached inode, its directory's ACL included."""
    return acl.rights(inode, identity, ns.tree.directories.get(inode.parent))


# -- listing -------------------------------------------------------------------------------------
class Page(msgspec.Struct, gc=False):
    """One page of a listing."""

    entries: list[tuple[str, Inode]]
    after: str | None
    """Give it back for the next page; None at the end."""


def list_page(
    ns: Namespace, directory: Inode, after: str = "", limit: int = LIST_PAGE_ENTRIES
) -> Page:
    """About `limit` entries in name order (UTF-8 bytes) after the name `after`.

    What appears or goes between two pages may be missed, as POSIX allows; nothing is seen twice.
    """
    directory = _live(ns, directory)
    cached = _cached_names(directory, after, limit)
    if cached is not None:
        children = directory.children
        return Page([(name, children[name]) for name in cached[0]], cached[1])
    prefix = keys.entries(directory.fid)
    start = prefix + after.encode() + b"\0" if after else prefix
    rows, proceed = ns.tree.tables.scan_group(prefix, start, limit)
    named = [(key[9:].decode(), keys.unpack_fid(value)) for key, value in rows]
    inodes = ns.tree.children_of(directory, named)
    if not after and proceed is None:
        directory.complete = True
    ns.tree.thin_crowd()
    entries = [(name, inode) for (name, _), inode in zip(named, inodes, strict=True)]
    return Page(entries, named[-1][0] if proceed is not None else None)


def list_names(
    ns: Namespace, directory: Inode, after: str = "", limit: int = LIST_PAGE_ENTRIES
) -> tuple[list[str], str | None]:
    """As `list_page`, the names alone: (names, where to go on)."""
    cached = _cached_names(_live(ns, directory), after, limit)
    if cached is not None:
        return cached
    page = list_page(ns, directory, after, limit)
    return [name for name, _ in page.entries], page.after


def _live(ns: Namespace, directory: Inode) -> Directory:
    if not isinstance(directory, Directory):
        raise OperationError(errno.ENOTDIR, f"{directory.name!r} is not a directory")
    live = ns.tree.directory(directory.fid)
    if live is None:
        raise OperationError(errno.ENOENT, f"directory {directory.name!r} is gone")
    return live


def _cached_names(
    directory: Directory, after: str, limit: int
) -> tuple[list[str], str | None] | None:
    """(names, where to go on) of a directory that is whole in memory; else None."""
    if not directory.complete or len(directory.children) > LIST_SORTED_ENTRIES_MAX:
        return None
    names = directory.names
    if names is None:
        names = directory.names = sorted(directory.children)
    first = bisect_right(names, after) if after else 0
    wanted = names[first : first + limit]
    return wanted, wanted[-1] if first + limit < len(names) else None


def find(
    ns: Namespace, top: Inode, identity: Identity, depth_max: int = PATH_DEPTH_MAX
) -> Iterator[list[tuple[str, Inode]]]:
    """Pages of (path, inode) of everything below `top`: directory by directory, each in name
    order, parents first. Directories that the caller may not list and search are entered in the
    page of their parent and skipped. The caller may yield to the loop between two pages."""
    stack = [(top.fid, "" if top.fid == ns.tree.root.fid else ns.tree.path(top), 1)]
    while stack:
        fid, path, depth = stack.pop()
        after: str | None = ""
        below: list[tuple[int, str, int]] = []
        while after is not None:
            ns.tree.make_room()
            directory = ns.tree.directory(fid)
            if directory is None or acl.rights(directory, identity) & 5 != 5:
                break
            page = list_page(ns, directory, after)
            after = page.after
            if depth < depth_max:
                below += [
                    (inode.fid, f"{path}/{name}", depth + 1)
                    for name, inode in page.entries
                    if isinstance(inode, Directory)
                ]
            yield [(f"{path}/{name}", inode) for name, inode in page.entries]
        stack += reversed(below)


class TreeUsage(msgspec.Struct, gc=False):
    """What is below a directory; hard-linked files count once."""

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    logical_bytes: int = 0
    physical_bytes: int = 0
    """Size times replicas."""


def du(ns: Namespace, top: Inode, identity: Identity) -> Iterator[TreeUsage]:
    """Running totals of what is below `top`, one for each page of the walk; the last is final."""
    usage = TreeUsage()
    linked: set[int] = set()
    for page in find(ns, top, identity):
        for _, inode in page:
            if isinstance(inode, Directory):
                usage.directories += 1
                continue
            if inode.nlink > 1:
                if inode.fid in linked:
                    continue
                linked.add(inode.fid)
            if isinstance(inode, Symlink):
                usage.symlinks += 1
            else:
                usage.files += 1
                usage.logical_bytes += inode.size
                usage.physical_bytes += inode.physical_bytes
        yield usage


# -- counters ------------------------------------------------------------------------------------
class Counters(msgspec.Struct, frozen=True):
    """Of the whole instance, pending ops included."""

    files: int
    directories: int
    symlinks: int
    logical_bytes: int
    physical_bytes: int
    quota_nodes: int


def counters(ns: Namespace) -> Counters:
    """What `ns stat` and statfs show."""
    return Counters(*ns.tree.tables.counters(keys.INSTANCE, keys.INSTANCE_COUNTERS))


class FsCounters(msgspec.Struct, frozen=True):
    """Of one filesystem, pending ops included."""

    replicas: int
    bytes: int
    deletions: int
    """Replicas that the FST is still to delete."""


def fs_counters(ns: Namespace, fsid: int) -> FsCounters:
    """What is registered on a filesystem."""
    return FsCounters(*ns.tree.tables.counters(keys.fs_counters(fsid), keys.FS_COUNTERS))


def config(ns: Namespace, section_name: str) -> Mapping[str, bytes]:
    """All values of a configuration section; a live view: do not keep or change it."""
    return section(ns.tree, section_name)


# -- replicas ------------------------------------------------------------------------------------
def replicas_on(
    ns: Namespace, fsid: int, after: int = 0, limit: int = LIST_PAGE_ENTRIES
) -> list[int]:
    """Committed: fids with a registered replica on the fs, ascending, greater than `after`."""
    start, end = keys.replica(fsid, after + 1), keys.after(keys.replica(fsid, 0)[:3])
    return [keys.replica_fid(key) for key, _ in ns.tree.tables.committed(start, end, limit)]


def deletions_on(
    ns: Namespace, fsid: int, after: int = 0, limit: int = LIST_PAGE_ENTRIES
) -> list[int]:
    """Committed: fids whose replica on the fs awaits deletion, ascending, greater than `after`."""
    start, end = keys.deletion(fsid, after + 1), keys.after(keys.deletion(fsid, 0)[:3])
    return [keys.replica_fid(key) for key, _ in ns.tree.tables.committed(start, end, limit)]


def has_replica(ns: Namespace, fsid: int, fid: int) -> bool:
    """Is the replica registered, pending ops included?"""
    return ns.tree.tables.get(keys.replica(fsid, fid)) is not None


# -- quota ---------------------------------------------------------------------------------------
class QuotaLine(msgspec.Struct, frozen=True):
    """Usage and limits of one account of a quota node; None: no limit."""

    kind: str
    """`u`, `g` or `p` (project: everything in the node)."""
    id: int
    physical_bytes: int
    logical_bytes: int
    files: int
    bytes_max: int | None
    files_max: int | None


def quota_nodes(ns: Namespace, after: int = 0, limit: int = LIST_PAGE_ENTRIES) -> list[int]:
    """Fids of quota nodes, ascending, greater than `after`; at most `limit`."""
    found = [keys.unpack_fid(key[1:]) for key in ns.tree.tables.merged(b"Q")]
    return found[bisect_right(found, after) :][:limit]


def quota_node_of(ns: Namespace, directory: Inode) -> int:
    """Fid of the quota node that accounts what is in a directory; 0 for none."""
    return ns.tree.quota_node(directory) if isinstance(directory, Directory) else 0


def quota_lines(ns: Namespace, node: int) -> list[QuotaLine]:
    """Every account of a quota node that has a limit or usage, by kind and id."""
    tables = ns.tree.tables
    limits = limits_of(ns.tree, node)
    accounts = {(name[0], int(name[1:])) for name in limits}
    prefix = b"NQ" + keys.pack_fid(node)
    accounts.update(keys.quota_account(key) for key in tables.counter_keys(prefix))
    lines: list[QuotaLine] = []
    for kind, number in sorted(accounts):
        used = tables.counters(keys.quota_counters(node, kind, number), keys.QUOTA_COUNTERS)
        bytes_max, files_max = limits.get(account_name(kind, number), (None, None))
        if any(used) or bytes_max is not None or files_max is not None:
            physical, logical, files = used
            lines.append(QuotaLine(kind, number, physical, logical, files, bytes_max, files_max))
    return lines
