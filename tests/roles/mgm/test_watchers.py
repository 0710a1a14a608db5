"""Long polls for a newer master."""

import asyncio

from thesan.core.control.messages import Leader, Watch, decode_reply
from thesan.core.wire.responses import HEAD
from thesan.roles.mgm.watchers import Watchers


class Peer:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.announced: list[tuple[bytes, int]] = []

    def reply(self, data: bytes) -> None:
        self.sent.append(data)

    def wait_then_answer(self, sid: bytes, seconds: int) -> None:
        self.announced.append((sid, seconds))

    @property
    def epochs(self) -> list[int]:
        return [decode_reply(data[HEAD.size :]).epoch for data in self.sent]


class Bench:
    def __init__(self) -> None:
        self.leader = Leader(4, "a:1", ["a:1"])
        self.watchers = Watchers(lambda: self.leader)

    def watch(self, peer: Peer, epoch: int, wait_ms: int = 5000) -> int | None:
        answer = self.watchers.watch(peer, b"\0\1", Watch(epoch, wait_ms))
        return None if answer is None else decode_reply(answer[HEAD.size :]).epoch


def test_what_is_known_is_said_at_once(loop):
    async def story() -> None:
        bench, peer = Bench(), Peer()
        assert bench.watch(peer, 3) == 4
        assert bench.watch(peer, 4, wait_ms=0) == 4
        assert (len(bench.watchers), peer.announced) == (0, [])

    loop.run_until_complete(story())


def test_news_are_told_to_those_for_whom_they_are_news(loop):
    async def story() -> None:
        bench, first, second = Bench(), Peer(), Peer()
        assert bench.watch(first, 4) is None
        assert bench.watch(second, 7) is None
        assert first.announced == [(b"\0\1", 6)]
        bench.watchers.tell()
        assert first.sent == []
        bench.leader = Leader(5, "", ["a:1"])
        bench.watchers.tell()
        assert first.sent == [], "an epoch without a living master is no news"
        bench.leader = Leader(5, "b:1", ["a:1"])
        bench.watchers.tell()
        assert (first.epochs, second.epochs, len(bench.watchers)) == ([5], [], 1)
        await asyncio.sleep(6)
        assert second.epochs == [5], "its time is over"

    loop.run_until_complete(story())


def test_one_poll_per_connection(loop):
    async def story() -> None:
        bench, peer = Bench(), Peer()
        assert bench.watch(peer, 4) is None
        assert bench.watch(peer, 4) is None
        assert (peer.epochs, len(bench.watchers)) == ([4], 1)
        bench.watchers.closed(peer)
        assert len(bench.watchers) == 0
        await asyncio.sleep(10)
        assert peer.epochs == [4]
        bench.watch(peer, 4)
        bench.watchers.close()
        assert len(bench.watchers) == 0

    loop.run_until_complete(story())
