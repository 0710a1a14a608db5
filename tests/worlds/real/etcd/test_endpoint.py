"""One member: deadlines, kinds of failure, streams."""

import asyncio
import socket

import grpc
import pytest

from thesan.worlds.real.etcd import messages
from thesan.worlds.real.etcd.endpoint import (
    RANGE,
    STATUS,
    WATCH,
    Endpoint,
    EtcdError,
    Failure,
    _kind_of,
)


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("UNAVAILABLE", "etcdserver: no leader", Failure.SILENT),
        ("UNAVAILABLE", "failed to connect to all addresses", Failure.SILENT),
        ("DEADLINE_EXCEEDED", "", Failure.SILENT),
        ("CANCELLED", "", Failure.SILENT),
        ("UNKNOWN", "x", Failure.SILENT),
        ("INTERNAL", "x", Failure.SILENT),
        ("UNAUTHENTICATED", "etcdserver: invalid auth token", Failure.TOKEN),
        ("INVALID_ARGUMENT", "etcdserver: user name is empty", Failure.TOKEN),
        ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old", Failure.TOKEN),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", Failure.REFUSED),
        ("PERMISSION_DENIED", "etcdserver: permission denied", Failure.REFUSED),
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", Failure.FULL),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", Failure.SILENT),
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted",
         Failure.COMPACTED),
    ],
)  # fmt: skip
def test_kinds_of_failure(code, details, kind):
    assert _kind_of(grpc.StatusCode[code], details) is kind


def test_who_accepts_and_says_nothing_costs_one_deadline(play):
    async def story():
        with socket.create_server(("127.0.0.1", 0)) as silent:
            endpoint = Endpoint(f"127.0.0.1:{silent.getsockname()[1]}")
            loop = asyncio.get_running_loop()
            before = loop.time()
            with pytest.raises(EtcdError) as caught:
                await endpoint.call(STATUS, messages.StatusRequest(), 0.2)
            assert caught.value.kind is Failure.SILENT
            assert 0.1 < loop.time() - before < 10
            endpoint.close()

    play(story)


def test_a_call_that_blocks_its_thread_fails_in_the_same_ways(play):
    async def story():
        with socket.create_server(("127.0.0.1", 0)) as silent:
            for port, seconds in ((silent.getsockname()[1], 0.2), (1, 5)):
                endpoint = Endpoint(f"127.0.0.1:{port}")
                before = asyncio.get_running_loop().time()
                with pytest.raises(EtcdError) as caught:
                    endpoint.call_here(STATUS, messages.StatusRequest(), seconds)
                assert caught.value.kind is Failure.SILENT
                assert asyncio.get_running_loop().time() - before < 10
                endpoint.close()
                with pytest.raises(EtcdError, match="closed"):
                    endpoint.call_here(STATUS, messages.StatusRequest(), seconds)

    play(story)


def test_nobody_there(play):
    async def story():
        endpoint = Endpoint("127.0.0.1:1")
        with pytest.raises(EtcdError) as caught:
            await endpoint.call(STATUS, messages.StatusRequest(), 5)
        assert caught.value.kind is Failure.SILENT
        assert "127.0.0.1:1" in str(caught.value)
        endpoint.close()

    play(story)


def test_a_call_that_grpcio_forgot_ends_all_the_same(play, monkeypatch):
    class Forgotten:
        cancelled = False

        def future(self, *_, **__):
            return self

        def add_done_callback(self, _):
            """Never called."""

        def done(self):
            return False

        def cancel(self):
            self.cancelled = True

    async def story():
        monkeypatch.setattr("thesan.worlds.real.etcd.endpoint.ETCD_OVERDUE_SECONDS", 0.02)
        endpoint = Endpoint("127.0.0.1:1")
        call = endpoint._stubs[STATUS.path] = Forgotten()
        with pytest.raises(EtcdError, match="after the deadline") as caught:
            await endpoint.call(STATUS, messages.StatusRequest(), 0.01)
        assert caught.value.kind is Failure.SILENT
        assert call.cancelled
        endpoint.close()

    play(story)


def test_calls_after_and_during_close(play, etcd):
    async def story():
        with socket.create_server(("127.0.0.1", 0)) as silent:
            endpoint = Endpoint(f"127.0.0.1:{silent.getsockname()[1]}")
            call = endpoint.call(STATUS, messages.StatusRequest(), 30)
            waiting = asyncio.get_running_loop().create_task(call)
            await asyncio.sleep(0.01)
            endpoint.close()
            with pytest.raises(EtcdError):
                await waiting
        endpoint = Endpoint(etcd.clients[0])
        assert (await endpoint.call(STATUS, messages.StatusRequest(), 5)).version
        endpoint.close()
        with pytest.raises(EtcdError):
            await endpoint.call(STATUS, messages.StatusRequest(), 5)
        with pytest.raises(EtcdError):
            endpoint.stream(WATCH, messages.WatchRequest())

    play(story)


def test_a_new_channel_takes_over_while_a_call_is_under_way(play, fake):
    member = fake(1)

    async def story():
        endpoint = Endpoint(member.address)
        request = messages.RangeRequest(key=b"k")
        for _ in range(3):
            under_way = asyncio.get_running_loop().create_task(endpoint.call(RANGE, request, 5))
            await asyncio.sleep(0)
            close_old = endpoint.replace_channel(None)
            assert (await endpoint.call(RANGE, request, 5)).header.member_id == 1
            await under_way
            close_old()
        endpoint.close()

    play(story)


def test_a_stream_waits_only_as_long_as_it_is_told(play, etcd):
    async def story():
        endpoint = Endpoint(etcd.clients[0])
        create = messages.WatchCreateRequest(key=b"/nobody/writes/here")
        stream = endpoint.stream(WATCH, messages.WatchRequest(create_request=create))
        assert (await stream.receive(5)).created
        assert await stream.receive(0.01) is None
        assert await stream.receive(0.01) is None
        await stream.close()
        with pytest.raises(EtcdError):
            await stream.receive(5)
        endpoint.close()

    play(story)
