"""One body of tests for every ports.engine; conftest.py says which there are.

They run on the real event loop, since a real engine needs it; no test waits for a time to pass
except to see that nothing happens.
"""

import asyncio
from contextlib import aclosing

import msgspec
import pytest

from thesan.core.model.errors import Corrupt, Fenced, Trimmed, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.limits import BATCH_BYTES_MAX
from thesan.ports.engine import Engine, Owner

A = Owner("a", Epoch(1), "a:1094", 11)
B = Owner("b", Epoch(2), "b:1094", 22)


async def owned(engine: Engine, count: int = 0) -> Engine:
    """The engine, owned by A, with entries 1..count of bytes `entry N`."""
    assert await engine.take_over(None, A)
    for seq in range(1, count + 1):
        await engine.append(A, Seq(seq), b"entry %d" % seq)
    return engine


async def everything(engine: Engine, start: int = 1) -> list[tuple[Seq, bytes]]:
    found: list[tuple[Seq, bytes]] = []
    while page := await engine.read(Seq(start + len(found)), 100):
        found += page
    return found


def test_a_fresh_journal(play):
    async def story(open_one):
        engine = await open_one()
        assert await engine.owner() is None
        assert await engine.read(Seq(1), 100) == []
        status = await engine.status()
        assert (status.first, status.last, status.beats, status.healthy) == (1, 0, 0, True)
        for call in (engine.append(A, Seq(1), b"x"), engine.beat(A), engine.trim(A, Seq(1))):
            with pytest.raises(Fenced):
                await call

    play(story)


