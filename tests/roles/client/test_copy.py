"""Whole copies: where things go, trees, links, streams, progress, failures."""

import asyncio
import errno
import random
from pathlib import Path

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.wire import bodies, responses
from thesan.core.wire import requests as rq
from thesan.core.wire.pages import pgread_answer
from thesan.roles.client import copy as copying
from thesan.roles.client import transfer
from thesan.roles.client.copy import CopyFailed, CopyJob, Place, Summary
from thesan.worlds.real.local_files import RealLocalFiles

DATA = random.Random(5).randbytes(50_001)


def local(path: object) -> Place:
    return Place(remote=False, path=str(path))


def remote(path: str, *, slash: bool = False) -> Place:
    return Place(remote=True, path=path, slash=slash)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(transfer, "CLIENT_BACKOFF_SECONDS", 0.001)


@pytest.fixture
def copy_run(cluster_run):
    """cluster_run for `test(cluster, cp)`; `cp(sources, target, **options)` copies."""

    def run(test, **shape):
        async def inner(cluster):
            files = RealLocalFiles()
            fs = cluster.connect()

            async def cp(sources, target, report=None, **options) -> Summary:
                places = sources if isinstance(sources, list) else [sources]
                return await copying.run(fs, files, CopyJob(places, target, **options), report)

            try:
                await test(cluster, cp)
            finally:
                files.close()

        cluster_run(inner, **shape)

    return run


def make_tree(top: Path) -> None:
    (top / "sub" / "deep").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "a").write_bytes(DATA)
    (top / "zero").write_bytes(b"")
    (top / "sub" / "ä ?&b").write_bytes(b"odd name")
    (top / "sub" / "deep" / "x").write_bytes(b"x" * 10_000)
    (top / "sub" / "x").chmod(0o755) if (top / "sub" / "x").exists() else None
    (top / "link").symlink_to("sub/deep")


def content(top: Path) -> dict[str, object]:
    return {
        str(path.relative_to(top)): (
            str(path.readlink())
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else None
        )
        for path in sorted(top.rglob("*"))
    }


def test_a_tree_there_and_back(copy_run, tmp_path):
    async def test(cluster, cp):
        make_tree(tmp_path / "tree")
        # A question mark begins the CGI on the wire: such a name can't be sent.
        (tmp_path / "tree" / "sub" / "ä ?&b").rename(tmp_path / "tree" / "sub" / "ä &b")
        seen = []
        summary = await cp(
            local(tmp_path / "tree"),
            remote("/up"),
            lambda p: seen.append((p.bytes_done, p.bytes_total, p.files_done, p.files_total)),
            recursive=True,
            parallel=3,
        )
        assert (summary.files, summary.directories, summary.links) == (4, 4, 1)
        assert summary.bytes == len(DATA) + 8 + 10_000
        assert seen[-1] == (summary.bytes, summary.bytes, 4, 4)
        assert summary.unverified == summary.restarts == 0
        assert cluster.names["/up/sub/deep/x"].data == b"x" * 10_000
        assert cluster.names["/up/link"].target == "sub/deep"
        cluster.names["/up/link"].target = "/up/sub/deep"
        # What a listing shows as a file is a link as well.
        await cluster.clients[0].symlink("/up/a", "/up/sub/to a file")
        await cluster.clients[0].symlink("/nowhere", "/up/sub/dangling")
        summary = await cp(remote("/up"), local(tmp_path / "down"), recursive=True)
        assert (summary.files, summary.directories, summary.links) == (4, 4, 3)
        expected = content(tmp_path / "tree") | {
            "link": "/up/sub/deep",
            "sub/to a file": "/up/a",
            "sub/dangling": "/nowhere",
        }
        assert content(tmp_path / "down") == expected
        # A second time: into the directory that is there now.
        await cp(remote("/up"), local(tmp_path / "down"), recursive=True)
        assert content(tmp_path / "down" / "up") == expected

    copy_run(test)


def test_where_things_go(copy_run, tmp_path):
    async def test(cluster, cp):
        (tmp_path / "f").write_bytes(b"1")
        (tmp_path / "g").write_bytes(b"2")
        f, g = local(tmp_path / "f"), local(tmp_path / "g")
        await cp(f, remote("/plain"))
        cluster.put("/dir/old", b"")
        await cp(f, remote("/dir"))
        await cp([f, g], remote("/dir/new", slash=True), make_parents=True)
        await cp(f, remote("/p/q/r"), make_parents=True)
        assert cluster.names["/plain"].data == b"1"
        assert cluster.names["/dir/f"].data == b"1"
        assert cluster.names["/dir/new/g"].data == b"2"
        assert cluster.names["/p/q/r"].data == b"1"
        for sources, target in (
            ([f, g], remote("/plain")),
            ([f], remote("/none", slash=True)),
            ([f, g], local(tmp_path / "f")),
        ):
            with pytest.raises(OperationError):
                await cp(sources, target)
        with pytest.raises(OperationError) as caught:
            await cp(f, local(tmp_path / "h"))
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(OperationError) as caught:
            await cp(local(tmp_path), remote("/tree"))
        assert caught.value.errno == errno.EISDIR
        await cp(remote("/plain"), local(tmp_path / "new" / "dir" / "h"), make_parents=True)
        assert (tmp_path / "new" / "dir" / "h").read_bytes() == b"1"

    copy_run(test)


