"""What the contract suite can't ask: the file itself, and its failures."""

import asyncio
import os
import random
import resource
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from thesan.core.journal.entry import START, Entry, crc_of, encode
from thesan.core.model.errors import Corrupt, JournalError, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.limits import SQLITE_WAL_BYTES
from thesan.io.journal.replay import replay
from thesan.ports.engine import Engine, Owner
from thesan.worlds.real import sqlite_engine
from thesan.worlds.real.sqlite_engine import SqliteEngine

A = Owner("a", Epoch(1), "a:1094", 11)


def with_engine(path: Path, story: Callable[[SqliteEngine], Coroutine[Any, Any, Any]]) -> Any:
    """Open, run, close."""

    async def whole() -> Any:
        engine = await SqliteEngine.open(str(path))
        try:
            return await story(engine)
        finally:
            await engine.close()

    return asyncio.run(whole())


async def write(engine: Engine, count: int, size: int = 200) -> list[bytes]:
    """Take the journal and append `count` real entries; their bytes."""
    await engine.take_over(None, A)
    crc, written = 0, []
    dice = random.Random(count)
    for seq in range(1, count + 1):
        written.append(encode(A.epoch, Seq(seq), crc, [dice.randbytes(size)]))
        await engine.append(A, Seq(seq), written[-1])
        crc = crc_of(written[-1])
    return written


async def read_all(engine: Engine) -> list[bytes]:
    """Every entry, checked; raises JournalError where they stop being right."""
    entries: list[Entry] = []

    def take(entry: Entry) -> bytes:
        entries.append(entry)
        return b""

    await replay(engine, START, take)
    return [encode(e.epoch, e.seq, e.prev_crc, e.ops, e.digest) for e in entries]


# -- the file -----------------------------------------------------------------------------------
def test_files_are_for_their_owner_only(tmp_path):
    async def story(engine: SqliteEngine) -> None:
        await write(engine, 3)
        for name in tmp_path.iterdir():
            assert name.stat().st_mode & 0o777 == 0o600, name
        assert len(list(tmp_path.iterdir())) == 3

    old = os.umask(0)
    try:
        with_engine(tmp_path / "journal.db", story)
    finally:
        os.umask(old)
    assert [name.name for name in tmp_path.iterdir()] == ["journal.db"]


def test_a_file_open_to_others_is_refused(tmp_path):
    with_engine(tmp_path / "journal.db", lambda engine: write(engine, 1))
    (tmp_path / "journal.db").chmod(0o640)
    with pytest.raises(JournalError, match=r"open to others \(mode 640\): chmod 600"):
        with_engine(tmp_path / "journal.db", read_all)


def test_entries_survive_close_and_open(tmp_path):
    written = with_engine(tmp_path / "journal.db", lambda engine: write(engine, 20))
    assert with_engine(tmp_path / "journal.db", read_all) == written
    assert with_engine(tmp_path / "journal.db", lambda engine: engine.owner()) == A


def make_sqlite(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("statements", "text"),
    [
        (["CREATE TABLE mine (x)"], "another program's database"),
        (["PRAGMA application_id = 5"], "another program's database"),
        (
            [f"PRAGMA application_id = {sqlite_engine.APPLICATION_ID}", "PRAGMA user_version = 2"],
            "has format 2, this program knows 1",
        ),
    ],
)
def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path, statements, text):
    path = tmp_path / "journal.db"
    make_sqlite(path, *statements)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=text):
        with_engine(path, read_all)
    assert path.read_bytes() == before
    assert [name.name for name in tmp_path.iterdir()] == ["journal.db"]


def test_paths_that_are_no_file(tmp_path):
    with pytest.raises(JournalError, match="No such file or directory"):
        with_engine(tmp_path / "absent" / "journal.db", read_all)
    with pytest.raises(JournalError, match="is not a file"):
        with_engine(tmp_path, read_all)
    noise = tmp_path / "noise"
    noise.touch(0o600)
    noise.write_bytes(random.Random(1).randbytes(20_000))
    with pytest.raises(Corrupt, match="not a database"):
        with_engine(noise, read_all)


