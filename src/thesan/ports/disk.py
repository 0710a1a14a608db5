"""A disk as an FST sees it: files below one directory, extended attributes, durability.

Relative paths only; the implementation refuses anything that leaves its directory (`..`, absolute,
a symbolic link on the way). Errors are OperationError with the operating system's errno.
Calls that may block run in a worker pool behind this port; `_now` calls are inline and short.
"""

from collections.abc import Sequence
from typing import NewType, Protocol

import msgspec

Handle = NewType("Handle", int)
"""An open file of this disk; its number means nothing elsewhere."""


class DiskUsage(msgspec.Struct, frozen=True):
    """statvfs, in bytes and inodes."""

    capacity_bytes: int
    free_bytes: int
    files: int
    free_files: int
    read_only: bool = False


class Disk(Protocol):
    """One mounted directory."""

    async def open(self, path: str, *, create: bool = False, write: bool = False) -> Handle:
        """Open a file; `create` makes it and its parent directories (0700/0600)."""
        ...

    async def create_marked(self, path: str, marker_path: str, marker: bytes) -> Handle:
        """Write the small file `marker_path`, then make `path`, open for writing: one trip.

        The marker is written as by `write_file`, not durably, but before the file it announces.
        EEXIST when `path` is there: the marker is removed again, and nothing has changed.
        """
        ...

    async def close(self, handle: Handle) -> None:
        """Close. A write error that the system held back is raised here."""
        ...

    def read_now(self, handle: Handle, offset: int, length: int) -> bytes | None:
        """Bytes already in memory (fewer at end of file), or None when the disk must be asked."""
        ...

    async def read(self, handle: Handle, offset: int, length: int) -> bytes:
        """Bytes at `offset`; fewer only at end of file."""
        ...

    async def readv(self, handle: Handle, items: Sequence[tuple[int, int]]) -> list[bytes]:
        """(offset, length) pairs, answered in order."""
        ...

    async def write(
        self, handle: Handle, offset: int, data: bytes | bytearray | memoryview
    ) -> None:
        """Write all of `data`. The caller does not change `data` until this returns."""
        ...

    async def write_summed(
        self,
        handle: Handle,
        offset: int,
        data: bytes | bytearray | memoryview,
        sums: tuple[int, int],
    ) -> tuple[int, int]:
        """As `write`, and continue `sums` = (adler32, crc32c) of all that precedes over `data`.

        One trip through memory: the checksums are taken where the bytes are written.
        """
        ...

    async def truncate(self, handle: Handle, size: int) -> None: ...

    async def sync(self, handle: Handle) -> None:
        """fsync: data, size and attributes. An error is final; never retry it as success."""
        ...

    async def seal(self, handle: Handle, name: str, value: bytes) -> None:
        """Set `user.` attribute `name` of an open file, then `sync` it: one trip."""
        ...

    async def size(self, handle: Handle) -> int: ...

    async def checksums(self, handle: Handle, size: int) -> tuple[int, int]:
        """(adler32, crc32c) of the first `size` bytes, read in a worker."""
        ...

    async def get_xattr(self, path: str, name: str) -> bytes | None:
        """Value of `user.` attribute `name`, None when absent."""
        ...

    async def set_xattr(self, path: str, name: str, value: bytes) -> None: ...

    async def read_file(self, path: str, bytes_max: int) -> bytes | None:
        """A whole small file, None when absent; EFBIG above `bytes_max`."""
        ...

    async def write_file(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Atomically replace a small file: write aside, fsync, rename, fsync the directory.

        Without `durable` nothing is fsynced: a crash of the process loses nothing, a crash of the
        machine may lose the content, but the name is there if any later file of this disk is.
        """
        ...

    async def rename(self, old: str, new: str) -> None:
        """Atomic, durable; makes the parent directories of `new`."""
        ...

    async def remove(self, path: str) -> bool:
        """True when it was there."""
        ...

    async def list(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty when the directory is absent."""
        ...

    async def usage(self) -> DiskUsage: ...
