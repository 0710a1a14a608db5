"""Busy, hung or gone: told apart in the simulated world, where machines can vanish."""

import asyncio

import pytest

from thesan.core.model.errors import OperationError, Retry
from thesan.core.model.identity import NOBODY
from thesan.core.model.limits import (
    CLIENT_DARK_UPLOAD_SECONDS,
    CLIENT_PROBE_SECONDS,
    CLIENT_SILENCE_SECONDS_MAX,
)
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_login
from thesan.core.wire.numbers import NO_SID
from thesan.core.wire.server import FST_SETTINGS, MGM_SETTINGS
from thesan.io.transport.client import Call, LoginSettings, dial
from thesan.io.transport.server import listen
from thesan.io.transport.vigil import Verdict, examine
from thesan.worlds.real.entropy import RealEntropy
from thesan.worlds.simulated.loop import SimLoop

DEAD_SECONDS = 3 * CLIENT_PROBE_SECONDS + 0.1


class Mute:
    """A server that answers nothing but pings, and stats of /there."""

    def __init__(self, settings):
        self.settings = settings

    def login(self, connection, request):
        connection.identity = NOBODY
        return responses.ok(request.sid, build_login(connection.session_id))

    def closed(self, connection):
        pass

    def handle(self, connection, request):
        if isinstance(request, rq.Stat) and request.path == "/there":
            return responses.ok(request.sid)
        return None


@pytest.fixture
def run():
    """test(connection, network, process of the server), in the simulated world."""

    def run(test, settings=MGM_SETTINGS):
        loop = SimLoop(3)
        server = loop.network.process("server", "server")
        client = loop.network.process("client", "client")
        work = listen(Mute(settings), "server", 1, entropy=RealEntropy(), bulk=None)
        loop.start(server, work, "listen")

        async def main():
            await asyncio.sleep(0.1)
            connection = await dial("server", 1, LoginSettings())
            await test(connection, loop.network, server)
            await connection.close()

        try:
            loop.run_until_complete(loop.start(client, main(), "main"))
        finally:
            loop.close()

    return run


def now():
    return asyncio.get_running_loop().time()


def pending(connection, call=Call.FIRM):
    work = connection.call(rq.Stat(NO_SID, "/"), 600, call)
    return asyncio.get_running_loop().create_task(work)


def test_a_busy_server_is_not_left(run):
    """It answers pings: nothing else is looked at."""

    async def test(connection, network, server):
        call = pending(connection)
        await asyncio.sleep(100)
        assert not call.done()
        assert not connection.is_suspicious
        call.cancel()

    run(test)


def test_a_host_that_vanishes_is_left_within_seconds(run):
    async def test(connection, network, server):
        network.power_off("server")
        began = now()
        with pytest.raises(OperationError, match="so is its host") as caught:
            await pending(connection)
        assert caught.value.retry is Retry.SAME_ID
        assert now() - began < DEAD_SECONDS
        assert await examine("server", 1, 1.0) is Verdict.DARK

    run(test)


def test_an_upload_is_given_more_time(run):
    async def test(connection, network, server):
        connection.uploads += 1
        network.power_off("server")
        began = now()
        with pytest.raises(OperationError, match="so is its host"):
            await pending(connection)
        assert CLIENT_DARK_UPLOAD_SECONDS <= now() - began < CLIENT_DARK_UPLOAD_SECONDS + 4

    run(test)


def test_a_hung_process_is_waited_for_up_to_the_limit(run):
    async def test(connection, network, server):
        network.pause(server)
        began = now()
        assert await examine("server", 1, 1.0) is Verdict.BUSY
        call = pending(connection)
        await asyncio.sleep(5)
        assert connection.is_suspicious
        with pytest.raises(OperationError, match="silent for"):
            await call
        assert now() - began >= CLIENT_SILENCE_SECONDS_MAX

    run(test)


def test_a_hung_process_that_goes_on_is_forgiven(run):
    async def test(connection, network, server):
        network.pause(server)
        call = pending(connection)
        await asyncio.sleep(15)
        network.resume(server)
        await asyncio.sleep(2)
        assert not connection.is_suspicious
        assert not call.done()
        call.cancel()

    run(test)


@pytest.mark.parametrize("settings", [MGM_SETTINGS, FST_SETTINGS])
def test_a_connection_that_the_network_forgot(run, settings):
    """The server answers others. An FST may have reasons not to read this connection."""

    async def test(connection, network, server):
        assert await examine("server", 1, 1.0) is Verdict.AWAKE
        for socket in list(network.machine("client").sockets):
            socket.vanish()
        call = pending(connection)
        await asyncio.sleep(DEAD_SECONDS)
        assert call.done() is (settings is MGM_SETTINGS)
        connection.abort("end")
        with pytest.raises(OperationError):
            await call

    run(test, settings)


def test_nobody_asks_who_owes_nothing(run):
    async def test(connection, network, server):
        await connection.call(rq.Stat(NO_SID, "/there"), 10)
        poll = pending(connection, Call.POLL)
        network.power_off("server")
        await asyncio.sleep(60)
        assert not connection.is_closed
        connection.check()
        await asyncio.sleep(DEAD_SECONDS)
        assert connection.is_closed
        with pytest.raises(OperationError):
            await poll

    run(test)


def test_a_check_that_is_answered(run):
    async def test(connection, network, server):
        connection.check()
        await asyncio.sleep(10)
        assert not connection.is_closed
        assert not connection.is_suspicious
        await connection.close()
        connection.check()

    run(test)
