"""What one client connection has open: file handles of its session."""

import errno
from typing import Final

from thesan.core.authority.thk import ThkServer
from thesan.core.model.errors import OperationError
from thesan.core.model.limits import SESSION_HANDLES_MAX
from thesan.ports.disk import Handle
from thesan.roles.fst.records import Fmd
from thesan.roles.fst.store import FsStore
from thesan.roles.fst.tpc_pull import Pull
from thesan.roles.fst.upload import Phase, Upload

_FH_LAST: Final = 0xFFFF_FFFF
"""fh is four bytes on the wire."""


class Reader:
    """A file opened for reading."""

    __slots__ = ("closing", "fid", "fmd", "handle", "path", "reads", "size", "store")

    def __init__(
        self, store: FsStore, fid: int, path: str, handle: Handle, size: int, fmd: Fmd | None
    ) -> None:
        self.store = store
        self.fid = fid
        self.path = path
        self.handle = handle
        self.size = size
        """Bytes; follows while somebody writes the file."""
        self.fmd = fmd
        """The file's record at open."""
        self.reads = 0
        """Reads in progress: the file is closed after the last one."""
        self.closing = False

    async def read_done(self) -> None:
        """A read is over."""
        self.reads -= 1
        if self.closing and not self.reads:
            await self._close_now()

    async def close(self) -> None:
        """Close when the last read is over."""
        if self.closing:
            return
        self.closing = True
        self.store.drop_reader(self.fid, self)
        if not self.reads:
            await self._close_now()

    async def _close_now(self) -> None:
        try:
            await self.store.disk.close(self.handle)
        except OperationError as error:
            self.store.note_error(error)


class UploadHandle:
    """A file opened for writing: the client's hold on an upload."""

    __slots__ = ("is_void", "pull", "upload")

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.is_void = False
        self.pull: Pull | None = None
        """The third-party copy that fills the file."""

    def void(self) -> None:
        """Another connection goes on with the upload."""
        self.is_void = True

    @property
    def store(self) -> FsStore:
        """Where the file is."""
        return self.upload.store

    @property
    def handle(self) -> Handle:
        """On the store's disk."""
        return self.upload.handle

    @property
    def fid(self) -> int:
        """Of the file."""
        return self.upload.origin.fid

    @property
    def path(self) -> str:
        """As it was opened."""
        return self.upload.origin.path

    @property
    def size(self) -> int:
        """Bytes written."""
        return self.upload.size

    @property
    def reads(self) -> int:
        """Reads in progress."""
        return self.upload.reads

    @reads.setter
    def reads(self, count: int) -> None:
        self.upload.reads = count

    async def read_done(self) -> None:
        """A read is over."""
        self.upload.read_done()


OpenFile = Reader | UploadHandle


class Session:
    """Handles of one connection; `connection.state`."""

    def __init__(self) -> None:
        self.files: dict[int, OpenFile] = {}
        self.writable: dict[int, None] = {}
        """Handles that data may be written to; the connection refuses others unread."""
        self.thk: ThkServer | None = None
        """The challenge that another FST has to answer."""
        self.heard_at = 0.0
        """Loop time of the last request of another FST."""
        self._last_fh = -1

    def add(self, file: OpenFile) -> int:
        """A fresh handle. Raises OperationError EUSERS when there are too many."""
        if len(self.files) >= SESSION_HANDLES_MAX:
            raise OperationError(errno.EUSERS, f"more than {SESSION_HANDLES_MAX} open files")
        fh = self._last_fh
        while True:
            fh = fh + 1 if fh < _FH_LAST else 0
            if fh not in self.files:
                break
        self._last_fh = fh
        self.files[fh] = file
        if isinstance(file, UploadHandle):
            self.writable[fh] = None
        return fh

    def file(self, fh: int) -> OpenFile:
        """Raises OperationError EBADF."""
        file = self.files.get(fh)
        if file is None:
            raise OperationError(errno.EBADF, f"no file is open as {fh}")
        if isinstance(file, UploadHandle) and file.is_void:
            raise OperationError(errno.EBADF, "the file was reopened by another connection")
        return file

    def upload(self, fh: int) -> Upload:
        """The upload behind a handle opened for writing. Raises OperationError EBADF."""
        file = self.file(fh)
        if not isinstance(file, UploadHandle):
            raise OperationError(errno.EBADF, "the file is open for reading only")
        if file.upload.phase is not Phase.OPEN:
            raise OperationError(errno.EBADF, "the file is being closed")
        return file.upload

    def remove(self, fh: int) -> None:
        """Closed."""
        self.files.pop(fh, None)
        self.writable.pop(fh, None)
