"""A watch through everything that may break it: no event twice, none missed, none in silence."""

import asyncio
import signal
from contextlib import aclosing

import pytest

from thesan.worlds.real.etcd import messages, requests
from thesan.worlds.real.etcd.client import Client
from thesan.worlds.real.etcd.endpoint import COMPACT, TXN
from thesan.worlds.real.etcd.spec import EtcdSpec
from thesan.worlds.real.etcd.watch import Compacted, watch

KEY, END = b"/watched/", b"/watched0"


class Written:
    """Numbered keys in a range of their own, and the revision before the first."""

    def __init__(self, client: Client, top: bytes) -> None:
        self.client = client
        self.top = top
        self.count = 0
        self.before = 0

    async def start(self) -> None:
        answer = await self.client.call(TXN, requests.txn([], [requests.get(self.top)]))
        self.before = answer.response.header.revision

    async def write(self, count: int, size: int = 100, per_txn: int = 1) -> None:
        for _ in range(count // per_txn):
            numbers = range(self.count + 1, self.count + per_txn + 1)
            self.count += per_txn
            await self.put_once(*[self.top + b"%08d" % number for number in numbers], size=size)

    async def put_once(self, *keys: bytes, size: int = 0) -> None:
        """In one revision, also where the call is made again since its outcome is not known."""
        puts = [requests.put(key, bytes(size)) for key in keys]
        await self.client.call(TXN, requests.txn([requests.is_absent(keys[0])], puts))

    async def newest_change(self) -> int:
        key = self.top + b"%08d" % self.count
        answer = await self.client.call(TXN, requests.txn([], [requests.get(key)]))
        found = requests.found(answer.response, 0)
        return found[0].mod_revision if found else 0

    async def collect(self, client: Client, count: int) -> list[bytes]:
        """Keys as a watch from the beginning brings them."""
        keys: list[bytes] = []
        events = watch(client, self.top, self.top + b"\xff", self.before + 1, self.newest_change)
        async with aclosing(events):
            async for kvs in events:
                keys += [kv.key for kv in kvs]
                if len(keys) >= count:
                    return keys
        return keys

    async def by_revision(self) -> list[bytes]:
        """Keys in the order of their writing, read."""
        read = requests.get(self.top, self.top + b"\xff")
        answer = await self.client.call(TXN, requests.txn([], [read]))
        found = sorted(requests.found(answer.response, 0), key=lambda kv: kv.mod_revision)
        return [kv.key for kv in found]

    def wanted(self) -> list[bytes]:
        return [self.top + b"%08d" % number for number in range(1, self.count + 1)]


@pytest.fixture
def written(etcd, request):
    """`async with written() as w`: a writer on the shared etcd."""

    class Block:
        async def __aenter__(self):
            self.client = Client(EtcdSpec(tuple(etcd.clients)))
            await self.client.start()
            found = Written(self.client, b"/" + request.node.name.encode() + b"/")
            await found.start()
            return found

        async def __aexit__(self, *_):
            await self.client.close()

    return Block


def test_a_backlog_of_6000_events_through_lines_that_are_cut(play, etcd, lines, written, dice):
    """The rule of resuming behind the header's revision delivers 0 of 6000 here, silently.

    Revisions of one, so that etcd sends six answers of 1000 and not one that never comes through.
    """

    async def story():
        async with written() as source, lines(etcd.clients) as cut:
            for start in range(0, 6000, 50):
                keys = [source.top + b"%08d" % n for n in range(start, start + 50)]
                await asyncio.gather(*map(source.put_once, keys))
            source.count = 5999
            wanted = await source.by_revision()
            for line in cut:
                line.bytes_until_cut = lambda: dice.choice((300, 2_000, 30_000, 150_000))
            client = Client(EtcdSpec(tuple(line.address for line in cut)))
            try:
                await client.start()
                keys = await source.collect(client, 6000)
            finally:
                await client.close()
            assert sum(line.cuts for line in cut) > 5
            assert len(wanted) == 6000
            assert keys == wanted

    play(story)


def test_events_while_lines_are_cut_at_random(play, etcd, lines, written, dice):
    async def story():
        async with written() as source, lines(etcd.clients) as cut:
            client = Client(EtcdSpec(tuple(line.address for line in cut)))
            try:
                await client.start()
                loop = asyncio.get_running_loop()
                collecting = loop.create_task(source.collect(client, 600))
                for _ in range(60):
                    await source.write(10)
                    dice.choice(cut).cut()
                assert await collecting == source.wanted()
            finally:
                await client.close()

    play(story)


def test_a_response_in_fragments(play, etcd, written):
    """More than etcd's 1.5 MiB of one revision: it comes in parts, and all of it comes."""

    async def story():
        async with written() as source:
            for _ in range(3):
                await source.write(12, size=200_000, per_txn=6)
            assert await source.collect(source.client, 36) == source.wanted()

    play(story)


def test_compacted_is_told(play, etcd, written):
    async def story():
        async with written() as source:
            await source.write(10)
            newest = await source.newest_change()
            await source.client.call(COMPACT, messages.CompactionRequest(revision=newest))
            with pytest.raises(Compacted):
                await source.collect(source.client, 10)

    play(story)


def test_compacted_while_the_line_was_down_is_told(play, etcd, lines, written):
    async def story():
        async with written() as source, lines(etcd.clients) as cut:
            client = Client(EtcdSpec(tuple(line.address for line in cut)))
            try:
                await client.start()
                await source.write(5)
                events = watch(
                    client,
                    source.top,
                    source.top + b"\xff",
                    source.before + 1,
                    source.newest_change,
                )
                async with aclosing(events):
                    assert len(await anext(events)) == 5
                    for line in cut:
                        line.is_hung = True
                        line.cut()
                    await source.write(5)
                    newest = await source.newest_change()
                    await source.client.call(COMPACT, messages.CompactionRequest(revision=newest))
                    for line in cut:
                        line.is_hung = False
                    with pytest.raises(Compacted):
                        await anext(events)
            finally:
                await client.close()

    play(story)


def test_a_line_that_hangs_is_left(play, etcd, lines, written):
    """TCP stays up and says nothing: only a read elsewhere shows that something was missed."""

    async def story():
        async with written() as source, lines(etcd.clients) as hung:
            client = Client(EtcdSpec(tuple(line.address for line in hung)))
            try:
                await client.start()
                first = next(line for line in hung if line.address == client.usable()[0].address)
                loop = asyncio.get_running_loop()
                collecting = loop.create_task(source.collect(client, 40))
                await source.write(20)
                await asyncio.sleep(0.1)
                first.is_hung = True
                before = loop.time()
                await source.write(20)
                assert await collecting == source.wanted()
                assert loop.time() - before < 10
            finally:
                await client.close()

    play(story)


@pytest.mark.slow
def test_a_member_that_is_stopped_is_left(play, hurt_etcd):
    """SIGSTOP of the leader: the kernel goes on to acknowledge, nobody answers."""

    async def story():
        client = Client(EtcdSpec(tuple(hurt_etcd.clients)))
        try:
            await client.start()
            source = Written(client, b"/stopped/")
            await source.start()
            loop = asyncio.get_running_loop()
            collecting = loop.create_task(source.collect(client, 60))
            await source.write(30)
            leader = await loop.run_in_executor(None, hurt_etcd.leader)
            hurt_etcd.signal(leader, signal.SIGSTOP)
            try:
                await source.write(30)
                assert await collecting == source.wanted()
            finally:
                hurt_etcd.signal(leader, signal.SIGCONT)
        finally:
            await client.close()

    play(story)
