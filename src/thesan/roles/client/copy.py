"""Copying files and trees: local to instance, instance to local, within the instance, streams.

As `cp` does: into the target when that is a directory, else to it. Directories are walked while
files are copied, several at once; a file or directory that fails does not stop the others, and is
reported at the end. Links inside a tree are made again as links, and below the top of a target on
this machine nothing is written through a link: an earlier copy may have made it, and the instance
says where it leads.
"""

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import (
    COPY_FILES_PARALLEL,
    COPY_QUEUE_ENTRIES,
    COPY_TREE_ENTRIES_MAX,
    COPY_TRIES_MAX,
)
from thesan.core.model.paths import check_text, normalise
from thesan.core.model.units import NS_PER_S
from thesan.core.wire.bodies import StatInfo
from thesan.core.wire.numbers import StatFlag
from thesan.io.tasks import TaskOwner
from thesan.ports.local_files import LocalFiles, LocalKind
from thesan.roles.client.copy_ends import Counter, FromRemote, FromStream, ToStream
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.transfer import Count, Moved, Upload, download, may_begin_again, upload
from thesan.roles.client.tree import child_of, find

STREAM: Final = "-"
"""Local path that means standard input or output."""
_FAILURES_KEPT: Final = 100


class Place(msgspec.Struct, frozen=True):
    """One side of a copy."""

    remote: bool
    path: str
    """In the instance, an absolute path; locally any path, or STREAM."""
    slash: bool = False
    """It was written with a closing slash: it must be a directory."""


@dataclass(frozen=True)
class CopyJob:
    """What `thesan cp` was asked for."""

    sources: list[Place]
    target: Place
    recursive: bool = False
    force: bool = False
    """Replace existing files."""
    make_parents: bool = False
    """Make the target's directory."""
    parallel: int = COPY_FILES_PARALLEL
    """Files in flight."""
    verify: bool = True
    """Compare checksums at the end of each file."""
    keep_times: bool = False


class Progress(msgspec.Struct):
    """So far. Totals grow while directories are read."""

    bytes_done: int = 0
    bytes_total: int = 0
    files_done: int = 0
    files_total: int = 0


class Summary(msgspec.Struct):
    """What a copy did."""

    files: int = 0
    directories: int = 0
    links: int = 0
    bytes: int = 0
    restarts: int = 0
    """Times that a file was begun anew or read on from another FST."""
    unverified: int = 0
    """Files whose server keeps no checksum."""
    skipped: list[str] = []
    """Devices, sockets and pipes inside a tree."""


class CopyFailed(OperationError):
    """Some files were not copied; `failures` are (path, error), the first hundred."""

    def __init__(self, failures: list[tuple[str, OperationError]], count: int) -> None:
        path, first = failures[0]
        more = f" (and {count - 1} more)" if count > 1 else ""
        super().__init__(first.errno, f"{path}: {first.text}{more}", first.retry)
        self.failures = failures
        self.count = count


class _Item(msgspec.Struct, frozen=True):
    """One file to copy."""

    source: str
    target: str
    size: int
    mode: int
    mtime_ns: int
    follow: bool = True
    """Write through a link at a local target."""


Report = Callable[[Progress], None]


async def run(
    fs: Filesystem, files: LocalFiles, job: CopyJob, report: Report | None = None
) -> Summary:
    """Do it. Raises OperationError; CopyFailed when single files failed and the rest is done."""
    copier = _Copier(fs, files, job, report or (lambda progress: None))
    return await copier.run()


