"""The caller's own files, by system calls in a few worker threads."""

import asyncio
import errno
import os
import secrets
import select
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import LOCAL_FILE_THREADS
from thesan.ports.local_files import LocalKind, LocalReader, LocalStat, LocalWriter, Sink, Source

_T = TypeVar("_T")
_STDIN_POLL_SECONDS: Final = 0.2
_DIRECT: Final = os.O_WRONLY | os.O_CLOEXEC
_EXCLUSIVE: Final = _DIRECT | os.O_CREAT | os.O_EXCL


class _Workers:
    """Runs blocking calls; turns OSError into OperationError."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(LOCAL_FILE_THREADS, "local-files")

    async def run(self, call: Callable[..., _T], *args: object) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, call, *args)
        except OSError as error:
            raise _operation_error(error) from error
        except UnicodeEncodeError as error:
            raise OperationError(errno.EILSEQ, f"no local name: {error.object[:80]!r}") from error
        except ValueError as error:  # a NUL in a path or in the text of a link
            raise OperationError(errno.EINVAL, f"no local name: {error}") from error

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class RealLocalFiles:
    """ports.local_files.LocalFiles of this machine."""

    def __init__(self) -> None:
        self._workers = _Workers()

    def close(self) -> None:
        """End the worker threads; calls under way finish."""
        self._workers.close()

    async def stat(self, path: str, *, follow: bool = True) -> LocalStat | None:
        return await self._workers.run(_stat, path, follow)

    async def list(self, path: str) -> list[str]:
        return await self._workers.run(lambda: sorted(os.listdir(path)))

    async def mkdir(self, path: str, mode: int = 0o777, *, follow: bool = True) -> None:
        if follow:
            await self._workers.run(lambda: os.makedirs(path, mode, exist_ok=True))
        else:
            await self._workers.run(_make_directory, path, mode)

    async def readlink(self, path: str) -> str:
        return await self._workers.run(os.readlink, path)

    async def symlink(self, target: str, path: str) -> None:
        await self._workers.run(os.symlink, target, path)

    async def open_read(self, path: str) -> LocalReader:
        fd = await self._workers.run(_open_read, path)
        return _Reader(self._workers, fd)

    async def open_write(
        self, path: str, mode: int = 0o666, *, replace: bool = True, follow: bool = True
    ) -> LocalWriter:
        fd, beside, target = await self._workers.run(_open_write, path, mode, replace, follow)
        return _Writer(self._workers, fd, beside, target, replace)

    def stdin(self) -> Source:
        return _StreamSource(self._workers, 0)

    def stdout(self) -> Sink:
        return _StreamSink(self._workers, 1)


class _Reader:
    def __init__(self, workers: _Workers, fd: int) -> None:
        self._workers = workers
        self._fd = fd

    async def read(self, offset: int, length: int) -> bytes:
        return await self._workers.run(_read_at, self._fd, offset, length)

    async def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            await self._workers.run(os.close, fd)


class _Writer:
    """Writes `beside` and renames it to `target`; with no `beside`, writes the target in place."""

    def __init__(self, workers: _Workers, fd: int, beside: str, target: str, replace: bool) -> None:
        self._workers = workers
        self._fd = fd
        self._beside = beside
        self._target = target
        self._replace = replace
        self._in_sequence_bytes = 0

    async def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        if self._beside:
            await self._workers.run(_write_at, self._fd, offset, data)
            return
        # A pipe or a terminal has no offsets.
        if offset != self._in_sequence_bytes:
            raise OperationError(errno.ESPIPE, f"{self._target} can only be written in order")
        self._in_sequence_bytes += len(data)
        await self._workers.run(_write_all, self._fd, data)

    async def commit(self, mtime_ns: int | None = None) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            beside, self._beside = self._beside, ""
            await self._workers.run(_commit, fd, beside, self._target, mtime_ns, self._replace)

    async def discard(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            beside, self._beside = self._beside, ""
            await self._workers.run(_discard, fd, beside)


class _StreamSource:
    def __init__(self, workers: _Workers, fd: int) -> None:
        self._workers = workers
        self._fd = fd

    async def read(self, length: int) -> bytes:
        # A thread stuck in read(2) on a silent terminal would keep the process from ending, so
        # the thread waits in short turns and the loop gives up by not asking again.
        while True:
            data = await self._workers.run(_read_ready, self._fd, length)
            if data is not None:
                return data


class _StreamSink:
    def __init__(self, workers: _Workers, fd: int) -> None:
        self._workers = workers
        self._fd = fd

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._workers.run(_write_all, self._fd, data)


def _operation_error(error: OSError) -> OperationError:
    name = f"{error.filename}: " if error.filename else ""
    return OperationError(error.errno or errno.EIO, f"{name}{error.strerror or error}")


def _stat(path: str, follow: bool) -> LocalStat | None:
    try:
        found = os.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(found.st_mode):
        kind = LocalKind.FILE
    elif stat.S_ISDIR(found.st_mode):
        kind = LocalKind.DIRECTORY
    elif stat.S_ISLNK(found.st_mode):
        kind = LocalKind.SYMLINK
    else:
        kind = LocalKind.OTHER
    return LocalStat(kind, found.st_size, stat.S_IMODE(found.st_mode), found.st_mtime_ns)


def _make_directory(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            number = errno.ENOTDIR
            raise NotADirectoryError(number, os.strerror(number), path) from None


def _open_read(path: str) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return fd


def _read_at(fd: int, offset: int, length: int) -> bytes:
    parts: list[bytes] = []
    while length > 0:
        part = os.pread(fd, length, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _open_write(path: str, mode: int, replace: bool, follow: bool) -> tuple[int, str, str]:
    """(fd, name beside the target or "", target, with `follow` with links resolved)."""
    target = os.path.realpath(path) if follow else path
    found = _stat(target, follow)
    if found is not None:
        if found.kind is LocalKind.DIRECTORY:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if found.kind is LocalKind.OTHER:
            return os.open(target, _DIRECT if follow else _DIRECT | os.O_NOFOLLOW), "", target
        if not replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    beside = os.path.join(os.path.dirname(target), f".thesan-{secrets.token_hex(8)}.part")
    return os.open(beside, _EXCLUSIVE, mode), beside, target


def _write_at(fd: int, offset: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        offset += written
        view = view[written:]


def _write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_ready(fd: int, length: int) -> bytes | None:
    """Bytes, empty at the end, or None when none came within the poll interval."""
    ready, _, _ = select.select([fd], [], [], _STDIN_POLL_SECONDS)
    return os.read(fd, length) if ready else None


def _commit(fd: int, beside: str, target: str, mtime_ns: int | None, replace: bool) -> None:
    try:
        try:
            if beside and mtime_ns is not None:
                os.utime(fd, ns=(mtime_ns, mtime_ns))
        finally:
            os.close(fd)
        if not beside:
            return
        if replace:
            os.replace(beside, target)
        else:
            # rename would replace what came meanwhile; link refuses with EEXIST.
            os.link(beside, target)
            os.unlink(beside)
    except OSError:
        _remove(beside)
        raise


def _discard(fd: int, beside: str) -> None:
    os.close(fd)
    _remove(beside)


def _remove(beside: str) -> None:
    if beside:
        try:
            os.unlink(beside)
        except FileNotFoundError:
            pass
