"""Read-only views (signatures; the bodies follow)."""

from collections.abc import Iterator, Mapping

import msgspec

from thesan.core.model.identity import Identity
from thesan.core.model.limits import LIST_PAGE_ENTRIES
from thesan.core.namespace.inode import Inode
from thesan.core.namespace.state import Namespace


def lookup(ns: Namespace, path: str, identity: Identity, follow: bool = True) -> Inode:
    """The inode at an absolute path, symbolic links on the way followed, the last one if `follow`.

    Needs search permission (x) on each directory on the way. ENOENT, ENOTDIR, EACCES, ELOOP,
    EINVAL, ENAMETOOLONG."""
    raise NotImplementedError


def resolve(ns: Namespace, path: str, identity: Identity) -> tuple[Inode, str]:
    """(parent directory, last name) of a path whose last component may not exist."""
    raise NotImplementedError


def inode_of(ns: Namespace, fid: int) -> Inode | None:
    """By fid, without permission check."""
    raise NotImplementedError


def path_of(ns: Namespace, fid: int) -> str | None:
    """Absolute path of the primary name."""
    raise NotImplementedError


class Page(msgspec.Struct, gc=False):
    """One page of a listing."""

    entries: list[tuple[str, Inode]]
    after: str | None
    """Give it back for the next page; None at the end."""


def list_page(
    ns: Namespace, directory: Inode, after: str = "", limit: int = LIST_PAGE_ENTRIES
) -> Page:
    """Entries in name order (UTF-8 bytes) after the name `after`."""
    raise NotImplementedError


def find(
    ns: Namespace, top: Inode, identity: Identity, depth_max: int = 256
) -> Iterator[list[tuple[str, Inode]]]:
    """(path, inode) below `top`, depth first in name order, in pages; unreadable directories are
    skipped. Between two pages the caller may yield to the loop."""
    raise NotImplementedError


def config(ns: Namespace, section: str) -> Mapping[str, bytes]:
    """All values of a configuration section, in key order; a live view, do not change."""
    raise NotImplementedError


def replicas_on(
    ns: Namespace, fsid: int, after: int = 0, limit: int = LIST_PAGE_ENTRIES
) -> list[int]:
    """Committed: fids with a registered replica on the fs, ascending, greater than `after`."""
    raise NotImplementedError


def deletions_on(
    ns: Namespace, fsid: int, after: int = 0, limit: int = LIST_PAGE_ENTRIES
) -> list[int]:
    """Committed: fids whose replica on the fs awaits deletion, ascending, greater than `after`."""
    raise NotImplementedError


def has_replica(ns: Namespace, fsid: int, fid: int) -> bool:
    """Is the replica registered (Inquire)?"""
    raise NotImplementedError
