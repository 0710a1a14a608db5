"""The client library as actors use it: whole files put and got, names changed and listed."""

import asyncio
import errno
from dataclasses import replace
from itertools import pairwise
from typing import Final

from thesan.core.control.messages import FileOp, FileOpReply, Reply
from thesan.core.model.errors import OperationError
from thesan.core.model.units import NS_PER_S
from thesan.core.wire.bodies import DirEntry
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.filesystem import Filesystem, connect
from thesan.roles.client.router import Body
from thesan.roles.client.transfer import Upload, download, may_begin_again, upload
from thesan.roles.client.url import Url
from thesan.worlds.simulated.clock import START_NS
from thesan.worlds.simulated.world import SimWorld

MARK: Final = "user.mark"
"""Extended attribute that actors use."""
LOOK_PATIENCE_SECONDS: Final = 3.0
"""For a read at one MGM: when it is away, another one will be asked."""
PIECE_TRIES_MAX: Final = 10
PIECE_PAUSE_SECONDS: Final = 1.0
"""Tries of an upload in pieces, and the pause between them: together longer than any fault."""


class _Bytes:
    """Where an upload comes from and a download goes."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    async def read(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    async def write(self, offset: int, data: Body) -> None:
        self.data[offset : offset + len(data)] = data


def _no_count(byte_count: int) -> None:
    """Nobody watches a progress bar here."""


def _file_op(reply: Reply) -> FileOpReply:
    if not isinstance(reply, FileOpReply):
        raise OperationError(errno.EPROTO, f"answer is {type(reply).__name__}")
    return reply


class LibraryCalls:
    """`workload.Calls` through roles.client, in the client's own process."""

    def __init__(self, world: SimWorld, url: Url, config: ClientConfig) -> None:
        self._world = world
        self._url = url
        self._config = config
        self._made: Filesystem | None = None
        self._at: dict[int, Filesystem] = {}

    @property
    def filesystem(self) -> Filesystem:
        """Made at the first call, since it belongs to the running loop and process."""
        if self._made is None:
            self._made = connect(self._url, self._config, self._world.entropy)
        return self._made

    def at(self, mgm: int) -> Filesystem:
        """One that knows only one of the MGMs at first, and is soon out of patience."""
        found = self._at.get(mgm)
        if found is None:
            url = Url((self._url.endpoints[mgm],))
            config = replace(self._config, patience_seconds=LOOK_PATIENCE_SECONDS)
            found = self._at[mgm] = connect(url, config, self._world.entropy)
        return found

    @property
    def mgm_count(self) -> int:
        """How many MGMs it knows."""
        return len(self._url.endpoints)

    async def advance(self, path: str, value: int) -> int:
        """Set a counter (an mtime in seconds); the journal entry that shows it."""
        message = FileOp("utime", path, {"mtime_ns": value * NS_PER_S})
        return _file_op(await self.filesystem.control(message)).seq

    async def look(self, mgm: int, path: str, seq: int) -> tuple[int, int]:
        """(value, journal entry) of a counter, at an MGM in any role that has entry `seq`."""
        message = FileOp("lstat", path, {"any": True, "seq": seq})
        reply = _file_op(await self.at(mgm).control(message))
        value = int(reply.result["mtime_ns"]) // NS_PER_S
        # Before it is advanced first, its time is that of its making: long after any count.
        return value if value < START_NS // NS_PER_S else 0, reply.seq

    async def put(self, path: str, data: bytes, *, exclusive: bool) -> None:
        """As `thesan cp` does: tried again until it is known, then its checksum compared."""
        plan = Upload(path, size=len(data), replace=not exclusive, verify=False)
        await upload(self.filesystem, plan, _Bytes(data), can_repeat=True, count=_no_count)

    async def put_pieces(self, path: str, data: bytes, starts: list[int]) -> None:
        """Replace a file, written in the order of `starts`; begun anew as `put` would be."""
        edges = sorted([*starts, len(data)])
        pieces = {start: data[start:stop] for start, stop in pairwise(edges)}
        for tries_left in range(PIECE_TRIES_MAX, -1, -1):
            try:
                async with await self.filesystem.open(path, "w", size=len(data)) as file:
                    for start in starts:
                        await file.write(start, pieces[start])
            except OperationError as error:
                if not tries_left or not may_begin_again(error):
                    raise
                await asyncio.sleep(PIECE_PAUSE_SECONDS)
            else:
                return

    async def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link."""
        await self.filesystem.symlink(target, path)

    async def read_link(self, path: str) -> str:
        """Its text."""
        return await self.filesystem.readlink(path)

    async def get(self, path: str) -> bytes:
        """The whole content."""
        target = _Bytes()
        await download(self.filesystem, path, target, verify_it=False, count=_no_count)
        return bytes(target.data)

    async def update(self, path: str, offset: int, data: bytes) -> None:
        """Write into an existing file, in place."""
        async with await self.filesystem.open(path, "r+") as file:
            await file.write(offset, data)

    async def set_mark(self, path: str, value: str) -> None:
        """Set the extended attribute MARK."""
        await self.filesystem.set_xattr(path, MARK, value.encode())

    async def get_mark(self, path: str) -> str:
        """ENODATA when there is none."""
        return (await self.filesystem.get_xattr(path, MARK)).decode()

    async def remove(self, path: str) -> None:
        """Remove a file."""
        await self.filesystem.rm(path)

    async def make_directory(self, path: str) -> None:
        """Without parents."""
        await self.filesystem.mkdir(path)

    async def remove_directory(self, path: str) -> None:
        """An empty one."""
        await self.filesystem.rmdir(path)

    async def rename(self, old: str, new: str) -> None:
        """POSIX rename."""
        await self.filesystem.mv(old, new)

    async def list(self, path: str) -> list[str]:
        """Names in a directory."""
        entries: list[DirEntry] = await self.filesystem.ls(path)
        return [entry.name for entry in entries]
