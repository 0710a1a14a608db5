"""Readers and writers of a copy that are no plain files."""

import asyncio
import errno
import random
from typing import Any

import pytest

from thesan.core.wire import bodies, responses
from thesan.core.wire import requests as rq
from thesan.core.wire.pages import pgread_answer
from thesan.roles.client.copy_ends import Counter, FromRemote, FromStream, ToStream
from thesan.roles.client.transfer import SourceFailed

DATA = random.Random(7).randbytes(30_001)


async def drain(reader: Any) -> bytes:
    found = bytearray()
    while piece := await reader.read(len(found), 8192):
        found += piece
    return bytes(found)


def damaged(fst: Any) -> Any:
    """Answers a pgread by a byte that is wrong, with the right page checksums."""

    def answer(connection, request):
        data = fst.file(connection, request.fh).data
        part = bytearray(data[request.offset : request.offset + request.length])
        part[0] ^= 1
        return pgread_answer(request.sid, request.offset, part)

    return answer


def test_counts_are_taken_back_once() -> None:
    told: list[int] = []
    counter = Counter(told.append)
    counter(5)
    counter(7)
    counter.take_back()
    counter.take_back()
    assert told == [5, 7, -12, 0]


def test_streams() -> None:
    class Pipe:
        def __init__(self) -> None:
            self.left = DATA
            self.written = bytearray()

        async def read(self, length: int) -> bytes:
            piece, self.left = self.left[: min(length, 999)], self.left[min(length, 999) :]
            return piece

        async def write(self, data: Any) -> None:
            self.written += data

    async def main() -> None:
        pipe = Pipe()
        reader, writer = FromStream(pipe), ToStream(pipe)
        first = await reader.read(0, 8192)
        assert first == DATA[:8192]
        await writer.write(0, first)
        await writer.write(8192, await reader.read(8192, 1 << 20))
        assert await reader.read(len(DATA), 1) == b""
        assert bytes(pipe.written) == DATA

    asyncio.run(main())


def test_a_remote_file_can_be_read_again(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)
        reader = FromRemote(cluster.connect(), "/f", len(DATA), verify_it=True)
        for _ in range(2):
            assert await drain(reader) == DATA
            assert reader.verified
        await reader.close()
        await reader.close()
        assert len(cluster.mgm.requests(rq.Open)) == 2

    cluster_run(test)


def test_a_damaged_remote_file_fails_at_its_end(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)
        fst = cluster.fsts[0]
        fst.fail(rq.PgRead, damaged(fst))
        reader = FromRemote(cluster.connect(), "/f", len(DATA), verify_it=True)
        with pytest.raises(SourceFailed, match="checksum differs") as caught:
            await drain(reader)
        assert caught.value.errno == errno.EDOM
        assert not reader.verified
        await reader.close()

    cluster_run(test)


@pytest.mark.parametrize("verify_it", [True, False])
def test_a_short_remote_file_fails_at_its_end(cluster_run, verify_it):
    async def test(cluster):
        cluster.put("/f", DATA)

        def short(connection, request):
            part = DATA[request.offset : request.offset + request.length][:100]
            return pgread_answer(request.sid, request.offset, part if not request.offset else b"")

        cluster.fsts[0].fail(rq.PgRead, short, times=100)
        reader = FromRemote(cluster.connect(), "/f", len(DATA), verify_it=verify_it)
        with pytest.raises(SourceFailed) as caught:
            await drain(reader)
        assert caught.value.errno == errno.EIO
        await reader.close()

    cluster_run(test)


def test_a_truncated_replica_fails_although_its_fst_takes_it_for_whole(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)
        fst, node = cluster.fsts[0], cluster.names["/f"]

        def open_short(connection, request):
            node.data = DATA[:9000]
            try:
                return fst.on_open(connection, request)
            finally:
                node.data = DATA

        fst.fail(rq.Open, open_short)
        reader = FromRemote(cluster.connect(), "/f", len(DATA), verify_it=False)
        with pytest.raises(SourceFailed, match="9000 bytes came of 30001") as caught:
            await drain(reader)
        assert caught.value.errno == errno.EIO
        assert await drain(reader) == DATA
        await reader.close()

    cluster_run(test)


def test_a_source_that_was_replaced_since_it_was_listed_is_read(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)
        reader = FromRemote(cluster.connect(), "/f", 5, verify_it=True)
        assert await drain(reader) == DATA
        assert reader.verified
        await reader.close()

    cluster_run(test)


def test_a_source_without_checksum_is_read_but_not_verified(cluster_run, faults):
    _, refuse = faults

    async def test(cluster):
        cluster.put("/f", DATA)
        cluster.mgm.fail(rq.Query, refuse(errno.ENOTSUP), times=100)
        reader = FromRemote(cluster.connect(), "/f", len(DATA), verify_it=True)
        assert await drain(reader) == DATA
        assert not reader.verified
        await reader.close()
        missing = FromRemote(cluster.connect(), "/none", 1, verify_it=True)
        with pytest.raises(SourceFailed) as caught:
            await drain(missing)
        assert caught.value.errno == errno.ENOENT

    cluster_run(test)


def test_checksums_are_not_asked_for_unless_wanted(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)
        wrong = bodies.build_checksum("adler32", "00000000")
        cluster.mgm.fail(rq.Query, lambda c, r: responses.ok(r.sid, wrong), times=100)
        reader = FromRemote(cluster.connect(), "/f", len(DATA), verify_it=False)
        assert await drain(reader) == DATA
        await reader.close()
        assert not cluster.mgm.requests(rq.Query)

    cluster_run(test)
