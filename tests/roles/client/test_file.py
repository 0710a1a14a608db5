"""Open files: reads that survive, writes in order, page checksums, commits."""

import asyncio
import errno
import random

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import READV_ITEMS_MAX
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.core.wire.pages import pgwrite_answer

DATA = random.Random(7).randbytes(100_003)


@pytest.mark.parametrize("pages", [True, False])
def test_read_anywhere(cluster_run, pages):
    async def test(cluster):
        cluster.put("/f", DATA)
        fs = cluster.connect(page_checksums=pages)
        async with await fs.open("/f") as file:
            assert file.size == len(DATA)
            assert bytes(await file.read()) == DATA
            for offset, length in [(0, 1), (5, 8192), (4095, 2), (8000, 50_000), (100_000, 999)]:
                assert bytes(await file.read(offset, length)) == DATA[offset : offset + length]
            assert bytes(await file.read(len(DATA), 10)) == b""
            assert bytes(await file.read(10**9)) == b""
        kind = rq.PgRead if pages else rq.Read
        other = rq.Read if pages else rq.PgRead
        assert cluster.fsts[0].requests(kind)
        assert not cluster.fsts[0].requests(other)
        assert not file.is_open
        with pytest.raises(OperationError) as caught:
            await file.read(0, 1)
        assert caught.value.errno == errno.EBADF

    cluster_run(test)


def test_requests_go_ahead_but_not_too_far(cluster_run):
    waiting = []

    async def test(cluster):
        cluster.put("/f", bytes(8192 * 20))
        fst = cluster.fsts[0]
        fst.fail(rq.PgRead, lambda *pair: waiting.append(pair), times=100)
        async with await cluster.connect(chunks_in_flight=3).open("/f") as file:
            reading = asyncio.get_running_loop().create_task(file.read())
            total = 0
            while total < 20:
                while len(waiting) < min(3, 20 - total):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.001)
                assert len(waiting) <= 3
                connection, request = waiting.pop(0)
                assert request.offset == total * 8192
                connection.reply(fst.on_pgread(connection, request))
                total += 1
            assert len(await reading) == 8192 * 20

    cluster_run(test)


def test_pieces_may_be_left_early(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)
        async with await cluster.connect().open("/f") as file:
            pieces = file.pieces()
            assert len(await anext(pieces)) == 8192
            await pieces.aclose()
            assert bytes(await file.read(3, 3)) == DATA[3:6]

    cluster_run(test)


def test_a_server_that_cuts_reads_is_asked_for_the_rest(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)

        def cut(connection, request):
            request.length = min(request.length, 1000)
            return cluster.fsts[0].on_pgread(connection, request)

        cluster.fsts[0].fail(rq.PgRead, cut, times=1000)
        async with await cluster.connect().open("/f") as file:
            assert bytes(await file.read()) == DATA

    cluster_run(test)


@pytest.mark.parametrize("how", ["hang up", "EIO", "redirect", "redirect to the MGM"])
def test_a_read_goes_on_at_another_fst(cluster_run, faults, how):
    hang_up, refuse = faults

    async def test(cluster):
        cluster.put("/f", DATA)
        first, second = cluster.fsts
        fault = {
            "hang up": hang_up,
            "EIO": refuse(errno.EIO),
            "redirect": lambda connection, request: responses.redirect(
                request.sid, second.host, second.port, "cap=x"
            ),
            "redirect to the MGM": lambda connection, request: responses.redirect(
                request.sid, cluster.mgm.host, cluster.mgm.port, f"tried={first.host}"
            ),
        }[how]
        async with await cluster.connect().open("/f") as file:
            assert bytes(await file.read(0, 5)) == DATA[:5]
            first.fail(rq.PgRead, fault, times=100)
            assert bytes(await file.read()) == DATA
            assert file.endpoint == second.endpoint
            assert file.recoveries == 1
        assert len(second.requests(rq.Open)) == 1

    cluster_run(test)


def test_a_killed_fst_is_a_pause(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)
        async with await cluster.connect().open("/f") as file:
            got = []
            async for piece in file.pieces():
                got.append(bytes(piece))
                if len(got) == 3:
                    await cluster.fsts[0].stop()
            assert b"".join(got) == DATA
            assert file.recoveries == 1

    cluster_run(test)


def test_the_only_fst_is_waited_for_in_the_middle_of_a_read(cluster_run):
    async def test(cluster):
        data = bytes(range(256)) * 100
        cluster.put("/f", data)
        await cluster.fsts.pop().stop()
        async with await cluster.connect().open("/f") as file:
            assert bytes(await file.read(0, 100)) == data[:100]
            assert file.endpoint == cluster.fsts[0].endpoint
            await cluster.fsts[0].stop()
            reading = asyncio.get_running_loop().create_task(file.read())
            await asyncio.sleep(0.5)
            assert not reading.done()
            await cluster.fsts[0].start()
            assert bytes(await reading) == data

    cluster_run(test)


