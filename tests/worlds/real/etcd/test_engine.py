"""The engine where the contract's tests can't reach: lost answers, broken lines, odd keys."""

import asyncio
import threading
import time
from contextlib import aclosing
from itertools import count

import pytest

from thesan.core.model.errors import Corrupt, Fenced, Trimmed, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Owner
from thesan.worlds.real.etcd import engine as module
from thesan.worlds.real.etcd import requests
from thesan.worlds.real.etcd.endpoint import TXN
from thesan.worlds.real.etcd.engine import EtcdEngine

A = Owner("a", Epoch(1), "a:1094", 11)
B = Owner("b", Epoch(2), "b:1094", 22)


async def everything(engine, start: int = 1) -> list[tuple[Seq, bytes]]:
    found: list[tuple[Seq, bytes]] = []
    while page := await engine.read(Seq(start + len(found)), 1000):
        found += page
    return found


def first_in_order(engine, cut):
    address = engine.client.usable()[0].address
    return next(line for line in cut if line.address == address)


def test_an_engine_that_may_block_its_loop_beats_as_any_other(play, spec):
    async def story():
        engine = await EtcdEngine.open(spec, is_alone=True)
        try:
            assert await engine.take_over(None, A)
            await engine.beat(A)
            await engine.beat(A)
            assert (await engine.observe()).beats == 2
            assert await engine.take_over(A, B)
            with pytest.raises(Fenced):
                await engine.beat(A)
        finally:
            await engine.close()

    play(story)


def test_an_append_whose_answer_is_lost_is_settled_by_the_next_member(
    play, spec, etcd, lines, engine_of
):
    async def story():
        async with lines(etcd.clients) as cut, engine_of(spec, cut) as engine:
            assert await engine.take_over(None, A)
            for seq in range(1, 6):
                line = first_in_order(engine, cut)
                cuts, line.swallows = line.cuts, True
                await engine.append(A, Seq(seq), b"entry %d" % seq)
                assert line.cuts > cuts
                line.swallows = False
            assert await everything(engine) == [(n, b"entry %d" % n) for n in range(1, 6)]

    play(story)


def test_a_takeover_whose_answer_is_lost_is_settled_by_the_next_member(
    play, spec, etcd, lines, engine_of
):
    async def story():
        async with lines(etcd.clients) as cut, engine_of(spec, cut) as engine:
            line = first_in_order(engine, cut)
            cuts, line.swallows = line.cuts, True
            assert await engine.take_over(None, A)
            assert line.cuts > cuts
            assert await engine.owner() == A
            # But only who wrote it has won.
            line = first_in_order(engine, cut)
            line.swallows = True
            assert not await engine.take_over(None, B)

    play(story)


def test_an_append_before_a_takeover_is_settled_after_it(play, spec, etcd, lines, engine_of):
    """The first try lands, its answer is lost, the owner changes: the entry is durable."""

    async def story():
        async with (
            lines(etcd.clients) as cut,
            engine_of(spec, cut) as engine,
            engine_of(spec) as rival,
        ):
            assert await engine.take_over(None, A)
            await engine.append(A, Seq(1), b"1")
            first = first_in_order(engine, cut)
            first.swallows = True
            others = [line for line in cut if line is not first]
            for line in others:
                line.is_hung = True
            loop = asyncio.get_running_loop()
            pending = loop.create_task(engine.append(A, Seq(2), b"2"))
            while (await rival.observe()).last < 2:
                await asyncio.sleep(0.005)
            assert await rival.take_over(A, B)
            for line in others:
                line.is_hung = False
            await pending
            with pytest.raises(Fenced):
                await engine.append(A, Seq(3), b"3")
            assert await everything(rival) == [(1, b"1"), (2, b"2")]

    play(story)


def test_no_member_reached_is_unavailable_in_bounded_time(play, spec, etcd, lines, engine_of):
    async def story():
        async with lines(etcd.clients) as cut, engine_of(spec, cut) as engine:
            assert await engine.take_over(None, A)
            for line in cut:
                line.is_hung = True
            loop = asyncio.get_running_loop()
            before = loop.time()
            with pytest.raises(Unavailable):
                await engine.append(A, Seq(1), b"1")
            assert loop.time() - before < 10
            status = await engine.status()
            assert not status.healthy
            assert status.detail
            assert {one.role for one in status.members} == {"down"}
            for line in cut:
                line.is_hung = False
            while not (status := await engine.status()).healthy:
                await asyncio.sleep(0.05)
            roles = sorted(one.role for one in status.members)
            assert roles == ["follower", "follower", "leader"]
            assert {one.version[:2] for one in status.members} == {"3."}

    play(story)


