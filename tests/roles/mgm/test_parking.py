"""Requests that wait for a master."""

import asyncio
import errno

from thesan.core.model.errors import OperationError
from thesan.core.model.leadership_limits import PARK_SECONDS_MAX
from thesan.core.wire import responses
from thesan.core.wire.numbers import Status
from thesan.core.wire.requests import Stat
from thesan.core.wire.responses import HEAD
from thesan.roles.mgm import parking as module
from thesan.roles.mgm.parking import Parking


class Peer:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_closed = False

    def reply(self, data: bytes) -> None:
        self.sent.append(data)

    @property
    def statuses(self) -> list[int]:
        return [HEAD.unpack_from(data)[1] for data in self.sent]


class Bench:
    def __init__(self) -> None:
        self.parking = Parking(self.handle)
        self.is_master = False
        self.handled = 0

    def handle(self, connection: Peer, request: Stat) -> bytes | None:
        self.handled += 1
        if request.path == "/bad":
            raise OperationError(errno.EINVAL, "bad")
        if request.path == "/broken":
            raise ZeroDivisionError
        if self.is_master:
            return responses.ok(request.sid)
        return self.parking.park(connection, request)


def test_a_parked_request_is_answered_when_there_is_a_master(loop):
    async def story() -> None:
        bench, peer, gone = Bench(), Peer(), Peer()
        for path in ("/a", "/bad", "/b"):
            assert bench.parking.park(peer, Stat(b"\0\1", path)) is None
        bench.parking.park(gone, Stat(b"\0\1", "/a"))
        gone.is_closed = True
        bench.is_master = True
        bench.parking.wake()
        await asyncio.sleep(0.01)
        assert peer.statuses == [Status.OK, Status.ERROR, Status.OK]
        assert (gone.sent, bench.handled, len(bench.parking)) == ([], 3, 0)

    loop.run_until_complete(story())


def test_its_time_is_one_however_often_it_is_parked_again(loop):
    async def story() -> None:
        bench, peer = Bench(), Peer()
        bench.parking.park(peer, Stat(b"\0\1", "/a"))
        for _ in range(8):
            await asyncio.sleep(PARK_SECONDS_MAX / 10)
            bench.parking.wake()
        await asyncio.sleep(0.01)
        assert (peer.sent, len(bench.parking), bench.handled) == ([], 1, 8)
        await asyncio.sleep(PARK_SECONDS_MAX / 4)
        assert (peer.statuses, len(bench.parking)) == ([Status.WAIT], 0)

    loop.run_until_complete(story())


def test_too_many_are_told_to_wait(loop, monkeypatch):
    monkeypatch.setattr(module, "PARKED_REQUESTS_MAX", 2)

    async def story() -> None:
        bench, peer = Bench(), Peer()
        for number in range(2):
            assert bench.parking.park(peer, Stat(b"\0\1", f"/{number}")) is None
        answer = bench.parking.park(peer, Stat(b"\0\1", "/x"))
        assert HEAD.unpack_from(answer)[1] == Status.WAIT
        bench.parking.close()
        await asyncio.sleep(2)
        assert peer.sent == []

    loop.run_until_complete(story())


def test_a_crowd_is_handled_in_turns(loop, monkeypatch):
    monkeypatch.setattr(module, "PARKED_PER_TURN_MAX", 3)

    async def story() -> None:
        bench, peer = Bench(), Peer()
        for _ in range(10):
            bench.parking.park(peer, Stat(b"\0\1", "/a"))
        bench.is_master = True
        bench.parking.wake()
        await asyncio.sleep(0)
        assert bench.handled == 3
        await asyncio.sleep(0.01)
        assert peer.statuses == [Status.OK] * 10

    loop.run_until_complete(story())


def test_a_fault_of_ours_is_reported_and_answered(loop):
    async def story() -> None:
        bench, peer = Bench(), Peer()
        bench.parking.park(peer, Stat(b"\0\1", "/broken"))
        bench.parking.wake()
        await asyncio.sleep(0.01)
        assert peer.statuses == [Status.ERROR]

    loop.run_until_complete(story())
    assert loop.trace.failures
    loop.trace.failures.clear()