def test_dot_means_the_content(copy_run, tmp_path):
    async def test(cluster, cp):
        (tmp_path / "f").write_bytes(b"1")
        cluster.put("/dir/old", b"")
        await cp(local(f"{tmp_path}/."), remote("/dir"), recursive=True)
        assert cluster.names["/dir/f"].data == b"1"

    copy_run(test)


def test_existing_files_need_force(copy_run, tmp_path):
    async def test(cluster, cp):
        (tmp_path / "f").write_bytes(b"new")
        cluster.put("/f", b"old")
        with pytest.raises(CopyFailed) as caught:
            await cp(local(tmp_path / "f"), remote("/f"))
        assert caught.value.errno == errno.EEXIST
        with pytest.raises(CopyFailed):
            await cp(remote("/f"), local(tmp_path / "f"))
        await cp(local(tmp_path / "f"), remote("/f"), force=True)
        assert cluster.names["/f"].data == b"new"
        cluster.put("/f", b"newer")
        await cp(remote("/f"), local(tmp_path / "f"), force=True)
        assert (tmp_path / "f").read_bytes() == b"newer"

    copy_run(test)


def test_within_the_instance(copy_run):
    async def test(cluster, cp):
        cluster.put("/a/f", DATA)
        cluster.put("/a/g", b"")
        summary = await cp(remote("/a"), remote("/b"), recursive=True)
        assert (summary.files, summary.bytes) == (2, len(DATA))
        assert cluster.names["/b/f"].data == DATA

    copy_run(test)


@pytest.mark.parametrize("bad_reads", [1, 1000])
def test_a_damaged_source_is_not_copied_within_the_instance(copy_run, bad_reads):
    async def test(cluster, cp):
        cluster.put("/s", DATA)
        fst = cluster.fsts[0]

        def damaged(connection, request):
            data = fst.file(connection, request.fh).data
            part = bytearray(data[request.offset : request.offset + request.length])
            part[0] ^= 1
            return pgread_answer(request.sid, request.offset, part)

        fst.fail(rq.PgRead, damaged, times=bad_reads)
        if bad_reads == 1:
            summary = await cp(remote("/s"), remote("/t"))
            assert (summary.restarts, summary.unverified) == (1, 0)
            assert cluster.names["/t"].data == DATA
            # The FST that took the copy is not shunned for what another one read.
            assert not any("tried=" in open_.cgi for open_ in cluster.mgm.requests(rq.Open))
            return
        with pytest.raises(CopyFailed, match="checksum differs") as caught:
            await cp(remote("/s"), remote("/t"))
        assert caught.value.errno == errno.EDOM
        assert "/t" not in cluster.names

    copy_run(test)


def test_one_failure_does_not_stop_the_rest(copy_run, tmp_path, faults):
    _, refuse = faults

    async def test(cluster, cp):
        for n in range(10):
            (tmp_path / f"f{n}").write_bytes(b"x")
        (tmp_path / "f3").chmod(0)
        sources = [local(tmp_path / f"f{n}") for n in range(10)]
        cluster.mgm.fail(rq.Open, refuse(errno.EACCES), times=2)
        with pytest.raises(CopyFailed) as caught:
            await cp([local(tmp_path / "absent"), *sources], remote("/d"), make_parents=True)
        failed = {path: error.errno for path, error in caught.value.failures}
        assert failed[str(tmp_path / "absent")] == errno.ENOENT
        assert caught.value.count == len(failed) >= 3
        assert "more)" in str(caught.value)
        copied = [path for path in cluster.names if path.startswith("/d/")]
        assert len(copied) == 11 - len(failed)

    copy_run(test)


def test_a_broken_download_leaves_nothing(copy_run, tmp_path):
    async def test(cluster, cp):
        cluster.put("/f", DATA)
        cluster.mgm.fail(
            rq.Query,
            lambda c, r: responses.ok(r.sid, bodies.build_checksum("adler32", "00000000")),
            times=1000,
        )
        progress = []
        with pytest.raises(CopyFailed, match="checksum differs"):
            await cp(remote("/f"), local(tmp_path / "f"), lambda p: progress.append(p.bytes_done))
        assert list(tmp_path.iterdir()) == []
        assert progress[-1] == 0

    copy_run(test)