def test_whatever_breaks_what_was_acknowledged_is_there_and_in_order(
    play, spec, etcd, lines, engine_of, dice
):
    """Two writers who take over from each other, a follower, and lines cut all the time."""

    async def story():
        async with (
            lines(etcd.clients) as cut,
            engine_of(spec, cut) as one,
            engine_of(spec, cut) as two,
            engine_of(spec, cut) as reader,
            engine_of(spec) as judge,
        ):
            acknowledged: dict[int, bytes] = {}
            followed: list[tuple[int, bytes]] = []
            stop = asyncio.Event()

            async def write(engine, name):
                tries = count()
                while not stop.is_set():
                    try:
                        seen = await engine.owner()
                        epoch = Epoch(1 if seen is None else seen.epoch + 1)
                        me = Owner(name, epoch, "", next(tries))
                        if not await engine.take_over(seen, me):
                            continue
                        seq = (await engine.observe()).last + 1
                        for _ in range(dice.randint(1, 30)):
                            data = f"{name} {epoch} {seq}".encode()
                            await engine.append(me, Seq(seq), data)
                            assert acknowledged.setdefault(seq, data) == data
                            seq += 1
                    except (Fenced, Unavailable):
                        continue

            async def follow():
                while True:
                    try:
                        async with aclosing(reader.follow(Seq(len(followed) + 1))) as entries:
                            async for entry in entries:
                                followed.append(entry)
                    except Unavailable:
                        continue

            loop = asyncio.get_running_loop()
            writers = [loop.create_task(write(e, n)) for e, n in ((one, "one"), (two, "two"))]
            following = loop.create_task(follow())
            while len(acknowledged) < 250:
                await asyncio.sleep(0.03)
                line = dice.choice(cut)
                line.swallows = dice.random() < 0.3
                if dice.random() < 0.4:
                    line.cut()
            stop.set()
            for line in cut:
                line.swallows = False
            await asyncio.gather(*writers)
            entries = await everything(judge)
            assert [seq for seq, _ in entries] == list(range(1, len(entries) + 1))
            held = dict(entries)
            assert {seq: held[seq] for seq in acknowledged} == acknowledged
            while len(followed) < len(entries):
                await asyncio.sleep(0.01)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            assert followed == entries

    play(story)


def test_trim_compacts(play, spec, engine_of):
    """What was trimmed is gone from etcd's history too, or it would never get smaller."""

    async def story():
        async with engine_of(spec) as engine:
            assert await engine.take_over(None, A)
            for seq in range(1, 31):
                await engine.append(A, Seq(seq), bytes(1000))
            before = (await engine.client.call(TXN, requests.txn([], []))).response.header.revision
            await engine.trim(A, Seq(20))
            follower = engine._tail(Seq(1), before - 20)
            with pytest.raises(Exception, match="compacted"):
                await anext(follower)
            with pytest.raises(Trimmed):
                await anext(engine.follow(Seq(1)))

    play(story)


def test_beats_are_forgotten_without_a_trim(play, spec, engine_of, monkeypatch):
    """An instance at rest writes nothing but beats, and must not fill etcd with them."""
    monkeypatch.setattr(module, "ETCD_REVISIONS_MAX", 20)
    monkeypatch.setattr(module, "ETCD_REVISIONS_KEPT", 10)

    async def story():
        async with engine_of(spec) as engine, engine_of(spec) as other:
            assert await engine.take_over(None, A)
            begin = (await engine.client.call(TXN, requests.txn([], []))).response.header.revision
            for _ in range(40):
                await engine.beat(A)
            compactions = []
            compact = engine.compact

            async def noted(revision):
                compactions.append(revision)
                await compact(revision)

            engine.compact = noted
            for _ in range(3):
                assert (await engine.status()).beats == 40
            assert len(compactions) == 1, "now and then"
            assert (await other.status()).healthy, "another MGM does the same"
            with pytest.raises(Exception, match="compacted"):
                await anext(engine._tail(Seq(1), begin))
            follower = engine._tail(Seq(1), begin + 35)
            waiting = asyncio.get_running_loop().create_task(anext(follower))
            await engine.append(A, Seq(1), b"1")
            assert await waiting == (1, b"1")
            await follower.aclose()

    play(story)


