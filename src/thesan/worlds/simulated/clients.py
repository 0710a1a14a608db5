"""The client library as actors use it: whole files put and got, names changed and listed."""

from typing import Final

from thesan.core.wire.bodies import DirEntry
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.filesystem import Filesystem, connect
from thesan.roles.client.router import Body
from thesan.roles.client.transfer import Upload, download, upload
from thesan.roles.client.url import Url
from thesan.worlds.simulated.world import SimWorld

MARK: Final = "user.mark"
"""Extended attribute that actors use."""


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


class LibraryCalls:
    """`workload.Calls` through roles.client, in the client's own process."""

    def __init__(self, world: SimWorld, url: Url, config: ClientConfig) -> None:
        self._world = world
        self._url = url
        self._config = config
        self._made: Filesystem | None = None

    @property
    def filesystem(self) -> Filesystem:
        """Made at the first call, since it belongs to the running loop and process."""
        if self._made is None:
            self._made = connect(self._url, self._config, self._world.entropy)
        return self._made

    async def put(self, path: str, data: bytes, *, exclusive: bool) -> None:
        """As `thesan cp` does: tried again until it is known, then its checksum compared."""
        plan = Upload(path, size=len(data), replace=not exclusive, verify=False)
        await upload(self.filesystem, plan, _Bytes(data), can_repeat=True, count=_no_count)

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
