"""kXR_dirlist, short and long, with slow and vanishing readers."""

import errno

import pytest

from thesan.core.model.errors import StoreError
from thesan.core.model.limits import DIRLIST_CHUNK_ENTRIES
from thesan.core.wire.bodies import parse_dirlist, parse_stat
from thesan.core.wire.numbers import DirListFlag, StatFlag, Status
from thesan.core.wire.requests import Chmod, DirList, Mkdir, Rm, Rmdir, Stat
from thesan.roles.mgm import listing

SID = b"\0\1"
DSTAT = int(DirListFlag.STAT)
DCKSM = int(DirListFlag.CHECKSUM)


def fill(bench, count: int, folder: str = "/d") -> list[str]:
    names = [f"n{number:05d}" for number in range(count)]
    bench.ok(Mkdir(SID, folder))

    async def touch_all() -> None:
        from thesan.core.control.messages import FileOp
        from thesan.core.model.identity import ROOT
        from thesan.roles.mgm.file_operations import perform

        for name in names:
            perform(bench.mgm.master, ROOT, FileOp("touch", f"{folder}/{name}"), b"")

    bench.run(touch_all())
    bench.sleep(1)
    return names


def test_names_only(bench) -> None:
    names = fill(bench, 3)
    body = bench.ok(DirList(SID, "/d"))
    assert [entry.name for entry in parse_dirlist(body)] == names
    assert body.endswith(b"n00002\0")
    bench.ok(Mkdir(SID, "/empty"))
    assert bench.ok(DirList(SID, "/empty")) == b""


def test_with_stat_and_checksum(cluster) -> None:
    cluster.store_file("/d/f", 12)
    cluster.ok(Mkdir(SID, "/d/sub"))
    entries = {e.name: e for e in parse_dirlist(cluster.ok(DirList(SID, "/d", options=DSTAT)))}
    assert sorted(entries) == ["f", "sub"]
    assert entries["f"].stat.size == 12
    assert entries["f"].stat.flags == StatFlag.READABLE | StatFlag.WRITABLE
    assert entries["sub"].stat.flags & StatFlag.IS_DIR
    assert entries["f"].stat == cluster.stat("/d/f")
    entries = {e.name: e for e in parse_dirlist(cluster.ok(DirList(SID, "/d", options=DCKSM)))}
    assert entries["f"].checksum == "adler32:00000011"
    assert entries["sub"].checksum == "adler32:none"


@pytest.mark.parametrize("options", [0, DSTAT])
def test_a_name_with_a_newline_forges_no_entry(bench, options) -> None:
    """An older version made it; it can still be removed."""
    from thesan.core.namespace.ops import Rename

    names = fill(bench, 2)
    parent = parse_stat(bench.ok(Stat(SID, "/d"))).id
    old = "a\n1 2 3 4\nforged"

    async def make() -> None:
        bench.mgm.master.submit(Rename(parent, "was", parent, old, 1))

    bench.ok(Mkdir(SID, "/d/was"))
    bench.run(make())
    for _ in range(2):  # not durable yet, and when it is
        body = bench.ok(DirList(SID, "/d", options=options))
        assert [entry.name for entry in parse_dirlist(body)] == names
        bench.sleep(1)
    assert bench.errno(Mkdir(SID, "/d/b\nc")) == errno.EINVAL
    bench.ok(Rmdir(SID, f"/d/{old}"))


@pytest.mark.parametrize("excess", [0, 1, 7])
@pytest.mark.parametrize("options", [0, DSTAT])
def test_a_long_listing_comes_in_parts_cut_between_entries(
    bench, monkeypatch, excess: int, options: int
) -> None:
    monkeypatch.setattr(listing, "DIRLIST_CHUNK_NAMES", 1000)
    chunk = DIRLIST_CHUNK_ENTRIES if options else 1000
    count = 2 * chunk + excess
    names = fill(bench, count)
    peer = bench.peer()
    body = bench.ok(DirList(SID, "/d", options=options), peer=peer)
    assert [entry.name for entry in parse_dirlist(body)] == names
    parts = [frame for frame in peer.frames if frame[1] == Status.OKSOFAR]
    assert len(parts) == (count - 1) // chunk
    for _, _, part in parts:
        assert part.endswith(b"\n")
        assert b"\0" not in part