def test_a_follower_rides_out_compaction(play, spec, engine_of, etcd, lines):
    async def story():
        async with (
            lines(etcd.clients) as cut,
            engine_of(spec, cut) as reader,
            engine_of(spec) as engine,
        ):
            assert await engine.take_over(None, A)
            await engine.append(A, Seq(1), b"1")
            entries = reader.follow(Seq(1))
            assert await anext(entries) == (1, b"1")
            waiting = asyncio.get_running_loop().create_task(anext(entries))
            await asyncio.sleep(0.05)
            for line in cut:
                line.is_hung = True
                line.cut()
            for seq in range(2, 40):
                await engine.append(A, Seq(seq), b"%d" % seq)
            await engine.trim(A, Seq(2))
            for line in cut:
                line.is_hung = False
            assert await waiting == (2, b"2")
            for seq in range(3, 40):
                assert await anext(entries) == (seq, b"%d" % seq)
            await entries.aclose()

    play(story)


def test_a_journal_that_got_shorter_is_corrupt_to_who_has_seen_more(play, spec, engine_of):
    """As when etcd was restored from an older backup under a running follower."""

    async def story():
        async with engine_of(spec) as engine:
            assert await engine.take_over(None, A)
            for seq in range(1, 4):
                await engine.append(A, Seq(seq), b"%d" % seq)
            entries = engine.follow(Seq(3))
            assert await anext(entries) == (3, b"3")
            waiting = asyncio.get_running_loop().create_task(anext(entries))
            await asyncio.sleep(0.02)
            keys = engine.keys
            cut = [requests.delete(keys.entry(3)), requests.put(keys.newest, b"2")]
            await engine.client.call(TXN, requests.txn([], cut))
            await engine.client.call(TXN, requests.txn([], [requests.delete(keys.entry(2))]))
            await engine.client.call(TXN, requests.txn([], [requests.put(keys.newest, b"1")]))
            with pytest.raises(Corrupt):
                await waiting

    play(story)


def test_keys_that_nobody_of_us_wrote(play, spec, engine_of):
    async def story():
        async with engine_of(spec) as engine:
            keys = engine.keys
            assert await engine.take_over(None, A)
            for seq in range(1, 6):
                await engine.append(A, Seq(seq), b"%d" % seq)

            async def write(*ops):
                await engine.client.call(TXN, requests.txn([], list(ops)))

            await write(requests.delete(keys.entry(3)))
            assert await engine.read(Seq(1), 1) == [(1, b"1")]
            assert await engine.read(Seq(2), 1000) == [(2, b"2")]
            with pytest.raises(Corrupt, match="no entry 3"):
                await engine.read(Seq(3), 1000)
            await write(requests.delete(keys.entry(5)))
            with pytest.raises(Corrupt, match="does not hold it"):
                await engine.append(A, Seq(6), b"6")
            await write(requests.put(keys.owner, b"me"))
            for call in (engine.owner(), engine.observe(), engine.beat(A)):
                with pytest.raises(Corrupt):
                    await call
            await write(requests.put(keys.newest, b"many"))
            with pytest.raises(Corrupt):
                await engine.read(Seq(1), 1000)

    play(story)


def test_nobody_owns_a_journal_that_is_being_filled(play, spec, engine_of):
    async def story():
        async with engine_of(spec) as engine:
            mark = requests.put(engine.keys.adopting, b"")
            await engine.client.call(TXN, requests.txn([], [mark]))
            assert not await engine.take_over(None, A)
            assert await engine.owner() is None

    play(story)


def test_pages_of_small_entries_grow(play, spec, engine_of):
    async def story():
        async with engine_of(spec) as engine:
            assert await engine.take_over(None, A)
            for seq in range(1, 301):
                await engine.append(A, Seq(seq), b"x" * 100)
            sizes, at = [], 1
            while page := await engine.read(Seq(at), 1 << 20):
                sizes.append(len(page))
                at += len(page)
            assert sum(sizes) == 300
            assert len(sizes) < 8

    play(story)


def test_an_engine_in_a_thread_of_its_own_is_not_held_up_by_a_busy_loop(play, spec, engine_of):
    """As the pacemaker has it: what the network brings for one loop must not wait for another."""
    stop, ready = threading.Event(), threading.Event()

    def beat() -> None:
        async def story():
            async with engine_of(spec) as engine:
                while not stop.is_set():
                    await engine.beat(A)
                    ready.set()

        play(story)

    async def story():
        async with engine_of(spec) as engine:
            assert await engine.take_over(None, A)
            thread = threading.Thread(target=beat)
            thread.start()
            assert ready.wait(30)
            before = (await engine.observe()).beats
            pending = asyncio.get_running_loop().create_task(engine.observe())
            await asyncio.sleep(0)
            time.sleep(0.5)  # This loop hangs, with a call under way.
            stop.set()
            await pending
            thread.join()
            assert (await engine.observe()).beats > before + 5

    play(story)
