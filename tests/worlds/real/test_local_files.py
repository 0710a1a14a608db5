"""Local files: atomic appearance, errors as errno, streams."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from thesan.core.model.errors import OperationError
from thesan.ports.local_files import LocalFiles, LocalKind
from thesan.worlds.real import local_files as module
from thesan.worlds.real.local_files import RealLocalFiles


def run(work: Callable[[LocalFiles], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        files = RealLocalFiles()
        try:
            return await work(files)
        finally:
            files.close()

    return asyncio.run(main())


def fails(number: int, work: Callable[[LocalFiles], Awaitable[Any]]) -> None:
    with pytest.raises(OperationError) as caught:
        run(work)
    assert caught.value.errno == number


def test_write_appears_whole_at_commit(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_bytes(b"old")

    async def work(files: LocalFiles) -> None:
        writer = await files.open_write(str(target), 0o640)
        await writer.write(5, b"world")
        await writer.write(0, memoryview(b"hello"))
        assert target.read_bytes() == b"old"
        await writer.commit(mtime_ns=1_000_000_007)
        await writer.discard()

    umask = os.umask(0o022)
    try:
        run(work)
    finally:
        os.umask(umask)
    assert target.read_bytes() == b"helloworld"
    assert target.stat().st_mtime_ns == 1_000_000_007
    assert target.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["f"]


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    async def work(files: LocalFiles) -> None:
        writer = await files.open_write(str(tmp_path / "f"))
        await writer.write(0, b"x")
        await writer.discard()
        await writer.discard()

    run(work)
    assert os.listdir(tmp_path) == []


def test_no_replace(tmp_path: Path) -> None:
    target = tmp_path / "f"

    async def late(files: LocalFiles) -> None:
        writer = await files.open_write(str(target), replace=False)
        target.write_bytes(b"first")
        await writer.commit()

    fails(errno.EEXIST, late)
    fails(errno.EEXIST, lambda files: files.open_write(str(target), replace=False))
    assert target.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["f"]

    async def fresh(files: LocalFiles) -> None:
        writer = await files.open_write(str(tmp_path / "g"), replace=False)
        await writer.commit()

    run(fresh)
    assert sorted(os.listdir(tmp_path)) == ["f", "g"]


def test_write_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"")
    (tmp_path / "link").symlink_to("real")

    async def work(files: LocalFiles) -> None:
        writer = await files.open_write(str(tmp_path / "link"))
        await writer.write(0, b"new")
        await writer.commit()

    run(work)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_link_that_is_not_followed_is_replaced_itself(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to("real")
    fails(errno.EEXIST, lambda files: files.open_write(str(link), replace=False, follow=False))
    (tmp_path / "dangling").symlink_to("nothing")
    dangling = str(tmp_path / "dangling")
    fails(errno.EEXIST, lambda files: files.open_write(dangling, replace=False, follow=False))

    async def work(files: LocalFiles) -> None:
        writer = await files.open_write(str(link), follow=False)
        await writer.write(0, b"new")
        await writer.commit()

    run(work)
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"
    assert (tmp_path / "real").read_bytes() == b"old"


def test_a_link_that_is_not_followed_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    async def work(files: LocalFiles) -> None:
        await files.mkdir(str(tmp_path / "link"))
        await files.mkdir(str(tmp_path / "real"), follow=False)
        await files.mkdir(str(tmp_path / "new"), 0o700, follow=False)

    run(work)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    fails(errno.ENOTDIR, lambda files: files.mkdir(str(tmp_path / "link"), follow=False))
    fails(errno.ENOENT, lambda files: files.mkdir(str(tmp_path / "a" / "b"), follow=False))


def test_what_is_no_local_name_is_an_error_as_any(tmp_path: Path) -> None:
    fails(errno.EINVAL, lambda files: files.symlink("a\0b", str(tmp_path / "l")))
    fails(errno.EINVAL, lambda files: files.open_write(str(tmp_path / "a\0b")))
    fails(errno.EILSEQ, lambda files: files.mkdir(str(tmp_path / "\ud800")))


def test_pipe_is_written_in_place_and_in_order(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    async def work(files: LocalFiles) -> None:
        writer = await files.open_write(str(fifo))
        await writer.write(0, b"ab")
        await writer.write(2, b"cd")
        with pytest.raises(OperationError) as caught:
            await writer.write(9, b"ef")
        assert caught.value.errno == errno.ESPIPE
        await writer.commit()

    try:
        run(work)
        assert os.read(reader, 100) == b"abcd"
    finally:
        os.close(reader)
    assert os.listdir(tmp_path) == ["fifo"]


def test_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")

    async def work(files: LocalFiles) -> list[bytes]:
        reader = await files.open_read(str(tmp_path / "f"))
        parts = [await reader.read(2, 3), await reader.read(8, 100), await reader.read(50, 1)]
        await reader.close()
        await reader.close()
        return parts

    assert run(work) == [b"234", b"89", b""]
    fails(errno.ENOENT, lambda files: files.open_read(str(tmp_path / "none")))
    fails(errno.EISDIR, lambda files: files.open_read(str(tmp_path)))
    fails(errno.EISDIR, lambda files: files.open_write(str(tmp_path)))


def test_directories_links_and_kinds(tmp_path: Path) -> None:
    async def work(files: LocalFiles) -> None:
        await files.mkdir(str(tmp_path / "a" / "b"))
        await files.mkdir(str(tmp_path / "a" / "b"))
        await files.symlink("a", str(tmp_path / "l"))
        assert await files.readlink(str(tmp_path / "l")) == "a"
        assert await files.list(str(tmp_path)) == ["a", "l"]
        kinds = {}
        for name in ("a", "l", "none"):
            found = await files.stat(str(tmp_path / name), follow=False)
            kinds[name] = found and found.kind
        assert kinds == {"a": LocalKind.DIRECTORY, "l": LocalKind.SYMLINK, "none": None}
        followed = await files.stat(str(tmp_path / "l"))
        assert followed is not None
        assert followed.kind is LocalKind.DIRECTORY
        device = await files.stat("/dev/null")
        assert device is not None
        assert device.kind is LocalKind.OTHER

    run(work)
    fails(errno.EEXIST, lambda files: files.symlink("x", str(tmp_path / "l")))


def test_standard_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()

    class Pipes(RealLocalFiles):
        def stdin(self) -> Any:
            return module._StreamSource(self._workers, read_end)

        def stdout(self) -> Any:
            return module._StreamSink(self._workers, write_end)

    monkeypatch.setattr(module, "_STDIN_POLL_SECONDS", 0.01)

    async def main() -> bytes:
        files = Pipes()
        reading = asyncio.get_running_loop().create_task(files.stdin().read(100))
        await asyncio.sleep(0.05)
        await files.stdout().write(b"hello")
        first = await reading
        os.close(write_end)
        assert await files.stdin().read(100) == b""
        files.close()
        return first

    assert asyncio.run(main()) == b"hello"
    os.close(read_end)
