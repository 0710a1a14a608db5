"""What one client expects of a directory that only it uses: the plainest possible file system.

An operation that ended without a definite answer taints the paths it touched: they are not used
again, and in the end hold nothing or any value that was ever put there.
"""

import errno
from collections.abc import Iterator
from typing import Any


class Expectation:
    """Files and directories below `top`, as its only user knows them."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.files: dict[str, str] = {}
        """Path -> value."""
        self.directories: dict[str, None] = {top: None}
        self.marks: dict[str, str] = {}
        """Path -> value of one extended attribute, of files and directories."""
        self.symlinks: dict[str, str] = {}
        """Path -> target; their names are used for nothing else."""
        self.tainted: dict[str, None] = {}
        """Roots of subtrees of which nothing definite is known."""
        self.put_ever: dict[str, None] = {}
        """Every value that was ever offered for any path."""

    # -- what an operation should answer -------------------------------------------------------
    def of_put(self, path: str, *, exclusive: bool) -> int:
        """errno that a put must end with, 0 for success."""
        if path in self.directories:
            return errno.EEXIST if exclusive else errno.EISDIR
        return errno.EEXIST if exclusive and path in self.files else 0

    def of_get(self, path: str) -> int:
        """errno of a get."""
        if path in self.directories:
            return errno.EISDIR
        return 0 if path in self.files else errno.ENOENT

    def of_mark(self, path: str) -> int:
        """errno of setting an extended attribute."""
        return 0 if path in self.files or path in self.directories else errno.ENOENT

    def of_remove(self, path: str) -> int:
        """errno of a remove of a file."""
        return self.of_get(path)

    def of_make_directory(self, path: str) -> int:
        """errno of a mkdir without -p."""
        return errno.EEXIST if path in self.files or path in self.directories else 0

    def of_remove_directory(self, path: str) -> int:
        """errno of a rmdir."""
        if path in self.files:
            return errno.ENOTDIR
        if path not in self.directories:
            return errno.ENOENT
        return errno.ENOTEMPTY if any(self.children(path)) else 0

    def of_rename(self, old: str, new: str) -> int:
        """errno of a rename with POSIX semantics."""
        if old not in self.files and old not in self.directories:
            return errno.ENOENT
        if old == new:
            return 0
        if old in self.directories:
            if new.startswith(f"{old}/"):
                return errno.EINVAL
            if new in self.files:
                return errno.ENOTDIR
            if new in self.directories and any(self.children(new)):
                return errno.ENOTEMPTY
            return 0
        return errno.EISDIR if new in self.directories else 0

    def of_symlink(self, path: str) -> int:
        """errno of making a symbolic link."""
        return errno.EEXIST if path in self.symlinks else 0

    def of_read_link(self, path: str) -> int:
        """errno of reading one."""
        return 0 if path in self.symlinks else errno.ENOENT

    # -- what it does --------------------------------------------------------------------------
    def put(self, path: str, value: str) -> None:
        """A put succeeded."""
        self.files[path] = value

    def remove(self, path: str) -> None:
        """A remove succeeded."""
        del self.files[path]
        self.marks.pop(path, None)

    def make_directory(self, path: str) -> None:
        """A mkdir succeeded."""
        self.directories[path] = None

    def remove_directory(self, path: str) -> None:
        """A rmdir succeeded."""
        del self.directories[path]
        self.marks.pop(path, None)

    def rename(self, old: str, new: str) -> None:
        """A rename succeeded."""
        if old == new:
            return
        self.marks.pop(new, None)
        self.directories.pop(new, None)
        for table in self._tables():
            moved = {path: table[path] for path in table if _is_below(path, old)}
            for path in moved:
                del table[path]
            for path, held in moved.items():
                table[new + path[len(old) :]] = held

    def _tables(self) -> tuple[dict[str, Any], ...]:
        return self.files, self.directories, self.marks, self.symlinks

    def taint(self, path: str) -> None:
        """Nothing definite is known below `path` from now on."""
        self.tainted[path] = None
        for table in self._tables():
            for held in [held for held in table if _is_below(held, path)]:
                del table[held]

    # -- views ---------------------------------------------------------------------------------
    def children(self, directory: str) -> Iterator[str]:
        """Names directly in a directory."""
        for table in (self.files, self.directories, self.symlinks):
            for path in table:
                head, _, name = path.rpartition("/")
                if head == directory and name:
                    yield name

    def is_tainted(self, path: str) -> bool:
        """Whether nothing definite is known of `path`."""
        return any(_is_below(path, root) for root in self.tainted)


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")
