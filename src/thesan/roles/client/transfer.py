"""One file from one place to another: pipelined, checksummed on the way, compared at the end.

An upload appears only when it is committed, so a broken one is simply begun anew. When the answer
to the commit is lost, the file itself tells: if size and checksum at its name are ours, it is done.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from zlib_ng import zlib_ng

from thesan.core.control.messages import AGAIN_KEY
from thesan.core.model.errors import OperationError, Retry
from thesan.core.model.limits import (
    CHEAP_UPLOAD_BYTES_MAX,
    CLIENT_BACKOFF_SECONDS,
    CLIENT_BACKOFF_SECONDS_MAX,
    COPY_TRIES_MAX,
)
from thesan.io.tasks import TaskOwner
from thesan.roles.client.file import File
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.router import Body
from thesan.roles.client.url import set_cgi

ADLER_START: Final = 1
"""adler32 of nothing."""
_CHECKSUM: Final = "adler32"
_NO_CHECKSUM: Final = frozenset({errno.ENOTSUP, errno.EINVAL, errno.ENOSYS})
"""Answers of servers that keep no checksums."""
_BEGIN_AGAIN: Final = frozenset(
    {errno.EIO, errno.ENODEV, errno.EFAULT, errno.EBADF, errno.EDOM, errno.ESTALE, errno.EPROTO}
)
"""Errors of an FST that say nothing of the next try: it may go to another one."""
_NOWHERE_ELSE: Final = frozenset({errno.ENOSPC, errno.EADDRNOTAVAIL})
"""No FST is left but those that failed: the next try takes what there is."""

Count = Callable[[int], None]
"""Told how many bytes were moved; a negative number takes back those of a broken try."""


class SourceFailed(OperationError):
    """What an upload is read from failed: the FST that it is written to is not to blame."""


class Reader(Protocol):
    """Where an upload comes from."""

    async def read(self, offset: int, length: int) -> Body:
        """Bytes at `offset`, empty at the end. Offsets rise, and begin at 0 again in a new try."""
        ...


class Writer(Protocol):
    """Where a download goes; offsets rise."""

    async def write(self, offset: int, data: Body) -> None: ...


class Moved(msgspec.Struct):
    """What a transfer did."""

    size: int = 0
    adler32: int = ADLER_START
    tries: int = 1
    verified: bool = False
    """The server's own checksum was asked for, and is the same."""


class Upload(msgspec.Struct, frozen=True):
    """How a file is to be made."""

    path: str
    size: int = 0
    """As far as known."""
    permissions: int = 0o644
    replace: bool = False
    parents: bool = False
    verify: bool = True
    mtime_ns: int | None = None


async def upload(
    fs: Filesystem, plan: Upload, reader: Reader, *, can_repeat: bool, count: Count
) -> Moved:
    """Copy `reader` to `plan.path`. `can_repeat`: the reader can be read from its start again."""
    moved = Moved()
    tried: dict[str, None] = {}
    unknown: Moved | None = None
    pause = CLIENT_BACKOFF_SECONDS
    op_id = fs.new_op_id()
    while True:
        try:
            if unknown is not None and await _is_there(fs, plan.path, unknown):
                moved = unknown
                break
            file = await _open(fs, plan, tried, op_id, is_again=moved.tries > 1)
            if can_repeat and plan.size <= CHEAP_UPLOAD_BYTES_MAX:
                file.can_begin_again()
            host = file.endpoint.host
            try:
                async with file:
                    await _send(file, reader, moved, count, fs.router.config.chunks_in_flight)
                    unknown = msgspec.structs.replace(moved)
            except SourceFailed:
                raise
            except OperationError:
                tried[host] = None
                raise
            break
        except OperationError as error:
            again = may_begin_again(error) or (error.errno == errno.EEXIST and unknown is not None)
            if not can_repeat or not again or moved.tries >= COPY_TRIES_MAX:
                raise
            if error.errno in _NOWHERE_ELSE:
                tried.clear()
        count(-moved.size)
        moved = Moved(tries=moved.tries + 1)
        await asyncio.sleep(pause)
        pause = min(2 * pause, CLIENT_BACKOFF_SECONDS_MAX)
    if plan.mtime_ns is not None:
        await fs.utime(plan.path, plan.mtime_ns)
    if plan.verify:
        await verify(fs, plan.path, moved)
    return moved


