"""The pulling half of a third-party copy, on its own. The whole is in test_tpc."""

import asyncio
import errno
from types import SimpleNamespace

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.wire import bodies
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import FST_FLAGS, Status
from thesan.core.wire.requests import Close, Open, PgRead, Read
from thesan.io.tasks import TaskOwner
from thesan.roles.fst import tpc_pull
from thesan.roles.fst.tpc_pull import Pull, Source

DATA = bytes(range(256)) * 100
SOURCE = Source("h", 1, "/f", "key", "u.1@c")


class Upload:
    """Keeps what is written; may fail, or be slow."""

    def __init__(self, fails_at=None):
        self.origin = SimpleNamespace(fid=1)
        self.data = bytearray()
        self.fails_at = fails_at
        self.error = None
        self.open = 0
        self.most_open = 0

    def write(self, offset, data, done):
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        asyncio.get_running_loop().call_later(0.001, self._written, offset, data, done)

    def _written(self, offset, data, done):
        self.open -= 1
        if self.fails_at is not None and offset >= self.fails_at:
            done(OperationError(errno.ENOSPC, "full"))
            return
        assert offset == len(self.data)
        self.data += data
        done(None)

    def drain(self):
        async def until_written():
            while self.open:
                await asyncio.sleep(0.001)

        return until_written()

    def fail(self, error, *, is_of_disk=True):
        assert not is_of_disk
        self.error = error


class Connection:
    def __init__(self, flags, data=DATA, surplus=0):
        self.server = bodies.ProtocolInfo(0x511, flags)
        self.data = data
        self.surplus = surplus
        self.hangs = asyncio.Event()
        self.is_held = False
        self.asked = []
        self.closed = False

    async def call(self, request, timeout):
        self.asked.append(request)
        await asyncio.sleep(0)
        match request:
            case Open():
                stat = bodies.build_stat(bodies.StatInfo(1, len(DATA), 16, 0))
                return Response(b"", Status.OK, bodies.build_open(5, stat))
            case Close():
                return Response(b"", Status.OK)
        if self.is_held:
            self.hangs.set()
            await asyncio.Event().wait()
        part = self.data[request.offset : request.offset + request.length + self.surplus]
        return Response(b"", Status.OK, part)

    async def close(self):
        self.closed = True


def pulled(upload, connection, monkeypatch):
    monkeypatch.setattr(tpc_pull, "TPC_CHUNK_BYTES", 1000)

    async def main():
        async def dial(host, port):
            return connection

        log = SimpleNamespace(info=lambda *_, **__: None)
        pull = Pull(upload, SOURCE, dial, TaskOwner("test"), log)
        assert not pull.is_started
        pull.start()
        assert pull.is_started
        assert not pull.is_done
        try:
            await pull.finished()
        finally:
            assert pull.is_done

    asyncio.run(main())


@pytest.mark.parametrize(("flags", "kind"), [(FST_FLAGS, PgRead), (1, Read)])
def test_pages_with_checksums_where_the_source_has_them(monkeypatch, flags, kind):
    upload, connection = Upload(), Connection(flags)
    pulled(upload, connection, monkeypatch)
    assert upload.data == DATA
    assert {type(request) for request in connection.asked[1:-1]} == {kind}
    assert connection.closed
    assert upload.most_open <= tpc_pull.TPC_CHUNKS_IN_FLIGHT


def test_an_upload_that_fails(monkeypatch):
    upload, connection = Upload(fails_at=5000), Connection(1)
    with pytest.raises(OperationError, match="copy from h:1 failed: full") as caught:
        pulled(upload, connection, monkeypatch)
    assert caught.value.errno == errno.ENOSPC
    assert upload.error is caught.value
    assert connection.closed


@pytest.mark.parametrize("length", [0, 2000, 2500])
def test_a_source_that_is_shorter_than_it_said(monkeypatch, length):
    upload, connection = Upload(), Connection(1, DATA[:length])
    with pytest.raises(OperationError) as caught:
        pulled(upload, connection, monkeypatch)
    assert caught.value.errno == errno.EIO


def test_a_source_that_sends_more_than_was_asked(monkeypatch):
    """Taken as it comes it would shift all that follows."""
    upload, connection = Upload(), Connection(1, surplus=1)
    with pytest.raises(OperationError) as caught:
        pulled(upload, connection, monkeypatch)
    assert caught.value.errno == errno.EPROTO
    assert upload.data == b""
    assert upload.error is caught.value


@pytest.mark.parametrize("is_begun", [True, False])
def test_who_waits_for_a_copy_that_is_given_up_hears_of_it(is_begun):
    async def main():
        upload, connection = Upload(), Connection(1)
        connection.is_held = True

        async def dial(host, port):
            return connection

        tasks = TaskOwner("test")
        pull = Pull(upload, SOURCE, dial, tasks, SimpleNamespace())
        pull.start()
        waiting = [asyncio.ensure_future(pull.finished()) for _ in range(2)]
        if is_begun:
            await connection.hangs.wait()
            waiting[0].cancel()
            await asyncio.gather(waiting[0], return_exceptions=True)
            assert waiting[0].cancelled()
            assert not pull.is_done
        pull.cancel()
        with pytest.raises(OperationError) as caught:
            await waiting[1]
        assert caught.value.errno == errno.ECANCELED
        assert pull.is_done
        assert connection.closed == is_begun
        assert (upload.error is not None) == is_begun
        await asyncio.gather(*waiting, return_exceptions=True)
        await tasks.close()
        assert len(tasks) == 0

    asyncio.run(main())


def test_a_fault_of_ours_spoils_the_upload_and_is_reported():
    """A part of a file must not be committed as the whole."""

    async def main():
        upload, reported = Upload(), []

        async def dial(host, port):
            raise ZeroDivisionError

        tasks = TaskOwner("test", lambda name, error: reported.append(type(error)))
        pull = Pull(upload, SOURCE, dial, tasks, SimpleNamespace())
        pull.cancel()
        pull.start()
        with pytest.raises(OperationError):
            await pull.finished()
        assert upload.error.errno == errno.EFAULT
        assert reported == [ZeroDivisionError]

    asyncio.run(main())
