"""`ports.disk` on a directory of this machine.

Blocking calls run in a thread pool of this disk alone: a hung disk starves only itself. A handle is
a number of ours, never a descriptor: the descriptor is closed only after the last worker that uses
it has returned, else a cancelled write could land in the next file that gets the same number.
"""

import ctypes
import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from google_crc32c import extend as extend_crc32c
from zlib_ng.zlib_ng import adler32

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import (
    CHECKSUM_SLICE_BYTES,
    DISK_INLINE_PAUSE_SECONDS,
    DISK_INLINE_SECONDS_MAX,
    DISK_INLINE_WRITE_BYTES_MAX,
    DISK_WORKERS_MAX,
    INLINE_READ_BYTES_MAX,
)
from thesan.core.model.units import KIB
from thesan.ports.disk import DiskUsage, Handle
from thesan.worlds.real.contained import ContainedDirectory
from thesan.worlds.real.workers import Workers

_T = TypeVar("_T")
Data = bytes | bytearray | memoryview

_MEMORY_KINDS: Final = frozenset({"tmpfs", "ramfs"})
"""Filesystems without a device: a read never waits, and RWF_NOWAIT is not known to them."""
_CRC_COPY_BYTES: Final = 64 * KIB
"""google_crc32c takes `bytes` and the like: what can't be shown to it as one is copied in slices
that stay in the cache."""
_SLICE: Final = ctypes.c_char * CHECKSUM_SLICE_BYTES
"""A view of writable memory that google_crc32c takes: 40 ms per GiB cheaper than a copy."""


class OpenFile:
    """A descriptor and the number of workers inside it."""

    __slots__ = ("closing", "fd", "users")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.users = 0
        self.closing = False


