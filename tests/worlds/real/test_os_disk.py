"""What the real disk does beyond the contract: caches, threads, descriptors, error numbers."""

import asyncio
import errno
import os
import threading

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import DISK_INLINE_SECONDS_MAX, INLINE_READ_BYTES_MAX
from thesan.worlds.real import os_disk
from thesan.worlds.real.os_disk import OsDisk, filesystem_kind


@pytest.fixture
def disk(tmp_path):
    made = OsDisk(str(tmp_path))
    yield made
    made.shutdown()


def failing(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_a_directory_that_can_not_be_used(tmp_path):
    with pytest.raises(OperationError) as caught:
        OsDisk(str(tmp_path / "absent"))
    assert caught.value.errno == errno.ENOENT
    (tmp_path / "file").write_text("x")
    with pytest.raises(OperationError) as caught:
        OsDisk(str(tmp_path / "file"))
    assert caught.value.errno == errno.ENOTDIR


def test_kinds_of_filesystems(tmp_path, monkeypatch):
    assert filesystem_kind("/proc") == "proc"
    assert filesystem_kind("/dev/shm") == "tmpfs"
    monkeypatch.setattr("builtins.open", failing(errno.EACCES))
    assert filesystem_kind("/proc") == ""


def test_read_now_reads_what_is_cached(disk):
    async def body():
        handle = await disk.open("f", create=True)
        await disk.write(handle, 0, b"x" * 100_000)
        got = disk.read_now(handle, 50_000, 100_000)
        await disk.close(handle)
        return got

    disk._in_memory = True
    assert asyncio.run(body()) == b"x" * 50_000


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EOPNOTSUPP])
def test_read_now_asks_nothing_of_a_disk(disk, monkeypatch, number):
    calls = []

    def preadv(*_):
        calls.append(1)
        raise OSError(number, "x")

    async def body():
        handle = await disk.open("f", create=True)
        assert disk.read_now(handle, 0, 10) is None
        assert disk.read_now(handle, 0, 10) is None
        assert disk.read_now(handle, 0, INLINE_READ_BYTES_MAX + 1) is None
        await disk.close(handle)

    disk._in_memory = False
    monkeypatch.setattr(os_disk.os, "preadv", preadv)
    asyncio.run(body())
    # A filesystem that does not know RWF_NOWAIT is asked once.
    assert len(calls) == (1 if number == errno.EOPNOTSUPP else 2)


def test_read_now_of_a_half_cached_range(disk, monkeypatch):
    """RWF_NOWAIT stops where the cache ends: that is not the end of the file."""
    steps = iter([4, BlockingIOError(errno.EAGAIN, "x"), 4, 0])

    def preadv(fd, buffers, offset, flags):
        step = next(steps)
        if isinstance(step, OSError):
            raise step
        return step

    async def body():
        handle = await disk.open("f", create=True)
        assert disk.read_now(handle, 0, 10) is None
        assert len(disk.read_now(handle, 0, 10)) == 4
        await disk.close(handle)

    disk._in_memory = False
    monkeypatch.setattr(os_disk.os, "preadv", preadv)
    asyncio.run(body())


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("size", [10, 100_000])
def test_errors_keep_their_number(disk, monkeypatch, number, size):
    async def body():
        handle = await disk.open("f", create=True)
        monkeypatch.setattr(os_disk.os, "pwrite", failing(number))
        monkeypatch.setattr(os_disk.os, "fsync", failing(number))
        for call in (
            disk.write(handle, 0, b"x" * size),
            disk.write_summed(handle, 0, b"x" * size, (1, 0)),
            disk.sync(handle),
        ):
            with pytest.raises(OperationError) as caught:
                await call
            assert caught.value.errno == number
        monkeypatch.undo()
        await disk.close(handle)

    asyncio.run(body())


def test_a_short_write_goes_on(disk, monkeypatch):
    real = os.pwrite

    async def body():
        handle = await disk.open("f", create=True)
        monkeypatch.setattr(
            os_disk.os, "pwrite", lambda fd, data, offset: real(fd, data[:30_000], offset)
        )
        await disk.write(handle, 5, b"y" * 100_000)
        monkeypatch.setattr(os_disk.os, "pwrite", lambda fd, data, offset: 0)
        with pytest.raises(OperationError) as caught:
            await disk.write(handle, 0, b"y" * 100_000)
        assert caught.value.errno == errno.ENOSPC
        got = await disk.read(handle, 0, 200_000)
        await disk.close(handle)
        return got

    assert asyncio.run(body()) == bytes(5) + b"y" * 100_000


def test_a_slow_disk_is_kept_off_the_loop(disk, monkeypatch):
    threads = []
    moments = [0.0]

    def pwrite(fd, data, offset):
        threads.append(threading.current_thread() is threading.main_thread())
        moments[0] += 2 * DISK_INLINE_SECONDS_MAX
        return len(data)

    async def body():
        handle = await disk.open("f", create=True)
        monkeypatch.setattr(os_disk.os, "pwrite", pwrite)
        monkeypatch.setattr(os_disk.time, "monotonic", lambda: moments[0])
        await disk.write(handle, 0, b"x")
        await disk.write(handle, 0, b"x")
        await disk.write_summed(handle, 0, b"x", (1, 0))
        moments[0] += 1000.0
        await disk.write(handle, 0, b"x")
        await disk.close(handle)

    asyncio.run(body())
    assert threads == [True, False, False, True]


def test_a_file_stays_open_for_its_workers(disk):
    begun, gate = threading.Event(), threading.Event()
    seen = []

    def work(fd):
        begun.set()
        gate.wait(10)
        seen.append(os.fstat(fd).st_size)

    async def body():
        handle = await disk.open("f", create=True)
        before = descriptors()
        waiting = asyncio.ensure_future(disk._run_on(handle, "test", work))
        await asyncio.sleep(0)
        begun.wait(10)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await disk.close(handle)
        held = descriptors()
        gate.set()
        await disk.run("wait", "", lambda: None)
        return before, held

    outside = descriptors()
    before, held = asyncio.run(body())
    disk._pool.shutdown(wait=True)
    assert held == before
    assert descriptors() == outside
    assert seen == [0]


def test_a_pinned_file_stays_open(disk):
    async def body():
        handle = await disk.open("f", create=True)
        file = disk.pin(handle)
        await disk.close(handle)
        assert os.fstat(file.fd).st_size == 0
        disk.unpin(file)
        with pytest.raises(OSError):
            os.fstat(file.fd)
        with pytest.raises(OperationError):
            disk.pin(handle)

    asyncio.run(body())


def test_a_call_cancelled_before_it_began_lets_go(disk):
    gate = threading.Event()

    async def body():
        handle = await disk.open("f", create=True)
        blocked = [
            asyncio.ensure_future(disk.run("wait", "", lambda: gate.wait(10)))
            for _ in range(os_disk.DISK_WORKERS_MAX)
        ]
        await asyncio.sleep(0)
        queued = asyncio.ensure_future(disk.sync(handle))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.gather(queued, return_exceptions=True)
        assert disk._file(handle).users == 0
        gate.set()
        await asyncio.gather(*blocked)
        before = descriptors()
        await disk.close(handle)
        assert descriptors() == before - 1

    asyncio.run(body())


def test_shutdown_closes_what_is_open(tmp_path):
    before = descriptors()
    disk = OsDisk(str(tmp_path))

    async def body():
        await disk.open("f", create=True)

    asyncio.run(body())
    disk.shutdown()
    assert descriptors() == before