def test_a_download_is_begun_anew_when_the_file_was_replaced(copy_run, tmp_path):
    async def test(cluster, cp):
        cluster.put("/f", DATA)

        def replace(connection, request):
            cluster.put("/f", DATA[::-1])
            connection.abort()

        cluster.fsts[0].fail(rq.PgRead, replace)
        summary = await cp(remote("/f"), local(tmp_path / "f"))
        assert (tmp_path / "f").read_bytes() == DATA[::-1]
        assert summary.restarts >= 1

    copy_run(test)


def test_times_and_modes(copy_run, tmp_path):
    async def test(cluster, cp):
        source = tmp_path / "f"
        source.write_bytes(b"x")
        source.chmod(0o750)
        import os

        os.utime(source, ns=(5 * 10**9, 5 * 10**9))
        await cp(local(source), remote("/f"), keep_times=True)
        assert (cluster.names["/f"].mtime, cluster.names["/f"].mode) == (5, 0o750)
        await cp(remote("/f"), local(tmp_path / "g"), keep_times=True)
        found = (tmp_path / "g").stat()
        assert (found.st_mtime, found.st_mode & 0o700) == (5, 0o700)

    copy_run(test)


def test_devices_in_a_tree_are_skipped_and_links_kept_once(copy_run, tmp_path):
    async def test(cluster, cp):
        import os

        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "l").symlink_to("nowhere")
        summary = await cp(local(tmp_path), remote("/t"), recursive=True)
        assert summary.skipped == [str(tmp_path / "pipe")]
        assert summary.links == 1
        await cp(local(f"{tmp_path}/."), remote("/t"), recursive=True)
        cluster.names["/t/l"].target = "elsewhere"
        with pytest.raises(CopyFailed) as caught:
            await cp(local(f"{tmp_path}/."), remote("/t"), recursive=True)
        assert caught.value.errno == errno.EEXIST

    copy_run(test)


class Streams(RealLocalFiles):
    """Standard streams in memory."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data
        self.written = bytearray()

    def stdin(self):
        return self

    def stdout(self):
        return self

    async def read(self, length: int) -> bytes:
        # As a pipe does: in odd pieces.
        piece, self.data = self.data[: min(length, 999)], self.data[min(length, 999) :]
        return piece

    async def write(self, data) -> None:
        self.written += data


def test_standard_streams(cluster_run):
    async def test(cluster):
        streams = Streams(DATA)
        fs = cluster.connect()
        summary = await copying.run(fs, streams, CopyJob([local("-")], remote("/f")))
        assert summary.bytes == len(DATA)
        assert cluster.names["/f"].data == DATA
        assert len(cluster.fsts[0].requests(rq.PgWrite)) == len(DATA) // 8192 + 1
        await copying.run(fs, streams, CopyJob([remote("/f")], local("-")))
        assert bytes(streams.written) == DATA
        streams.close()

    cluster_run(test)


def test_several_sources_follow_each_other_on_standard_output(cluster_run):
    async def test(cluster):
        streams = Streams(b"")
        fs = cluster.connect()
        for name in "abc":
            cluster.put(f"/{name}", name.encode() * 50_000)
        job = CopyJob([remote(f"/{name}") for name in "abc"], local("-"), parallel=8)
        await copying.run(fs, streams, job)
        assert bytes(streams.written) == b"".join(cluster.names[f"/{name}"].data for name in "abc")
        streams.close()

    cluster_run(test)


def test_a_tree_does_not_go_to_standard_output(copy_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def test(cluster, cp):
        cluster.put("/t/f", b"x")
        with pytest.raises(CopyFailed) as caught:
            await cp(remote("/t"), local("-"), recursive=True)
        assert caught.value.errno == errno.EISDIR
        assert not list(tmp_path.iterdir())

    copy_run(test)


def test_a_cancelled_copy_commits_nothing(copy_run, tmp_path):
    async def test(cluster, cp):
        (tmp_path / "f").write_bytes(DATA)
        cluster.fsts[0].fail(rq.PgWrite, lambda c, r: None, times=100)
        task = asyncio.get_running_loop().create_task(cp(local(tmp_path / "f"), remote("/f")))
        while not cluster.fsts[0].requests(rq.PgWrite):
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert "/f" not in cluster.names

    copy_run(test)


def test_a_walk_that_never_ends_ends(copy_run, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "COPY_TREE_ENTRIES_MAX", 3)

    async def test(cluster, cp):
        for n in range(5):
            (tmp_path / str(n)).write_bytes(b"")
        with pytest.raises(OperationError) as caught:
            await cp(local(tmp_path), remote("/t"), recursive=True)
        assert caught.value.errno == errno.E2BIG

    copy_run(test)
