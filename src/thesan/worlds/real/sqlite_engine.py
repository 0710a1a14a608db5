"""The embedded journal engine: one SQLite file, shared by the MGM processes of one machine.

Every call runs in the engine's own single thread, so the loop never waits for the disk and no two
statements of one process interleave. Between processes SQLite's locks do the same: each write is
one BEGIN IMMEDIATE transaction that compares the owner and the last seq before it changes anything.

Durability: write-ahead log with synchronous=FULL, so an append returns after the log was synced.
A beat is not synced: nobody needs it after a power cut, and the next append syncs what is before.
An input or output error is final for this process: after a failed fsync the system may call pages
clean that never reached the disk (https://wiki.postgresql.org/wiki/Fsync_Errors).
"""

import asyncio
import os
import sqlite3
import stat
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from thesan.core.model.errors import Corrupt, Fenced, JournalError, Trimmed, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.limits import (
    JOURNAL_PAGE_BYTES,
    SQLITE_BUSY_SECONDS_MAX,
    SQLITE_POLL_SECONDS,
    SQLITE_TRIM_ENTRIES,
    SQLITE_WAL_BYTES,
)
from thesan.ports.engine import EngineStatus, Observation, Owner

_P = ParamSpec("_P")
_T = TypeVar("_T")

APPLICATION_ID: Final = 0x7468736A
"""SQLite's mark of a file's owner, `thsj`."""
FORMAT: Final = 1
"""SQLite's user_version; a program never opens a newer one."""
FORMAT_MIGRATED: Final = 0x6D6F7665
"""user_version of a journal that lives on elsewhere (`thesan engine migrate`): nobody opens it."""
_PAGE_BYTES: Final = 8192
"""4, 8 and 16 KiB measured alike from 4 KiB to 256 KiB entries; a small entry costs one page."""
_OPEN_PAUSE_SECONDS: Final = 0.02
_SCHEMA: Final = (
    # One row per entry; the bytes are core.journal.entry's.
    "CREATE TABLE entry (seq INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    # At most one row: the owner. beats only grows, over all owners.
    "CREATE TABLE owner (id INTEGER PRIMARY KEY CHECK (id = 1), node TEXT NOT NULL,"
    " epoch INTEGER NOT NULL, address TEXT NOT NULL, since_ns INTEGER NOT NULL,"
    " beats INTEGER NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)


class SqliteEngine:
    """`ports.engine.Engine` on one SQLite file. Made by `open`."""

    def __init__(self, path: str) -> None:
        self._file = _File(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._grown = asyncio.Event()
        self._closed = False

    @classmethod
    async def open(cls, path: str) -> "SqliteEngine":
        """Open the journal at `path`; an absent file is created with mode 0600.

        Raises JournalError: foreign, of a newer format, open to others, not usable; Corrupt:
        damaged; Unavailable: locked by another process for too long.
        """
        engine = cls(path)
        try:
            await engine._call(engine._file.open)
        except BaseException:
            await engine.close()
            raise
        return engine

    async def owner(self) -> Owner | None:
        """See ports.engine.Engine, here and below."""
        return await self._call(self._file.owner)

    async def observe(self) -> Observation:
        return await self._call(self._file.observe)

    async def take_over(
        self, seen: Owner | None, new: Owner, still: Observation | None = None
    ) -> bool:
        if new.epoch <= (0 if seen is None else seen.epoch):
            raise ValueError(f"epoch {new.epoch} does not raise the epoch of {seen}")
        return await self._call(self._file.take_over, seen, new, still)

    async def append(self, owner: Owner, seq: Seq, data: bytes) -> None:
        if seq < 1:
            raise ValueError(f"seq {seq}")
        await self._call(self._file.append, owner, seq, data)
        # Wakes those who wait now; a later one reads before it waits.
        self._grown.set()
        self._grown.clear()
        self._checkpoint_if_due()

    async def beat(self, owner: Owner) -> None:
        await self._call(self._file.beat, owner)
        self._checkpoint_if_due()

    async def read(self, start: Seq, bytes_max: int) -> list[tuple[Seq, bytes]]:
        if start < 1:
            raise ValueError(f"seq {start}")
        return await self._call(self._file.read, start, bytes_max)

    async def follow(self, start: Seq) -> AsyncGenerator[tuple[Seq, bytes], None]:
        at = start
        while True:
            page = await self.read(at, JOURNAL_PAGE_BYTES)
            for seq, data in page:
                yield seq, data
            if page:
                at = Seq(page[-1][0] + 1)
                continue
            try:
                async with asyncio.timeout(SQLITE_POLL_SECONDS):
                    await self._grown.wait()
            except TimeoutError:
                pass  # Another process may have appended: look.

    async def trim(self, owner: Owner, before: Seq) -> None:
        while await self._call(self._file.trim, owner, before):
            self._checkpoint_if_due()

    async def status(self) -> EngineStatus:
        return await self._call(self._file.status)

    async def close(self) -> None:
        if self._closed:
            return
        closing = asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._closed = True
        try:
            await closing
        finally:
            self._thread.shutdown()

    async def _call(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._closed:
            raise Unavailable("the journal engine is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **kwargs))

    def _checkpoint_if_due(self) -> None:
        # After the acknowledgement and before the next append: its caller does not wait for it.
        if self._file.checkpoint_due and not self._closed:
            self._thread.submit(self._file.checkpoint)


class _File:
    """The file itself. Every method but `checkpoint_due` runs in the engine's thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: sqlite3.Connection | None = None
        self._failed = ""
        self._synchronous = ""
        self._log_bytes = 0
        """About what this process wrote to the write-ahead log since the last checkpoint."""
        self._known = EngineStatus("sqlite", Seq(1), Seq(0), 0, healthy=False)

    # -- open and close --------------------------------------------------------------------------
    def open(self) -> None:
        try:
            self._check_path()
            self._open = sqlite3.connect(
                self._path, timeout=SQLITE_BUSY_SECONDS_MAX, isolation_level=None
            )
        except OSError as error:
            raise JournalError(f"journal {self._path}: {error.strerror}") from error
        except sqlite3.Error as error:
            raise JournalError(f"journal {self._path}: {error}") from error
        with self._errors():
            self._prepare()

    def close(self) -> None:
        if self._open is not None:
            connection, self._open = self._open, None
            try:
                connection.close()
            except sqlite3.Error as error:
                raise JournalError(f"journal {self._path}: {error}") from error

    def _check_path(self) -> None:
        """Create the file, or check the mode of the one that is there.

        Neither opens it: closing any descriptor of it would drop the locks that another
        connection of this process holds (POSIX fcntl locks).
        """
        try:
            os.mknod(self._path, stat.S_IFREG | 0o600)
        except FileExistsError:
            mode = os.stat(self._path).st_mode
            if not stat.S_ISREG(mode):
                raise JournalError(f"journal {self._path} is not a file") from None
            if mode & 0o077:
                raise JournalError(
                    f"journal {self._path} is open to others (mode {mode & 0o777:o}): chmod 600"
                ) from None
        else:
            directory = os.open(os.path.dirname(self._path) or ".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _prepare(self) -> None:
        connection = self._connection
        with self._snapshot():
            is_new = self._is_new()
        if is_new:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        self._use_log()
        # Checkpoints are ours to time, and only who appends makes them.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA cell_size_check = ON")
        with self._transaction():
            if self._is_new():
                for statement in _SCHEMA:
                    connection.execute(statement)
        self.status()

    def _is_new(self) -> bool:
        """False when it is ours. Raises JournalError when it is not, before anything changes.

        Inside a transaction, since another process may be making the file at this moment.
        """
        application_id = self._number("PRAGMA application_id")
        if application_id == APPLICATION_ID:
            version = self._number("PRAGMA user_version")
            if version == FORMAT_MIGRATED:
                raise JournalError(f"journal {self._path} was migrated: it lives on elsewhere")
            if version != FORMAT:
                raise JournalError(
                    f"journal {self._path} has format {version}, this program knows {FORMAT}"
                )
            return False
        if application_id or self._number("SELECT count(*) FROM sqlite_master"):
            raise JournalError(f"{self._path} is another program's database, not a journal")
        return True

    def _use_log(self) -> None:
        """Switch to write-ahead logging. SQLite does not wait for a lock here, so we do."""
        give_up_at = time.monotonic() + SQLITE_BUSY_SECONDS_MAX
        while True:
            try:
                mode = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                if _code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
                time.sleep(_OPEN_PAUSE_SECONDS)
        if mode != "wal":
            raise JournalError(f"journal {self._path}: no write-ahead log on this filesystem")

    # -- the port's operations -------------------------------------------------------------------
    def owner(self) -> Owner | None:
        with self._errors():
            return self._read_owner()

    def observe(self) -> Observation:
        with self._errors(), self._snapshot():
            return self._observation()

    def _observation(self) -> Observation:
        _, last = self._bounds()
        beats = self._number("SELECT max(beats) FROM owner")
        return Observation(self._read_owner(), last, beats)

    def take_over(self, seen: Owner | None, new: Owner, still: Observation | None) -> bool:
        with self._errors(), self._transaction():
            if self._read_owner() != seen:
                return False
            if still is not None and self._observation() != still:
                return False
            self._connection.execute(
                "INSERT INTO owner VALUES (1, ?, ?, ?, ?, 0) ON CONFLICT (id) DO UPDATE SET"
                " node = excluded.node, epoch = excluded.epoch, address = excluded.address,"
                " since_ns = excluded.since_ns",
                (new.node, new.epoch, new.address, new.since_ns),
            )
            self._log_bytes += _PAGE_BYTES
            return True

    def append(self, owner: Owner, seq: Seq, data: bytes) -> None:
        with self._errors(), self._transaction():
            self._must_be(owner)
            last = self._number("SELECT max(seq) FROM entry")
            if seq > last + 1:
                raise Corrupt(f"entry {seq} would leave a hole after entry {last}")
            if seq <= last:
                self._must_hold(seq, data)
                return
            self._connection.execute("INSERT INTO entry VALUES (?, ?)", (seq, data))
            self._log_bytes += len(data) + _PAGE_BYTES

    def beat(self, owner: Owner) -> None:
        with self._errors(), self._transaction(synced=False):
            self._must_be(owner)
            self._connection.execute("UPDATE owner SET beats = beats + 1")
            self._log_bytes += _PAGE_BYTES

    def read(self, start: Seq, bytes_max: int) -> list[tuple[Seq, bytes]]:
        page: list[tuple[Seq, bytes]] = []
        size = 0
        with self._errors(), self._snapshot():
            first, last = self._bounds()
            if start < first:
                raise Trimmed(first)
            if start > last + 1:
                raise Corrupt(f"the journal ends at entry {last}, entry {start} was asked for")
            rows = self._connection.execute(
                "SELECT seq, data FROM entry WHERE seq >= ? ORDER BY seq", (start,)
            )
            for seq, data in rows:
                if seq != start + len(page) or not isinstance(data, bytes):
                    raise Corrupt(f"journal {self._path} has no entry {start + len(page)}")
                size += len(data)
                if page and size > bytes_max:
                    break
                page.append((seq, data))
            rows.close()
        return page

    def trim(self, owner: Owner, before: Seq) -> bool:
        """Drop some of the oldest entries; True when more are to be dropped."""
        with self._errors(), self._transaction():
            self._must_be(owner)
            first, last = self._bounds()
            end = min(before, last)
            part = min(end, first + SQLITE_TRIM_ENTRIES)
            if part > first:
                self._connection.execute("DELETE FROM entry WHERE seq < ?", (part,))
                self._log_bytes += (part - first) * _PAGE_BYTES
            return part < end

    def status(self) -> EngineStatus:
        """Never raises: figures of a broken engine are the last known ones."""
        try:
            with self._errors(), self._snapshot():
                first, last = self._bounds()
                beats = self._number("SELECT max(beats) FROM owner")
            self._known = EngineStatus(
                "sqlite", first, last, self._size(), healthy=True, beats=beats
            )
        except JournalError as error:
            known = self._known
            return EngineStatus(
                known.kind,
                known.first,
                known.last,
                known.used_bytes,
                healthy=False,
                detail=str(error),
                beats=known.beats,
            )
        return self._known

    # -- checkpoint ------------------------------------------------------------------------------
    @property
    def checkpoint_due(self) -> bool:
        """Asked from the loop: one look at a number."""
        return self._log_bytes >= SQLITE_WAL_BYTES

    def checkpoint(self) -> None:
        """Move pages from the log to the file, so that the log starts anew.

        FULL, not PASSIVE: it holds the write lock meanwhile. SQLite before 3.51.3 can skip part of
        a log that another connection restarts while a passive checkpoint runs (sqlite.org/wal.html,
        the WAL-reset bug).
        """
        if not self.checkpoint_due or self._open is None or self._failed:
            return
        self._log_bytes = 0
        try:
            with self._errors():
                self._open.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except Unavailable:
            pass  # A lock: the log grows until the next one. A failed disk: noted, told by status.

    # -- inside a transaction --------------------------------------------------------------------
    @property
    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            raise Unavailable("the journal engine is closed")
        return self._open

    def _number(self, query: str) -> int:
        value = self._connection.execute(query).fetchone()[0]
        return 0 if value is None else int(value)

    def _bounds(self) -> tuple[Seq, Seq]:
        first, last = self._connection.execute(
            "SELECT (SELECT min(seq) FROM entry), (SELECT max(seq) FROM entry)"
        ).fetchone()
        return (Seq(1), Seq(0)) if first is None else (Seq(first), Seq(last))

    def _read_owner(self) -> Owner | None:
        row = self._connection.execute(
            "SELECT node, epoch, address, since_ns FROM owner"
        ).fetchone()
        return None if row is None else Owner(row[0], Epoch(row[1]), row[2], row[3])

    def _must_be(self, owner: Owner) -> None:
        held_by = self._read_owner()
        if held_by != owner:
            name = "nobody" if held_by is None else f"{held_by.node} (epoch {held_by.epoch})"
            raise Fenced(f"the journal belongs to {name}")

    def _must_hold(self, seq: Seq, data: bytes) -> None:
        row = self._connection.execute("SELECT data FROM entry WHERE seq = ?", (seq,)).fetchone()
        if row is None:
            raise Corrupt(f"entry {seq} was sent again after it was trimmed")
        if row[0] != data:
            raise Corrupt(f"entry {seq} exists with other bytes")

    @contextmanager
    def _transaction(self, *, synced: bool = True) -> Iterator[None]:
        connection = self._connection
        wanted = "FULL" if synced else "NORMAL"
        if self._synchronous != wanted:
            connection.execute(f"PRAGMA synchronous = {wanted}")
            self._synchronous = wanted
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            _roll_back(connection)
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error:
            _roll_back(connection)
            raise

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        connection = self._connection
        connection.execute("BEGIN")
        try:
            yield
        finally:
            _roll_back(connection)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        if self._failed:
            raise Unavailable(self._failed)
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # A fault of this file.
        except sqlite3.Error as error:
            text = f"journal {self._path}: {error}"
            code = _code_of(error)
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise Corrupt(text) from error
            if code == sqlite3.SQLITE_IOERR:
                self._failed = f"{text}; restart this process"
            raise Unavailable(text) from error

    def _size(self) -> int:
        size = 0
        for name in (self._path, f"{self._path}-wal"):
            try:
                size += os.stat(name).st_size
            except FileNotFoundError:
                pass
        return size


def _code_of(error: sqlite3.Error) -> int:
    """Primary result code: the low byte of SQLite's extended one."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite has rolled back by itself; the error that led here is the one to tell.
