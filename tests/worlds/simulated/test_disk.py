"""The simulated disk keeps the promises of ports.disk."""

import asyncio
import errno

import pytest
from google_crc32c import value as crc32c
from zlib_ng.zlib_ng import adler32

from thesan.core.model.errors import OperationError
from thesan.worlds.simulated.disk import SimDisk
from thesan.worlds.simulated.platter import Platter


@pytest.fixture
def platter() -> Platter:
    """An empty disk."""
    return Platter("a:/d")


@pytest.fixture
def disk(loop, platter) -> SimDisk:
    """One process's view of it."""
    return SimDisk(loop, platter, "1")


def test_write_and_read(loop, disk):
    async def main():
        handle = await disk.open("x/y", create=True)
        await disk.write(handle, 5, b"world")
        await disk.write(handle, 0, memoryview(b"hello"))
        assert await disk.read(handle, 0, 100) == b"helloworld"
        assert await disk.readv(handle, [(8, 5), (0, 2)]) == [b"ld", b"he"]
        found = {disk.read_now(handle, 1, 3) for _ in range(50)}
        assert found == {b"ell", None}
        assert await disk.size(handle) == 10
        sums = await disk.checksums(handle, 10)
        assert sums == (adler32(b"helloworld"), crc32c(b"helloworld"))
        await disk.truncate(handle, 3)
        assert await disk.size(handle) == 3
        await disk.sync(handle)
        await disk.close(handle)

    loop.run_until_complete(main())


def test_summed_writes(loop, disk):
    async def main():
        handle = await disk.open("x", create=True)
        sums = (1, 0)
        for start, part in [(0, b"abc"), (3, bytearray(b"defg"))]:
            sums = await disk.write_summed(handle, start, part, sums)
        assert sums == (adler32(b"abcdefg"), crc32c(b"abcdefg"))
        assert sums == await disk.checksums(handle, 7)
        with pytest.raises(OperationError) as caught:
            await disk.checksums(handle, 8)
        assert caught.value.errno == errno.EIO

    loop.run_until_complete(main())


def _errno(loop, work) -> int:
    with pytest.raises(OperationError) as caught:
        loop.run_until_complete(work)
    return caught.value.errno


def test_errors(loop, disk):
    assert _errno(loop, disk.open("absent")) == errno.ENOENT
    for path in ("../x", "/x", "a//b", "a/./b", "", "a\0b"):
        assert _errno(loop, disk.open(path, create=True)) == errno.EINVAL
    assert _errno(loop, disk.close(7)) == errno.EBADF
    assert _errno(loop, disk.read(7, 0, 1)) == errno.EBADF
    assert _errno(loop, disk.rename("absent", "y")) == errno.ENOENT
    assert _errno(loop, disk.set_xattr("absent", "fmd", b"")) == errno.ENOENT


def test_whole_files_and_names(loop, disk, platter):
    async def main():
        await disk.write_file("p/f", b"one")
        await disk.write_file("p/f", b"two")
        assert await disk.read_file("p/f", 3) == b"two"
        assert await disk.read_file("p/none", 3) is None
        with pytest.raises(OperationError):
            await disk.read_file("p/f", 2)
        assert await disk.list("p") == ["f"]
        await disk.rename("p/f", "q/g")
        assert await disk.list("p") == []
        assert await disk.list("never") == []
        await disk.set_xattr("q/g", "fmd", b"meta")
        assert await disk.get_xattr("q/g", "fmd") == b"meta"
        assert await disk.get_xattr("q/g", "other") is None
        assert await disk.remove("q/g")
        assert not await disk.remove("q/g")
        await disk.write_file("quick", b"soft", durable=False)

    loop.run_until_complete(main())
    assert list(platter.names) == ["quick"]


def test_a_durable_file_survives_any_crash(loop):
    for seed in range(20):
        platter = Platter("d")
        disk = SimDisk(loop, platter, str(seed))
        loop.run_until_complete(disk.write_file("m", b"one"))
        loop.run_until_complete(disk.write_file("m", b"two"))
        platter.crash(disk._random)
        assert bytes(platter.file("m").data) == b"two"
        assert list(platter.names) == ["m"]


def test_what_is_sealed_survives_any_crash(loop):
    for seed in range(20):
        platter = Platter("d")
        disk = SimDisk(loop, platter, str(seed))
        handle = loop.run_until_complete(disk.create_marked("f", "m", b"marker"))
        loop.run_until_complete(disk.write(handle, 0, b"data"))
        loop.run_until_complete(disk.seal(handle, "fmd", b"record"))
        platter.crash(disk._random)
        assert bytes(platter.file("f").data) == b"data"
        assert platter.file("f").xattrs == {"fmd": b"record"}
        assert "m" in platter.names


def test_a_crash_leaves_no_new_file_without_its_marker(loop):
    for seed in range(50):
        platter = Platter("d")
        disk = SimDisk(loop, platter, str(seed))
        loop.run_until_complete(disk.create_marked("f", "m", b"marker"))
        platter.crash(disk._random)
        assert "f" not in platter.names or "m" in platter.names


def test_faults(loop, disk, platter):
    handle = loop.run_until_complete(disk.open("x", create=True))
    faults = platter.faults
    faults.full = True
    assert _errno(loop, disk.write(handle, 0, b"x")) == errno.ENOSPC
    assert loop.run_until_complete(disk.usage()).free_bytes == 0
    faults.full = False
    faults.read_only = True
    assert _errno(loop, disk.write(handle, 0, b"x")) == errno.EROFS
    assert loop.run_until_complete(disk.usage()).read_only
    faults.read_only = False
    faults.sync_failures = 1
    assert _errno(loop, disk.sync(handle)) == errno.EIO
    loop.run_until_complete(disk.sync(handle))
    faults.dead = True
    assert disk.read_now(handle, 0, 1) is None
    assert _errno(loop, disk.read(handle, 0, 1)) == errno.EIO
    assert _errno(loop, disk.list("")) == errno.EIO
    with pytest.raises(OperationError):
        SimDisk(loop, platter, "2")


def test_a_slow_disk_is_slow(loop, disk, platter):
    async def write():
        before = loop.time()
        handle = await disk.open("x", create=True)
        for _ in range(20):
            await disk.write(handle, 0, b"x")
            await disk.sync(handle)
        return loop.time() - before

    fast = loop.run_until_complete(write())
    platter.faults.slow_factor = 100.0
    assert loop.run_until_complete(write()) > 20 * fast


def test_a_call_is_done_even_if_nobody_waits(loop, disk, platter):
    async def main():
        platter.faults.slow_factor = 100.0
        task = loop.create_task(disk.write_file("x", b"data", durable=False))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "x" not in platter.names
        await asyncio.sleep(10)
        assert "x" in platter.names

    loop.run_until_complete(main())


def test_a_killed_process_loses_its_calls(loop, platter):
    process = loop.network.process("a", "fst")
    disk = SimDisk(loop, platter, "1")
    platter.faults.slow_factor = 100.0
    loop.start(process, disk.write_file("x", b"data"), "write")
    loop.run_until_complete(asyncio.sleep(0.0001))
    loop.network.kill(process)
    loop.run_until_complete(asyncio.sleep(10))
    assert not platter.names
