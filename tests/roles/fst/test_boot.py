"""Boots: labels, wrong disks, leftovers, orphans."""

import asyncio
import errno
import os
import shutil

import pytest

from thesan.core.authority.capability import Op
from thesan.core.control.messages import FsConfig
from thesan.core.model.errors import OperationError
from thesan.roles.fst.config import FsSetting, FstConfig
from thesan.roles.fst.service import Fst
from thesan.roles.fst.store import BootState

DATA = os.urandom(100_000)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def label(b, index=0, fs=0):
    place = b.paths(index)[fs] / ".thesan"
    return (place / "fsid").read_text().strip(), (place / "uuid").read_text().strip()


def test_a_fresh_directory_gets_its_label_from_the_mgm(bench):
    async def body(b):
        first, second = b.store(0, 0), b.store(0, 1)
        assert {first.fsid, second.fsid} == {1, 2}
        assert label(b, 0, 0) == (str(first.fsid), first.uuid)
        assert label(b, 0, 1) == (str(second.fsid), second.uuid)
        assert first.uuid != second.uuid
        assert len(first.uuid) == 36
        beat = await b.mgm.until_beat(lambda beat: True)
        assert {fs.uuid for fs in beat.filesystems} == {first.uuid, second.uuid}

    bench(body, fs=2)


def test_a_label_is_enough_to_serve_without_any_mgm(bench):
    async def body(b):
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f"), DATA)
        fsid, uuid = b.store().fsid, b.store().uuid
        await b.kill()
        await b.mgm_listener.close()
        await b.restart()
        assert (b.store().fsid, b.store().uuid) == (fsid, uuid)
        client = await b.client()
        assert await client.get("/f", b.cap(Op.READ, 1, "/f")) == DATA

    bench(body)


@pytest.mark.parametrize("damage", ["fsid", "uuid", "garbage", "half"])
def test_a_wrong_label_is_a_boot_failure(bench, damage):
    async def body(b):
        await b.kill()
        place = b.paths(0)[0] / ".thesan"
        if damage == "half":
            (place / "uuid").unlink()
        else:
            name = "uuid" if damage == "uuid" else "fsid"
            (place / name).write_text({"fsid": "77\n", "uuid": "other\n"}.get(damage, "??"))
        await b.restart()
        store = b.store()
        await until(lambda: store.state is BootState.BOOTFAILURE)
        assert "label" in store.errmsg
        if damage in ("fsid", "uuid"):
            assert "the MGM says fsid" in store.errmsg
        client = await b.client()
        with pytest.raises(OperationError):
            await client.open("/f", b.cap(Op.READ, 1, "/f", fsid=1))

    bench(body)


def test_a_wrong_label_is_told_in_the_beat_and_mended_by_fs_boot(bench):
    async def body(b):
        uuid = b.store().uuid
        await b.kill()
        (b.paths(0)[0] / ".thesan" / "uuid").write_text("other\n")
        await b.restart()
        beat = await b.mgm.until_beat(
            lambda beat: beat.filesystems and beat.filesystems[0].boot == "bootfailure"
        )
        assert "other" in beat.filesystems[0].errmsg
        (b.paths(0)[0] / ".thesan" / "uuid").write_text(f"{uuid}\n")
        node, config = b.fsts[0].parts.node, b.mgm.filesystems[1].config
        b.mgm.add_filesystem(node, 1, uuid, config.path, boot_request=1)
        await b.mgm.until_beat(lambda beat: beat.filesystems[0].boot == "booted")

    bench(body)


def test_a_directory_that_is_gone(bench):
    async def body(b):
        await b.kill()
        shutil.rmtree(b.paths(0)[0])
        b.paths(0)[0].write_text("a file")
        old = b.fsts[0]._config
        fst = Fst(
            FstConfig(
                host=old.host,
                port=old.port,
                mgms=old.mgms,
                keytab=old.keytab,
                filesystems=(FsSetting(str(b.paths(0)[0])),),
            ),
            b.world(),
        )
        await fst.start()
        b.fsts[0] = fst
        assert b.store().state is BootState.BOOTFAILURE
        assert "Not a directory" in b.store().errmsg

    bench(body)


