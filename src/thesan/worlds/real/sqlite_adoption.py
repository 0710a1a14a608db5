"""Filling a new SQLite journal with another journal's entries, for a migration.

It is made beside its place and renamed when it is complete: at no time is half a journal there.
"""

import asyncio
import os
import sqlite3

from thesan.core.model.errors import JournalError, Unavailable
from thesan.core.model.ids import Seq
from thesan.ports.engine import Owner
from thesan.worlds.real.sqlite_engine import FORMAT_MIGRATED, SqliteEngine


class SqliteHeir:
    """A SQLite journal that is being filled. Made by `open`."""

    def __init__(self, path: str, engine: SqliteEngine) -> None:
        self.engine = engine
        """To read back what was put."""
        self._path = path

    @classmethod
    async def open(cls, path: str) -> "SqliteHeir":
        """Raises JournalError when there is a file already."""
        _make_room(path)
        return cls(path, await SqliteEngine.open(f"{path}.migrating"))

    async def put(self, entries: list[tuple[Seq, bytes]]) -> None:
        """The next entries, in order."""
        await asyncio.to_thread(
            self._write, "INSERT INTO entry VALUES (?, ?)", [tuple(entry) for entry in entries]
        )

    async def finish(self, owner: Owner | None) -> None:
        """Name the owner and put the file in its place."""
        if owner is not None:
            row = (owner.node, owner.epoch, owner.address, owner.since_ns)
            await asyncio.to_thread(
                self._write, "INSERT INTO owner VALUES (1, ?, ?, ?, ?, 0)", [row]
            )
        await self.engine.close()
        await asyncio.to_thread(self._place)

    async def close(self) -> None:
        """Without `finish` nothing is left."""
        await self.engine.close()
        _remove(f"{self._path}.migrating")

    def _write(self, statement: str, rows: list[tuple[object, ...]]) -> None:
        try:
            connection = sqlite3.connect(f"{self._path}.migrating")
            try:
                with connection:
                    connection.executemany(statement, rows)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path}.migrating: {error}") from error

    def _place(self) -> None:
        fresh = f"{self._path}.migrating"
        descriptor = os.open(fresh, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(fresh, self._path)  # Not rename: it fails when somebody was faster.
        os.unlink(fresh)
        _sync_directory(self._path)


def retire(path: str, owner: Owner) -> None:
    """Nobody can own this journal any more: it lives on elsewhere.

    Who has it open finds no owner, who opens it is told. Raises JournalError when the owner is
    not `owner`, Unavailable.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT node, epoch, address, since_ns FROM owner").fetchone()
            if row != (owner.node, owner.epoch, owner.address, owner.since_ns):
                connection.execute("ROLLBACK")
                raise JournalError(f"{path} got another owner meanwhile")
            connection.execute("ALTER TABLE owner RENAME TO owner_migrated")
            connection.execute(f"PRAGMA user_version = {FORMAT_MIGRATED}")
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: {error}") from error


def _make_room(path: str) -> None:
    if os.path.lexists(path):
        raise JournalError(f"{path} exists: nothing was changed")
    _remove(f"{path}.migrating")


def _remove(path: str) -> None:
    for tail in ("", "-wal", "-shm"):
        if os.path.lexists(f"{path}{tail}"):
            os.unlink(f"{path}{tail}")


def _sync_directory(path: str) -> None:
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