class _Copier:
    """One `run`."""

    def __init__(self, fs: Filesystem, files: LocalFiles, job: CopyJob, report: Report) -> None:
        self._fs = fs
        self._files = files
        self._job = job
        self._report = report
        self._progress = Progress()
        self._summary = Summary()
        self._failures: list[tuple[str, OperationError]] = []
        self._failure_count = 0
        self._queue: asyncio.Queue[tuple[_Item, bool] | None] = asyncio.Queue(COPY_QUEUE_ENTRIES)
        self._entries = 0
        self._made: set[str] = set()
        """Targets so far, when several sources may have the same."""

    async def run(self) -> Summary:
        """Walk and copy at the same time."""
        if not self._job.target.remote and not all(place.remote for place in self._job.sources):
            raise OperationError(errno.EINVAL, "source and target are both local: use cp")
        tasks = TaskOwner("copy")
        # Standard output has one place for bytes: one source after the other, as `cat`.
        width = 1 if self._to_stream else max(1, self._job.parallel)
        try:
            workers = [tasks.start(f"worker {n}", self._work()) for n in range(width)]
            walker = tasks.start("walk", self._walk(width))
            await asyncio.gather(walker, *workers)
        finally:
            await tasks.close()
        if self._failures:
            raise CopyFailed(self._failures, self._failure_count)
        return self._summary

    @property
    def _to_stream(self) -> bool:
        target = self._job.target
        return not target.remote and target.path == STREAM

    async def _work(self) -> None:
        while (entry := await self._queue.get()) is not None:
            item, from_remote = entry
            try:
                await self._copy(item, from_remote)
            except OperationError as error:
                self._fail(item.source, error)

    def _fail(self, path: str, error: OperationError) -> None:
        self._failure_count += 1
        if len(self._failures) < _FAILURES_KEPT:
            self._failures.append((path, error))

    def _count(self, byte_count: int) -> None:
        self._progress.bytes_done += byte_count
        self._report(self._progress)

    # -- what to copy --------------------------------------------------------------------------
    async def _walk(self, width: int) -> None:
        target = self._job.target
        into = await self._is_directory_target()
        for source in self._job.sources:
            name = _name_of(source.path)
            path = child_of(target.path, name) if into and name else target.path
            try:
                if source.remote:
                    await self._walk_remote(normalise(source.path), path)
                elif source.path == STREAM:
                    await self._add(_Item(STREAM, path, 0, 0o644, 0), False)
                else:
                    await self._walk_local(source.path, path)
            except OperationError as error:
                self._fail(source.path, error)
        for _ in range(width):
            await self._queue.put(None)

    async def _is_directory_target(self) -> bool:
        """Whether the sources go into the target. Raises when that can't be."""
        target = self._job.target
        if self._to_stream:
            return False
        if target.remote:
            exists = await self._fs.is_dir(target.path)
        else:
            found = await self._files.stat(target.path)
            exists = found is not None and found.kind is LocalKind.DIRECTORY
        if exists:
            return True
        if not (target.slash or len(self._job.sources) > 1):
            if self._job.make_parents and (parent := target.path.rpartition("/")[0]):
                await self._make_directory(parent, 0o755)
            return False
        if not self._job.make_parents:
            raise OperationError(errno.ENOTDIR, f"not a directory: {target.path}")
        await self._make_directory(target.path, 0o755)
        return True

    async def _add(self, item: _Item, from_remote: bool) -> None:
        self._entries += 1
        if self._entries > COPY_TREE_ENTRIES_MAX:
            text = f"more than {COPY_TREE_ENTRIES_MAX} entries in one copy"
            raise OperationError(errno.E2BIG, text)
        if not self._is_first(item.source, item.target):
            return
        self._progress.files_total += 1
        self._progress.bytes_total += item.size
        await self._queue.put((item, from_remote))

    def _is_first(self, source: str, target: str) -> bool:
        """Whether no other source of this copy was to become `target`; else that is a failure."""
        if len(self._job.sources) == 1 or self._to_stream:
            return True
        if target in self._made:
            text = f"will not overwrite just-created {target} with {source}"
            self._fail(source, OperationError(errno.EEXIST, text))
            return False
        self._made.add(target)
        return True

    async def _walk_local(self, source: str, target: str) -> None:
        found = await self._files.stat(source)
        if found is None:
            raise OperationError(errno.ENOENT, f"no such file: {source}")
        if found.kind is not LocalKind.DIRECTORY:
            await self._add(_Item(source, target, found.size, found.mode, found.mtime_ns), False)
            return
        self._check_recursive(source)
        pending = [(source, target, found.mode)]
        while pending:
            directory, to, mode = pending.pop()
            try:
                await self._make_directory(to, mode)
                names = await self._files.list(directory)
            except OperationError as error:
                self._fail(directory, error)
                continue
            for name in names:
                subdirectory = await self._take_local(f"{directory}/{name}", child_of(to, name))
                if subdirectory is not None:
                    pending.append(subdirectory)

    async def _take_local(self, source: str, target: str) -> tuple[str, str, int] | None:
        """One entry of a local directory; what is a directory is given back."""
        try:
            found = await self._files.stat(source, follow=False)
            if found is None:
                return None
            if found.kind is LocalKind.SYMLINK:
                await self._make_link(source, await self._files.readlink(source), target)
                return None
        except OperationError as error:
            self._fail(source, error)
            return None
        if found.kind is LocalKind.DIRECTORY:
            return source, target, found.mode
        if found.kind is LocalKind.FILE:
            item = _Item(source, target, found.size, found.mode, found.mtime_ns)
            await self._add(item, False)
        else:
            self._summary.skipped.append(source)
        return None

    async def _walk_remote(self, source: str, target: str) -> None:
        info = await self._fs.stat(source)
        if not info.flags & StatFlag.IS_DIR:
            await self._add(_item_of(source, target, info), True)
            return
        self._check_recursive(source)
        # A link that the caller named is the caller's wish; one with the name of a source is not.
        named = target == self._job.target.path
        await self._make_directory(target, info.mode or 0o755, follow=named)
        async for found in find(self._fs, source, every_link=True, failed=self._fail):
            to = target.rstrip("/") + found.path[len(source.rstrip("/")) :]
            if found.link is not None:
                await self._make_link(found.path, found.link, to)
            elif found.is_dir:
                try:
                    await self._make_directory(to, found.stat.mode or 0o755, follow=False)
                except OperationError as error:
                    self._fail(found.path, error)
                    found.pruned = True
            elif found.stat.flags & StatFlag.OTHER:
                self._summary.skipped.append(found.path)
            else:
                await self._add(_item_of(found.path, to, found.stat, follow=False), True)

    def _check_recursive(self, path: str) -> None:
        if self._to_stream:
            raise OperationError(errno.EISDIR, f"is a directory: {path}")
        if not self._job.recursive:
            raise OperationError(errno.EISDIR, f"is a directory: {path} (-r copies trees)")

    async def _make_directory(self, path: str, mode: int, *, follow: bool = True) -> None:
        if self._job.target.remote:
            await self._fs.mkdir(path, mode, parents=True)
        else:
            # Without w and x we could not fill it.
            await self._files.mkdir(path, mode | 0o700, follow=follow)
        self._summary.directories += 1

    async def _make_link(self, source: str, text: str, path: str) -> None:
        if not self._is_first(source, path):
            return
        there = self._fs if self._job.target.remote else self._files
        try:
            check_text(text, "text of the link")
            await there.symlink(text, path)
        except OperationError as error:
            if error.errno != errno.EEXIST or await self._link_text(path) != text:
                self._fail(path, error)
                return
        self._summary.links += 1

    async def _link_text(self, path: str) -> str | None:
        there = self._fs if self._job.target.remote else self._files
        try:
            return await there.readlink(path)
        except OperationError:
            return None

    # -- one file --------------------------------------------------------------------------------
    async def _copy(self, item: _Item, from_remote: bool) -> None:
        if self._job.target.remote:
            moved = await (self._relay(item) if from_remote else self._upload(item))
        else:
            moved = await self._download(item)
        summary, progress = self._summary, self._progress
        summary.files += 1
        summary.bytes += moved.size
        summary.restarts += moved.tries - 1
        summary.unverified += self._job.verify and not moved.verified
        # A stream's size is known only now; a file may have grown.
        progress.bytes_total += moved.size - item.size
        progress.files_done += 1
        self._report(progress)

    def _plan(self, item: _Item) -> Upload:
        return Upload(
            path=item.target,
            size=item.size,
            permissions=item.mode & 0o777,
            replace=self._job.force,
            parents=self._job.make_parents,
            verify=self._job.verify,
            mtime_ns=item.mtime_ns if self._job.keep_times and item.mtime_ns else None,
        )

    async def _upload(self, item: _Item) -> Moved:
        plan, fs = self._plan(item), self._fs
        if item.source == STREAM:
            reader = FromStream(self._files.stdin())
            return await upload(fs, plan, reader, can_repeat=False, count=self._count)
        local = await self._files.open_read(item.source)
        try:
            return await upload(fs, plan, local, can_repeat=True, count=self._count)
        finally:
            await local.close()

    async def _relay(self, item: _Item) -> Moved:
        reader = FromRemote(self._fs, item.source, item.size, verify_it=self._job.verify)
        try:
            moved = await upload(
                self._fs, self._plan(item), reader, can_repeat=True, count=self._count
            )
        finally:
            await reader.close()
        moved.verified = moved.verified and reader.verified
        return moved

    async def _download(self, item: _Item) -> Moved:
        if item.target == STREAM:
            sink = ToStream(self._files.stdout())
            return await download(
                self._fs, item.source, sink, verify_it=self._job.verify, count=self._count
            )
        tries = 1
        while True:
            counted = Counter(self._count)
            try:
                moved = await self._download_once(item, counted)
            except OperationError as error:
                counted.take_back()
                if tries >= COPY_TRIES_MAX or not may_begin_again(error):
                    raise
                tries += 1
                continue
            moved.tries += tries - 1
            return moved

    async def _download_once(self, item: _Item, count: Count) -> Moved:
        writer = await self._files.open_write(
            item.target,
            item.mode & 0o777 or 0o666,
            replace=self._job.force,
            follow=item.follow,
        )
        try:
            moved = await download(
                self._fs, item.source, writer, verify_it=self._job.verify, count=count
            )
            await writer.commit(item.mtime_ns if self._job.keep_times else None)
        finally:
            await writer.discard()
        return moved


def _item_of(source: str, target: str, info: StatInfo, *, follow: bool = True) -> _Item:
    mode = info.mode or 0o644
    return _Item(source, target, info.size, mode, info.mtime * NS_PER_S, follow)


def _name_of(path: str) -> str:
    """Last component; empty for `.`, `..` and the root, whose content is meant."""
    name = path.rstrip("/").rpartition("/")[2]
    return "" if name in (".", "..") else name
