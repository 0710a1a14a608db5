"""Moving a journal from one engine to another, without losing a byte.

    silent? ─► fence the source ─► copy, check ─► read back, compare ─► retire the source ─► owner

Until the source is retired, it is the journal: a migration that breaks off before has only raised
its epoch by one. At no time can both be owned; between the last two steps neither can.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

import msgspec

from thesan.core.journal.entry import Chain, Position, decode
from thesan.core.model.errors import ConfigError, Corrupt, JournalError
from thesan.core.model.etcd_limits import MIGRATION_PAGE_BYTES, MIGRATION_SILENCE_SECONDS
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Engine, Owner
from thesan.worlds.real.engines import open_engine

NODE: str = "migration"
"""Owner of the source while it is copied."""


class Heir(Protocol):
    """An empty journal that takes over another one's entries."""

    @property
    def engine(self) -> Engine: ...

    async def put(self, entries: list[tuple[Seq, bytes]]) -> None: ...

    async def finish(self, owner: Owner | None) -> None: ...

    async def close(self) -> None: ...


class Migrated(msgspec.Struct, frozen=True):
    """What was moved."""

    first: Seq
    last: Seq
    bytes: int
    owner: str
    epoch: Epoch


async def migrate(
    source: str,
    target: str,
    tell: Callable[[str], None],
    silence_seconds: float = MIGRATION_SILENCE_SECONDS,
) -> Migrated:
    """Move the journal `source` to the empty `target`; both are specs of open_engine.

    Raises ConfigError (a spec), JournalError: the source has a living owner or nothing to move,
    the target is not empty; Corrupt: an entry of the source does not fit to the one before it.
    """
    if _is_absent(source):
        raise ConfigError(f"{source} does not exist")
    engine = await open_engine(source)
    try:
        owner = await _silent_owner(engine, source, silence_seconds, tell)
        heir = await open_heir(target)
        try:
            fence = Owner(NODE, Epoch(owner.epoch + 1), "", owner.since_ns)
            if not await engine.take_over(owner, fence):
                raise JournalError(f"{source} got another owner meanwhile")
            tell(f"copying from {source}")
            moved, digest = await _copy(engine, heir)
            tell(f"reading back from {target}")
            if await _digest(heir.engine, moved.first) != digest:
                raise Corrupt(f"{target} does not read as it was written")
            await _retire(source, engine, fence)
            await heir.finish(owner)
            tell(f"{target} is the journal now")
        finally:
            await heir.close()
    finally:
        await engine.close()
    return msgspec.structs.replace(moved, owner=owner.node, epoch=owner.epoch)


def _is_absent(source: str) -> bool:
    """Whether it is a file that opening would create."""
    kind, _, path = source.partition(":")
    return kind == "sqlite" and not os.path.exists(path)


async def _silent_owner(
    engine: Engine, source: str, seconds: float, tell: Callable[[str], None]
) -> Owner:
    before = await engine.observe()
    if before.owner is None:
        raise JournalError(f"{source} was never owned: there is nothing to migrate")
    tell(f"waiting {seconds:g} s to see that no MGM writes to {source}")
    await asyncio.sleep(seconds)
    if await engine.observe() != before:
        raise JournalError(
            f"{before.owner.node} is alive and writes to {source}: stop all MGMs before"
        )
    return before.owner


async def open_heir(target: str) -> Heir:
    """Who writes the empty journal `target` from outside of a mastership. Raises ConfigError (a
    spec), JournalError."""
    kind, _, rest = target.partition(":")
    if kind == "sqlite" and rest:
        from thesan.worlds.real.sqlite_adoption import SqliteHeir

        return await SqliteHeir.open(rest)
    if kind == "etcd" and rest:
        from thesan.worlds.real.etcd.adoption import EtcdHeir
        from thesan.worlds.real.etcd.spec import parse_spec

        return await EtcdHeir.open(parse_spec(rest))
    raise ConfigError(f"journal {target[:200]!r} is neither sqlite:PATH nor etcd:HOST:PORT,...")


async def _copy(engine: Engine, heir: Heir) -> tuple[Migrated, bytes]:
    """Copy all entries, each checked by its crc and its chain; also returns their digest."""
    status = await engine.status()
    digest = hashlib.blake2b()
    chain: Chain | None = None
    size = 0
    async for page in _pages(engine, status.first):
        for seq, data in page:
            entry = decode(data)
            if chain is None:
                chain = Chain(Position(Seq(status.first - 1), Epoch(0), entry.prev_crc))
            if entry.seq != seq:
                raise Corrupt(f"entry {seq} says that it is entry {entry.seq}")
            chain.check(entry)
            _feed(digest, seq, data)
            size += len(data)
        await heir.put(page)
    return Migrated(status.first, status.last, size, "", Epoch(0)), digest.digest()


async def _digest(engine: Engine, first: Seq) -> bytes:
    digest = hashlib.blake2b()
    async for page in _pages(engine, first):
        for seq, data in page:
            _feed(digest, seq, data)
    return digest.digest()


def _feed(digest: "hashlib.blake2b", seq: Seq, data: bytes) -> None:
    digest.update(seq.to_bytes(8, "big") + len(data).to_bytes(8, "big"))
    digest.update(data)


async def _pages(engine: Engine, first: Seq) -> AsyncGenerator[list[tuple[Seq, bytes]], None]:
    at = first
    while page := await engine.read(at, MIGRATION_PAGE_BYTES):
        yield page
        at = Seq(page[-1][0] + 1)


async def _retire(source: str, engine: Engine, fence: Owner) -> None:
    """From here on nobody can own the source; only if nobody else has. Raises JournalError."""
    if source.startswith("sqlite:"):
        from thesan.worlds.real.sqlite_adoption import retire as retire_file

        await asyncio.to_thread(retire_file, source.partition(":")[2], fence)
    else:
        from thesan.worlds.real.etcd.adoption import retire
        from thesan.worlds.real.etcd.engine import EtcdEngine

        assert isinstance(engine, EtcdEngine)
        await retire(engine, fence)
