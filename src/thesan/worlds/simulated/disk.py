"""`ports.disk` over a simulated platter: the view of one process, with seeded service times.

A call's effect happens at the end of its time whether or not its caller still waits, as in a worker
thread; a killed process loses its calls in progress and its handles.
"""

import asyncio
import errno
import random
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from google_crc32c import extend as extend_crc32c
from zlib_ng.zlib_ng import adler32

from thesan.core.model.errors import OperationError
from thesan.ports.disk import DiskUsage, Handle
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.platter import INODE_COUNT_MAX, Inode, Platter

_T = TypeVar("_T")
Data = bytes | bytearray | memoryview

CALL_SECONDS_MEAN: Final = 0.0001
"""A call that the page cache answers."""
SYNC_SECONDS_MEAN: Final = 0.003
"""An fsync of a good disk."""
INLINE_SHARE: Final = 0.7
"""Share of small writes and reads that are done at once, as worlds.real does."""


class SimDisk:
    """One mounted directory, seen by one process."""

    def __init__(self, loop: SimLoop, platter: Platter, seed: str) -> None:
        self._loop = loop
        self._platter = platter
        self._random = random.Random(f"{seed} disk {platter.label}")
        self._files: dict[int, Inode] = {}
        self._last_handle = 0
        self._check(writes=False)

    # -- open files ----------------------------------------------------------------------------
    async def open(self, path: str, *, create: bool = False, write: bool = False) -> Handle:
        """Open a file; `create` makes it and its parent directories."""
        _check_path(path)

        def work() -> Handle:
            self._check(writes=create or write)
            inode = self._platter.names.get(path)
            if inode is None and create and path not in self._platter.directories:
                inode = Inode()
                self._platter.link(path, inode)
            else:
                inode = self._platter.file(path)
            return self._handle_of(inode)

        return await self._run(work, CALL_SECONDS_MEAN)

    async def create_marked(self, path: str, marker_path: str, marker: bytes) -> Handle:
        """Write `marker_path`, then make `path`; a crash may fall between the two."""
        _check_path(path)

        def work() -> Handle:
            self._check(writes=True)
            if path in self._platter.names or path in self._platter.directories:
                self._platter.unlink(marker_path)
                raise OperationError(errno.EEXIST, f"{self._platter.label}/{path} is there")
            inode = Inode()
            self._platter.link(path, inode)
            return self._handle_of(inode)

        await self.write_file(marker_path, marker, durable=False)
        return await self._run(work, CALL_SECONDS_MEAN)

    async def close(self, handle: Handle) -> None:
        """Close."""
        if self._files.pop(handle, None) is None:
            raise OperationError(errno.EBADF, f"close of an unknown handle {handle}")

    def read_now(self, handle: Handle, offset: int, length: int) -> bytes | None:
        """Bytes already in memory, or by chance None."""
        inode = self._file(handle)
        if self._platter.faults.dead or self._random.random() > INLINE_SHARE:
            return None
        return bytes(inode.data[offset : offset + length])

    async def read(self, handle: Handle, offset: int, length: int) -> bytes:
        """Bytes at `offset`; fewer only at end of file."""
        return (await self.readv(handle, [(offset, length)]))[0]

    async def readv(self, handle: Handle, items: Sequence[tuple[int, int]]) -> list[bytes]:
        """(offset, length) pairs, answered in order."""
        inode = self._file(handle)

        def work() -> list[bytes]:
            self._check(writes=False)
            return [bytes(inode.data[offset : offset + length]) for offset, length in items]

        return await self._run(work, CALL_SECONDS_MEAN)

    async def write(self, handle: Handle, offset: int, data: Data) -> None:
        """Write all of `data`."""
        inode = self._file(handle)

        def work() -> None:
            self._check(writes=True)
            self._platter.write(inode, offset, bytes(data))

        if self._platter.faults.slow_factor <= 1.0 and self._random.random() < INLINE_SHARE:
            work()
        else:
            await self._run(work, CALL_SECONDS_MEAN)

    async def write_summed(
        self, handle: Handle, offset: int, data: Data, sums: tuple[int, int]
    ) -> tuple[int, int]:
        """As `write`, and continue `sums` = (adler32, crc32c) over `data`."""
        await self.write(handle, offset, data)
        return adler32(data, sums[0]), extend_crc32c(sums[1], bytes(data))

    async def truncate(self, handle: Handle, size: int) -> None:
        """Set the size; a longer file gets a hole."""
        inode = self._file(handle)

        def work() -> None:
            self._check(writes=True)
            self._platter.truncate(inode, size)

        await self._run(work, CALL_SECONDS_MEAN)

    async def sync(self, handle: Handle) -> None:
        """fsync."""
        inode = self._file(handle)

        def work() -> None:
            self._check(writes=True)
            self._platter.sync(inode)

        await self._run(work, SYNC_SECONDS_MEAN)

    async def seal(self, handle: Handle, name: str, value: bytes) -> None:
        """Set attribute `name` of an open file, then fsync."""
        inode = self._file(handle)

        def work() -> None:
            self._check(writes=True)
            self._platter.set_inode_xattr(inode, name, bytes(value))
            self._platter.sync(inode)

        await self._run(work, SYNC_SECONDS_MEAN)

    async def size(self, handle: Handle) -> int:
        """Bytes."""
        return len(self._file(handle).data)

    async def checksums(self, handle: Handle, size: int) -> tuple[int, int]:
        """(adler32, crc32c) of the first `size` bytes."""
        data = await self.read(handle, 0, size)
        if len(data) != size:
            raise OperationError(errno.EIO, f"file ends at {len(data)}, not at {size}")
        return adler32(data), extend_crc32c(0, data)

    # -- whole files and names -----------------------------------------------------------------
    async def get_xattr(self, path: str, name: str) -> bytes | None:
        """Value of attribute `name`, None when absent."""

        def work() -> bytes | None:
            self._check(writes=False)
            return self._platter.file(path).xattrs.get(name)

        return await self._run(work, CALL_SECONDS_MEAN)

    async def set_xattr(self, path: str, name: str, value: bytes) -> None:
        """Set attribute `name`; durable with the next `sync` of the file."""

        def work() -> None:
            self._check(writes=True)
            self._platter.set_xattr(path, name, bytes(value))

        await self._run(work, CALL_SECONDS_MEAN)

    async def read_file(self, path: str, bytes_max: int) -> bytes | None:
        """A whole small file, None when absent; EFBIG above `bytes_max`."""
        _check_path(path)

        def work() -> bytes | None:
            self._check(writes=False)
            inode = self._platter.names.get(path)
            if inode is None:
                return None
            if len(inode.data) > bytes_max:
                raise OperationError(errno.EFBIG, f"longer than {bytes_max} bytes")
            return bytes(inode.data)

        return await self._run(work, CALL_SECONDS_MEAN)

    async def write_file(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Atomically replace a small file: aside, fsync, rename, fsync of the directory."""
        _check_path(path)
        aside = f"{path}.{self._last_handle}.new"

        def begin() -> None:
            self._check(writes=True)
            inode = Inode()
            self._platter.write(inode, 0, bytes(data))
            self._platter.link(aside, inode)
            if durable:
                self._platter.sync(inode)
            self._platter.rename(aside, path)

        def end() -> None:
            self._check(writes=True)
            self._platter.sync(None)
            self._told(f"write_file {path} {len(data)}")

        self._last_handle += 1
        await self._run(begin, SYNC_SECONDS_MEAN if durable else CALL_SECONDS_MEAN)
        if durable:
            await self._run(end, SYNC_SECONDS_MEAN)

    async def rename(self, old: str, new: str) -> None:
        """Atomic, durable."""
        _check_path(old)
        _check_path(new)

        def work() -> None:
            self._check(writes=True)
            self._platter.file(old)
            self._platter.rename(old, new)

        def end() -> None:
            self._platter.sync(None)
            self._told(f"rename {old} {new}")

        await self._run(work, CALL_SECONDS_MEAN)
        await self._run(end, SYNC_SECONDS_MEAN)

    async def remove(self, path: str) -> bool:
        """True when it was there. Not durable by itself: a power cut may bring the file back."""
        _check_path(path)

        def work() -> bool:
            self._check(writes=True)
            self._told(f"remove {path}")
            return self._platter.unlink(path)

        return await self._run(work, CALL_SECONDS_MEAN)

    async def list(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty when the directory is absent."""
        if path:
            _check_path(path)

        def work() -> list[str]:
            self._check(writes=False)
            return self._platter.children(path)

        return await self._run(work, CALL_SECONDS_MEAN)

    async def usage(self) -> DiskUsage:
        """statvfs."""

        def work() -> DiskUsage:
            self._check(writes=False)
            platter = self._platter
            free = max(0, platter.capacity_bytes - platter.used_bytes)
            return DiskUsage(
                capacity_bytes=platter.capacity_bytes,
                free_bytes=0 if platter.faults.full else free,
                files=INODE_COUNT_MAX,
                free_files=INODE_COUNT_MAX - len(platter.names),
                read_only=platter.faults.read_only,
            )

        return await self._run(work, CALL_SECONDS_MEAN)

    # -- inside --------------------------------------------------------------------------------
    def inode(self, handle: Handle) -> Inode:
        """For worlds.simulated only: the file behind a handle."""
        return self._file(handle)

    def _handle_of(self, inode: Inode) -> Handle:
        self._last_handle += 1
        self._files[self._last_handle] = inode
        return Handle(self._last_handle)

    def _file(self, handle: Handle) -> Inode:
        inode = self._files.get(handle)
        if inode is None:
            raise OperationError(errno.EBADF, f"unknown handle {handle}")
        return inode

    def _check(self, *, writes: bool) -> None:
        faults = self._platter.faults
        if faults.dead:
            raise OperationError(errno.EIO, f"{self._platter.label}: input/output error")
        if writes and faults.read_only:
            raise OperationError(errno.EROFS, f"{self._platter.label} is read-only")

    def _told(self, text: str) -> None:
        self._loop.trace.event(self._loop.now, self._platter.label, text)

    async def _run(self, work: Callable[[], _T], seconds_mean: float) -> _T:
        """Do `work` after a seeded service time, even when the caller stops waiting."""
        future: asyncio.Future[_T] = self._loop.create_future()

        def finish() -> None:
            try:
                result = work()
            except OperationError as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        seconds = self._random.expovariate(1.0 / seconds_mean) * self._platter.faults.slow_factor
        self._loop.call_later(seconds, finish)
        return await future


def _check_path(path: str) -> None:
    if any(name in ("", ".", "..") or "\0" in name for name in path.split("/")):
        raise OperationError(errno.EINVAL, f"not a plain relative path: {path[:80]!r}")