async def _open(
    fs: Filesystem, plan: Upload, tried: dict[str, None], op_id: str, *, is_again: bool
) -> File:
    hosts = ",".join(tried)
    cgi = set_cgi("", AGAIN_KEY, "1") if is_again else ""
    return await fs.open(
        plan.path,
        "w" if plan.replace else "x",
        permissions=plan.permissions,
        parents=plan.parents,
        size=plan.size,
        cgi=set_cgi(cgi, "tried", hosts) if hosts else cgi,
        op_id=op_id,
    )


async def _send(file: File, reader: Reader, moved: Moved, count: Count, depth: int) -> None:
    """Read, checksum and write, with `depth` writes under way."""
    tasks = TaskOwner(f"upload {file.path}")
    ahead: deque[tuple[int, asyncio.Task[None]]] = deque()
    step = file.chunk_bytes
    try:
        while True:
            data = await reader.read(moved.size, step)
            if not data:
                break
            moved.adler32 = zlib_ng.adler32(data, moved.adler32)
            ahead.append((len(data), tasks.start("write", file.write(moved.size, data))))
            moved.size += len(data)
            if len(ahead) >= depth:
                await _oldest(ahead, count)
        while ahead:
            await _oldest(ahead, count)
    finally:
        # What was sent but not counted is taken back with the rest by whoever begins again.
        for size, _ in ahead:
            count(size)
        await tasks.close()


async def _oldest(ahead: deque[tuple[int, "asyncio.Task[None]"]], count: Count) -> None:
    size, task = ahead[0]
    await task
    ahead.popleft()
    count(size)


async def _is_there(fs: Filesystem, path: str, moved: Moved) -> bool:
    """Whether the file at `path` is what we sent: then a commit of unknown outcome was done."""
    try:
        info = await fs.stat(path)
        if info.size != moved.size:
            return False
        await verify(fs, path, moved)
    except OperationError as error:
        if error.errno in (errno.ENOENT, errno.EDOM):
            return False
        raise
    return moved.verified


async def download(
    fs: Filesystem, path: str, writer: Writer, *, verify_it: bool, count: Count
) -> Moved:
    """Copy `path` to `writer`. The death of FSTs is overcome inside; a mismatch is EDOM."""
    moved = Moved()
    async with await fs.open(path) as file:
        async for piece in file.pieces():
            moved.adler32 = zlib_ng.adler32(piece, moved.adler32)
            await writer.write(moved.size, piece)
            moved.size += len(piece)
            count(len(piece))
        if moved.size != file.size:
            text = f"{path}: {moved.size} bytes came of {file.size}"
            raise OperationError(errno.EIO, text)
        moved.tries += file.recoveries
    if verify_it:
        await verify(fs, path, moved)
    return moved


async def verify(fs: Filesystem, path: str, moved: Moved) -> None:
    """Compare with the server's checksum. EDOM when it differs; a server without one passes."""
    try:
        kind, value = await fs.query_checksum(path, _CHECKSUM)
    except OperationError as error:
        if error.errno in _NO_CHECKSUM:
            return
        raise
    if kind != _CHECKSUM:
        return
    mine = f"{moved.adler32:08x}"
    if value.lower().rjust(8, "0") != mine:
        text = f"{path}: checksum differs: {mine} here, {value} at the server"
        raise OperationError(errno.EDOM, text)
    moved.verified = True


def may_begin_again(error: OperationError) -> bool:
    """Whether a transfer that ended by `error` may do better the next time."""
    return error.retry is not Retry.NEVER or error.errno in _BEGIN_AGAIN
