"""One filesystem: labels, states, markers, and when it takes a file."""

import asyncio
import errno

import pytest

from thesan.core.authority.capability import Op
from thesan.core.control.messages import FsConfig
from thesan.core.model.errors import OperationError, StoreError
from thesan.ports.disk import DiskUsage
from thesan.roles.fst.records import Fmd, Marker, MarkerState
from thesan.roles.fst.store import BootState, FsStore
from thesan.worlds.real.os_disk import OsDisk


@pytest.fixture
def run(tmp_path):
    disk = OsDisk(str(tmp_path))

    def runner(body, booted=True):
        async def main():
            store = FsStore(str(tmp_path), lambda path: disk, headroom_bytes=1000)
            if booted:
                store.begin_boot()
                store.end_boot()
                store.usage = DiskUsage(10_000, 5_000, 100, 50)
            return await body(store)

        return asyncio.run(main())

    yield runner
    disk.shutdown()


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


def test_label(run, tmp_path):
    async def body(store):
        assert await store.read_label() is None
        await store.write_label(7, "uuid-1")
        assert await store.read_label() == (7, "uuid-1")
        for name, content in (("fsid", "x"), ("fsid", "0"), ("fsid", "-1"), ("uuid", "")):
            (tmp_path / ".thesan" / name).write_text(content)
            with pytest.raises(StoreError, match="damaged"):
                await store.read_label()
            await store.write_label(7, "uuid-1")
        (tmp_path / ".thesan" / "fsid").unlink()
        with pytest.raises(StoreError, match="damaged"):
            await store.read_label()

    run(body)


def test_files_that_come_while_they_are_counted_count_once(run, tmp_path):
    """1 was there; 2 is being written; 3 is stored after its directory was read, 4 before."""

    async def body(store):
        for fid in (1, 2, 3, 4):
            (tmp_path / "00000000").mkdir(exist_ok=True)
            (tmp_path / "00000000" / f"{fid:08x}").write_bytes(b"x")
        store.used_files = 99
        fids = store.fids

        async def slowly(directory):
            store.count_new(4)
            return await fids(directory)

        store.fids = slowly
        await store.count_files(lambda: {2, 3})
        store.count_new(2)
        store.count_new(3)
        assert store.used_files == 4
        assert store.stored_meanwhile is None

    run(body)


def test_a_count_that_is_begun_anew_is_not_added_to(run, tmp_path):
    async def body(store):
        for directory in (0, 1):
            (tmp_path / f"0000000{directory}").mkdir()
            (tmp_path / f"0000000{directory}" / f"{directory * 10_000 + 1:08x}").write_bytes(b"x")
        await asyncio.gather(*[store.count_files(set) for _ in range(3)])
        assert store.used_files == 2

    run(body)


def test_states_decide_who_is_let_in(run):
    async def body(store):
        for call in (store.check_readable, lambda: store.check_writable(0)):
            store.state = BootState.BOOTED
            call()
            for state in (BootState.DOWN, BootState.BOOTING, BootState.BOOTFAILURE):
                store.state = state
                with refused(errno.ENODEV):
                    call()
            store.state = BootState.OPSERROR
            with refused(errno.EIO):
                call()

    run(body)


def test_before_the_first_boot(run):
    async def body(store):
        with refused(errno.ENODEV):
            store.check_readable()
        with refused(errno.ENODEV):
            await store.open_data(1)

    run(body, booted=False)


def test_full_and_read_only_disks(run):
    async def body(store):
        store.check_writable(4_000)
        with refused(errno.ENOSPC):
            store.check_writable(4_001)
        store.check_writable(None)
        store.booked_bytes = 1
        with refused(errno.ENOSPC):
            store.check_writable(4_000)
        store.booked_bytes = 0
        store.config = FsConfig(1, "u", "/", "rw", headroom_bytes=3_000)
        with refused(errno.ENOSPC):
            store.check_writable(2_001)
        store.usage = DiskUsage(10_000, 5_000, 100, 0)
        with refused(errno.ENOSPC):
            store.check_writable(0)
        store.usage = DiskUsage(10_000, 5_000, 100, 50, read_only=True)
        with refused(errno.EROFS):
            store.check_writable(0)
        store.check_readable()

    run(body)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.ENOENT])
def test_only_an_io_error_takes_it_out_of_service(run, number):
    async def body(store):
        store.note_error(OperationError(number, "what the disk said"))
        assert (store.state is BootState.OPSERROR) == (number == errno.EIO)
        if number == errno.EIO:
            report = store.report((0.5, 1.0, 2.0))
            assert (report.boot, report.errc, report.errmsg) == (
                "opserror",
                errno.EIO,
                "what the disk said",
            )

    run(body)


