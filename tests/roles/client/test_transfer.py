"""Single files both ways: begun anew after a loss, never done twice, never believed unchecked."""

import errno
import random
import zlib

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import COPY_TRIES_MAX
from thesan.core.model.paths import parse_cgi
from thesan.core.wire import bodies, responses
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import OpenFlag, QueryCode
from thesan.roles.client import transfer as module
from thesan.roles.client.transfer import Upload, download, may_begin_again, upload

DATA = random.Random(3).randbytes(100_003)


class Bytes:
    """A reader and a writer in memory."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.starts = 0

    async def read(self, offset: int, length: int) -> bytes:
        self.starts += offset == 0
        return bytes(self.data[offset : offset + length])

    async def write(self, offset: int, data) -> None:
        assert offset == len(self.data)
        self.data += data


class Sum:
    def __init__(self) -> None:
        self.value = 0

    def __call__(self, count: int) -> None:
        self.value += count


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(module, "CLIENT_BACKOFF_SECONDS", 0.001)


def test_upload_and_download(cluster_run):
    async def test(cluster):
        fs, total = cluster.connect(), Sum()
        plan = Upload("/d/f", len(DATA), 0o600, parents=True, mtime_ns=7 * 10**9)
        moved = await upload(fs, plan, Bytes(DATA), can_repeat=True, count=total)
        assert (moved.size, moved.tries, moved.verified) == (len(DATA), 1, True)
        assert moved.adler32 == zlib.adler32(DATA)
        assert total.value == len(DATA)
        node = cluster.names["/d/f"]
        assert (node.data, node.mode, node.mtime) == (DATA, 0o600, 7)
        cgi = parse_cgi(cluster.mgm.requests(rq.Open)[0].cgi)
        assert len(cgi.pop("thesan.op")) == 32
        assert cgi == {"oss.asize": str(len(DATA))}
        target = Bytes()
        moved = await download(fs, "/d/f", target, verify_it=True, count=total)
        assert bytes(target.data) == DATA
        assert (moved.verified, total.value) == (True, 2 * len(DATA))

    cluster_run(test)


def test_an_empty_file(cluster_run):
    async def test(cluster):
        fs, target = cluster.connect(), Bytes()
        moved = await upload(fs, Upload("/f"), Bytes(), can_repeat=True, count=Sum())
        assert (moved.size, moved.adler32, moved.verified) == (0, 1, True)
        assert (await download(fs, "/f", target, verify_it=True, count=Sum())).size == 0

    cluster_run(test)


def test_replace_or_not(cluster_run):
    async def test(cluster):
        cluster.put("/f", b"old")
        fs = cluster.connect()
        with pytest.raises(OperationError) as caught:
            await upload(fs, Upload("/f"), Bytes(DATA), can_repeat=True, count=Sum())
        assert caught.value.errno == errno.EEXIST
        await upload(fs, Upload("/f", replace=True), Bytes(DATA), can_repeat=True, count=Sum())
        assert cluster.names["/f"].data == DATA
        assert cluster.mgm.requests(rq.Open)[-1].options & OpenFlag.DELETE

    cluster_run(test)


@pytest.mark.parametrize("kind", [rq.Open, rq.PgWrite, rq.Close])
@pytest.mark.parametrize("how", ["hang up", "EIO"])
def test_a_broken_upload_is_begun_anew_elsewhere(cluster_run, faults, kind, how):
    hang_up, refuse = faults

    async def test(cluster):
        fs, source, total = cluster.connect(), Bytes(DATA), Sum()
        cluster.fsts[0].fail(kind, hang_up if how == "hang up" else refuse(errno.EIO), times=100)
        moved = await upload(fs, Upload("/f"), source, can_repeat=True, count=total)
        assert cluster.names["/f"].data == DATA
        assert total.value == len(DATA)
        assert moved.tries == source.starts == (1 if kind is rq.Open else 2)
        assert parse_cgi(cluster.mgm.requests(rq.Open)[-1].cgi)["tried"] == "127.0.0.2"

    cluster_run(test)


def test_the_only_fst_is_tried_again(cluster_run, faults):
    hang_up, _ = faults

    async def test(cluster):
        cluster.fsts[0].fail(rq.PgWrite, hang_up, times=2)
        moved = await upload(
            cluster.connect(), Upload("/f"), Bytes(DATA), can_repeat=True, count=Sum()
        )
        assert cluster.names["/f"].data == DATA
        assert moved.tries > 1

    cluster_run(test, fsts=1)


def test_a_long_stream_is_not_begun_anew(cluster_run, faults, monkeypatch):
    monkeypatch.setattr("thesan.roles.client.replay.REPLAY_BYTES_MAX", 0)
    hang_up, _ = faults

    def at_the_second(connection, request):
        return hang_up(connection, request) if request.offset else "pass"

    async def test(cluster):
        for fst in cluster.fsts:
            fst.fail(rq.PgWrite, at_the_second, times=1000)
        fs = cluster.connect(chunk_bytes=4096, chunks_in_flight=1)
        with pytest.raises(OperationError) as caught:
            await upload(fs, Upload("/f"), Bytes(DATA), can_repeat=False, count=Sum())
        assert caught.value.errno == errno.ECONNRESET
        assert "/f" not in cluster.names

    cluster_run(test)


def test_tries_are_bounded(cluster_run, faults):
    hang_up, _ = faults

    async def test(cluster):
        for fst in cluster.fsts:
            fst.fail(rq.PgWrite, hang_up, times=1000)
        source = Bytes(DATA)
        with pytest.raises(OperationError):
            await upload(cluster.connect(), Upload("/f"), source, can_repeat=True, count=Sum())
        assert 1 < source.starts <= COPY_TRIES_MAX

    cluster_run(test)


@pytest.mark.parametrize("replace", [True, False])
def test_a_commit_whose_answer_was_lost_counts_once(cluster_run, replace):
    async def test(cluster):
        def commit_then_die(connection, request):
            cluster.fsts[0].commit(connection, request)
            connection.abort()

        cluster.fsts[0].fail(rq.Close, commit_then_die)
        source = Bytes(DATA)
        plan = Upload("/f", replace=replace)
        moved = await upload(cluster.connect(), plan, source, can_repeat=True, count=Sum())
        assert source.starts == 1
        assert moved.verified
        assert cluster.names["/f"].data == DATA

    cluster_run(test)


def test_a_commit_that_comes_late_is_recognised(cluster_run):
    """The first commit arrives while the second try is on its way: EEXIST, and it is ours."""

    async def test(cluster):
        def lose(connection, request):
            connection.abort()

        def late(connection, request):
            cluster.put("/f", DATA)
            raise OperationError(errno.EEXIST, "somebody made it meanwhile")

        cluster.fsts[0].fail(rq.Close, lose)
        cluster.fsts[1].fail(rq.Close, late)
        moved = await upload(
            cluster.connect(), Upload("/f"), Bytes(DATA), can_repeat=True, count=Sum()
        )
        assert moved.verified

    cluster_run(test)


def test_somebody_elses_file_is_not_ours(cluster_run):
    async def test(cluster):
        def other(connection, request):
            cluster.put("/f", DATA[::-1])
            connection.abort()

        cluster.fsts[0].fail(rq.Close, other)
        with pytest.raises(OperationError) as caught:
            await upload(cluster.connect(), Upload("/f"), Bytes(DATA), can_repeat=True, count=Sum())
        assert caught.value.errno == errno.EEXIST

    cluster_run(test)


def checksum(kind: str, value: str):
    return lambda connection, request: responses.ok(request.sid, bodies.build_checksum(kind, value))


def test_a_wrong_checksum_is_an_error(cluster_run):
    async def test(cluster):
        fs = cluster.connect()
        cluster.mgm.fail(rq.Query, checksum("adler32", "deadbeef"), times=2)
        with pytest.raises(OperationError, match="checksum differs") as caught:
            await upload(fs, Upload("/f"), Bytes(DATA), can_repeat=True, count=Sum())
        assert caught.value.errno == errno.EDOM
        with pytest.raises(OperationError, match="checksum differs"):
            await download(fs, "/f", Bytes(), verify_it=True, count=Sum())

    cluster_run(test)


def test_servers_without_checksums(cluster_run, faults):
    _, refuse = faults

    async def test(cluster):
        fs = cluster.connect()
        cluster.mgm.fail(rq.Query, refuse(errno.ENOTSUP))
        plan = Upload("/f")
        moved = await upload(fs, plan, Bytes(DATA), can_repeat=True, count=Sum())
        assert not moved.verified
        cluster.mgm.fail(rq.Query, checksum("md5", "00"))
        assert not (await download(fs, "/f", Bytes(), verify_it=True, count=Sum())).verified
        cluster.mgm.fail(rq.Query, checksum("adler32", f"{zlib.adler32(DATA):x}"))
        assert (await download(fs, "/f", Bytes(), verify_it=True, count=Sum())).verified
        seen = cluster.mgm.requests(rq.Query)
        await download(fs, "/f", Bytes(), verify_it=False, count=Sum())
        assert cluster.mgm.requests(rq.Query) == seen
        assert {request.infotype for request in seen} == {QueryCode.CHECKSUM}

    cluster_run(test)


def test_a_download_over_the_death_of_an_fst(cluster_run, faults):
    hang_up, _ = faults

    async def test(cluster):
        cluster.put("/f", DATA)
        cluster.fsts[0].fail(rq.PgRead, hang_up, times=100)
        target = Bytes()
        moved = await download(cluster.connect(), "/f", target, verify_it=True, count=Sum())
        assert bytes(target.data) == DATA
        assert moved.tries == 2

    cluster_run(test)


def test_a_file_that_ends_early_is_an_error(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)
        cluster.fsts[0].fail(rq.Read, lambda c, request: responses.ok(request.sid), times=100)
        fs = cluster.connect(page_checksums=False)
        with pytest.raises(OperationError, match="0 bytes came of"):
            await download(fs, "/f", Bytes(), verify_it=True, count=Sum())

    cluster_run(test)


def test_what_may_be_begun_again():
    for number in (errno.ECONNRESET, errno.ETIMEDOUT, errno.EIO, errno.ENOSPC, errno.EBADF):
        assert may_begin_again(OperationError(number, ""))
    for number in (errno.EACCES, errno.ENOENT, errno.EEXIST, errno.EDQUOT, errno.EINVAL):
        assert not may_begin_again(OperationError(number, ""))