def test_append_and_read(play):
    async def story(open_one):
        engine = await owned(await open_one())
        data = {1: b"", 2: b"x", 3: bytes(range(256)) * (BATCH_BYTES_MAX // 256), 4: b"\0"}
        for seq, value in data.items():
            await engine.append(A, Seq(seq), value)
        for node in (engine, await open_one()):
            assert dict(await everything(node)) == data
            assert await everything(node, 4) == [(4, b"\0")]
            assert await node.read(Seq(5), 100) == []
            with pytest.raises(Corrupt):
                await node.read(Seq(6), 100)
            status = await node.status()
            assert (status.first, status.last) == (1, 4)
            while status.used_bytes < BATCH_BYTES_MAX:  # An engine may tell it a moment later.
                await asyncio.sleep(0.02)
                status = await node.status()

    play(story)


def test_a_page_is_bounded_and_never_empty_before_the_end(play):
    async def story(open_one):
        engine = await owned(await open_one())
        for seq in range(1, 11):
            await engine.append(A, Seq(seq), b"x" * 100)
        for start, bytes_max in [(1, 350), (4, 1), (5, 0), (2, 100), (9, 10_000)]:
            page = [seq for seq, _ in await engine.read(Seq(start), bytes_max)]
            assert page == list(range(start, start + len(page)))
            assert 1 <= len(page) <= bytes_max / 100 + 1

    play(story)


def test_seqs_begin_at_1(play):
    async def story(open_one):
        engine = await owned(await open_one(), 1)
        with pytest.raises(ValueError):
            await engine.append(A, Seq(0), b"x")
        with pytest.raises(ValueError):
            await engine.read(Seq(0), 100)

    play(story)


def test_a_resend_of_the_same_bytes_succeeds_and_changes_nothing(play):
    async def story(open_one):
        engine = await owned(await open_one(), 5)
        for seq in (5, 5, 3, 1):
            await engine.append(A, Seq(seq), b"entry %d" % seq)
        assert len(await everything(engine)) == 5

    play(story)


def test_other_bytes_and_holes_are_refused(play):
    async def story(open_one):
        engine = await owned(await open_one(), 5)
        before = await everything(engine)
        for seq, data in [(5, b"entry 6"), (5, b""), (1, b"x"), (7, b"entry 7"), (2**40, b"x")]:
            with pytest.raises(Corrupt):
                await engine.append(A, Seq(seq), data)
        assert await everything(engine) == before

    play(story)


@pytest.mark.parametrize(
    "stranger",
    [
        B,
        Owner("b", A.epoch, A.address, A.since_ns),
        Owner(A.node, Epoch(0), A.address, A.since_ns),
        Owner(A.node, Epoch(2), A.address, A.since_ns),
        Owner(A.node, A.epoch, "a:1095", A.since_ns),
        Owner(A.node, A.epoch, A.address, 12),
    ],
)
def test_the_owner_is_compared_whole(play, stranger):
    async def story(open_one):
        engine = await owned(await open_one(), 3)
        for call in (
            engine.append(stranger, Seq(4), b"x"),
            engine.append(stranger, Seq(3), b"entry 3"),
            engine.beat(stranger),
            engine.trim(stranger, Seq(2)),
        ):
            with pytest.raises(Fenced):
                await call
        assert (await engine.status()).first == 1
        assert len(await everything(engine)) == 3

    play(story)


def test_a_takeover_fences_the_old_owner_at_once(play):
    async def story(open_one):
        old, new = await owned(await open_one(), 3), await open_one()
        seen = await new.owner()
        assert seen == A
        assert await new.take_over(seen, B)
        for node in (old, new):
            assert await node.owner() == B
            with pytest.raises(Fenced):
                await node.append(A, Seq(4), b"late")
        await new.append(B, Seq(4), b"entry 4")
        # Even what the old owner wrote itself: it must learn that it is deposed.
        with pytest.raises(Fenced):
            await old.append(A, Seq(3), b"entry 3")
        assert (await everything(old))[-1] == (4, b"entry 4")

    play(story)


def test_a_takeover_from_a_silent_owner_fails_when_it_wrote_meanwhile(play):
    """A beat or an entry that was on its way when the silence was judged."""

    async def story(open_one):
        engine = await open_one()
        empty = await engine.observe()
        assert await engine.take_over(None, A, empty)
        for write in (
            engine.beat(A),
            engine.append(A, Seq(1), b"1"),
            engine.append(A, Seq(2), b"2"),
        ):
            seen = await engine.observe()
            await write
            assert not await engine.take_over(A, B, seen)
            assert await engine.owner() == A
        seen = await engine.observe()
        assert await engine.take_over(A, B, seen)
        assert await engine.owner() == B

    play(story)


def test_a_takeover_compares_what_was_seen_and_raises_the_epoch(play):
    async def story(open_one):
        engine = await open_one()
        assert not await engine.take_over(A, B)
        with pytest.raises(ValueError):
            await engine.take_over(None, Owner("a", Epoch(0), ""))
        assert await engine.take_over(None, A)
        assert not await engine.take_over(None, B)
        for seen, new in [(A, A), (A, Owner("b", Epoch(1), "")), (B, A)]:
            with pytest.raises(ValueError):
                await engine.take_over(seen, new)
        assert not await engine.take_over(Owner("a", Epoch(1), "elsewhere"), B)
        assert await engine.owner() == A
        assert await engine.take_over(A, B)
        assert not await engine.take_over(A, Owner("c", Epoch(3), ""))
        assert await engine.owner() == B

    play(story)


def test_of_two_contenders_one_wins(play):
    async def story(open_one):
        engine, rival = await open_one(), await open_one()
        seen = None
        for epoch in range(1, 30):
            mine, other = Owner("a", Epoch(epoch), ""), Owner("b", Epoch(epoch), "")
            won = await asyncio.gather(engine.take_over(seen, mine), rival.take_over(seen, other))
            assert sorted(won) == [False, True]
            winner, loser = (mine, other) if won[0] else (other, mine)
            assert await engine.owner() == await rival.owner() == winner
            with pytest.raises(Fenced):
                await engine.beat(loser)
            seen = winner

    play(story)


def test_appends_race_with_a_takeover(play):
    """Whatever the old owner was told is there is there, and nothing else of it."""

    async def story(open_one):
        old, new = await owned(await open_one()), await open_one()
        acknowledged = 0

        async def write() -> None:
            nonlocal acknowledged
            for seq in range(1, 10_000):
                await old.append(A, Seq(seq), b"a %d" % seq)
                acknowledged = seq

        writing = asyncio.get_running_loop().create_task(write())
        while acknowledged < 5:
            await asyncio.sleep(0)
        assert await new.take_over(A, B)
        head = (await new.status()).last
        await new.append(B, Seq(head + 1), b"b")
        with pytest.raises(Fenced):
            await writing
        assert acknowledged == head
        entries = await everything(new)
        assert entries == [(n, b"a %d" % n) for n in range(1, head + 1)] + [(head + 1, b"b")]

    play(story)


def test_beats_are_counted_over_all_owners(play):
    async def story(open_one):
        engine, watcher = await owned(await open_one()), await open_one()
        for _ in range(3):
            await engine.beat(A)
        assert (await watcher.status()).beats == 3
        await watcher.take_over(A, B)
        await watcher.beat(B)
        assert (await engine.status()).beats == 4
        assert (await engine.status()).last == 0

    play(story)


def test_an_observation_changes_with_every_sign_of_life(play):
    async def story(open_one):
        engine, watcher = await open_one(), await open_one()
        fresh = await watcher.observe()
        assert (fresh.owner, fresh.last, fresh.beats) == (None, 0, 0)
        await owned(engine)
        seen = await watcher.observe()
        assert seen.owner == A
        assert await watcher.observe() == seen
        await engine.beat(A)
        beaten = await watcher.observe()
        assert beaten == msgspec.structs.replace(seen, beats=1)
        await engine.append(A, 1, b"x")
        assert await watcher.observe() == msgspec.structs.replace(beaten, last=1)

    play(story)


def test_trim(play):
    async def story(open_one):
        engine = await owned(await open_one(), 300)
        await engine.trim(A, Seq(1))
        assert (await engine.status()).first == 1
        await engine.trim(A, Seq(201))
        await engine.trim(A, Seq(100))
        for node in (engine, await open_one()):
            status = await node.status()
            assert (status.first, status.last) == (201, 300)
            with pytest.raises(Trimmed) as caught:
                await node.read(Seq(200), 100)
            assert caught.value.first == 201
            assert (await everything(node, 201))[0] == (201, b"entry 201")
        with pytest.raises(Corrupt):
            await engine.append(A, Seq(200), b"entry 200")
        # The last one stays: the next entry chains to it.
        await engine.trim(A, Seq(10_000))
        assert await everything(engine, 300) == [(300, b"entry 300")]
        await engine.append(A, Seq(301), b"entry 301")
        status = await engine.status()
        assert (status.first, status.last) == (300, 301)

    play(story)


def test_follow_delivers_all_in_order_and_waits(play):
    async def story(open_one):
        engine, watcher = await owned(await open_one(), 10), await open_one()
        seen: list[tuple[Seq, bytes]] = []

        async def watch(node: Engine, start: int) -> None:
            async with aclosing(node.follow(Seq(start))) as entries:
                async for entry in entries:
                    seen.append(entry)
                    if entry[0] == 200:
                        return

        watching = asyncio.get_running_loop().create_task(watch(watcher, 4))
        for seq in range(11, 201):
            await engine.append(A, Seq(seq), b"entry %d" % seq)
            if seq % 50 == 0:
                await asyncio.sleep(0.04)
                assert seen[-1][0] <= seq
        await watching
        assert seen == [(seq, b"entry %d" % seq) for seq in range(4, 201)]
        seen.clear()
        await watch(engine, 195)
        assert len(seen) == 6

    play(story)


def test_follow_of_a_trimmed_or_an_unwritten_start(play):
    async def story(open_one):
        engine = await owned(await open_one(), 20)
        await engine.trim(A, Seq(10))
        for start, error in [(9, Trimmed), (22, Corrupt)]:
            with pytest.raises(error):
                await anext(engine.follow(Seq(start)))
        assert await anext(engine.follow(Seq(10))) == (10, b"entry 10")

    play(story)


def test_a_follower_that_is_overtaken_by_trim_learns_it(play):
    async def story(open_one):
        engine, watcher = await owned(await open_one()), await open_one()
        for seq in range(1, 20):
            await engine.append(A, Seq(seq), bytes(BATCH_BYTES_MAX))
        got: list[int] = []

        async def watch() -> None:
            async with aclosing(watcher.follow(Seq(1))) as entries:
                async for seq, _ in entries:
                    got.append(seq)
                    await engine.trim(A, Seq(19))

        with pytest.raises(Trimmed) as caught:
            await watch()
        assert caught.value.first == 19
        # What it had fetched already may come; a hole may not.
        assert got == list(range(1, len(got) + 1))
        assert 1 <= len(got) < 18

    play(story)


def test_many_followers_while_appending_and_trimming(play):
    async def story(open_one):
        engine = await owned(await open_one())
        watchers = [await open_one() for _ in range(3)]
        reached = [0] * 3

        async def watch(index: int) -> None:
            async with aclosing(watchers[index].follow(Seq(1))) as entries:
                async for seq, data in entries:
                    assert (seq, data) == (reached[index] + 1, b"entry %d" % seq)
                    reached[index] = seq
                    if seq == 150:
                        return

        loop = asyncio.get_running_loop()
        watching = [loop.create_task(watch(index)) for index in range(3)]
        for seq in range(1, 151):
            await engine.append(A, Seq(seq), b"entry %d" % seq)
            if seq % 20 == 0:
                await engine.trim(A, Seq(min(reached)))
        await asyncio.gather(*watching)
        assert reached == [150] * 3

    play(story)


def test_after_close_everything_is_unavailable(play):
    async def story(open_one):
        engine, other = await owned(await open_one(), 3), await open_one()
        waiting = asyncio.get_running_loop().create_task(anext(engine.follow(Seq(4))))
        await asyncio.sleep(0.01)
        await engine.close()
        await engine.close()
        with pytest.raises(Unavailable):
            await waiting
        for call in (
            engine.owner(),
            engine.take_over(A, B),
            engine.append(A, Seq(4), b"x"),
            engine.beat(A),
            engine.read(Seq(1), 100),
            engine.trim(A, Seq(2)),
            engine.status(),
            engine.observe(),
            anext(engine.follow(Seq(1))),
        ):
            with pytest.raises(Unavailable):
                await call
        # Nobody else notices, and the journal is there for the next one to open it.
        await other.append(A, Seq(4), b"entry 4")
        assert len(await everything(await open_one())) == 4

    play(story)
