"""Members of a real etcd die, hang and come back, under a writer and followers."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

from thesan.core.journal.entry import START, encode
from thesan.core.model.errors import Fenced, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.io.journal.writer import JournalWriter
from thesan.ports.engine import Engine, Owner
from thesan.worlds.real.engines import open_engine
from thesan.worlds.real.loop import new_event_loop

pytestmark = [pytest.mark.system, pytest.mark.slow]

A = Owner("a", Epoch(1), "a:1094", 11)
B = Owner("b", Epoch(2), "b:1094", 22)
GAP_SECONDS_MAX = 30.0
"""No bound on speed, but on hanging: an election takes about a second."""


class Traffic:
    """One writer, and two followers on engines of their own."""

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self.acknowledged: list[bytes] = []
        self.followed: list[list[tuple[int, bytes]]] = [[], []]
        self.writer_error: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Traffic":
        self.engine = await open_engine(self._spec)
        self._engines = [await open_engine(self._spec) for _ in self.followed]
        assert await self.engine.take_over(None, A)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._follow(n)) for n in range(len(self.followed))]
        self._writing = loop.create_task(self._write())
        await self.more(10)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self._tasks, self._writing):
            task.cancel()
        await asyncio.gather(*self._tasks, self._writing, return_exceptions=True)
        for engine in (self.engine, *self._engines):
            await engine.close()

    async def _write(self) -> None:
        seq = 1
        while True:
            data = b"entry %d" % seq
            try:
                await self.engine.append(A, Seq(seq), data)
            except Unavailable:
                continue
            except Fenced as error:
                self.writer_error = error
                return
            self.acknowledged.append(data)
            seq += 1

    async def _follow(self, index: int) -> None:
        seen, engine = self.followed[index], self._engines[index]
        while True:
            try:
                async with aclosing(engine.follow(Seq(len(seen) + 1))) as entries:
                    async for entry in entries:
                        assert entry[0] == len(seen) + 1
                        seen.append(entry)
            except Unavailable:
                continue

    async def more(self, count: int) -> None:
        """Until so many further appends are acknowledged, and followed."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(GAP_SECONDS_MAX):
            while len(self.acknowledged) < wanted:
                await asyncio.sleep(0.005)
            while min(map(len, self.followed)) < wanted:
                for task in self._tasks:
                    assert not task.done(), task
                await asyncio.sleep(0.005)

    async def judge(self) -> None:
        """Nothing acknowledged is lost, and everybody has seen the same."""
        # First: what is acknowledged after `last` was asked for is not in what is read.
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        last = (await self.engine.observe()).last
        entries: list[tuple[Seq, bytes]] = []
        while len(entries) < last:
            entries += await self.engine.read(Seq(len(entries) + 1), 1 << 20)
        assert [data for _, data in entries[: len(self.acknowledged)]] == self.acknowledged
        assert len(entries) <= len(self.acknowledged) + 1
        for seen in self.followed:
            # The last append was given up, not taken back: it may have landed since we read.
            assert len(seen) <= len(self.acknowledged) + 1
            assert seen[: len(entries)] == entries[: len(seen)]


Story = Callable[[Traffic], Awaitable[None]]


@pytest.fixture
def play(hurt_etcd) -> Callable[[Story], None]:
    """Run a story under traffic, and judge it."""

    def run(story: Story) -> None:
        async def whole() -> None:
            async with asyncio.timeout(120), Traffic(hurt_etcd.spec) as traffic:
                await story(traffic)
                await traffic.judge()

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(whole())

    return run


def off_loop(work: Callable[..., object], *args: object) -> Awaitable[object]:
    return asyncio.get_running_loop().run_in_executor(None, work, *args)


def test_each_member_is_killed_and_comes_back(play, hurt_etcd):
    async def story(traffic):
        for _ in range(3):
            victim = await off_loop(hurt_etcd.leader)
            hurt_etcd.kill(victim)
            await traffic.more(30)
            hurt_etcd.start(victim)
            await off_loop(hurt_etcd.wait_ready)
            await traffic.more(30)

    play(story)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_member_hangs_and_goes_on(play, hurt_etcd, who):
    async def story(traffic):
        leader = await off_loop(hurt_etcd.leader)
        victim = leader if who == "leader" else (leader + 1) % 3
        hurt_etcd.signal(victim, signal.SIGSTOP)
        await traffic.more(30)
        hurt_etcd.signal(victim, signal.SIGCONT)
        await traffic.more(30)

    play(story)


def test_the_majority_is_lost_and_comes_back(play, hurt_etcd):
    async def story(traffic):
        victims = [0, 1]
        for victim in victims:
            hurt_etcd.kill(victim)
        other = await open_engine(hurt_etcd.spec)
        with pytest.raises(Unavailable):
            await other.observe()
        with pytest.raises(Unavailable):
            await other.take_over(A, B)
        assert not (await other.status()).healthy
        before = len(traffic.acknowledged)
        await asyncio.sleep(0.3)
        assert len(traffic.acknowledged) <= before + 1
        for victim in victims:
            hurt_etcd.start(victim)
        await traffic.more(30)
        await other.close()

    play(story)


def test_a_takeover_while_the_leader_dies(play, hurt_etcd):
    """The deposed writer is told, whatever became of its last append."""

    async def story(traffic):
        rival = await open_engine(hurt_etcd.spec)
        hurt_etcd.kill(await off_loop(hurt_etcd.leader))
        won = False
        while not won:
            try:
                won = await rival.take_over(A, B) or await rival.owner() == B
            except Unavailable:
                continue
        head = (await rival.observe()).last
        await rival.append(B, Seq(head + 1), b"entry %d" % (head + 1))
        while traffic.writer_error is None:
            await asyncio.sleep(0.01)
        assert isinstance(traffic.writer_error, Fenced)
        assert len(traffic.acknowledged) in (head - 1, head)
        await rival.close()

    play(story)


def test_a_journal_writer_rides_out_an_election(hurt_etcd):
    """The real writer: 64 producers, the leader dies, no op fails and none is written twice."""

    async def story() -> None:
        engine: Engine = await open_engine(hurt_etcd.spec)
        assert await engine.take_over(None, A)
        lost: list[str] = []
        writer = JournalWriter(engine, A, Seq(1), START.crc, lost.append)
        writer.start()
        for number in range(2000):
            writer.submit(b"op %d" % number)
            if number % 64 == 0:
                await asyncio.sleep(0.001)
            if number == 700:
                hurt_etcd.kill(await off_loop(hurt_etcd.leader))
        async with asyncio.timeout(GAP_SECONDS_MAX):
            await writer.flush()
        assert not lost
        from thesan.io.journal.replay import replay

        ops: list[bytes] = []

        def take(entry):
            ops.extend(entry.ops)
            return b""

        await replay(engine, START, take)
        assert ops == [b"op %d" % number for number in range(2000)]
        await writer.close()
        await engine.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(story())


def test_the_observation_of_a_dead_owner_stands_still(hurt_etcd):
    async def story() -> None:
        engine = await open_engine(hurt_etcd.spec)
        assert await engine.take_over(None, A)
        data = encode(A.epoch, Seq(1), 0, [b"op"])
        await engine.append(A, Seq(1), data)
        before = await engine.observe()
        hurt_etcd.kill(await off_loop(hurt_etcd.leader))
        while True:
            try:
                after = await engine.observe()
                break
            except Unavailable:
                continue
        assert after == before
        await engine.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(story())
