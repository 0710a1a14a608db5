"""Walks over a tree: find and remove. Many requests ahead, results in order.

A listing shows a symbolic link as what it leads to. Before a walk enters a directory it asks
whether that is a link: a walk that followed one could go round for ever, or remove what is
elsewhere. Whoever changes or copies what a walk shows must know of links to files, too: for them
every entry is asked (`every_link`).
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import TREE_REQUESTS_PARALLEL
from thesan.core.wire.bodies import DirEntry, StatInfo
from thesan.core.wire.numbers import StatFlag
from thesan.io.tasks import TaskOwner

if TYPE_CHECKING:
    from thesan.roles.client.filesystem import Filesystem

_NOT_A_LINK: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOENT})
"""What readlink says of a file or directory; of a server without links; of what vanished."""
_MAY_BE_LINKS: Final = int(StatFlag.IS_DIR | StatFlag.OTHER)
"""What looks like a directory, and what leads nowhere."""

Failed = Callable[[str, OperationError], None]
"""Told of a directory that could not be listed."""


class Found(msgspec.Struct, gc=False):
    """One entry of a walk."""

    path: str
    stat: StatInfo
    link: str | None = None
    """Text of a symbolic link to a directory or to nothing, with `every_link` also to a file."""
    pruned: bool = False
    """Set by whoever walks: do not go into this directory."""

    @property
    def is_dir(self) -> bool:
        """A directory that the walk goes into."""
        return self.link is None and bool(self.stat.flags & StatFlag.IS_DIR)


def child_of(directory: str, name: str) -> str:
    """Path of an entry."""
    return f"/{name}" if directory == "/" else f"{directory}/{name}"


async def find(
    fs: "Filesystem",
    top: str,
    depth_max: int | None = None,
    *,
    every_link: bool = False,
    failed: Failed | None = None,
) -> AsyncIterator[Found]:
    """Everything below `top`, depth first; of directories that vanish meanwhile, nothing.

    `every_link`: tell links to files apart from files, which costs a request for each entry.
    With `failed` a directory below `top` that can't be listed does not end the walk.
    """
    tasks = TaskOwner(f"find {top}")
    try:
        # What is still to be shown, last first. Listings of directories near the end are begun
        # ahead; their number is what bounds the memory of a walk.
        first = await _children(fs, top, 1, every_link)
        stack = _reversed(first, depth_max)
        while stack:
            for entry in stack[-TREE_REQUESTS_PARALLEL:]:
                if entry.wants_children and entry.listing is None:
                    work = _children(fs, entry.found.path, entry.depth + 1, every_link)
                    entry.listing = tasks.start("list", work)
            entry = stack.pop()
            yield entry.found
            if entry.listing is None or entry.found.pruned:
                continue
            try:
                stack += _reversed(await entry.listing, depth_max)
            except OperationError as error:
                if failed is None:
                    raise
                failed(entry.found.path, error)
    finally:
        await tasks.close()


class _Pending:
    """An entry to be shown, and the listing of what is below it."""

    __slots__ = ("depth", "found", "listing", "wants_children")

    def __init__(self, found: Found, depth: int) -> None:
        self.found = found
        self.depth = depth
        self.wants_children = False
        self.listing: asyncio.Task[list[_Pending]] | None = None


def _reversed(entries: list[_Pending], depth_max: int | None) -> list[_Pending]:
    for entry in entries:
        entry.wants_children = entry.found.is_dir and (depth_max is None or entry.depth < depth_max)
    return entries[::-1]


async def _children(
    fs: "Filesystem", directory: str, depth: int, every_link: bool
) -> list[_Pending]:
    try:
        entries = await fs.ls(directory, stat=True)
    except OperationError as error:
        if error.errno == errno.ENOENT and depth > 1:
            return []
        raise
    entries.sort(key=lambda entry: entry.name)
    found = await _look_at(fs, directory, entries, every_link)
    return [_Pending(each, depth) for each in found]


async def _look_at(
    fs: "Filesystem", directory: str, entries: list[DirEntry], every_link: bool
) -> list[Found]:
    """The entries, with links told apart from what they lead to."""
    found = [
        Found(child_of(directory, entry.name), entry.stat)
        for entry in entries
        if entry.stat is not None
    ]
    asked = [entry for entry in found if every_link or entry.stat.flags & _MAY_BE_LINKS]
    for start in range(0, len(asked), TREE_REQUESTS_PARALLEL):
        part = asked[start : start + TREE_REQUESTS_PARALLEL]
        links = await asyncio.gather(*(_link_text(fs, entry.path) for entry in part))
        for entry, link in zip(part, links, strict=True):
            entry.link = link
    return found


async def _link_text(fs: "Filesystem", path: str) -> str | None:
    try:
        return await fs.readlink(path)
    except OperationError as error:
        if error.errno in _NOT_A_LINK:
            return None
        raise


async def remove_tree(fs: "Filesystem", top: str) -> int:
    """Remove `top` and everything below it; returns the number of entries removed."""
    if top == "/":
        raise OperationError(errno.EBUSY, "the root directory is never removed")
    if await _remove_leaf(fs, top):
        return 1
    directories = [top]
    leaves: list[str] = []
    count = 0
    async for entry in find(fs, top, None):
        if entry.is_dir:
            directories.append(entry.path)
            continue
        leaves.append(entry.path)
        if len(leaves) == TREE_REQUESTS_PARALLEL:
            count += await _remove_all(fs, leaves)
            leaves.clear()
    count += await _remove_all(fs, leaves)
    # Children come after their parents in a walk, so the reverse order empties each one first.
    for path in reversed(directories):
        await fs.rmdir(path)
    return count + len(directories)


async def _remove_leaf(fs: "Filesystem", path: str) -> bool:
    """Remove a file or a link; False when it is a directory."""
    try:
        await fs.rm(path)
    except OperationError as error:
        if error.errno == errno.EISDIR:
            return False
        raise
    return True


async def _remove_all(fs: "Filesystem", paths: list[str]) -> int:
    """Remove files at once; one that somebody else removed is fine."""
    results = await asyncio.gather(*(fs.rm(path) for path in paths), return_exceptions=True)
    removed = 0
    for result in results:
        if result is None:
            removed += 1
        elif not (isinstance(result, OperationError) and result.errno == errno.ENOENT):
            raise result
    return removed