def test_a_failed_boot_is_reported(run):
    async def body(store):
        store.fail_boot(StoreError("the label is somebody else's"))
        report = store.report((0.0, 0.0, 0.0))
        assert report.boot == "bootfailure"
        assert report.errc != 0
        assert "somebody else's" in report.errmsg
        assert (report.fsid, report.uuid) == (0, ""), "nobody said yet which one it is"
        store.config = FsConfig(7, "u-7", store.path, "rw")
        report = store.report((0.0, 0.0, 0.0))
        assert (report.fsid, report.uuid, report.boot) == (7, "u-7", "bootfailure")
        store.note_error(OperationError(errno.EIO, "x"))
        assert store.state is BootState.BOOTFAILURE

    run(body)


def test_report_has_the_figures(run):
    async def body(store):
        store.fsid, store.uuid = 4, "u"
        store.used_files, store.open_read, store.open_write = 3, 2, 1
        report = store.report((0.5, 1.0, 2.0))
        assert (report.fsid, report.uuid, report.boot) == (4, "u", "booted")
        assert (report.capacity_bytes, report.free_bytes) == (10_000, 5_000)
        assert (report.used_files, report.open_read, report.open_write) == (3, 2, 1)
        assert (report.disk_load, report.read_mb_per_s, report.write_mb_per_s) == (0.5, 1.0, 2.0)

    run(body)


def marker(fid, **changes):
    fields = {"state": MarkerState.OPEN, "op": Op.CREATE, "fid": fid, "fsid": 1, "path": "/f"}
    return Marker(**{**fields, "is_head": True, "uid": 0, "gid": 0, "layout": 0, **changes})


def test_markers(run, tmp_path):
    async def body(store):
        assert await store.markers() == []
        await store.mark(marker(1))
        await store.mark(marker(2, commit=b"c"))
        pending = tmp_path / ".thesan" / "pending"
        (pending / "00000003").write_bytes(b"")
        (pending / "00000004").write_bytes((pending / "00000001").read_bytes())
        (pending / "00000005").write_bytes(bytes(100_000))
        (pending / ".00000001.9.new").write_bytes(b"half")
        assert await store.markers() == [
            (1, marker(1)),
            (2, marker(2, commit=b"c")),
            (3, None),
            (4, None),
            (5, None),
        ]
        assert not (pending / ".00000001.9.new").exists()
        await store.unmark(1)
        await store.unmark(1)
        assert await store.read_marker(1) is None
        assert [fid for fid, _ in await store.markers()] == [2, 3, 4, 5]

    run(body)


def test_nothing_is_removed_from_a_read_only_disk(run, tmp_path):
    async def body(store):
        (tmp_path / ".thesan" / "pending").mkdir(parents=True)
        (tmp_path / ".thesan" / "pending" / ".x.new").write_bytes(b"")
        store.usage = DiskUsage(10, 10, 10, 10, read_only=True)
        assert await store.markers() == []
        assert (tmp_path / ".thesan" / "pending" / ".x.new").exists()

    run(body)


def test_data_files(run, tmp_path):
    async def body(store):
        fmd = Fmd(20_001, "/f", 1, 2, 3, 4, 5, 6, 7)
        data = tmp_path / "00000002" / "00004e21"
        with refused(errno.ENOENT):
            await store.open_data(20_001)
        await store.disk.close(await store.create_data(20_001))
        assert data.exists()
        assert await store.fmd(20_001) is None
        await store.set_fmd(fmd)
        assert await store.fmd(20_001) == fmd
        await store.disk.set_xattr("00000002/00004e21", "thesan.fmd", b"nonsense")
        assert await store.fmd(20_001) is None
        (tmp_path / "lost+found").mkdir()
        (tmp_path / "00000002" / "notes.txt").write_text("")
        assert await store.directories() == ["00000002"]
        assert await store.fids("00000002") == [20_001]
        await store.move_to_orphans(20_001)
        assert not data.exists()
        assert (tmp_path / ".thesan" / "orphans" / "00004e21").exists()
        assert await store.remove_orphan(20_001)
        assert not await store.remove_orphan(20_001)
        assert not await store.remove_data(20_001)

    run(body)


def test_readers_follow_the_size(run):
    class Reader:
        size = 0

    async def body(store):
        first, second = Reader(), Reader()
        store.add_reader(1, first)
        store.add_reader(1, second)
        store.set_size(1, 5)
        store.set_size(2, 9)
        assert (first.size, second.size, store.open_read) == (5, 5, 2)
        store.drop_reader(1, first)
        store.drop_reader(1, second)
        assert (store.readers, store.open_read) == ({}, 0)

    run(body)


def test_usage_is_asked_of_the_disk(run):
    async def body(store):
        await store.refresh_usage()
        assert store.usage.capacity_bytes > 10_000

        class Broken:
            async def usage(self):
                raise OperationError(errno.EIO, "gone")

        store._disk = Broken()
        before = store.usage
        await store.refresh_usage()
        assert store.usage == before
        assert store.state is BootState.OPSERROR

    run(body)
