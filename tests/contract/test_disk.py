"""One body of tests for every ports.disk: a directory (real) and a platter (simulated)."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from google_crc32c import value as crc32c
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zlib_ng.zlib_ng import adler32

from thesan.core.model.errors import OperationError
from thesan.ports.disk import Disk
from thesan.worlds.real.os_disk import OsDisk
from thesan.worlds.simulated import loop as simulated
from thesan.worlds.simulated.disk import SimDisk
from thesan.worlds.simulated.platter import Platter

Body = Callable[[Disk], Awaitable[None]]
Run = Callable[[Body], None]

SIZES = [0, 1, 511, 4096, 65_535, 65_536, 65_537, 300_000, 1 << 20]
"""Below and above the bounds of inline reads, inline writes and checksum slices."""
PATTERN = bytes(i * 7 % 251 for i in range(1 << 20))


def run_real(root: Path, body: Body) -> None:
    disk = OsDisk(str(root))
    try:
        asyncio.run(body(disk))
    finally:
        disk.shutdown()


def run_simulated(body: Body) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, simulated.SimLoop)
        await body(SimDisk(loop, Platter("disk"), "1"))

    simulated.run(main())


@pytest.fixture(params=["real", "simulated"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    if request.param == "simulated":
        return run_simulated
    return lambda body: run_real(tmp_path, body)


def refused(number: int) -> "pytest.RaisesExc[OperationError]":
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read(run: Run, size: int) -> None:
    data = PATTERN[:size]

    async def body(disk: Disk) -> None:
        handle = await disk.open("00000000/00000007", create=True)
        await disk.write(handle, 0, data)
        assert await disk.size(handle) == size
        assert await disk.read(handle, 0, size) == data
        assert await disk.read(handle, 0, size + 10) == data
        assert await disk.read(handle, size, 10) == b""
        assert disk.read_now(handle, 0, size + 10) in (data, None)
        assert await disk.checksums(handle, size) == (adler32(data), crc32c(data))
        await disk.sync(handle)
        await disk.close(handle)
        again = await disk.open("00000000/00000007")
        assert await disk.readv(again, [(size // 2, 10), (0, size), (size + 5, 1)]) == [
            data[size // 2 : size // 2 + 10],
            data,
            b"",
        ]
        await disk.close(again)

    run(body)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_summed_writes_continue_the_checksums(run: Run, kind: Callable[[bytes], bytes]) -> None:
    async def body(disk: Disk) -> None:
        handle = await disk.open("f", create=True)
        sums, offset = (1, 0), 0
        for size in SIZES:
            sums = await disk.write_summed(handle, offset, kind(PATTERN[:size]), sums)
            offset += size
        assert sums == await disk.checksums(handle, offset)
        await disk.close(handle)

    run(body)


def test_a_late_write_leaves_a_hole(run: Run) -> None:
    async def body(disk: Disk) -> None:
        handle = await disk.open("f", create=True)
        await disk.write(handle, 5, b"x")
        assert await disk.read(handle, 0, 10) == b"\0\0\0\0\0x"
        await disk.truncate(handle, 8)
        assert await disk.read(handle, 0, 10) == b"\0\0\0\0\0x\0\0"
        await disk.truncate(handle, 2)
        assert await disk.size(handle) == 2
        with refused(errno.EIO):
            await disk.checksums(handle, 3)
        await disk.close(handle)

    run(body)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=50)), max_size=12))
def test_any_writes_give_what_a_buffer_gives(run: Run, writes: list[tuple[int, bytes]]) -> None:
    async def body(disk: Disk) -> None:
        await disk.remove("f")
        handle = await disk.open("f", create=True)
        model = bytearray()
        for offset, data in writes:
            if data:
                model.extend(bytes(max(0, offset + len(data) - len(model))))
                model[offset : offset + len(data)] = data
            await disk.write(handle, offset, data)
        assert await disk.read(handle, 0, 1000) == model
        await disk.close(handle)

    run(body)


def test_open_and_handles(run: Run) -> None:
    async def body(disk: Disk) -> None:
        with refused(errno.ENOENT):
            await disk.open("a/b")
        with refused(errno.ENOENT):
            await disk.open("a/b", write=True)
        first = await disk.open("a/b", create=True, write=True)
        await disk.write(first, 0, b"one")
        second = await disk.open("a/b", create=True)
        assert first != second
        assert await disk.read(second, 0, 3) == b"one"
        await disk.close(first)
        assert await disk.read(second, 0, 3) == b"one"
        for call in (disk.close(first), disk.read(first, 0, 1), disk.write(first, 0, b"x")):
            with refused(errno.EBADF):
                await call
        with refused(errno.EBADF):
            disk.read_now(first, 0, 1)
        await disk.close(second)

    run(body)


def test_an_open_file_outlives_its_name(run: Run) -> None:
    async def body(disk: Disk) -> None:
        handle = await disk.open("f", create=True)
        await disk.write(handle, 0, b"data")
        assert await disk.remove("f") is True
        assert await disk.remove("f") is False
        assert await disk.read(handle, 0, 4) == b"data"
        await disk.close(handle)
        with refused(errno.ENOENT):
            await disk.open("f")

    run(body)


def test_attributes(run: Run) -> None:
    async def body(disk: Disk) -> None:
        await disk.close(await disk.open("d/f", create=True))
        assert await disk.get_xattr("d/f", "thesan.fmd") is None
        await disk.set_xattr("d/f", "thesan.fmd", b"\0one")
        await disk.set_xattr("d/f", "thesan.fmd", b"\0two")
        assert await disk.get_xattr("d/f", "thesan.fmd") == b"\0two"
        with refused(errno.ENOENT):
            await disk.get_xattr("d/absent", "thesan.fmd")
        with refused(errno.ENOENT):
            await disk.set_xattr("d/absent", "thesan.fmd", b"x")

    run(body)


def test_a_new_file_comes_after_its_marker(run: Run) -> None:
    async def body(disk: Disk) -> None:
        handle = await disk.create_marked("d/f", "m/f", b"marker")
        await disk.write(handle, 0, b"data")
        assert await disk.read_file("m/f", 100) == b"marker"
        assert await disk.read_file("d/f", 100) == b"data"
        await disk.remove("m/f")
        with refused(errno.EEXIST):
            await disk.create_marked("d/f", "m/f", b"again")
        assert await disk.read_file("m/f", 100) is None
        assert await disk.read_file("d/f", 100) == b"data"
        await disk.close(handle)

    run(body)


def test_sealing_sets_the_attribute(run: Run) -> None:
    async def body(disk: Disk) -> None:
        handle = await disk.open("d/f", create=True)
        await disk.seal(handle, "thesan.fmd", b"\0record")
        await disk.close(handle)
        assert await disk.get_xattr("d/f", "thesan.fmd") == b"\0record"
        with refused(errno.EBADF):
            await disk.seal(handle, "thesan.fmd", b"x")

    run(body)


@pytest.mark.parametrize("durable", [True, False])
def test_small_files(run: Run, durable: bool) -> None:
    async def body(disk: Disk) -> None:
        assert await disk.read_file("x/y/z", 100) is None
        await disk.write_file("x/y/z", b"first", durable=durable)
        await disk.write_file("x/y/z", b"2", durable=durable)
        assert await disk.read_file("x/y/z", 1) == b"2"
        await disk.write_file("x/y/z", b"22", durable=durable)
        with refused(errno.EFBIG):
            await disk.read_file("x/y/z", 1)
        assert await disk.list("x/y") == ["z"]

    run(body)


def test_names(run: Run) -> None:
    async def body(disk: Disk) -> None:
        assert await disk.list("") == []
        assert await disk.list("absent") == []
        for name in ("c", "a/2", "a/1", "a/10"):
            await disk.write_file(name, b"")
        assert await disk.list("") == ["a", "c"]
        assert await disk.list("a") == ["1", "10", "2"]
        await disk.rename("c", "a/2")
        await disk.rename("a/1", "new/place/1")
        assert await disk.list("") == ["a", "new"]
        assert await disk.list("a") == ["10", "2"]
        assert await disk.read_file("new/place/1", 10) == b""
        with refused(errno.ENOENT):
            await disk.rename("c", "d")

    run(body)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a//b", ".", "a/\0"])
def test_paths_that_could_lead_out(run: Run, path: str) -> None:
    async def body(disk: Disk) -> None:
        for call in (
            disk.open(path),
            disk.open(path, create=True),
            disk.read_file(path, 10),
            disk.write_file(path, b""),
            disk.remove(path),
            disk.rename(path, "x"),
            disk.list(path),
        ):
            with refused(errno.EINVAL):
                await call

    run(body)


def test_usage(run: Run) -> None:
    async def body(disk: Disk) -> None:
        usage = await disk.usage()
        assert 0 < usage.free_bytes <= usage.capacity_bytes
        assert 0 < usage.free_files <= usage.files
        assert not usage.read_only

    run(body)


def test_calls_side_by_side(run: Run) -> None:
    async def body(disk: Disk) -> None:
        handle = await disk.open("f", create=True)
        size = 200_000
        writes = [disk.write(handle, i * size, bytes([i]) * size) for i in range(20)]
        await asyncio.gather(*writes)
        reads = await asyncio.gather(*[disk.read(handle, i * size, size) for i in range(20)])
        assert reads == [bytes([i]) * size for i in range(20)]
        await disk.close(handle)

    run(body)


def test_a_cancelled_write_does_not_hit_the_next_file(run: Run) -> None:
    """Its worker may still run when the handle is closed and its number could be given again."""

    async def body(disk: Disk) -> None:
        first = await disk.open("first", create=True)
        waiting = [
            asyncio.ensure_future(disk.write(first, i << 20, b"1" * (1 << 20))) for i in range(40)
        ]
        await asyncio.sleep(0)
        for write in waiting:
            write.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await disk.close(first)
        second = await disk.open("second", create=True)
        await disk.write(second, 0, b"2" * 100_000)
        await disk.sync(second)
        assert await disk.read(second, 0, 1 << 20) == b"2" * 100_000
        await disk.close(second)

    run(body)