def test_between_the_parts_others_are_served(bench) -> None:
    fill(bench, 3 * DIRLIST_CHUNK_ENTRIES)
    peer = bench.peer()
    assert bench.send(peer, DirList(SID, "/d", options=DSTAT)) is None
    assert bench.stat("/d").flags & StatFlag.IS_DIR
    bench.sleep(1)
    assert peer.frames[-1][1] == Status.OK


def test_a_slow_reader_is_waited_for(bench) -> None:
    fill(bench, 3 * DIRLIST_CHUNK_ENTRIES)
    peer = bench.peer()
    peer.unsent_bytes = 1 << 30
    assert bench.send(peer, DirList(SID, "/d", options=DSTAT)) is None
    bench.sleep(5)
    assert len(peer.frames) == 1
    peer.unsent_bytes = 0
    bench.sleep(5)
    assert [status for _, status, _ in peer.frames] == [Status.OKSOFAR] * 2 + [Status.OK]


def test_a_reader_that_left_ends_the_listing(bench) -> None:
    fill(bench, 3 * DIRLIST_CHUNK_ENTRIES)
    peer = bench.peer()
    bench.send(peer, DirList(SID, "/d", options=DSTAT))
    peer.is_closed = True
    bench.sleep(5)
    assert len(peer.frames) == 1


def test_a_directory_that_goes_meanwhile_ends_in_an_error(bench) -> None:
    names = fill(bench, DIRLIST_CHUNK_ENTRIES + 1)
    peer = bench.peer()
    peer.unsent_bytes = 1 << 30
    bench.send(peer, DirList(SID, "/d", options=DSTAT))
    for name in names:
        bench.ok(Rm(SID, f"/d/{name}"))
    bench.ok(Rmdir(SID, "/d"))
    peer.unsent_bytes = 0
    bench.sleep(5)
    assert [status for _, status, _ in peer.frames] == [Status.OKSOFAR, Status.ERROR]


def test_a_listing_that_can_not_be_finished_disconnects(bench, monkeypatch) -> None:
    """Not waits for ever with a part of it."""
    fill(bench, DIRLIST_CHUNK_ENTRIES + 1)
    peer = bench.peer()
    bench.send(peer, DirList(SID, "/d", options=DSTAT))

    def fails(*args):
        raise StoreError("a block is damaged")

    monkeypatch.setattr(listing, "_chunk", fails)
    bench.sleep(1)
    assert peer.is_closed
    assert bench.mgm.master.epoch == 1
    bench.loop.trace.failures.clear()


def test_a_listing_needs_permission_and_a_directory(cluster, alice) -> None:
    cluster.store_file("/d/f")
    cluster.ok(Chmod(SID, "/d", mode=0o711))
    assert cluster.errno(DirList(SID, "/d"), alice) == errno.EACCES
    assert cluster.errno(DirList(SID, "/none")) == errno.ENOENT
    assert cluster.errno(DirList(SID, "/d/f")) == errno.ENODEV  # ENOTDIR has no XRootD code


def test_links_are_shown_as_what_they_lead_to(cluster) -> None:
    from thesan.core.control.messages import FileOp

    cluster.store_file("/d/f", 12)
    root = cluster.peer().identity
    cluster.control(FileOp("symlink", "/d/good", {"target": "f"}), root)
    cluster.control(FileOp("symlink", "/d/dangling", {"target": "nothing"}), root)
    entries = {e.name: e for e in parse_dirlist(cluster.ok(DirList(SID, "/d", options=DSTAT)))}
    assert entries["good"].stat.size == 12
    assert entries["dangling"].stat.flags & StatFlag.OTHER


def test_entries_that_are_not_durable_are_not_shown(bench) -> None:
    bench.ok(Mkdir(SID, "/d"))
    bench.engine.weather.latency_seconds_min = bench.engine.weather.latency_seconds_max = 1.0
    peer = bench.peer()
    assert bench.send(peer, Mkdir(SID, "/d/new")) is None
    assert bench.send(peer, DirList(b"\0\2", "/d")) is None
    bench.sleep(1)
    assert peer.frames == []
    bench.sleep(5)
    assert [sid for sid, _, _ in peer.frames] == [SID, b"\0\2"]
