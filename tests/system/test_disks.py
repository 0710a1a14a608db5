"""Disks that are full, read-only or gone: clear errors, nothing acknowledged is lost."""

import asyncio
import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from thesan.core.model.errors import OperationError

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.xdist_group("machine"),
    pytest.mark.skipif(os.geteuid() != 0, reason="small disks of its own need mount(2)"),
]

MIB = 1 << 20
DISK_BYTES = 12 * MIB
PATIENCE_SECONDS = 8.0
NO_WRITABLE = {errno.ENOSPC, errno.EROFS, errno.EADDRNOTAVAIL}


async def put(fs: Any, path: str, data: bytes, size: int = 0) -> None:
    async with await fs.open(path, "w", size=size) as file:
        await file.write(0, data)


async def get(fs: Any, path: str) -> bytes:
    async with await fs.open(path) as file:
        return bytes(await file.read())


async def filesystems(instance: Any) -> dict[str, dict[str, Any]]:
    """`fs ls` records by path."""
    async with instance.client() as fs:
        return {record["path"]: record for record in (await fs.admin("fs", "ls")).records}


async def until_shown(instance: Any, path: str, key: str, value: Any) -> dict[str, Any]:
    """Wait until `fs ls` shows it."""
    async with asyncio.timeout(30):
        while (record := (await filesystems(instance))[path])[key] != value:
            await asyncio.sleep(0.1)
    return record


async def remount(instance: Any, option: str) -> None:
    """Read-only or read-write; busy while an upload ends."""
    for mount in instance.mounts:
        async with asyncio.timeout(10):
            while subprocess.run(["mount", "-o", f"remount,{option}", mount]).returncode:
                await asyncio.sleep(0.1)


async def give_headroom(instance: Any, text: str) -> None:
    """`fs config FSID headroom=...`, and wait until MGM and FST know it."""
    async with instance.client() as fs:
        for record in (await fs.admin("fs", "ls")).records:
            await fs.admin("fs", "config", fs=str(record["id"]), key="headroom", value=text)
        await put_when_possible(fs, "/room", b"there is")
        await fs.rm("/room")