def test_an_unlabelled_directory_with_something_in_it(bench):
    """A disk that is not mounted, or somebody's home: hands off."""

    async def body(b):
        path = b.root / "extra"
        (path / "photos").mkdir(parents=True)
        b.mgm.add_filesystem(b.fsts[0].parts.node, 9, "uuid-9", str(path))
        beat = await b.mgm.until_beat(lambda beat: len(b.fsts[0].parts.fleet.stores) == 2)
        assert beat.filesystems[0].boot == "booted"
        store = b.store(0, 1)
        await until(lambda: store.state is BootState.BOOTFAILURE)
        assert "not empty" in store.errmsg
        assert os.listdir(path) == ["photos"]

    bench(body)


def test_a_filesystem_that_was_added_at_the_mgm(bench):
    async def body(b):
        path = b.root / "extra"
        path.mkdir()
        node = b.fsts[0].parts.node
        b.mgm.add_filesystem(node, 9, "uuid-9", str(path))
        await b.mgm.until_beat(
            lambda beat: [fs.boot for fs in beat.filesystems] == ["booted", "booted"]
        )
        assert (path / ".thesan" / "fsid").read_text() == "9\n"
        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f", fs=1), DATA)
        # ... and taken away again: out of service, label and data stay.
        del b.mgm.filesystems[9]
        b.mgm.config_seq += 1
        await until(lambda: len(b.fsts[0].parts.fleet.stores) == 1)
        with pytest.raises(OperationError):
            await client.get("/f", b.cap(Op.READ, 1, "/f", fsid=9))
        assert (path / "00000000" / "00000001").read_bytes() == DATA
        b.mgm.add_filesystem(node, 9, "uuid-9", str(path))
        await until(lambda: len(b.fsts[0].parts.fleet.stores) == 2)
        await until(lambda: b.store(0, 1).state is BootState.BOOTED)
        assert await client.get("/f", b.cap(Op.READ, 1, "/f", fs=1)) == DATA

    bench(body)


def test_replicas_are_counted(bench):
    async def body(b):
        client = await b.client()
        for fid in (1, 2, 30_000):
            await client.put("/f", b.cap(Op.CREATE, fid, "/f"), b"x")
        await b.kill()
        await b.restart()
        await until(lambda: b.store().used_files == 3)

    bench(body)


def test_the_check_puts_orphans_aside(bench):
    async def body(b):
        client = await b.client()
        for fid in (1, 2, 30_000):
            await client.put("/f", b.cap(Op.CREATE, fid, "/f"), DATA)
        writer = await client.open("/g", b.cap(Op.CREATE, 4, "/g"), 0x28)
        b.mgm.known.discard((1, 2))
        stray = b.paths(0)[0] / "00000000" / "00000009"
        stray.write_bytes(b"from nowhere")
        config = b.mgm.filesystems[1].config
        b.mgm.add_filesystem(b.fsts[0].parts.node, 1, config.uuid, config.path, boot_request=1)
        orphans = b.paths(0)[0] / ".thesan" / "orphans"
        await until(lambda: orphans.exists() and len(os.listdir(orphans)) == 2)
        assert sorted(os.listdir(orphans)) == ["00000002", "00000009"]
        await client.write(writer, 0, b"still open")
        await client.close(writer)
        assert b.files() == (["00000001", "00000004", "00007530"], [])

    bench(body)


def test_an_empty_stand_in_is_not_taken_for_a_disk_with_files(bench):
    """The disk is not mounted after a restart: its mount point must not become the filesystem."""

    async def body(b):
        fsid, uuid = b.store().fsid, b.store().uuid
        await b.kill()
        place = b.paths(0)[0]
        shutil.rmtree(place)
        place.mkdir()
        config = FsConfig(fsid, uuid, str(place), "rw", has_replicas=True)
        b.mgm.filesystems[fsid].config = config

        def refuse(message):
            raise OperationError(errno.EEXIST, f"{message.path} is fs {fsid}")

        b.mgm.register = refuse
        await b.restart()
        beat = await b.mgm.until_beat(
            lambda beat: any("is its disk mounted" in fs.errmsg for fs in beat.filesystems)
        )
        (report,) = beat.filesystems
        assert (report.fsid, report.uuid, report.boot) == (fsid, uuid, "bootfailure")
        assert not (place / ".thesan" / "fsid").exists()

    bench(body)
