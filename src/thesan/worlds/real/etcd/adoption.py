"""Filling an empty etcd journal with another journal's entries, for a migration.

While the mark `adopting` is there, nobody can own the journal: what a migration that broke off has
left is in nobody's way, and the next one begins by removing it.
"""

from thesan.core.model.errors import JournalError
from thesan.core.model.etcd_limits import ETCD_ADOPT_BYTES, ETCD_ADOPT_ENTRIES
from thesan.core.model.ids import Seq
from thesan.ports.engine import Owner
from thesan.worlds.real.etcd import requests
from thesan.worlds.real.etcd.endpoint import TXN
from thesan.worlds.real.etcd.engine import EtcdEngine
from thesan.worlds.real.etcd.keys import encode_owner, encode_seq
from thesan.worlds.real.etcd.spec import EtcdSpec


class EtcdHeir:
    """An etcd journal that is being filled. Made by `open`."""

    def __init__(self, engine: EtcdEngine) -> None:
        self.engine = engine
        """To read back what was put."""
        self._mark = requests.is_there(engine.keys.adopting)

    @classmethod
    async def open(cls, spec: EtcdSpec) -> "EtcdHeir":
        """Mark the journal. Raises JournalError when it holds anything but a broken migration."""
        engine = await EtcdEngine.open(spec)
        try:
            keys = engine.keys
            everything = requests.delete(keys.all, keys.all_end)
            empty = [requests.is_absent(keys.all, keys.all_end)]
            mark = requests.put(keys.adopting, b"")
            marked = await engine.client.call(TXN, requests.txn(empty, [mark]))
            if not marked.response.succeeded:
                again = [requests.is_there(keys.adopting), requests.is_absent(keys.owner)]
                removed = await engine.client.call(TXN, requests.txn(again, [everything]))
                if removed.response.succeeded:
                    marked = await engine.client.call(TXN, requests.txn(empty, [mark]))
            if not marked.response.succeeded:
                raise JournalError(f"{spec} is not empty: nothing was changed")
        except BaseException:
            await engine.close()
            raise
        return cls(engine)

    async def put(self, entries: list[tuple[Seq, bytes]]) -> None:
        """The next entries, in order."""
        batch: list[tuple[Seq, bytes]] = []
        size = 0
        for entry in entries:
            if batch and (
                size + len(entry[1]) > ETCD_ADOPT_BYTES or len(batch) >= ETCD_ADOPT_ENTRIES
            ):
                await self._put(batch)
                batch, size = [], 0
            batch.append(entry)
            size += len(entry[1])
        if batch:
            await self._put(batch)

    async def _put(self, batch: list[tuple[Seq, bytes]]) -> None:
        # The same bytes again change nothing, so a lost answer is no matter.
        keys = self.engine.keys
        puts = [requests.put(keys.entry(seq), data) for seq, data in batch]
        puts.append(requests.put(keys.newest, encode_seq(batch[-1][0])))
        await self._txn(requests.txn([self._mark], puts))

    async def finish(self, owner: Owner | None) -> None:
        """Take the mark away and name the owner: from now on it is a journal."""
        keys = self.engine.keys
        ops = [requests.delete(keys.adopting)]
        if owner is not None:
            ops.append(requests.put(keys.owner, encode_owner(owner)))
        answer = await self.engine.client.call(TXN, requests.txn([self._mark], ops))
        if not answer.response.succeeded and not (
            answer.is_resend and await self.engine.owner() == owner
        ):
            raise JournalError(f"{self.engine.client.spec} was changed by somebody else")

    async def close(self) -> None:
        """Without `finish` the mark stays."""
        await self.engine.close()

    async def _txn(self, request: object) -> None:
        answer = await self.engine.client.call(TXN, request)
        if not answer.response.succeeded:
            raise JournalError(f"{self.engine.client.spec} was changed by somebody else")


async def retire(engine: EtcdEngine, owner: Owner) -> None:
    """Nobody can own this journal any more: it lives on elsewhere. Raises JournalError."""
    keys = engine.keys
    is_mine = [requests.is_value(keys.owner, encode_owner(owner))]
    mark = [requests.put(keys.adopting, b"migrated"), requests.put(keys.owner, encode_owner(owner))]
    answer = await engine.client.call(TXN, requests.txn(is_mine, mark))
    if not answer.response.succeeded:
        raise JournalError(f"{engine.client.spec} got another owner meanwhile")
