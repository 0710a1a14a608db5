"""The ends of a copy that are no plain files: standard streams, and a file of the instance that is
read while it is written to another place there."""

import errno
from collections.abc import AsyncIterator

from zlib_ng import zlib_ng

from thesan.core.model.errors import OperationError
from thesan.ports.local_files import Sink, Source
from thesan.roles.client.file import File
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.router import Body
from thesan.roles.client.transfer import Count, Moved, SourceFailed, verify


class Counter:
    """Counts, and can take it all back."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._sum = 0

    def __call__(self, byte_count: int) -> None:
        self._sum += byte_count
        self._count(byte_count)

    def take_back(self) -> None:
        """As if nothing had been counted."""
        self._count(-self._sum)
        self._sum = 0


class FromStream:
    """A stream as a reader: fills every chunk, since a pipe gives what it has."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def read(self, offset: int, length: int) -> Body:
        """The next `length` bytes, fewer at the end; `offset` is where the stream stands."""
        parts: list[bytes] = []
        while length > 0:
            part = await self._source.read(length)
            if not part:
                break
            parts.append(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class ToStream:
    """A stream as a writer."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def write(self, offset: int, data: Body) -> None:
        """Append; what is written before was all in order."""
        await self._sink.write(data)


class FromRemote:
    """A file of the instance as a reader: requests go ahead of what is asked for.

    At its end it compares what it read with what the source should be, before whoever reads
    commits the copy: what comes of a damaged replica must not become a healthy file elsewhere.
    """

    def __init__(self, fs: Filesystem, path: str, size: int, *, verify_it: bool) -> None:
        self._fs = fs
        self._path = path
        self._size = size
        """What the namespace says; asked for again when something else comes."""
        self._verify_it = verify_it
        self._file: File | None = None
        self._pieces: AsyncIterator[Body] | None = None
        self._read = Moved()

    @property
    def verified(self) -> bool:
        """What was read has the checksum that the server keeps of the source."""
        return self._read.verified

    async def read(self, offset: int, length: int) -> Body:
        """The next piece; 0 as `offset` begins anew, perhaps at another replica.

        Raises SourceFailed; at the end EIO when bytes are missing, EDOM for a wrong checksum.
        """
        try:
            if offset == 0 or self._pieces is None:
                await self._begin()
            assert self._pieces is not None
            piece = await anext(self._pieces, b"")
            if piece:
                self._read.adler32 = zlib_ng.adler32(piece, self._read.adler32)
                self._read.size += len(piece)
            else:
                await self._compare()
        except OperationError as error:
            raise SourceFailed(error.errno, error.text, error.retry) from error
        return piece

    async def close(self) -> None:
        """End reading. Safe to call twice."""
        file, self._file, self._pieces = self._file, None, None
        if file is not None:
            await file.close()

    async def _begin(self) -> None:
        await self.close()
        self._read = Moved()
        self._file = await self._fs.open(self._path)
        self._pieces = self._file.pieces()

    async def _compare(self) -> None:
        assert self._file is not None
        if self._read.size != self._size:
            # Replaced since it was listed, or a truncated replica, which its FST takes for whole.
            self._size = (await self._fs.stat(self._path)).size
        if not self._read.size == self._size == self._file.size:
            wanted = max(self._size, self._file.size)
            text = f"{self._path}: {self._read.size} bytes came of {wanted}"
            raise OperationError(errno.EIO, text)
        if self._verify_it:
            await verify(self._fs, self._path, self._read)