def test_waits_during_a_read_are_obeyed(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)
        cluster.fsts[0].fail(
            rq.PgRead, lambda connection, request: responses.wait(request.sid, 0), times=2
        )
        async with await cluster.connect().open("/f") as file:
            assert bytes(await file.read(0, 10)) == DATA[:10]
            assert file.recoveries == 0

    cluster_run(test)


def test_other_errors_of_a_read_are_final(cluster_run, faults):
    _, refuse = faults

    async def test(cluster):
        cluster.put("/f", DATA)
        cluster.fsts[0].fail(rq.PgRead, refuse(errno.EINVAL))
        async with await cluster.connect().open("/f") as file:
            with pytest.raises(OperationError) as caught:
                await file.read(0, 10)
            assert caught.value.errno == errno.EINVAL

    cluster_run(test)


def test_a_file_that_was_replaced_meanwhile_is_not_mixed(cluster_run, faults):
    hang_up, _ = faults

    async def test(cluster):
        cluster.put("/f", DATA)
        async with await cluster.connect().open("/f") as file:
            await file.read(0, 10)
            cluster.put("/f", DATA[::-1])
            cluster.fsts[0].fail(rq.PgRead, hang_up)
            with pytest.raises(OperationError) as caught:
                await file.read(10, 10)
            assert caught.value.errno == errno.ESTALE

    cluster_run(test)


def test_damaged_pages_are_read_again(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)

        def damage(connection, request):
            answer = bytearray(cluster.fsts[0].on_pgread(connection, request))
            answer[40] ^= 1
            return answer

        async with await cluster.connect().open("/f") as file:
            cluster.fsts[0].fail(rq.PgRead, damage, times=2)
            assert bytes(await file.read(0, 5000)) == DATA[:5000]
            cluster.fsts[0].fail(rq.PgRead, damage, times=3)
            with pytest.raises(OperationError, match="wrong checksum"):
                await file.read(0, 5000)

    cluster_run(test)


def test_vector_reads(cluster_run):
    async def test(cluster):
        cluster.put("/f", DATA)
        items = [(n * 7, n % 90) for n in range(READV_ITEMS_MAX + 50)]
        async with await cluster.connect().open("/f") as file:
            parts = await file.readv(items)
            assert [bytes(part) for part in parts] == [DATA[o : o + n] for o, n in items]
            assert len(cluster.fsts[0].requests(rq.ReadV)) == 2
            assert await file.readv([]) == []
            with pytest.raises(OperationError, match="beyond its end"):
                await file.readv([(len(DATA) - 1, 5)])

    cluster_run(test)


@pytest.mark.parametrize("pages", [True, False])
def test_write_and_commit(cluster_run, pages):
    async def test(cluster):
        fs = cluster.connect(page_checksums=pages)
        async with await fs.open("/new/f", "x", parents=True, permissions=0o600) as file:
            await file.write(0, DATA[:50_000])
            assert "/new/f" not in cluster.names
            await file.write(50_000, memoryview(DATA)[50_000:])
            await file.sync()
            assert (await file.stat()).size == len(DATA) == file.size
        assert cluster.names["/new/f"].data == DATA
        assert cluster.names["/new/f"].mode == 0o600
        order = cluster.fsts[0].writes_in_order
        assert order == sorted(order)
        assert len(order) > 10
        with pytest.raises(OperationError) as caught:
            await fs.open("/new/f", "x")
        assert caught.value.errno == errno.EEXIST
        async with await fs.open("/new/f", "r+") as file:
            assert file.size == len(DATA)
            await file.write(10, b"changed")
            await file.truncate(20)
        assert cluster.names["/new/f"].data == (DATA[:10] + b"changed" + DATA[17:])[:20]
        async with await fs.open("/new/f", "wb"):
            pass
        assert cluster.names["/new/f"].data == b""
        with pytest.raises(OperationError, match="open mode"):
            await fs.open("/new/f", "a")

    cluster_run(test)


def test_an_exception_gives_the_upload_up(cluster_run):
    async def test(cluster):
        fs = cluster.connect()
        other = await fs.open("/other", "x")

        async def half() -> None:
            async with await fs.open("/f", "x") as file:
                await file.write(0, b"half")
                _ = 1 // 0

        with pytest.raises(ZeroDivisionError):
            await half()
        assert not cluster.fsts[0].requests(rq.Close)
        await other.write(0, b"whole")
        await other.close()
        assert cluster.names["/other"].data == b"whole"
        assert "/f" not in cluster.names
        # The connection that knew the unfinished file goes with its last user.
        while cluster.fsts[0].listener.connection_count:
            await asyncio.sleep(0.001)
        async with await fs.open("/g", "x"):
            pass
        assert "/g" in cluster.names

    cluster_run(test)


def test_damaged_pages_are_written_again(cluster_run):
    async def test(cluster):
        fst = cluster.fsts[0]

        def damaged(connection, request):
            fst.on_pgwrite(connection, request)
            size = len(request.data) * 4096 // 4100
            pages = [page for page in (4096, 8192) if page < request.offset + size]
            return pgwrite_answer(request.sid, request.offset, size, pages)

        fst.fail(rq.PgWrite, damaged)
        async with await cluster.connect(chunk_bytes=16384).open("/f", "x") as file:
            await file.write(100, DATA[:10_000])
        assert cluster.names["/f"].data[100:] == DATA[:10_000]
        writes = fst.requests(rq.PgWrite)
        assert [(w.offset, w.flags) for w in writes] == [(100, 0), (4096, 1), (8192, 1)]

    cluster_run(test)