def test_an_empty_file_and_a_half_made_one_are_new(tmp_path):
    (tmp_path / "a").touch(0o600)
    make_sqlite(tmp_path / "b", "PRAGMA journal_mode = WAL")
    for name in ("a", "b"):
        assert len(with_engine(tmp_path / name, lambda engine: write(engine, 2))) == 2


def test_many_may_create_it_at_once(tmp_path):
    async def story() -> None:
        engines = await asyncio.gather(
            *(SqliteEngine.open(str(tmp_path / "journal.db")) for _ in range(8))
        )
        won = await asyncio.gather(*(engine.take_over(None, A) for engine in engines))
        assert sorted(won) == [False] * 7 + [True]
        for engine in engines:
            await engine.close()

    asyncio.run(story())


def test_the_write_ahead_log_stays_bounded(tmp_path):
    async def story(engine: SqliteEngine) -> None:
        await write(engine, 200, 100_000)
        assert os.stat(f"{tmp_path}/journal.db-wal").st_size < 2 * SQLITE_WAL_BYTES
        assert (await engine.status()).used_bytes > 200 * 100_000
        await engine.trim(A, Seq(190))
        for seq in range(201, 400):
            await engine.append(A, Seq(seq), bytes(100_000))
            await engine.trim(A, Seq(seq - 10))
        # Trimmed space is used again.
        assert os.stat(f"{tmp_path}/journal.db").st_size < 2 * 200 * 100_000

    with_engine(tmp_path / "journal.db", story)


def test_idle_beats_do_not_fill_the_log(tmp_path):
    async def story(engine: SqliteEngine) -> None:
        await engine.take_over(None, A)
        for _ in range(2 * SQLITE_WAL_BYTES // 8192):
            await engine.beat(A)
        assert os.stat(f"{tmp_path}/journal.db-wal").st_size < 1.2 * SQLITE_WAL_BYTES

    with_engine(tmp_path / "journal.db", story)


# -- failures -----------------------------------------------------------------------------------
def test_a_lock_held_too_long_is_unavailable_and_then_passes(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_engine, "SQLITE_BUSY_SECONDS_MAX", 0.05)

    async def story(engine: SqliteEngine) -> None:
        await write(engine, 3)
        other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await engine.append(A, Seq(4), b"x")
        assert len(await engine.read(Seq(1), 10_000)) == 3
        other.execute("ROLLBACK")
        other.close()
        await engine.append(A, Seq(4), b"x")

    with_engine(tmp_path / "journal.db", story)


def test_a_full_disk_writes_nothing_and_passes_when_there_is_room(tmp_path):
    async def story(engine: SqliteEngine) -> None:
        written = await write(engine, 3)
        connection = engine._file._connection
        await engine._call(lambda: connection.execute("PRAGMA max_page_count = 8").fetchall())
        with pytest.raises(Unavailable, match="full"):
            await engine.append(A, Seq(4), bytes(200_000))
        assert await read_all(engine) == written
        await engine.beat(A)
        assert (await engine.status()).healthy
        await engine._call(lambda: connection.execute("PRAGMA max_page_count = 1000").fetchall())
        await engine.append(A, Seq(4), bytes(200_000))

    with_engine(tmp_path / "journal.db", story)


def test_an_output_error_is_final_for_this_process(tmp_path):
    async def story(engine: SqliteEngine) -> list[bytes]:
        written = await write(engine, 3)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = os.stat(f"{tmp_path}/journal.db-wal").st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, limits[1]))
        try:
            with pytest.raises(Unavailable, match="disk I/O error"):
                await engine.append(A, Seq(4), bytes(200_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        for call in (
            engine.append(A, Seq(4), b"x"),
            engine.read(Seq(1), 1),
            engine.owner(),
            engine.beat(A),
        ):
            with pytest.raises(Unavailable, match="restart this process"):
                await call
        status = await engine.status()
        assert not status.healthy
        assert "disk I/O error" in status.detail
        return written

    written = with_engine(tmp_path / "journal.db", story)

    async def afterwards(engine: SqliteEngine) -> list[bytes]:
        found = await read_all(engine)
        await engine.append(A, Seq(4), b"x")
        return found

    assert with_engine(tmp_path / "journal.db", afterwards) == written
