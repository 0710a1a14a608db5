"""Calls that move, stay, or only listen."""

import asyncio
import errno

import pytest

from thesan.core.model.errors import OperationError, Retry
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.core.wire.numbers import NO_SID, Status
from thesan.io.transport import client as module
from thesan.io.transport.client import Call, GivenUp, LoginSettings, dial


async def connected(bench):
    await bench.listen()
    return await dial("127.0.0.1", bench.listener.port, LoginSettings(), timeout=10)


def start(connection, call):
    work = connection.call(rq.Stat(NO_SID, f"/{call.value}"), 20, call)
    return asyncio.get_running_loop().create_task(work)


def test_only_movable_calls_are_given_up(loop_run):
    async def test(bench):
        held = []
        bench.service.answers[rq.Stat] = lambda connection, request: held.append(request)
        connection = await connected(bench)
        calls = {call: start(connection, call) for call in Call}
        while len(held) < 3:
            await asyncio.sleep(0.01)
        connection.give_up("there is a new master")
        with pytest.raises(GivenUp, match="new master") as caught:
            await calls[Call.MOVABLE]
        assert (caught.value.errno, caught.value.retry) == (errno.ECONNRESET, Retry.SAME_ID)
        server = bench.listener.connections[0]
        for request in held:
            # The late answer to what was given up is dropped.
            server.reply(responses.ok(request.sid, b"late"))
        assert (await calls[Call.FIRM]).body == b"late"
        assert (await calls[Call.POLL]).body == b"late"
        assert connection.in_flight == 0
        assert not connection.owes
        await connection.close()

    loop_run(test)


def test_calls_that_wait_for_room_are_given_up_too(loop_run, monkeypatch):
    monkeypatch.setattr(module, "CLIENT_REQUESTS_MAX", 1)

    async def test(bench):
        bench.service.answers[rq.Stat] = lambda connection, request: None
        connection = await connected(bench)
        first, second = start(connection, Call.FIRM), start(connection, Call.MOVABLE)
        await asyncio.sleep(0.05)
        assert connection.owes
        connection.give_up("moved")
        with pytest.raises(GivenUp) as caught:
            await second
        assert caught.value.retry is Retry.ELSEWHERE, "it was never sent"
        assert not first.done()
        connection.abort("end")
        with pytest.raises(OperationError):
            await first

    loop_run(test)


def test_a_long_poll_is_no_debt(loop_run):
    async def test(bench):
        bench.service.answers[rq.Stat] = lambda connection, request: None
        connection = await connected(bench)
        poll = start(connection, Call.POLL)
        await asyncio.sleep(0.05)
        assert connection.in_flight == 1
        assert not connection.owes
        poll.cancel()
        ping = await connection.call(rq.Ping(NO_SID), 10)
        assert ping.status == Status.OK
        await connection.close()

    loop_run(test)
