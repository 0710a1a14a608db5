"""An etcd journal that is being filled: nobody's until it is finished."""

import pytest

from thesan.core.model.errors import Fenced, JournalError
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Owner
from thesan.worlds.real.etcd.adoption import EtcdHeir, retire

A = Owner("a", Epoch(5), "a:1094", 11)
B = Owner("b", Epoch(6), "b:1094", 22)
ENTRIES = [(Seq(seq), bytes([seq % 256]) * (seq * 37 % 5000)) for seq in range(100, 400)]


def test_filled_read_back_finished(play, spec, engine_of):
    async def story():
        heir = await EtcdHeir.open(spec)
        async with engine_of(spec) as engine:
            await heir.put(ENTRIES[:150])
            assert not await engine.take_over(None, A)
            await heir.put(ENTRIES[150:])
            await heir.put([(Seq(400), bytes(256 * 1024)), (Seq(401), bytes(256 * 1024))])
            assert await heir.engine.read(Seq(100), 1) == ENTRIES[:1]
            await heir.finish(A)
            await heir.close()
            status = await engine.status()
            assert (status.first, status.last) == (100, 401)
            assert await engine.owner() == A
            await engine.append(A, Seq(402), b"next")
            assert await engine.take_over(A, B)

    play(story)


def test_what_a_broken_migration_left_is_removed_by_the_next(play, spec, engine_of):
    async def story():
        heir = await EtcdHeir.open(spec)
        await heir.put(ENTRIES)
        await heir.close()
        heir = await EtcdHeir.open(spec)
        await heir.put([(Seq(7), b"7")])
        await heir.finish(A)
        await heir.close()
        async with engine_of(spec) as engine:
            status = await engine.status()
            assert (status.first, status.last) == (7, 7)

    play(story)


def test_a_journal_that_is_there_is_not_touched(play, spec, engine_of):
    async def story():
        async with engine_of(spec) as engine:
            assert await engine.take_over(None, A)
            with pytest.raises(JournalError, match="not empty"):
                await EtcdHeir.open(spec)
            await engine.append(A, Seq(1), b"1")
            with pytest.raises(JournalError, match="not empty"):
                await EtcdHeir.open(spec)
            assert await engine.read(Seq(1), 10) == [(1, b"1")]

    play(story)


def test_a_retired_journal_is_nobodys(play, spec, engine_of):
    async def story():
        async with engine_of(spec) as engine:
            assert await engine.take_over(None, A)
            with pytest.raises(JournalError, match="another owner"):
                await retire(engine, B)
            await retire(engine, A)
            assert not await engine.take_over(A, B)
            with pytest.raises(JournalError, match="not empty"):
                await EtcdHeir.open(spec)
            with pytest.raises(Fenced):
                await engine.append(B, Seq(1), b"1")

    play(story)
