"""thesan as an fsspec file system: `fsspec.open("thesan://host:port//path")`.

Storage options: `host`, `port`, `user`, `keytab`, `patience_seconds`; without a host those of the
environment. Errors are OSError of the errno's own class (FileNotFoundError, FileExistsError...).
A file that is written appears when it is closed, whole; left by an exception, it never appears.
"""

import asyncio
import contextlib
import errno
import os
import weakref
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from thesan.core.model.errors import OperationError, ThesanError
from thesan.core.model.limits import READV_ITEM_BYTES_MAX
from thesan.core.wire.bodies import StatInfo
from thesan.core.wire.numbers import StatFlag
from thesan.ports.local_files import LocalKind
from thesan.roles.client import copy as copying
from thesan.roles.client.file import File
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.url import parse_endpoints, parse_url
from thesan.worlds.real import library
from thesan.worlds.real.local_files import RealLocalFiles

try:
    from fsspec.asyn import AsyncFileSystem, sync, sync_wrapper
    from fsspec.callbacks import DEFAULT_CALLBACK
    from fsspec.spec import AbstractBufferedFile
except ImportError as error:  # pragma: no cover - the tests' environment has it
    raise ImportError(
        "thesan's fsspec file system needs fsspec: install thesan with its extra, thesan[fsspec]"
    ) from error

_MODES = {"rb": "r", "wb": "w", "xb": "x", "ab": "r+"}


