"""An upload that is begun anew has the bytes that were acknowledged, or is not begun at all."""

import asyncio
import errno
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.core.wire.pages import pgwrite_answer
from thesan.roles.client.replay import Replay

steps = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 300), st.integers(0, 100)),
        st.tuples(st.integers(0, 300), st.none()),
    ),
    max_size=12,
)


@given(steps, st.integers(1, 64))
def test_it_is_what_a_file_would_hold(steps, step) -> None:
    replay, model, dice = Replay(), bytearray(), random.Random(1)
    for number, length in steps:
        if length is None:
            replay.truncated(number)
            model = model[:number].ljust(number, b"\0")
        else:
            data = dice.randbytes(length)
            replay.wrote(number, memoryview(data))
            if number > len(model):
                model = model.ljust(number, b"\0")
            model[number : number + length] = data
    again = bytearray(len(model))
    for request in replay.requests(7, step):
        assert isinstance(request, rq.Write)
        assert request.fh == 7
        again[request.offset : request.offset + len(request.data)] = request.data
    assert again == model
    assert (replay.is_whole, replay.size) == (True, len(model))


def test_more_than_is_kept_is_not_kept(monkeypatch) -> None:
    monkeypatch.setattr("thesan.roles.client.replay.REPLAY_BYTES_MAX", 10)
    written, cut = Replay(), Replay()
    written.wrote(0, b"0123456789")
    assert written.is_whole
    written.wrote(10, b"!")
    cut.truncated(11)
    for replay in (written, cut):
        assert not replay.is_whole
        replay.wrote(0, b"x")
        replay.truncated(0)
        assert not replay.is_whole
        assert list(replay.requests(0, 4)) == []


def test_the_checksum_is_the_servers_form() -> None:
    replay = Replay()
    replay.wrote(0, b"Wikipedia")
    assert replay.adler32() == "11e60398"


# -- writes in flight while an upload is begun anew ------------------------------------------------
def later(seconds, connection, answer) -> None:
    """Answer after a while."""
    asyncio.get_running_loop().call_later(seconds, lambda: connection.reply(answer()))


def hold_or_refuse(fst, held, number_of):
    """A fault: the write that `number_of` calls 0 is kept, later ones meet a full disk."""

    def answer(connection, request):
        number = number_of(request)
        if number < 0:
            return "pass"
        if number == 0:
            held.append((connection, request))
            return None
        return responses.error_of(request.sid, OperationError(errno.ENOSPC, "full"))

    return answer


def test_a_write_that_the_lost_fst_takes_late_is_sent_to_the_new_one(cluster_run):
    """Its ok comes while what was acknowledged before is played to the new FST."""

    async def test(cluster):
        first, second = cluster.fsts
        held = []

        def played(connection, request):
            old, write = held[0]
            old.reply(first.on_pgwrite(old, write))
            later(0.02, connection, lambda: second.on_write(connection, request))

        async with await cluster.connect().open("/f", "w") as file:
            await file.write(0, b"H" * 100)
            first.fail(rq.PgWrite, hold_or_refuse(first, held, lambda r: r.offset - 100), times=2)
            second.fail(rq.Write, played)
            await asyncio.gather(file.write(100, b"A" * 1000), file.write(1100, b"B" * 1000))
        assert cluster.names["/f"].data == b"H" * 100 + b"A" * 1000 + b"B" * 1000

    cluster_run(test)


def test_an_upload_that_outgrows_what_is_kept_while_it_is_begun_anew(cluster_run, monkeypatch):
    """The ok that would do so comes while the new FST is opened."""
    monkeypatch.setattr("thesan.roles.client.replay.REPLAY_BYTES_MAX", 24 * 1024)
    data = b"".join(bytes([65 + number]) * 8192 for number in range(6))

    async def test(cluster):
        first, second = cluster.fsts
        held = []

        def opened(connection, request):
            old, write = held[0]
            old.reply(first.on_pgwrite(old, write))
            later(0.02, connection, lambda: second.on_open(connection, request))

        fault = hold_or_refuse(first, held, lambda request: request.offset // 8192 - 3)
        first.fail(rq.PgWrite, fault, times=99)
        second.fail(rq.Open, opened)
        async with await cluster.connect().open("/f", "w") as file:
            await file.write(0, data)
        assert cluster.names["/f"].data == data

    cluster_run(test)


def test_pages_that_were_damaged_at_the_lost_fst_are_sent_whole_to_the_new_one(cluster_run):
    data = bytes(range(256)) * 64

    async def test(cluster):
        first, second = cluster.fsts

        def damaged(connection, request):
            first.on_pgwrite(connection, request)
            return pgwrite_answer(request.sid, 0, len(data), [4096])

        async with await cluster.connect(chunk_bytes=1 << 20).open("/f", "w") as file:
            first.fail(rq.PgWrite, lambda connection, request: connection.abort())
            first.fail(rq.PgWrite, damaged)
            first.faults.reverse()
            await file.write(0, data)
        assert cluster.names["/f"].data == data
        assert [request.offset for request in second.requests(rq.PgWrite)][-1] == 0

    cluster_run(test)


# -- a close whose answer was lost -----------------------------------------------------------------
@pytest.mark.parametrize("name", ["/plain", "/what?", "/50%?"])
def test_it_is_recognised_whatever_the_name(cluster_run, name):
    async def test(cluster):
        fst = cluster.fsts[0]

        def done_but_lost(connection, request):
            fst.commit(connection, request)
            connection.abort()

        fst.fail(rq.Close, done_but_lost)
        async with await cluster.connect().open(name, "x") as file:
            await file.write(0, b"data")
        assert cluster.names[name].data == b"data"

    cluster_run(test)


def test_a_commit_that_lands_after_the_look_is_no_stranger(cluster_run):
    """The exclusive upload is begun anew, and its own first try is in the way."""

    async def test(cluster):
        fst = cluster.fsts[0]

        def under_way(connection, request):
            def not_yet(other, stat):
                fst.commit(connection, request)
                return responses.error_of(stat.sid, OperationError(errno.ENOENT, "not yet"))

            cluster.mgm.fail(rq.Stat, not_yet)
            connection.abort()

        fst.fail(rq.Close, under_way)
        async with await cluster.connect().open("/f", "x") as file:
            await file.write(0, b"data")
        assert cluster.names["/f"].data == b"data"

    cluster_run(test)