async def put_when_possible(fs: Any, path: str, data: bytes) -> None:
    """Store it as soon as beats have told that there is a disk again."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await put(fs, path, data)
            except OperationError as error:
                if error.errno not in NO_WRITABLE:
                    raise


async def fill(fs: Any, acknowledged: dict[str, bytes]) -> OperationError:
    """Store files until there is no room; the error."""
    while len(acknowledged) < 100:
        data = os.urandom(MIB)
        path = f"/d/f{len(acknowledged)}"
        try:
            await put(fs, path, data)
        except OperationError as error:
            return error
        acknowledged[path] = data
    raise AssertionError("100 MiB fit on 24 MiB of disk")


def test_a_full_disk(start_instance: Any, until_true: Any) -> None:
    instance = start_instance(fsts=1, disk_bytes=DISK_BYTES, headroom_bytes=0, partial_seconds=0.2)

    async def scenario() -> None:
        acknowledged: dict[str, bytes] = {}
        await give_headroom(instance, "0")
        async with instance.client(patience_s=PATIENCE_SECONDS) as fs:
            await fs.mkdir("/d")
            error = await fill(fs, acknowledged)
            assert error.errno == errno.ENOSPC, error
            assert len(acknowledged) >= 20, "both disks of 12 MiB are full"
            names = {f"/d/{entry.name}" for entry in await fs.ls("/d")}
            assert names == set(acknowledged), "what failed left no name"
            for path, data in acknowledged.items():
                assert await get(fs, path) == data
            await until_true(lambda: not instance.markers(), "the failed upload is cleared up")
            await until_true(
                lambda: len(instance.data_files()) == len(acknowledged), "nothing else is stored"
            )

            with pytest.raises(OperationError) as caught:
                await put(fs, "/d/announced", b"", size=100 * MIB)
            assert caught.value.errno == errno.ENOSPC, caught.value

            for path in list(acknowledged)[:6]:
                await fs.rm(path)
                del acknowledged[path]
            await until_true(lambda: len(instance.data_files()) == len(acknowledged), "room again")
            await put_when_possible(fs, "/d/again", b"x" * MIB)
            assert await get(fs, "/d/again") == b"x" * MIB
            for path, data in acknowledged.items():
                assert await get(fs, path) == data

    asyncio.run(scenario())


def test_the_headroom_is_kept(start_instance: Any) -> None:
    instance = start_instance(fsts=1, disk_bytes=DISK_BYTES, headroom_bytes=0)

    async def scenario() -> None:
        await give_headroom(instance, "10M")
        async with instance.client(patience_s=PATIENCE_SECONDS) as fs:
            for number in range(2):
                # Free space is known as of the last beat: a file at a time, until it is shown.
                await put_when_possible(fs, f"/f{number}", os.urandom(3 * MIB))
                async with asyncio.timeout(30):
                    while not await _shows_use(instance, number + 1):
                        await asyncio.sleep(0.1)
            with pytest.raises(OperationError) as caught:
                await put(fs, "/more", b"x")
            assert caught.value.errno == errno.ENOSPC, caught.value
            assert "full" in caught.value.text or "too few" in caught.value.text, caught.value
            async with await fs.open("/f0") as file:
                assert len(await file.read()) == 3 * MIB

    asyncio.run(scenario())


async def _shows_use(instance: Any, count: int) -> bool:
    shown = await filesystems(instance)
    return sum(fs["stat.statfs.usedbytes"] > 3 * MIB for fs in shown.values()) >= count


def test_a_read_only_disk(start_instance: Any, until_true: Any) -> None:
    instance = start_instance(fsts=1, disk_bytes=DISK_BYTES, headroom_bytes=0)

    async def scenario() -> None:
        await give_headroom(instance, "0")
        async with instance.client(patience_s=PATIENCE_SECONDS) as fs:
            await put(fs, "/before", b"data")
            await put(fs, "/doomed", b"data")
            await remount(instance, "ro")
            with pytest.raises(OperationError) as caught:
                await put(fs, "/after", b"data")
            assert caught.value.errno in NO_WRITABLE, caught.value
            assert not await fs.exists("/after")
            assert await get(fs, "/before") == b"data"
            await fs.rm("/doomed")
            # A restart on a read-only disk: it boots, and serves what it has.
            pid = instance.pid("fst1")
            instance.kill("fst1")
            await instance.until_back("fst1", pid)
            await instance.ready()
            assert await get(fs, "/before") == b"data"

            await remount(instance, "rw")
            await until_true(lambda: len(instance.data_files()) == 1, "the late deletion is done")
            await put_when_possible(fs, "/after", b"later")
            assert await get(fs, "/after") == b"later"
            assert await get(fs, "/before") == b"data"

    asyncio.run(scenario())


def test_a_directory_that_vanished(start_instance: Any) -> None:
    """The disk is not mounted after a restart, or another one is: not served, then served again."""
    instance = start_instance(fsts=1)

    async def scenario() -> None:
        async with instance.client(patience_s=PATIENCE_SECONDS) as fs:
            for number in range(8):
                await put(fs, f"/f{number}", b"%d" % number)
            moved = instance.root / "elsewhere"
            here = instance.root / "fst1" / "fs1"
            for stand_in in (None, "empty", "foreign"):
                here.rename(moved)
                if stand_in:
                    here.mkdir()
                if stand_in == "foreign":
                    (here / "somebody's file").write_bytes(b"?")
                pid = instance.pid("fst1")
                instance.kill("fst1")
                await instance.until_back("fst1", pid)
                record = await until_shown(instance, str(here), "stat.boot", "bootfailure")
                assert record["stat.errmsg"], "fs ls says why"
                if stand_in:
                    assert not (here / ".thesan").exists(), "a stand-in is not taken for the disk"
                await put(fs, "/new", b"goes to the other filesystem")

                if stand_in == "foreign":
                    (here / "somebody's file").unlink()
                if stand_in:
                    here.rmdir()
                moved.rename(here)
                await fs.admin("fs", "boot", fs=str(record["id"]))
                await until_shown(instance, str(here), "stat.boot", "booted")
                for number in range(8):
                    assert await get(fs, f"/f{number}") == b"%d" % number

    asyncio.run(scenario())


def test_a_full_journal_disk(start_instance: Any) -> None:
    """Nothing is acknowledged while it is full; what was stays; it goes on when there is room."""
    instance = start_instance(fsts=1, journal_bytes=16 * MIB)
    filler = instance.root / "journal" / "filler"

    async def scenario() -> None:
        made: list[str] = []
        async with instance.client(patience_s=PATIENCE_SECONDS) as fs:
            await put(fs, "/before", b"data")
            fill_up(filler)
            with pytest.raises(OperationError) as caught:
                await make_directories(fs, made)
            assert caught.value.errno in (errno.ETIMEDOUT, errno.ENOSPC), caught.value
            pid = instance.pid("mgm1")
            instance.kill("mgm1")
            await instance.until_back("mgm1", pid)
            filler.unlink()
        async with instance.client() as fs:
            await fs.mkdir("/after")
            names = {f"/{entry.name}" for entry in await fs.ls("/")}
            assert names >= {"/before", "/after", *made}, "what was acknowledged is there"
            assert len(names - {"/before", "/after", *made}) <= 1, "and what nobody knows, once"
            assert await get(fs, "/before") == b"data"

    asyncio.run(scenario())


async def make_directories(fs: Any, made: list[str]) -> None:
    """Until it fails; those that were acknowledged are in `made`."""
    for number in range(5000):
        await fs.mkdir(f"/d{number}")
        made.append(f"/d{number}")


def fill_up(path: Path) -> None:
    """Leave no byte free."""
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
