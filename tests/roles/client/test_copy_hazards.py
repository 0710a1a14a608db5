"""Copies of trees that somebody else made: links, hostile listings, odd names, closed doors."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.wire import bodies, responses
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import StatFlag
from thesan.roles.client.copy import CopyFailed
from thesan.worlds.real.local_files import RealLocalFiles

from . import test_copy
from .test_copy import content, local, remote

copy_run = test_copy.copy_run
no_pause = test_copy.no_pause


@pytest.mark.parametrize("force", [False, True])
def test_nothing_is_written_through_a_link_in_the_target(copy_run, tmp_path, force):
    """It may come from an earlier copy of a tree that somebody else can change."""
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    (home / "profile").write_bytes(b"mine")

    async def test(cluster, cp):
        cluster.put("/t/z/last", b"good")
        fs = cluster.clients[0]
        # On this machine the link leads elsewhere than in the instance.
        cluster.names[str(home)] = cluster.names["/t"]
        await fs.symlink(str(home), "/t/a")
        await fs.symlink(str(home / "profile"), "/t/f")
        await cp(remote("/t"), local(out), recursive=True)
        assert (out / "t" / "a").is_symlink()
        await fs.rm("/t/a")
        await fs.rm("/t/f")
        cluster.put("/t/a/b/authorized_keys", b"evil")
        cluster.put("/t/f", b"evil")
        cluster.names["/t/z/last"].data = b"better"
        with pytest.raises(CopyFailed) as caught:
            await cp(remote("/t"), local(out), recursive=True, force=force)
        failed = {path: error.errno for path, error in caught.value.failures}
        assert failed["/t/a"] == errno.ENOTDIR
        assert [path.name for path in home.iterdir()] == ["profile"]
        assert (home / "profile").read_bytes() == b"mine"
        if force:
            assert list(failed) == ["/t/a"]
            assert content(out / "t")["f"] == b"evil"
            assert (out / "t" / "z" / "last").read_bytes() == b"better"
        else:
            assert failed["/t/f"] == errno.EEXIST

    copy_run(test)


def test_a_link_with_the_name_of_the_source_is_not_entered(copy_run, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "t").symlink_to(tmp_path / "home")

    async def test(cluster, cp):
        cluster.put("/t/f", b"x")
        with pytest.raises(CopyFailed) as caught:
            await cp(remote("/t"), local(tmp_path / "out"), recursive=True)
        assert caught.value.errno == errno.ENOTDIR
        assert not list((tmp_path / "home").iterdir())
        # As a target that was named it is what it leads to.
        await cp(remote("/t"), local(tmp_path / "out" / "t"), recursive=True)
        assert (tmp_path / "home" / "t" / "f").read_bytes() == b"x"

    copy_run(test)


def test_a_listing_of_a_hostile_server_leads_nowhere(copy_run, tmp_path):
    async def test(cluster, cp):
        cluster.put("/t/f", b"x")
        cluster.put("/t/sub/g", b"x")
        text = bodies.stat_text(bodies.StatInfo(7, 4, int(StatFlag.IS_DIR), 0))
        body = bodies.build_dirlist_stat([(b"../../escaped", text)])

        def hostile(connection, request):
            return responses.ok(request.sid, body) if request.path == "/t/sub" else "pass"

        cluster.mgm.fail(rq.DirList, hostile, times=100)
        with pytest.raises(CopyFailed) as caught:
            await cp(remote("/t"), local(tmp_path / "out" / "t"), recursive=True, make_parents=True)
        ((path, error),) = caught.value.failures
        assert (path, error.errno) == ("/t/sub", errno.EPROTO)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert content(tmp_path / "out") == {"t": None, "t/f": b"x", "t/sub": None}

    copy_run(test)


def test_a_name_that_is_not_utf8_fails_alone(copy_run, tmp_path):
    (tmp_path / "t" / "caf\udce9.d").mkdir(parents=True)
    for name in ("a", "caf\udce9", "z"):
        (tmp_path / "t" / name).write_bytes(b"x")
    (tmp_path / "t" / "link").symlink_to("caf\udce9")

    async def test(cluster, cp):
        with pytest.raises(CopyFailed) as caught:
            await cp(local(tmp_path / "t"), remote("/t"), recursive=True, parallel=1)
        failed = {path.rpartition("/")[2]: error.errno for path, error in caught.value.failures}
        assert failed == dict.fromkeys(("caf\udce9.d", "caf\udce9", "link"), errno.EILSEQ)
        assert {path for path in cluster.names if path.startswith("/t/")} == {"/t/a", "/t/z"}

    copy_run(test)


@pytest.mark.parametrize("is_up", [False, True])
def test_a_directory_that_may_not_be_listed_fails_alone(copy_run, tmp_path, faults, is_up):
    _, refuse = faults
    up, down = tmp_path / "up", tmp_path / "down"
    for name in "abc":
        (up / name).mkdir(parents=True)
        (up / name / "f").write_bytes(b"1")

    async def test(cluster, cp):
        for name in "abc":
            cluster.put(f"/t/{name}/f", b"1")

        def deny(connection, request):
            return refuse(errno.EACCES)(connection, request) if request.path == "/t/a" else "pass"

        cluster.mgm.fail(rq.DirList, deny, times=100)
        sides = (local(up), remote("/up")) if is_up else (remote("/t"), local(down))
        with pytest.raises(CopyFailed) as caught:
            await cp(*sides, recursive=True)
        ((path, error),) = caught.value.failures
        assert error.errno == errno.EACCES
        assert path == (str(up / "a") if is_up else "/t/a")
        if is_up:
            assert "/up/b/f" in cluster.names
            assert "/up/c/f" in cluster.names
        else:
            assert content(down) == {"a": None, "b": None, "b/f": b"1", "c": None, "c/f": b"1"}

    real_list = RealLocalFiles.list

    async def local_list(self, path):
        if path == str(up / "a"):
            raise OperationError(errno.EACCES, "no")
        return await real_list(self, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RealLocalFiles, "list", local_list)
        copy_run(test)


@pytest.mark.parametrize("force", [False, True])
def test_two_sources_of_one_name_do_not_race(copy_run, tmp_path, force):
    for number in "12":
        (tmp_path / number / "n").mkdir(parents=True)
        (tmp_path / number / "n" / "f").write_bytes(number.encode())
        (tmp_path / number / "n" / f"only{number}").write_bytes(b"")

    async def test(cluster, cp):
        cluster.put("/d/old", b"")
        trees = [local(tmp_path / number / "n") for number in "12"]
        files = [local(tmp_path / number / "n" / "f") for number in "12"]
        for sources, path in ((files, "/d/f"), (trees, "/d/n/f")):
            with pytest.raises(CopyFailed, match="just-created") as caught:
                await cp(sources, remote("/d"), recursive=True, force=force)
            ((failed, error),) = caught.value.failures
            assert (failed, error.errno) == (files[1].path, errno.EEXIST)
            assert cluster.names[path].data == b"1"
        assert {"/d/n/only1", "/d/n/only2"} < set(cluster.names)

    copy_run(test)
