"""Handles of a session: numbers, limits, and files that outlive their close."""

import asyncio
import errno
from types import SimpleNamespace

import pytest

from thesan.core.model.errors import OperationError
from thesan.roles.fst import handles
from thesan.roles.fst.handles import Reader, Session, UploadHandle
from thesan.roles.fst.upload import Phase


class Disk:
    def __init__(self):
        self.closed = []

    async def close(self, handle):
        self.closed.append(handle)


def make_reader():
    disk = Disk()
    store = SimpleNamespace(disk=disk, drop_reader=lambda fid, reader: None, note_error=None)
    return Reader(store, 1, "/f", 5, 10, None), disk


def make_upload():
    return UploadHandle(SimpleNamespace(phase=Phase.OPEN, size=3, handle=4, reads=0))


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


def test_numbers_are_fresh_and_writers_are_known():
    session = Session()
    reader, _ = make_reader()
    assert [session.add(reader) for _ in range(3)] == [0, 1, 2]
    session.remove(1)
    assert session.add(make_upload()) == 3
    assert list(session.writable) == [3]
    session.remove(3)
    assert not session.writable
    with refused(errno.EBADF):
        session.file(3)


def test_numbers_wrap_around_those_in_use(monkeypatch):
    monkeypatch.setattr(handles, "_FH_LAST", 3)
    session = Session()
    reader, _ = make_reader()
    for _ in range(4):
        session.add(reader)
    session.remove(2)
    assert session.add(reader) == 2


def test_open_files_are_bounded(monkeypatch):
    monkeypatch.setattr(handles, "SESSION_HANDLES_MAX", 2)
    session = Session()
    reader, _ = make_reader()
    session.add(reader)
    fh = session.add(make_upload())
    with refused(errno.EUSERS):
        session.add(make_upload())
    assert list(session.writable) == [fh]
    session.remove(fh)
    session.remove(fh)
    assert session.add(reader) == fh + 1


def test_uploads_that_can_be_written():
    session = Session()
    reader, _ = make_reader()
    file = make_upload()
    read_fh, write_fh = session.add(reader), session.add(file)
    assert session.upload(write_fh) is file.upload
    with refused(errno.EBADF):
        session.upload(read_fh)
    file.upload.phase = Phase.CLOSING
    with refused(errno.EBADF):
        session.upload(write_fh)
    file.void()
    with refused(errno.EBADF):
        session.file(write_fh)


def test_a_reader_is_closed_after_its_last_read():
    async def main():
        reader, disk = make_reader()
        reader.reads = 2
        await reader.close()
        await reader.close()
        await reader.read_done()
        assert disk.closed == []
        await reader.read_done()
        assert disk.closed == [5]

    asyncio.run(main())


def test_a_disk_that_fails_to_close_is_noted():
    async def main():
        reader, disk = make_reader()
        noted = []
        reader.store.note_error = noted.append

        async def fail(handle):
            raise OperationError(errno.EIO, "x")

        disk.close = fail
        await reader.close()
        assert len(noted) == 1

    asyncio.run(main())


def test_an_upload_handle_shows_its_upload():
    file = make_upload()
    assert (file.size, file.handle) == (3, 4)
    file.reads += 1
    assert file.upload.reads == file.reads == 1
