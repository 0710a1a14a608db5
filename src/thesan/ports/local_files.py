"""Files of the caller's own machine: what `thesan cp` reads from and writes to.

Paths are the caller's (relative ones too) and reach wherever the caller may reach: this is the
user's side, not an FST's disk. Errors are OperationError with the operating system's errno.
"""

from enum import Enum
from typing import Protocol

import msgspec


class LocalKind(Enum):
    """What stands at a local path."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"
    """A device, a pipe: read and written in place, never replaced."""


class LocalStat(msgspec.Struct, frozen=True):
    """lstat or stat of a local path."""

    kind: LocalKind
    size: int
    mode: int
    """Permission bits, 07777."""
    mtime_ns: int


class Source(Protocol):
    """Bytes in order, of unknown length."""

    async def read(self, length: int) -> bytes:
        """Up to `length` bytes; fewer does not mean the end, empty does."""
        ...


class Sink(Protocol):
    """Where bytes go in order."""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take all of `data`."""
        ...


class LocalReader(Protocol):
    """A local file open for reading."""

    async def read(self, offset: int, length: int) -> bytes:
        """Bytes at `offset`; fewer only at end of file."""
        ...

    async def close(self) -> None: ...


class LocalWriter(Protocol):
    """A local file being written: it appears under its name at `commit`, whole or not at all."""

    async def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data`."""
        ...

    async def commit(self, mtime_ns: int | None = None) -> None:
        """Give it its name, and `mtime_ns` when that is set, and close it."""
        ...

    async def discard(self) -> None:
        """Close it and leave nothing. Safe after `commit`, and twice."""
        ...


class LocalFiles(Protocol):
    """The local file system of the caller."""

    async def stat(self, path: str, *, follow: bool = True) -> LocalStat | None:
        """None when nothing is there (nor behind a link that is followed)."""
        ...

    async def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        ...

    async def mkdir(self, path: str, mode: int = 0o777, *, follow: bool = True) -> None:
        """Make a directory and its missing parents; one that is there already is fine.

        Without `follow` a symbolic link at `path` is no directory (ENOTDIR), and the parent must
        be there.
        """
        ...

    async def readlink(self, path: str) -> str: ...

    async def symlink(self, target: str, path: str) -> None:
        """Make `path` a link to `target`. EEXIST when something is there."""
        ...

    async def open_read(self, path: str) -> LocalReader: ...

    async def open_write(
        self, path: str, mode: int = 0o666, *, replace: bool = True, follow: bool = True
    ) -> LocalWriter:
        """Begin a file with permission bits `mode` less the umask.

        Without `replace` an existing file is EEXIST, here or at commit. Without `follow` a
        symbolic link at `path` is such a file itself: what it leads to is not touched.
        """
        ...

    def stdin(self) -> Source: ...

    def stdout(self) -> Sink: ...
