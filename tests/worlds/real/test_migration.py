"""Journals that move from engine to engine: every byte, or nothing."""

import asyncio

import pytest

from thesan.core.journal.entry import START, crc_of, encode
from thesan.core.model.errors import ConfigError, Corrupt, JournalError, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Owner
from thesan.worlds.real.engines import open_engine
from thesan.worlds.real.migration import migrate

A = Owner("a", Epoch(4), "a:1094", 11)


async def fill(spec: str, count: int, before: int = 1) -> list[tuple[Seq, bytes]]:
    """A journal of chained entries, trimmed before `before`."""
    engine = await open_engine(spec)
    assert await engine.take_over(None, A)
    crc, entries = START.crc, []
    for seq in range(1, count + 1):
        data = encode(A.epoch, Seq(seq), crc, [b"op %d" % seq * (seq % 50 + 1)])
        await engine.append(A, Seq(seq), data)
        crc = crc_of(data)
        entries.append((Seq(seq), data))
    await engine.trim(A, Seq(before))
    await engine.close()
    return entries[before - 1 :]


async def everything(spec: str) -> tuple[Owner | None, list[tuple[Seq, bytes]]]:
    engine = await open_engine(spec)
    try:
        found: list[tuple[Seq, bytes]] = []
        at = (await engine.status()).first
        while page := await engine.read(at, 10_000):
            found += page
            at = Seq(page[-1][0] + 1)
        return await engine.owner(), found
    finally:
        await engine.close()


def test_to_etcd_and_back(tmp_path, etcd):
    first = f"sqlite:{tmp_path}/journal.db"
    second = f"{etcd.spec}/migrated"
    third = f"sqlite:{tmp_path}/again.db"

    async def story():
        told = []
        entries = await fill(first, 400, before=120)
        moved = await migrate(first, second, told.append, 0.05)
        assert (moved.first, moved.last, moved.owner, moved.epoch) == (120, 400, "a", 4)
        assert moved.bytes == sum(len(data) for _, data in entries)
        assert await everything(second) == (A, entries)
        assert told
        # The source is set aside: an MGM with the old setting does not find half a life.
        with pytest.raises(JournalError, match="migrated"):
            await open_engine(first)
        await migrate(second, third, told.append, 0.05)
        assert await everything(third) == (A, entries)
        engine = await open_engine(second)
        seen = await engine.owner()
        assert not await engine.take_over(seen, Owner("b", Epoch(9), "", 1))
        await engine.close()
        engine = await open_engine(third)
        data = encode(A.epoch, Seq(401), crc_of(entries[-1][1]), [b"goes on"])
        await engine.append(A, Seq(401), data)
        await engine.close()

    asyncio.run(story())


def test_a_living_owner_is_not_robbed(tmp_path):
    source, target = f"sqlite:{tmp_path}/journal.db", f"sqlite:{tmp_path}/new.db"

    async def story():
        await fill(source, 3)
        engine = await open_engine(source)

        async def live() -> None:
            while True:
                await engine.beat(A)
                await asyncio.sleep(0.01)

        living = asyncio.get_running_loop().create_task(live())
        with pytest.raises(JournalError, match="a is alive"):
            await migrate(source, target, lambda _: None, 0.2)
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        await engine.append(A, Seq(4), b"still mine")
        await engine.close()
        assert not (tmp_path / "new.db").exists()

    asyncio.run(story())


def test_an_owner_who_comes_back_is_fenced(tmp_path):
    """Whoever starts while the copy is under way: either he is refused, or the migration is."""
    source, target = f"sqlite:{tmp_path}/journal.db", f"sqlite:{tmp_path}/new.db"

    async def story():
        entries = await fill(source, 3)
        engine = await open_engine(source)

        def interfere(text: str) -> None:
            if text.startswith("copying"):
                claims.append(loop.create_task(claim()))

        async def claim() -> bool:
            try:
                seen = await engine.owner()
                assert seen is not None
                return await engine.take_over(seen, Owner("b", Epoch(seen.epoch + 1), "", 5))
            except Unavailable:
                return False

        claims: list[asyncio.Task[bool]] = []
        loop = asyncio.get_running_loop()
        is_migrated = True
        try:
            await migrate(source, target, interfere, 0.02)
        except JournalError:
            is_migrated = False
        claimed = await asyncio.gather(*claims)
        await engine.close()
        assert claimed == [not is_migrated]
        assert (await everything(target if is_migrated else source))[1] == entries
        assert (tmp_path / "new.db").exists() == is_migrated

    asyncio.run(story())


def test_what_is_refused(tmp_path, etcd):
    source = f"sqlite:{tmp_path}/journal.db"

    async def story():
        with pytest.raises(ConfigError, match="does not exist"):
            await migrate(source, f"{etcd.spec}/x", lambda _: None, 0.01)
        await (await open_engine(source)).close()
        with pytest.raises(JournalError, match="never owned"):
            await migrate(source, f"{etcd.spec}/x", lambda _: None, 0.01)
        await fill(source, 2)
        with pytest.raises(ConfigError, match="neither"):
            await migrate(source, "redis:x", lambda _: None, 0.01)
        await fill(f"{etcd.spec}/taken", 1)
        with pytest.raises(JournalError, match="not empty"):
            await migrate(source, f"{etcd.spec}/taken", lambda _: None, 0.01)
        assert (await everything(source))[0] == A

    asyncio.run(story())


def test_a_broken_chain_is_not_copied(tmp_path):
    source, target = f"sqlite:{tmp_path}/journal.db", f"sqlite:{tmp_path}/new.db"

    async def story():
        await fill(source, 3)
        engine = await open_engine(source)
        await engine.append(A, Seq(4), encode(A.epoch, Seq(4), 1234, [b"op"]))
        await engine.close()
        with pytest.raises(Corrupt, match="chain"):
            await migrate(source, target, lambda _: None, 0.01)

    asyncio.run(story())
    assert not (tmp_path / "new.db").exists()
