"""A SQLite journal that is being filled: not there until it is finished."""

import asyncio

import pytest

from thesan.core.model.errors import JournalError, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Owner
from thesan.worlds.real.sqlite_adoption import SqliteHeir, retire
from thesan.worlds.real.sqlite_engine import SqliteEngine

A = Owner("a", Epoch(5), "a:1094", 11)


def test_filled_and_finished(tmp_path):
    path = tmp_path / "journal.db"

    async def story():
        heir = await SqliteHeir.open(str(path))
        await heir.put([(Seq(7), b"7"), (Seq(8), b"8")])
        await heir.put([(Seq(9), b"9")])
        assert not path.exists()
        assert await heir.engine.read(Seq(7), 100) == [(7, b"7"), (8, b"8"), (9, b"9")]
        await heir.finish(A)
        await heir.close()
        engine = await SqliteEngine.open(str(path))
        status = await engine.status()
        assert (status.first, status.last) == (7, 9)
        await engine.append(A, Seq(10), b"10")
        await engine.close()

    asyncio.run(story())
    assert [one.name for one in tmp_path.iterdir()] == ["journal.db"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_broken_off_leaves_nothing(tmp_path):
    async def story():
        heir = await SqliteHeir.open(str(tmp_path / "journal.db"))
        await heir.put([(Seq(7), b"7")])
        await heir.close()

    asyncio.run(story())
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_or_comes_meanwhile_is_not_touched(tmp_path):
    path = tmp_path / "journal.db"

    async def story():
        heir = await SqliteHeir.open(str(path))
        path.write_text("mine")
        with pytest.raises(OSError, match="journal"):
            await heir.finish(A)
        await heir.close()
        with pytest.raises(JournalError):
            await SqliteHeir.open(str(path))

    asyncio.run(story())
    assert path.read_text() == "mine"


def test_retired(tmp_path):
    path = str(tmp_path / "journal.db")

    async def story():
        engine = await SqliteEngine.open(path)
        assert await engine.take_over(None, A)
        with pytest.raises(JournalError, match="another owner"):
            retire(path, Owner("b", A.epoch, A.address, A.since_ns))
        await engine.append(A, Seq(1), b"1")
        retire(path, A)
        # Who had it open before can do nothing either.
        for call in (engine.append(A, Seq(2), b"2"), engine.owner(), engine.beat(A)):
            with pytest.raises(Unavailable):
                await call
        await engine.close()
        with pytest.raises(JournalError, match="migrated"):
            await SqliteEngine.open(path)
        with pytest.raises(Unavailable):
            retire(path, A)

    asyncio.run(story())
