"""Requests about names and attributes."""

import errno

import pytest

from thesan.core.wire.bodies import parse_locate, parse_statx, parse_vfs
from thesan.core.wire.numbers import MkdirFlag, StatFlag, StatOption, Status
from thesan.core.wire.requests import Chmod, Locate, Mkdir, Mv, Rm, Rmdir, Stat, StatX

SID = b"\0\1"


def test_mkdir_and_stat(bench) -> None:
    bench.ok(Mkdir(SID, "/a", mode=0o750))
    info = bench.stat("/a")
    assert (info.mode, info.owner, info.size) == (0o750, "root", 0)
    assert info.flags & StatFlag.IS_DIR
    assert info.id > 1
    bench.ok(Mkdir(SID, "//a/b///c", mode=0o755, options=int(MkdirFlag.PARENTS)))
    assert bench.stat("/a/b/c/").flags & StatFlag.IS_DIR
    assert bench.errno(Mkdir(SID, "/a")) == errno.EEXIST
    bench.ok(Mkdir(SID, "/a", options=int(MkdirFlag.PARENTS)))
    assert bench.errno(Mkdir(SID, "/x/y")) == errno.ENOENT


def test_flags_are_those_of_the_caller(cluster, alice, bob) -> None:
    cluster.ok(Mkdir(SID, "/home", mode=0o777))
    cluster.store_file("/home/f", 10, alice)
    cluster.ok(Chmod(SID, "/home/f", mode=0o640), alice)
    readable, writable = StatFlag.READABLE, StatFlag.WRITABLE
    assert cluster.stat("/home/f", alice).flags == readable | writable
    assert cluster.stat("/home/f", bob).flags == 0
    assert cluster.stat("/home/f").flags == readable | writable
    cluster.ok(Chmod(SID, "/home/f", mode=0o755), alice)
    assert cluster.stat("/home/f", bob).flags == readable | StatFlag.XSET
    assert cluster.errno(Chmod(SID, "/home/f", mode=0o777), bob) == errno.EACCES


def test_a_stat_text_follows_every_change(cluster) -> None:
    cluster.store_file("/f", 10)
    first = cluster.stat("/f")
    assert (first.size, first.owner, first.group) == (10, "root", "root")
    cluster.store_file("/f", 20)
    second = cluster.stat("/f")
    assert second.size == 20
    cluster.ok(Chmod(SID, "/f", mode=0o600))
    assert cluster.stat("/f").mode == 0o600


def test_names_with_a_percent_sign_do_no_harm(bench) -> None:
    names = bench.mgm.master.names
    names.user = lambda uid, now_s: "100%d"
    bench.ok(Mkdir(SID, "/a"))
    assert bench.stat("/a").owner == "100%d"


def test_a_file_without_reachable_replica_is_offline(cluster) -> None:
    cluster.store_file("/f")
    assert not cluster.stat("/f").flags & StatFlag.OFFLINE
    cluster.sleep(20)
    assert cluster.stat("/f").flags & StatFlag.OFFLINE
    assert not cluster.stat("/").flags & StatFlag.OFFLINE


def test_statx_and_vfs(cluster) -> None:
    cluster.store_file("/f")
    flags = parse_statx(cluster.ok(StatX(SID, ["/f?x=1", "/", "/none"])))
    assert flags[0] == StatFlag.READABLE | StatFlag.WRITABLE
    assert flags[1] & StatFlag.IS_DIR
    assert flags[2] == StatFlag.OTHER
    vfs = parse_vfs(cluster.ok(Stat(SID, "/", options=int(StatOption.VFS))))
    assert (vfs.rw_nodes, vfs.rw_use) == (2, 51)
    assert vfs.rw_free_mib == 2 * (50 * 1024 - 64)
    assert cluster.errno(Stat(SID, "/none", options=int(StatOption.VFS))) == errno.ENOENT


def test_rm_rmdir_mv(cluster) -> None:
    cluster.ok(Mkdir(SID, "/d"))
    cluster.store_file("/d/f", 5)
    assert cluster.errno(Rmdir(SID, "/d")) == errno.EEXIST  # ENOTEMPTY has that code
    assert cluster.errno(Rm(SID, "/d")) == errno.EISDIR
    cluster.ok(Mv(SID, "/d/f", "/g"))
    assert cluster.errno(Stat(SID, "/d/f")) == errno.ENOENT
    assert cluster.stat("/g").size == 5
    cluster.ok(Rmdir(SID, "/d"))
    cluster.ok(Rm(SID, "/g"))
    assert cluster.errno(Rm(SID, "/g")) == errno.ENOENT
    assert cluster.errno(Rmdir(SID, "/")) != 0


@pytest.mark.parametrize("path", ["*", "*/", "*//d", "/", "/d", ""])
def test_the_mgm_names_itself_where_clients_go_on_from(cluster, path: str) -> None:
    cluster.ok(Mkdir(SID, "/d"))
    (location,) = parse_locate(cluster.ok(Locate(SID, path)))
    assert (location.address, location.manager, location.writable) == ("mgm:1094", False, True)


def test_a_file_is_located_where_it_can_be_read(cluster) -> None:
    cluster.admin("space", "config", space="default", key="policy.nstripes", value="2")
    cluster.store_file("/f")
    found = parse_locate(cluster.ok(Locate(SID, "/f")))
    assert sorted(one.address for one in found) == ["fst1:1095", "fst2:1095"]
    assert not any(one.manager for one in found)
    cluster.sleep(10)
    cluster.beat(2)
    (left,) = parse_locate(cluster.ok(Locate(SID, "/f")))
    assert left.address == "fst2:1095"
    cluster.sleep(10)
    assert cluster.ask(Locate(SID, "/f"))[0] == Status.WAIT, "they may be back soon"
    cluster.sleep(60)
    assert cluster.errno(Locate(SID, "/f")) == errno.EADDRNOTAVAIL
    assert cluster.errno(Locate(SID, "/none")) == errno.ENOENT


@pytest.mark.parametrize("path", ["/a/../b", "relative", "/..", "/" + "n" * 256, "/" + "a/" * 2100])
def test_paths_that_can_not_be_are_refused_everywhere(bench, path: str) -> None:
    bench.ok(Mkdir(SID, "/x"))
    for request in (
        Stat(SID, path),
        Mkdir(SID, path),
        Mkdir(SID, path, options=int(MkdirFlag.PARENTS)),
        Rm(SID, path),
        Rmdir(SID, path),
        Chmod(SID, path, mode=0o700),
        Mv(SID, path, "/y"),
        Mv(SID, "/x", path),
        Locate(SID, path),
    ):
        assert bench.errno(request) in (errno.EINVAL, errno.ENAMETOOLONG)