class OsDisk:
    """One directory. Raises OperationError when it is absent, no directory or not accessible."""

    def __init__(self, root: str) -> None:
        self.root = root
        try:
            self._tree = ContainedDirectory(root)
            self._in_memory = filesystem_kind(root) in _MEMORY_KINDS
        except OSError as error:
            raise _translated(error, "open", root) from error
        self._pool = Workers(DISK_WORKERS_MAX, f"disk:{root[-24:]}")
        self._files: dict[int, OpenFile] = {}
        self._lock = threading.Lock()
        self._last_handle = 0
        self._last_aside = 0
        self._scratch = memoryview(bytearray(INLINE_READ_BYTES_MAX))
        self._nowait_works = True
        self._inline_after = 0.0

    def is_in_place(self) -> bool:
        """Whether the path still leads to the directory that was opened."""
        return self._tree.is_at(self.root)

    def shutdown(self) -> None:
        """Wait for the workers, close what is open. Nothing may be called afterwards."""
        self._pool.shutdown(wait=True)
        for file in self._files.values():
            os.close(file.fd)
        self._files.clear()
        self._tree.close()

    # -- open files --------------------------------------------------------------------------

    async def open(self, path: str, *, create: bool = False, write: bool = False) -> Handle:
        """Open a file; `create` makes it and its parent directories (0700/0600)."""
        flags = os.O_RDWR if write or create else os.O_RDONLY
        fd = await self.run("open", path, lambda: self._tree.open_file(path, flags, create=create))
        return self._handle_of(fd)

    async def create_marked(self, path: str, marker_path: str, marker: bytes) -> Handle:
        """Write `marker_path`, then make `path`, see the port."""
        self._last_aside += 1
        number = self._last_aside

        def work() -> int:
            self._tree.replace(marker_path, marker, number, durable=False)
            try:
                return self._tree.open_file(path, os.O_RDWR | os.O_EXCL, create=True)
            except FileExistsError:
                self._tree.remove(marker_path)
                raise

        return self._handle_of(await self.run("create", path, work))

    async def close(self, handle: Handle) -> None:
        """Close. A write error that the system held back is raised here."""
        file = self._files.pop(handle, None)
        if file is None:
            raise OperationError(errno.EBADF, f"close of an unknown handle {handle}")
        with self._lock:
            file.closing = True
            busy = file.users > 0
        if not busy:
            try:
                os.close(file.fd)
            except OSError as error:
                raise _translated(error, "close", self.root) from error

    def read_now(self, handle: Handle, offset: int, length: int) -> bytes | None:
        """Bytes already in memory (fewer at end of file), or None when the disk must be asked."""
        fd = self._file(handle).fd
        try:
            if self._in_memory:
                return os.pread(fd, length, offset)
            return self._read_cached(fd, offset, length)
        except OSError as error:
            raise _translated(error, "read", self.root) from error

    async def read(self, handle: Handle, offset: int, length: int) -> bytes:
        """Bytes at `offset`; fewer only at end of file."""
        return await self._run_on(handle, "read", lambda fd: _read_all(fd, offset, length))

    async def readv(self, handle: Handle, items: Sequence[tuple[int, int]]) -> list[bytes]:
        """(offset, length) pairs, answered in order."""
        return await self._run_on(
            handle, "readv", lambda fd: [_read_all(fd, offset, length) for offset, length in items]
        )

    async def write(self, handle: Handle, offset: int, data: Data) -> None:
        """Write all of `data`. The caller does not change `data` until this returns."""
        if len(data) <= DISK_INLINE_WRITE_BYTES_MAX and time.monotonic() >= self._inline_after:
            self._write_inline(self._file(handle).fd, offset, data)
        else:
            await self._run_on(handle, "write", lambda fd: _write_all(fd, offset, data))

    async def write_summed(
        self, handle: Handle, offset: int, data: Data, sums: tuple[int, int]
    ) -> tuple[int, int]:
        """As `write`, and continue `sums` = (adler32, crc32c) over `data`."""
        if len(data) <= DISK_INLINE_WRITE_BYTES_MAX and time.monotonic() >= self._inline_after:
            self._write_inline(self._file(handle).fd, offset, data)
            return _continued(sums, data)

        return await self._run_on(handle, "write", lambda fd: _write_summed(fd, offset, data, sums))

    async def truncate(self, handle: Handle, size: int) -> None:
        """Set the size; a longer file gets a hole."""
        await self._run_on(handle, "truncate", lambda fd: os.ftruncate(fd, size))

    async def sync(self, handle: Handle) -> None:
        """fsync: data, size and attributes. An error is final; never retry it as success."""
        await self._run_on(handle, "sync", os.fsync)

    async def seal(self, handle: Handle, name: str, value: bytes) -> None:
        """Set `user.` attribute `name` of an open file, then fsync it."""

        def work(fd: int) -> None:
            os.setxattr(fd, f"user.{name}", value)
            os.fsync(fd)

        await self._run_on(handle, "seal", work)

    async def size(self, handle: Handle) -> int:
        """Bytes."""
        try:
            return os.fstat(self._file(handle).fd).st_size
        except OSError as error:
            raise _translated(error, "stat", self.root) from error

    async def checksums(self, handle: Handle, size: int) -> tuple[int, int]:
        """(adler32, crc32c) of the first `size` bytes, read in a worker."""
        return await self._run_on(handle, "checksum", lambda fd: _sums_of(fd, size))

    # -- whole files and names ---------------------------------------------------------------

    async def get_xattr(self, path: str, name: str) -> bytes | None:
        """Value of `user.` attribute `name`, None when absent."""

        def work() -> bytes | None:
            with self._tree.opened(path) as fd:
                try:
                    return os.getxattr(fd, f"user.{name}")
                except OSError as error:
                    if error.errno == errno.ENODATA:
                        return None
                    raise

        return await self.run("getxattr", path, work)

    async def set_xattr(self, path: str, name: str, value: bytes) -> None:
        """Set `user.` attribute `name`; durable with the next `sync` of the file."""

        def work() -> None:
            with self._tree.opened(path) as fd:
                os.setxattr(fd, f"user.{name}", value)

        await self.run("setxattr", path, work)

    async def read_file(self, path: str, bytes_max: int) -> bytes | None:
        """A whole small file, None when absent; EFBIG above `bytes_max`."""

        def work() -> bytes | None:
            try:
                with self._tree.opened(path) as fd:
                    data = _read_all(fd, 0, bytes_max + 1)
            except FileNotFoundError:
                return None
            if len(data) > bytes_max:
                raise OSError(errno.EFBIG, f"longer than {bytes_max} bytes")
            return data

        return await self.run("read", path, work)

    async def write_file(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Atomically replace a small file, see the port."""
        self._last_aside += 1
        number = self._last_aside
        await self.run(
            "write", path, lambda: self._tree.replace(path, data, number, durable=durable)
        )

    async def rename(self, old: str, new: str) -> None:
        """Atomic, durable; makes the parent directories of `new`."""
        await self.run("rename", old, lambda: self._tree.rename(old, new))

    async def remove(self, path: str) -> bool:
        """True when it was there."""
        return await self.run("remove", path, lambda: self._tree.remove(path))

    async def list(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty when the directory is absent."""
        return await self.run("list", path, lambda: self._tree.names(path))

    async def usage(self) -> DiskUsage:
        """statvfs, in bytes and inodes."""

        def work() -> DiskUsage:
            found = os.statvfs(self._tree.fd)
            return DiskUsage(
                capacity_bytes=found.f_blocks * found.f_frsize,
                free_bytes=found.f_bavail * found.f_frsize,
                files=found.f_files,
                free_files=found.f_favail,
                read_only=bool(found.f_flag & os.ST_RDONLY),
            )

        return await self.run("statvfs", "", work)

    # -- for worlds.real only ----------------------------------------------------------------

    async def run(self, verb: str, path: str, work: Callable[[], _T]) -> _T:
        """Do `work` in a worker of this disk; OSError becomes OperationError."""

        def guarded() -> _T:
            try:
                return work()
            except OSError as error:
                raise _translated(error, verb, path or self.root) from error

        return await self._pool.start(guarded)

    def pin(self, handle: Handle) -> OpenFile:
        """An open file whose descriptor stays open until `unpin`, whatever `close` says."""
        return self._enter(handle)

    def unpin(self, file: OpenFile) -> None:
        """End of a `pin`; from any thread."""
        self._leave(file)

    # -- inside ------------------------------------------------------------------------------

    def _handle_of(self, fd: int) -> Handle:
        self._last_handle += 1
        self._files[self._last_handle] = OpenFile(fd)
        return Handle(self._last_handle)

    def _file(self, handle: Handle) -> OpenFile:
        file = self._files.get(handle)
        if file is None:
            raise OperationError(errno.EBADF, f"unknown handle {handle}")
        return file

    def _enter(self, handle: Handle) -> OpenFile:
        file = self._file(handle)
        with self._lock:
            file.users += 1
        return file

    def _leave(self, file: OpenFile) -> None:
        with self._lock:
            file.users -= 1
            last = file.closing and file.users == 0
        if last:
            os.close(file.fd)

    async def _run_on(self, handle: Handle, verb: str, work: Callable[[int], _T]) -> _T:
        file = self._enter(handle)

        def guarded() -> _T:
            try:
                return work(file.fd)
            except OSError as error:
                raise _translated(error, verb, self.root) from error

        try:
            # Left at the end of the work, not of the wait: a cancelled wait stops no worker.
            future = self._pool.start(guarded, lambda: self._leave(file))
        except BaseException:
            self._leave(file)
            raise
        return await future

    def _read_cached(self, fd: int, offset: int, length: int) -> bytes | None:
        if not self._nowait_works or length > len(self._scratch):
            return None
        have = 0
        while have < length:
            try:
                count = os.preadv(fd, [self._scratch[have:length]], offset + have, os.RWF_NOWAIT)
            except OSError as error:
                if error.errno == errno.EOPNOTSUPP:
                    self._nowait_works = False
                elif error.errno != errno.EAGAIN:
                    raise
                return None
            if count == 0:
                break
            have += count
        return bytes(self._scratch[:have])

    def _write_inline(self, fd: int, offset: int, data: Data) -> None:
        started = time.monotonic()
        try:
            _write_all(fd, offset, data)
        except OSError as error:
            raise _translated(error, "write", self.root) from error
        now = time.monotonic()
        if now - started > DISK_INLINE_SECONDS_MAX:
            self._inline_after = now + DISK_INLINE_PAUSE_SECONDS


def filesystem_kind(path: str) -> str:
    """Type of the filesystem that holds `path` (`ext4`, `xfs`, `tmpfs`...), empty when unknown."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields, _, tail = line.partition(" - ")
                if fields.split(" ")[2] == wanted:
                    return tail.split(" ")[0]
    except OSError:
        return ""
    return ""


def _read_all(fd: int, offset: int, length: int) -> bytes:
    data = os.pread(fd, length, offset)
    if not data or len(data) == length:
        return data
    parts = [data]
    have = len(data)
    while have < length:
        data = os.pread(fd, length - have, offset + have)
        if not data:
            break
        parts.append(data)
        have += len(data)
    return b"".join(parts)


def _write_all(fd: int, offset: int, data: Data) -> None:
    count = os.pwrite(fd, data, offset)
    if count == len(data):
        return
    rest = memoryview(data)
    while count < len(data):
        step = os.pwrite(fd, rest[count:], offset + count)
        if step == 0:
            raise OSError(errno.ENOSPC, "the disk took no more bytes")
        count += step


def _write_summed(fd: int, offset: int, data: Data, sums: tuple[int, int]) -> tuple[int, int]:
    """In slices, so that the checksums find in the cache what the write has just read."""
    view = memoryview(data)
    for start in range(0, len(view), CHECKSUM_SLICE_BYTES):
        part = view[start : start + CHECKSUM_SLICE_BYTES]
        _write_all(fd, offset + start, part)
        sums = _continued(sums, part)
    return sums


def _continued(sums: tuple[int, int], data: Data) -> tuple[int, int]:
    adler, crc = sums
    view = memoryview(data)
    if len(view) == CHECKSUM_SLICE_BYTES and not view.readonly:
        return adler32(view, adler), extend_crc32c(crc, _SLICE.from_buffer(view))
    for start in range(0, len(view), _CRC_COPY_BYTES):
        crc = extend_crc32c(crc, bytes(view[start : start + _CRC_COPY_BYTES]))
    return adler32(view, adler), crc


def _sums_of(fd: int, size: int) -> tuple[int, int]:
    adler, crc, offset = 1, 0, 0
    while offset < size:
        data = os.pread(fd, min(CHECKSUM_SLICE_BYTES, size - offset), offset)
        if not data:
            raise OSError(errno.EIO, f"file ends at {offset}, not at {size}")
        adler, crc = adler32(data, adler), extend_crc32c(crc, data)
        offset += len(data)
    return adler, crc


def _translated(error: OSError, verb: str, path: str) -> OperationError:
    number = error.errno or errno.EIO
    return OperationError(number, f"{verb} {path}: {error.strerror or error}")