def test_an_upload_begins_anew_when_its_fst_is_lost(cluster_run, faults):
    hang_up, refuse = faults

    async def test(cluster):
        fs = cluster.connect()
        for fault in (hang_up, refuse(errno.ENOSPC)):
            async with await fs.open("/f", "w") as file:
                await file.write(0, DATA[:1000])
                await file.sync()
                lost = file.endpoint
                next(fst for fst in cluster.fsts if fst.endpoint == lost).fail(rq.PgWrite, fault)
                await file.write(1000, DATA[1000:])
                assert file.recoveries == 1
                assert file.endpoint != lost
            assert cluster.names["/f"].data == DATA

    cluster_run(test)


def test_a_large_upload_to_a_lost_fst_is_an_error(cluster_run, faults, monkeypatch):
    monkeypatch.setattr("thesan.roles.client.replay.REPLAY_BYTES_MAX", 999)
    hang_up, refuse = faults

    async def test(cluster):
        fs = cluster.connect()
        for fault, is_it in ((hang_up, errno.ECONNRESET), (refuse(errno.ENOSPC), errno.ENOSPC)):
            file = await fs.open("/f", "x")
            await file.write(0, DATA[:1000])
            for fst in cluster.fsts:
                fst.fail(rq.PgWrite, fault)
            with pytest.raises(OperationError) as caught:
                await file.write(1000, DATA[1000:])
            assert caught.value.errno == is_it
            await file.discard()
            await file.discard()
            for fst in cluster.fsts:
                fst.faults.clear()
        assert "/f" not in cluster.names

    cluster_run(test)


def test_a_late_commit_is_waited_for(cluster_run):
    async def test(cluster):
        fst = cluster.fsts[0]

        def late(connection, request):
            connection.wait_then_answer(request.sid, 30)

            def finish():
                fst.commit(connection, request)
                connection.reply(responses.ok(request.sid))

            asyncio.get_running_loop().call_later(0.05, finish)

        fst.fail(rq.Close, late)
        async with await cluster.connect().open("/f", "x") as file:
            await file.write(0, b"x")
        assert cluster.names["/f"].data == b"x"

    cluster_run(test)


def test_after_close_runs_once(cluster_run):
    calls = []

    async def after():
        calls.append(1)

    async def test(cluster):
        cluster.put("/f", b"")
        file = await cluster.connect().open("/f")
        file.after_close = after
        await file.close()
        await file.close()
        assert calls == [1]

    cluster_run(test)


def test_an_fst_whose_machine_vanishes_is_left_within_seconds(machines_run):
    """No FIN, no RST: the connection only falls silent."""

    async def test(cluster, network):
        loop = asyncio.get_running_loop()
        cluster.put("/f", DATA)
        async with await cluster.connect().open("/f") as file:
            assert bytes(await file.read(0, 100)) == DATA[:100]
            network.power_off("fst1")
            began = loop.time()
            assert bytes(await file.read()) == DATA
            assert file.endpoint == cluster.fsts[1].endpoint
            assert loop.time() - began < 3.5

    machines_run(test)


def cut_for(network, host, seconds):
    for one, other in (("client", host), (host, "client")):
        network.cut(one, other)
        asyncio.get_running_loop().call_later(seconds, network.heal, one, other)


def test_a_network_that_heals_at_once_is_a_pause(machines_run):
    async def test(cluster, network):
        cluster.put("/f", DATA)
        async with await cluster.connect().open("/f") as file:
            await file.read(0, 1)
            cut_for(network, "fst1", 0.8)
            assert bytes(await file.read()) == DATA
            assert file.recoveries == 0

    machines_run(test)


def test_a_large_upload_outlives_what_a_reader_does_not_wait_for(machines_run, monkeypatch):
    """A reader goes elsewhere, a large upload would have to begin anew."""

    async def test(cluster, network):
        fs = cluster.connect()
        async with await fs.open("/g", "w") as file:
            await file.write(0, DATA[:100])
            cut_for(network, "fst1", 6.0)
            await file.write(100, DATA[100:])
        assert cluster.names["/g"].data == DATA

    monkeypatch.setattr("thesan.roles.client.replay.REPLAY_BYTES_MAX", 0)
    machines_run(test)


def test_a_busy_process_is_waited_for(machines_run):
    """Its kernel takes connections: it is there, however silent."""

    async def test(cluster, network):
        loop = asyncio.get_running_loop()
        cluster.put("/f", DATA)
        async with await cluster.connect(patience_seconds=60.0).open("/f") as file:
            await file.read(0, 1)
            (process,) = network.machine("fst1").processes
            network.pause(process)
            loop.call_later(20.0, network.resume, process)
            assert bytes(await file.read()) == DATA
            assert file.recoveries == 0

    machines_run(test)
