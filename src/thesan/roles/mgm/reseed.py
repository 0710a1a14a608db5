"""Giving an MGM a store again: when it is new, was away for too long, or has diverged.

    Trimmed ───► entries from a segment (own or a peer's) ──► the engine goes on from there
    Diverged ─┐        │ nobody has them
              └─► checkpoint of a peer, page by page ─► fresh store, read again ─► switch ─► entries
                         │ no peer can
                         └► own checkpoint, or nothing at all, and own segments

A page is written together with the record of how far it went, so that a restart anywhere goes on
there. The fresh store becomes the store only after everything in it was read again and compared
with what the peer sent, and its digest with the one that the journal carries.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from thesan.core.control.messages import (
    CheckpointPage,
    CheckpointReply,
    JournalPage,
    JournalReply,
)
from thesan.core.journal.entry import decode
from thesan.core.journal.retention import parse_checkpoint
from thesan.core.model.archive_limits import (
    CHECKPOINT_PAGE_BYTES,
    SEED_PAUSE_SECONDS,
    SEED_PAUSE_SECONDS_MAX,
    SEED_TRIES_MAX,
)
from thesan.core.model.errors import (
    Corrupt,
    Diverged,
    JournalError,
    OperationError,
    StoreError,
    Trimmed,
    Unavailable,
)
from thesan.core.model.ids import Seq
from thesan.core.namespace import keys
from thesan.core.namespace.snapshot import applied_of, decode_applied, page_digest
from thesan.core.namespace.state import Namespace
from thesan.core.namespace.tables import Applied
from thesan.io.journal.archive import Archive
from thesan.io.journal.replay import Accepter
from thesan.ports.engine import Engine
from thesan.ports.log import Log
from thesan.ports.store import Store, StoreHome
from thesan.roles.mgm.replica import Replica
from thesan.roles.mgm.seed_pages import read_page


class Link(Protocol):
    """A connection to a peer, see seed_link. Every method raises OperationError."""

    async def page(self, message: CheckpointPage) -> CheckpointReply: ...

    async def entries(self, message: JournalPage) -> JournalReply: ...

    async def close(self) -> None: ...


Dial = Callable[[str], Awaitable[Link]]
"""Address of an MGM to a connection."""


class _Progress(msgspec.Struct, array_like=True):
    """How far a fresh store is filled; kept in it, under keys.M_SEED."""

    address: str
    checkpoint: str = ""
    after: bytes = b""
    pairs: int = 0
    digest: bytes = b""
    """Of all pages so far, each chained to the one before."""


_progress_decoder = msgspec.msgpack.Decoder(_Progress)
_encoder = msgspec.msgpack.Encoder()


class Seeder:
    """Seeds one MGM. Nobody else uses its store meanwhile."""

    def __init__(
        self,
        home: StoreHome,
        engine: Engine,
        archive: Archive,
        dial: Dial,
        peers: Callable[[], Sequence[str]],
        log: Log,
    ) -> None:
        """`peers()` are the addresses of the other MGMs."""
        self.sentence = ""
        """What it does now, for `ns`; empty when it does nothing."""
        self._home = home
        self._engine = engine
        self._archive = archive
        self._dial = dial
        self._peers = peers
        self._log = log

    async def reseed(
        self, store: Store, why: JournalError, switched: Callable[[Store], None]
    ) -> None:
        """Make a store from which the engine can be followed: `store` itself, caught up, or
        another one in its place. `switched` is given that one as soon as `store` is closed for it.

        `why` is what ended the following: Trimmed or Diverged. Raises StoreError when nobody can
        seed this MGM now, Unavailable; asked again, it goes on where it was.
        """
        self._log.warning("to be seeded", reason=str(why), kind=type(why).__name__)
        self.sentence = "looks for the missing entries"
        try:
            if isinstance(why, Trimmed) and await self._catch_up(store):
                return
            store = await self._replace(store)
            switched(store)
            if not await self._catch_up(store):
                raise StoreError("nobody has the entries between the checkpoint and the journal")
        finally:
            self.sentence = ""

    # -- entries -------------------------------------------------------------------------------
    async def _catch_up(self, store: Store) -> bool:
        """Apply entries out of segments until the engine has the next one; False when nobody has
        what is missing, or this replica is wrong. Raises Unavailable, StoreError."""
        replica = Replica(Namespace(store), store)
        reader = Accepter(replica.position, replica.apply, self._archive.take)
        if await self._joins(reader):
            return True
        sources: list[str] = ["", *self._peers()]
        for address in sources:
            try:
                link = await self._dial(address) if address else _Own(self._archive)
                try:
                    if await self._take_from(link, reader):
                        seq = reader.position.seq
                        self._log.info("caught up", mgm=address or "own segments", seq=seq)
                        return True
                finally:
                    await link.close()
            except Diverged as error:
                # The namespace was left in the middle of an entry.
                self._log.warning("replica diverged", reason=str(error))
                return False
            except (OperationError, Corrupt) as error:
                self._log.info("no entries from there", mgm=address or "own", reason=str(error))
        return False

    async def _joins(self, reader: Accepter) -> bool:
        """Whether the engine has the entry that comes next, or none comes."""
        status = await self._engine.status()
        return status.first <= reader.position.seq + 1

    async def _take_from(self, link: Link, reader: Accepter) -> bool:
        while not await self._joins(reader):
            reply = await link.entries(JournalPage(int(reader.position.seq) + 1))
            if not reply.entries:
                return False
            for data in reply.entries:
                reader.accept(Seq(reader.position.seq + 1), data)
                await asyncio.sleep(0)
            await self._let_archive()
        return True

    async def _let_archive(self) -> None:
        """Segments of this MGM get the entries too: no hole where the engine has none left."""
        try:
            async with asyncio.timeout(SEED_PAUSE_SECONDS_MAX):
                await self._archive.written()
        except TimeoutError:
            self._log.warning("archive does not keep up", reason=self._archive.failure)

    # -- a whole store -------------------------------------------------------------------------
    async def _replace(self, store: Store) -> Store:
        faults: list[str] = []
        for address in await self._by_progress():
            try:
                return await self._home.switch(store, await self._copy(address))
            except (OperationError, Corrupt) as error:
                faults.append(f"{address}: {error}")
                self._log.warning("not seeded", mgm=address, reason=str(error))
        own = await self._from_own(faults)
        if own is not None:
            return await self._home.switch(store, own)
        raise StoreError(f"nobody can seed this MGM: {'; '.join(faults) or 'there is no other'}")

    async def _by_progress(self) -> list[str]:
        """The peers, the one first from which a copy was begun."""
        fresh = await self._home.fresh(resume=True)
        progress = _progress_of(fresh)
        await self._home.release(fresh)
        begun = progress.address if progress is not None else ""
        return sorted(self._peers(), key=lambda address: address != begun)

    async def _from_own(self, faults: list[str]) -> Store | None:
        """A fresh store from what this MGM has itself."""
        first = self._archive.first
        names = [name for name in await self._home.checkpoints() if parse_checkpoint(name)]
        for name in reversed(names):
            fresh = await self._home.fresh_from(name)
            applied = applied_of(fresh)
            try:
                if applied is None:
                    raise Corrupt("it holds no namespace")
                await self._compare(applied, _Own(self._archive))
                return fresh
            except (OperationError, Corrupt) as error:
                faults.append(f"checkpoint {name}: {error}")
                await self._home.release(fresh)
        if first == 1 or (await self._engine.status()).first == 1:
            return await self._home.fresh(resume=False)
        return None

    async def _copy(self, address: str) -> Store:
        """A fresh store, filled from a checkpoint of that peer and checked.

        Raises OperationError, Corrupt, StoreError; what was copied is kept for another try.
        """
        copy = _Copy(await self._home.fresh(resume=True))
        try:
            if copy.progress.address != address:
                await self._anew(copy, address)
            link = await self._fill(copy)
            try:
                self.sentence = f"reads again what {address} sent"
                await self._reread(copy)
                await self._compare(decode_applied(copy.applied), link)
            finally:
                await link.close()
            # Last of all: with it the store is a namespace.
            copy.store.write([(keys.M_APPLIED, copy.applied), (keys.M_SEED, None)])
            await self._home.flush(copy.store)
        except Corrupt:
            await self._anew(copy, address)
            await self._home.release(copy.store)
            raise
        except BaseException:
            await self._home.release(copy.store)
            raise
        self._log.info("seeded", mgm=address, pairs=copy.progress.pairs)
        return copy.store

    async def _fill(self, copy: "_Copy") -> Link:
        """Copy until the last page; the connection that was used last."""
        link: Link | None = None
        failures, pause = 0, SEED_PAUSE_SECONDS
        try:
            while True:
                progress = copy.progress
                try:
                    if link is None:
                        link = await self._dial(progress.address)
                    reply = await link.page(CheckpointPage(progress.checkpoint, progress.after))
                except OperationError as error:
                    failures += 1
                    if failures > SEED_TRIES_MAX:
                        raise
                    if error.errno == errno.ENOENT and progress.checkpoint:
                        # The peer has removed the checkpoint: from the beginning, with another.
                        await self._anew(copy, progress.address)
                    elif link is not None:
                        await link.close()
                        link = None
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, SEED_PAUSE_SECONDS_MAX)
                    continue
                failures, pause = 0, SEED_PAUSE_SECONDS
                copy.write(reply)
                self.sentence = f"copies from {progress.address}: {progress.pairs} records"
                if reply.last:
                    return link
        except BaseException:
            if link is not None:
                await link.close()
            raise

    async def _anew(self, copy: "_Copy", address: str) -> None:
        await self._home.release(copy.store)
        copy.store = await self._home.fresh(resume=False)
        copy.progress = _Progress(address)

    async def _reread(self, copy: "_Copy") -> None:
        """Read everything that was written, and compare. Raises Corrupt."""
        after, digest, last = b"", b"", False
        while not last:
            pairs, last = await read_page(self._home, copy.store, after, CHECKPOINT_PAGE_BYTES)
            if pairs:
                digest = page_digest(pairs, digest)
                after = pairs[-1][0]
        if digest != copy.progress.digest:
            raise Corrupt(f"the copy of {copy.progress.checkpoint} is not what was sent")

    async def _compare(self, applied: Applied, link: Link) -> None:
        """The journal's entry at which a checkpoint stands carries the digest of the state after
        it: is it this one? Raises Corrupt, OperationError, Unavailable."""
        if applied.seq == 0:
            return
        data = await self._entry(Seq(applied.seq), link)
        if data is None:
            # Trimmed, and in nobody's segments: the next entry must chain to it, and has a digest.
            return
        entry = decode(data)
        if entry.crc != applied.chain_crc:
            raise Corrupt(f"it stands at another entry {applied.seq} than the journal's")
        if entry.digest and entry.digest != applied.digest:
            raise Corrupt(f"its state at entry {applied.seq} is not the master's")

    async def _entry(self, seq: Seq, link: Link) -> bytes | None:
        try:
            page = await self._engine.read(seq, 1)
        except Trimmed:
            reply = await link.entries(JournalPage(int(seq)))
            return reply.entries[0] if reply.entries else None
        if not page:
            raise Unavailable(f"the engine does not show entry {seq} yet")
        return page[0][1]


class _Copy:
    """A fresh store that is being filled."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.progress = _progress_of(store) or _Progress("")
        self.applied = b""
        """The applied record of the checkpoint."""

    def write(self, reply: CheckpointReply) -> None:
        """Check a page and store it, with how far that is. Raises Corrupt."""
        progress, name = self.progress, reply.checkpoint
        if progress.checkpoint and name != progress.checkpoint:
            raise Corrupt(f"asked for {progress.checkpoint}, the page is of {name}")
        if page_digest(reply.pairs) != reply.digest:
            raise Corrupt(f"a page of checkpoint {name} is damaged")
        if not reply.pairs and not reply.last:
            raise Corrupt(f"a page of checkpoint {name} is empty")
        last = progress.after
        for key, _ in reply.pairs:
            if key <= last or key in (keys.M_APPLIED, keys.M_SEED):
                raise Corrupt(f"keys of checkpoint {name} are out of order")
            last = key
        self.applied = reply.applied
        progress.checkpoint = name
        if reply.pairs:
            progress.after = last
            progress.pairs += len(reply.pairs)
            progress.digest = page_digest(reply.pairs, progress.digest)
            self.store.write([*reply.pairs, (keys.M_SEED, _encoder.encode(progress))])


class _Own:
    """The archive of this MGM, as a peer."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def page(self, message: CheckpointPage) -> CheckpointReply:
        raise OperationError(errno.ENOTSUP, "own checkpoints are copied as they are")

    async def entries(self, message: JournalPage) -> JournalReply:
        archive = self._archive
        try:
            found = await archive.read(Seq(message.start), CHECKPOINT_PAGE_BYTES)
        except Trimmed:
            found = []
        entries = [data for _, data in found]
        return JournalReply(entries, int(archive.first), int(archive.last))

    async def close(self) -> None:
        """Nothing to close."""


def _progress_of(fresh: Store) -> _Progress | None:
    record = fresh.get(keys.M_SEED)
    if record is None:
        return None
    try:
        return _progress_decoder.decode(record)
    except msgspec.DecodeError as error:
        raise StoreError(f"unreadable progress of a seeding: {error}") from error