@contextlib.contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Our errors as OSError, which takes the class of its errno."""
    try:
        yield
    except ThesanError as error:
        text = error.text if isinstance(error, OperationError) else str(error)
        raise OSError(error.errno, text, path) from error


class ThesanFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec is untyped
    """One instance of thesan. Every method of fsspec; those with `_` in front are coroutines."""

    protocol = ("thesan",)
    root_marker = "/"
    cachable = True

    def __init__(
        self,
        host: str = "",
        port: int | None = None,
        user: str = "",
        keytab: str = "",
        patience_seconds: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._url = _address(host, port)
        self._login: dict[str, Any] = {"user": user, "keytab": keytab}
        if patience_seconds is not None:
            self._login["patience_seconds"] = patience_seconds
        self._local = RealLocalFiles()
        self._connected: Filesystem | None = None
        self._lost: weakref.finalize[Any, Any] | None = None

    # -- paths and connections -------------------------------------------------------------------
    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """`thesan://host:port//a/b/` and `a/b` to `/a/b`."""
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = os.fspath(path)
        if "://" in text:
            text = parse_url(text).path
        return "/" + text.strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        """Host, port and user of a URL; none of a URL like `thesan:///path`."""
        authority = path.partition("://")[2].partition("/")[0]
        if not authority:
            return {}
        url = parse_url(f"thesan://{authority}")
        found: dict[str, Any] = {"user": url.user} if url.user else {}
        if len(url.endpoints) > 1:
            return {"host": ",".join(map(str, url.endpoints)), **found}
        return {"host": url.endpoints[0].host, "port": url.endpoints[0].port, **found}

    @property
    def fsid(self) -> str:
        """Names the instance."""
        return f"thesan_{self._url}"

    async def connected(self) -> Filesystem:
        """The client, made when it is first needed, on the loop where it is used."""
        if self._connected is None:
            fs = library.connect(self._url, **self._login)
            self._connected = fs
            self._lost = weakref.finalize(self, _close_later, asyncio.get_running_loop(), fs)
        return self._connected

    async def _close(self) -> None:
        fs, self._connected = self._connected, None
        if fs is not None:
            assert self._lost is not None, "both are set together"
            self._lost.detach()
            await fs.close()

    def close(self) -> None:
        """Close the connections; they are made again when they are needed."""
        sync(self.loop, self._close)

    # -- looking ---------------------------------------------------------------------------------
    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        with os_errors(path):
            return _record(path, await (await self.connected()).stat(path))

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        with os_errors(path):
            fs = await self.connected()
            info = await fs.stat(path)
            if info.flags & StatFlag.IS_DIR:
                entries = await fs.ls(path, stat=True)
                parent = path.rstrip("/")
                records = [
                    _record(f"{parent}/{entry.name}", entry.stat)
                    for entry in entries
                    if entry.stat is not None
                ]
            else:
                records = [_record(path, info)]
        return records if detail else [record["name"] for record in records]

    async def _modified(self, path: str) -> datetime:
        return datetime.fromtimestamp((await self._info(path))["mtime"], UTC)

    modified = sync_wrapper(_modified)

    async def _checksum(self, path: str) -> str:
        path = self._strip_protocol(path)
        with os_errors(path):
            return ":".join(await (await self.connected()).query_checksum(path))

    checksum = sync_wrapper(_checksum)

    # -- reading ---------------------------------------------------------------------------------
    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        path = self._strip_protocol(path)
        with os_errors(path):
            async with await (await self.connected()).open(path) as file:
                begin, length = _span(file.size, start, end)
                return bytes(await file.read(begin, length))

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Ranges of files: one open and one vector read for each file."""
        begins = starts if isinstance(starts, list) else [starts] * len(paths)
        finishes = ends if isinstance(ends, list) else [ends] * len(paths)
        if not len(paths) == len(begins) == len(finishes):
            raise ValueError("paths, starts and ends are not of one length")
        places: dict[str, list[int]] = defaultdict(list)
        for place, path in enumerate(paths):
            places[self._strip_protocol(path)].append(place)
        results: list[Any] = [b""] * len(paths)

        async def read(path: str, mine: list[int]) -> None:
            spans = [(begins[place], finishes[place]) for place in mine]
            try:
                parts: list[Any] = list(await self._ranges(path, spans))
            except OSError as error:
                if on_error == "raise":
                    raise
                parts = [error] * len(mine)
            for place, part in zip(mine, parts, strict=True):
                results[place] = part

        await asyncio.gather(*(read(path, mine) for path, mine in places.items()))
        return results

    async def _ranges(self, path: str, spans: list[tuple[int | None, int | None]]) -> list[bytes]:
        with os_errors(path):
            async with await (await self.connected()).open(path) as file:
                wanted = [_span(file.size, start, end) for start, end in spans]
                small = [span for span in wanted if 0 < span[1] <= READV_ITEM_BYTES_MAX]
                parts = iter(await file.readv(small) if small else [])
                return [
                    b""
                    if span[1] == 0
                    else bytes(next(parts))
                    if span[1] <= READV_ITEM_BYTES_MAX
                    else bytes(await file.read(*span))
                    for span in wanted
                ]

    async def _get_file(
        self, rpath: str, lpath: str, callback: Any = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        rpath = self._strip_protocol(rpath)
        with os_errors(lpath):
            if await self._isdir(rpath):
                await self._local.mkdir(lpath)
                return
            if parent := os.path.dirname(lpath):
                await self._local.mkdir(parent)
        await self._copy_one(copying.Place(True, rpath), copying.Place(False, lpath), callback)

    # -- writing ---------------------------------------------------------------------------------
    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        path = self._strip_protocol(path)
        with os_errors(path):
            fs = await self.connected()
            how = "x" if mode == "create" else "w"
            async with await fs.open(path, how, parents=True, size=len(value)) as file:
                await file.write(0, value)

    async def _put_file(
        self,
        lpath: str,
        rpath: str,
        mode: str = "overwrite",
        callback: Any = DEFAULT_CALLBACK,
        **_: Any,
    ) -> None:
        rpath = self._strip_protocol(rpath)
        if await self._is_local_directory(lpath):
            await self._makedirs(rpath, exist_ok=True)
            return
        source, target = copying.Place(False, lpath), copying.Place(True, rpath)
        await self._copy_one(source, target, callback, force=mode != "create")

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if await self._isdir(path1):
            await self._makedirs(path2, exist_ok=True)
            return
        source, target = copying.Place(True, path1), copying.Place(True, path2)
        await self._copy_one(source, target, DEFAULT_CALLBACK)

    async def _copy_one(
        self, source: copying.Place, target: copying.Place, callback: Any, *, force: bool = True
    ) -> None:
        """One file to exactly that name, checksum verified."""
        look = self._isdir if target.remote else self._is_local_directory
        if await look(target.path):
            # The copy would go into it, where the caller does not look.
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target.path)
        done = 0

        def report(progress: copying.Progress) -> None:
            nonlocal done
            callback.set_size(progress.bytes_total)
            callback.relative_update(progress.bytes_done - done)
            done = progress.bytes_done

        job = copying.CopyJob([source], target, force=force, make_parents=target.remote)
        try:
            with os_errors(source.path):
                await copying.run(await self.connected(), self._local, job, report)
        except OSError as error:
            cause = error.__cause__
            if isinstance(cause, copying.CopyFailed):
                single = cause.failures[0][1]
                raise OSError(single.errno, single.text, source.path) from cause
            raise

    async def _is_local_directory(self, path: str) -> bool:
        with os_errors(path):
            found = await self._local.stat(path)
        return found is not None and found.kind is LocalKind.DIRECTORY

    # -- names -----------------------------------------------------------------------------------
    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        path = self._strip_protocol(path)
        with os_errors(path):
            fs = await self.connected()
            if create_parents and (parent := path.rpartition("/")[0]):
                await fs.mkdir(parent, parents=True)
            await fs.mkdir(path)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        path = self._strip_protocol(path)
        if not exist_ok and await self._exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        with os_errors(path):
            await (await self.connected()).mkdir(path, parents=True)

    async def _rm_file(self, path: str, **_: Any) -> None:
        path = self._strip_protocol(path)
        with os_errors(path):
            await (await self.connected()).rm(path)

    async def _rmdir(self, path: str) -> None:
        path = self._strip_protocol(path)
        with os_errors(path):
            try:
                await (await self.connected()).rmdir(path)
            except OperationError as error:
                # XRootD has one code for EEXIST and ENOTEMPTY.
                number = errno.ENOTEMPTY if error.errno == errno.EEXIST else error.errno
                raise OperationError(number, error.text) from error

    async def _rm(
        self,
        path: Any,
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **_: Any,
    ) -> None:
        """Files, with `recursive` trees; patterns are expanded."""
        if maxdepth is not None:
            await super()._rm(path, recursive, batch_size, maxdepth)
            return
        for one in await self._expand_path(path):
            with os_errors(one):
                fs = await self.connected()
                if recursive:
                    await fs.remove_tree(one)
                else:
                    await fs.rm(one)

    async def _mv(self, path1: str, path2: str, **_: Any) -> None:
        """Rename: one operation, for trees too. Into `path2` when that is a directory."""
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if path1 == path2:
            return
        with os_errors(path1):
            fs = await self.connected()
            if await fs.is_dir(path2):
                path2 = f"{path2.rstrip('/')}/{path1.rpartition('/')[2]}"
            await fs.mv(path1, path2)

    mv = sync_wrapper(_mv)
    rmdir = sync_wrapper(_rmdir)

    async def _touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        path = self._strip_protocol(path)
        with os_errors(path):
            fs = await self.connected()
            if truncate and await fs.exists(path):
                await fs.truncate(path, 0)
            else:
                await fs.touch(path)

    touch = sync_wrapper(_touch)

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **options: Any) -> Any:
        return ThesanFile(self, self._strip_protocol(path), mode, block_size, **options)


class ThesanFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec is untyped
    """An open file, buffered. In a `with` that an exception leaves, an upload is given up."""

    def __init__(
        self,
        fs: ThesanFileSystem,
        path: str,
        mode: str = "rb",
        block_size: Any = "default",
        **options: Any,
    ) -> None:
        if mode not in _MODES:
            raise ValueError(f"open mode {mode!r}; there are {', '.join(_MODES)}")
        self._file: File | None = None
        self._base = 0
        """Where the first written byte goes: the end of the file for `ab`."""
        if mode != "wb":
            # Now and not at the first byte: what is not there is said by open().
            self._file = sync(fs.loop, _open_file, fs, path, mode)
        if mode == "rb":
            assert self._file is not None, "opened above"
            options["size"] = self._file.size
        elif mode == "ab" and self._file is not None:
            self._base = self._file.size
        super().__init__(fs, path, mode, block_size, **options)
        self.loc = self._base

    def _fetch_range(self, start: int, end: int) -> bytes:
        assert self._file is not None, "open for reading"
        with os_errors(self.path):
            return bytes(sync(self.fs.loop, self._file.read, start, end - start))

    def _initiate_upload(self) -> None:
        if self._file is None:
            self._file = sync(self.fs.loop, _open_file, self.fs, self.path, self.mode)

    def _upload_chunk(self, final: bool = False) -> bool:
        assert self._file is not None, "the upload was begun"
        data = self.buffer.getvalue()
        with os_errors(self.path):
            if data:
                sync(self.fs.loop, self._file.write, self._base + self.offset, data)
            if final and self.autocommit:
                self.commit()
        return True

    def commit(self) -> None:
        """The file appears under its name."""
        file, self._file = self._file, None
        if file is not None:
            with os_errors(self.path):
                sync(self.fs.loop, file.close)

    def discard(self) -> None:
        """Give an upload up: the file never appears."""
        file, self._file = self._file, None
        if file is not None:
            sync(self.fs.loop, file.discard)
        self.forced = True

    def close(self) -> None:
        """Close; for writing this makes the file appear."""
        try:
            super().close()
        finally:
            if self.mode == "rb":
                self.commit()

    def __exit__(self, *exception: Any) -> None:
        if self.mode != "rb" and exception and exception[0] is not None:
            self.discard()
        self.close()


async def _open_file(fs: ThesanFileSystem, path: str, mode: str) -> File:
    with os_errors(path):
        client = await fs.connected()
        how = _MODES[mode]
        if mode == "ab" and not await client.exists(path):
            how = "x"
        return await client.open(path, how, parents=mode != "rb")


def _address(host: str, port: int | None) -> str:
    """What library.connect takes; empty for the environment's."""
    if not host:
        return ""
    text = f"{host}:{port}" if port and parse_endpoints(host)[0].port != port else host
    return f"root://{text}/"


def _record(path: str, info: StatInfo) -> dict[str, Any]:
    is_dir = bool(info.flags & StatFlag.IS_DIR)
    return {
        "name": path,
        "type": "directory" if is_dir else "file",
        "size": 0 if is_dir else info.size,
        "mtime": info.mtime,
        "mode": info.mode,
        "ino": info.id,
    }


def _span(size: int, start: int | None, end: int | None) -> tuple[int, int]:
    """(offset, length) within a file, of Python's slice `[start:end]`."""
    begin, finish, _ = slice(start, end).indices(size)
    return begin, max(0, finish - begin)


def _close_later(loop: asyncio.AbstractEventLoop, fs: Filesystem) -> None:
    """Close a client whose owner is gone, on its own loop."""
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(fs.close(), loop)
