"""The journal engine on etcd: every write is one transaction that compares the owner.

    append(seq) = one Txn:  owner is mine, newest is seq-1, log/seq-1 is there, log/seq is not
                  then      put log/seq, put newest
                  else      read owner, newest, log/seq: what became of an earlier try is known

A call that got no answer is sent again to the next member; since each is a compare-and-set on the
seq or on the owner, only one of the tries can ever have an effect, whenever they land.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

from thesan.core.model.errors import Corrupt, Fenced, JournalError, Trimmed, Unavailable
from thesan.core.model.etcd_limits import (
    ETCD_CALL_SECONDS_MAX,
    ETCD_PAGE_ENTRIES_MAX,
    ETCD_REVISIONS_KEPT,
    ETCD_REVISIONS_MAX,
    ETCD_TRIM_ENTRIES,
)
from thesan.core.model.ids import Seq
from thesan.core.model.limits import BATCH_BYTES_MAX, JOURNAL_PAGE_BYTES
from thesan.ports.engine import EngineMember, EngineStatus, Observation, Owner
from thesan.worlds.real.etcd import messages, quota, requests
from thesan.worlds.real.etcd.client import Answer, Client
from thesan.worlds.real.etcd.endpoint import COMPACT, STATUS, TXN, Endpoint, EtcdError, Failure
from thesan.worlds.real.etcd.keys import (
    Keys,
    decode_owner,
    decode_seq,
    encode_owner,
    encode_seq,
)
from thesan.worlds.real.etcd.spec import EtcdSpec
from thesan.worlds.real.etcd.watch import Compacted, watch

KIND: Final = "etcd"
_ENTRY_BYTES_MIN: Final = 128
"""An entry with its key and etcd's own fields."""


class EtcdEngine:
    """`ports.engine.Engine` on an etcd. Made by `open`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.keys = Keys(client.spec.prefix)
        self._entry_bytes = BATCH_BYTES_MAX
        """Mean of the last page: how many entries to ask for."""
        self._quota_bytes = client.spec.quota_bytes
        self._forgot_at = 0
        """Revision of the last compaction that this process asked for by `_forget`."""
        self._known = EngineStatus(KIND, Seq(1), Seq(0), 0, healthy=False)

    @classmethod
    async def open(
        cls,
        spec: EtcdSpec,
        warn: Callable[[str], None] | None = None,
        *,
        is_alone: bool = False,
    ) -> "EtcdEngine":
        """The journal below the spec's prefix. No member has to be there yet.

        `warn(text)` is told of members that should be updated. `is_alone`: calls may block the
        loop, which has nothing else to do. Raises ConfigError (files),
        JournalError (a member whose version must not be used).
        """
        engine = cls(Client(spec, warn, is_alone=is_alone))
        try:
            await engine.client.start()
        except BaseException:
            await engine.close()
            raise
        return engine

    async def owner(self) -> Owner | None:
        """See ports.engine.Engine, here and below."""
        answer = await self._txn([], [requests.get(self.keys.owner)])
        return _owner_of(requests.value_of(answer.response, 0))

    async def observe(self) -> Observation:
        keys = self.keys
        answer = await self._txn(
            [], [requests.get(keys.owner), requests.get(keys.newest), requests.get(keys.beat)]
        )
        beats = requests.found(answer.response, 2)
        return Observation(
            _owner_of(requests.value_of(answer.response, 0)),
            _seq_of(requests.value_of(answer.response, 1)),
            beats[0].version if beats else 0,
        )

    async def take_over(
        self, seen: Owner | None, new: Owner, still: Observation | None = None
    ) -> bool:
        if new.epoch <= (0 if seen is None else seen.epoch):
            raise ValueError(f"epoch {new.epoch} does not raise the epoch of {seen}")
        key = self.keys.owner
        is_seen = (
            requests.is_absent(key) if seen is None else requests.is_value(key, encode_owner(seen))
        )
        compare = [is_seen, requests.is_absent(self.keys.adopting)]
        if still is not None:
            newest = self.keys.newest
            compare.append(requests.is_version(self.keys.beat, still.beats))
            compare.append(
                requests.is_value(newest, encode_seq(still.last))
                if still.last
                else requests.is_absent(newest)
            )
        answer = await self._txn(
            compare,
            [requests.put(key, encode_owner(new))],
            [requests.get(key)],
        )
        if answer.response.succeeded:
            return True
        # An earlier try of this very call may have done it.
        return answer.is_resend and requests.value_of(answer.response, 0) == encode_owner(new)

    async def append(self, owner: Owner, seq: Seq, data: bytes) -> None:
        if seq < 1:
            raise ValueError(f"seq {seq}")
        keys, entry = self.keys, self.keys.entry(seq)
        compare = [requests.is_value(keys.owner, encode_owner(owner)), requests.is_absent(entry)]
        if seq == 1:
            compare += [requests.is_absent(keys.newest)]
        else:
            compare += [
                requests.is_value(keys.newest, encode_seq(seq - 1)),
                requests.is_there(keys.entry(seq - 1)),
            ]
        answer = await self._txn(
            compare,
            [requests.put(entry, data), requests.put(keys.newest, encode_seq(seq))],
            [requests.get(keys.owner), requests.get(keys.newest), requests.get(entry)],
        )
        if not answer.response.succeeded:
            self._settle(owner, seq, data, answer)

    def _settle(self, owner: Owner, seq: Seq, data: bytes, answer: Answer) -> None:
        """An append's transaction did nothing: return when the entry is there all the same."""
        held_by = requests.value_of(answer.response, 0)
        newest = _seq_of(requests.value_of(answer.response, 1))
        there = requests.value_of(answer.response, 2)
        if held_by != encode_owner(owner):
            if not answer.is_resend or newest < seq:
                # No earlier try can land any more: it compares the owner too.
                raise _fenced(held_by)
            if there is None:
                raise Unavailable(f"entry {seq} was trimmed before its append was answered")
            if there != data:
                raise _fenced(held_by)
            return  # An earlier try did it, before the takeover.
        if there is not None:
            if there != data:
                raise Corrupt(f"entry {seq} exists with other bytes")
            return
        if newest >= seq:
            raise Corrupt(f"entry {seq} was sent again after it was trimmed")
        if newest < seq - 1:
            raise Corrupt(f"entry {seq} would leave a hole after entry {newest}")
        raise Corrupt(f"entry {newest} is the newest, but etcd does not hold it")

    async def beat(self, owner: Owner) -> None:
        answer = await self._txn(
            [requests.is_value(self.keys.owner, encode_owner(owner))],
            [requests.put(self.keys.beat, b"")],
            [requests.get(self.keys.owner)],
        )
        if not answer.response.succeeded:
            raise _fenced(requests.value_of(answer.response, 0))

    async def read(self, start: Seq, bytes_max: int) -> list[tuple[Seq, bytes]]:
        if start < 1:
            raise ValueError(f"seq {start}")
        page, _ = await self._page(start, bytes_max)
        return page

    async def _page(self, start: Seq, bytes_max: int) -> tuple[list[tuple[Seq, bytes]], int]:
        """As `read`, and the revision at which it was read."""
        keys = self.keys
        wanted = min(max(1, bytes_max // self._entry_bytes), ETCD_PAGE_ENTRIES_MAX)
        answer = await self._txn(
            [],
            [
                requests.get(keys.entry(start), keys.entry(start + wanted)),
                requests.get(keys.newest),
            ],
        )
        newest = _seq_of(requests.value_of(answer.response, 1))
        page: list[tuple[Seq, bytes]] = []
        size = 0
        for kv in requests.found(answer.response, 0):
            seq = keys.seq_of(kv.key)
            if seq != start + len(page):
                break
            size += len(kv.value)
            if page and size > bytes_max:
                break
            page.append((seq, kv.value))
        if page:
            self._entry_bytes = max(_ENTRY_BYTES_MIN, size // len(page))
        elif start <= newest:
            first, _ = await self._bounds()
            if first > start:
                raise Trimmed(first)
            raise Corrupt(f"{self.client.spec} has no entry {start}")
        elif start > newest + 1:
            raise Corrupt(f"the journal ends at entry {newest}, entry {start} was asked for")
        return page, answer.response.header.revision

    async def follow(self, start: Seq) -> AsyncGenerator[tuple[Seq, bytes], None]:
        if start < 1:
            raise ValueError(f"seq {start}")
        at = start
        while True:
            page, revision = await self._page(at, JOURNAL_PAGE_BYTES)
            for seq, data in page:
                yield seq, data
            at = Seq(at + len(page))
            if page:
                continue
            try:
                async with aclosing(self._tail(at, revision + 1)) as entries:
                    async for seq, data in entries:
                        yield seq, data
                        at = Seq(seq + 1)
            except Compacted:
                pass  # Read on from `at`: what was trimmed meanwhile is told by that.

    async def _tail(self, at: Seq, revision: int) -> AsyncGenerator[tuple[Seq, bytes], None]:
        """Entries from `at` on, when all earlier changes are below `revision`. Ends at a hole."""
        keys = self.keys

        async def newest_change() -> int:
            answer = await self._txn([], [requests.get(keys.newest), requests.get(keys.beat)])
            newest = _seq_of(requests.value_of(answer.response, 0))
            if newest < at - 1:
                raise Corrupt(f"the journal ends at entry {newest}, entry {at} was asked for")
            both = [*requests.found(answer.response, 0), *requests.found(answer.response, 1)]
            return max((kv.mod_revision for kv in both), default=0)

        changes = watch(self.client, keys.beat, keys.log_end, revision, newest_change)
        async with aclosing(changes):
            async for kvs in changes:
                for kv in kvs:
                    seq = keys.seq_of(kv.key)
                    if seq is None or seq < at:
                        continue  # A beat, or a repeat after the watch was resumed.
                    if seq > at:
                        return
                    at = Seq(at + 1)
                    yield seq, kv.value

    async def trim(self, owner: Owner, before: Seq) -> None:
        keys = self.keys
        is_mine = requests.is_value(keys.owner, encode_owner(owner))
        revision = 0
        while True:
            bounds = [requests.get(keys.newest), self._get_first(), requests.get(keys.owner)]
            response = (await self._txn([is_mine], bounds, bounds)).response
            if not response.succeeded:
                raise _fenced(requests.value_of(response, 2))
            first, last = self._bounds_of(response)
            end = min(before, last)
            part = min(end, first + ETCD_TRIM_ENTRIES)
            if part > first:
                # Only removals: etcd does these even when its quota is reached.
                dropped = requests.delete(keys.entry(first), keys.entry(part))
                answer = await self._txn([is_mine], [dropped], [requests.get(keys.owner)])
                if not answer.response.succeeded:
                    raise _fenced(requests.value_of(answer.response, 0))
                revision = answer.response.header.revision
            if part >= end:
                break
        if revision:
            await self.compact(revision)

    async def compact(self, revision: int) -> None:
        """Let etcd forget what was before `revision`: without this nothing gets smaller."""
        try:
            await self.client.call(COMPACT, messages.CompactionRequest(revision=revision))
        except EtcdError as error:
            if error.kind is not Failure.COMPACTED:  # By somebody else, meanwhile.
                raise

    async def status(self) -> EngineStatus:
        """Raises only after `close`: figures of a silent etcd are the last known ones.

        Who is asked this regularly, a master, also keeps etcd's history short.
        """
        self.client.check_open()
        states = await self._states()
        members = tuple(
            EngineMember(address, "down")
            if state is None
            else EngineMember(address, requests.role_of(state), state.version)
            for address, state in states.items()
        )
        gets = [requests.get(self.keys.newest), self._get_first(), requests.get(self.keys.beat)]
        try:
            response = (await self._txn([], gets)).response
            first, last = self._bounds_of(response)
            beats = requests.found(response, 2)
            state = next((one for one in states.values() if one is not None), None)
            if state is None:
                raise Unavailable("no member of etcd tells its state")
            if not self._quota_bytes:
                self._quota_bytes = await quota.ask(self.client, state)
        except JournalError as error:
            self.client.check_open()
            known = self._known
            return EngineStatus(
                KIND,
                known.first,
                known.last,
                known.used_bytes,
                healthy=False,
                detail=str(error),
                beats=known.beats,
                quota_bytes=known.quota_bytes,
                members=members,
            )
        troubles = list(state.errors)
        troubles += [one.refusal for one in self.client.endpoints if one.refusal]
        silent = [one.address for one in self.client.endpoints if one.failed]
        details = troubles + ([f"no answer from {', '.join(silent)}"] if silent else [])
        self._known = EngineStatus(
            KIND,
            first,
            last,
            state.dbSizeInUse or state.dbSize,
            healthy=not troubles,
            detail="; ".join(details),
            beats=beats[0].version if beats else 0,
            quota_bytes=self._quota_bytes,
            members=members,
        )
        await self._forget(response.header.revision)
        return self._known

    async def _forget(self, revision: int) -> None:
        """Now and then, let etcd drop what beats have written over: trimming alone compacts only
        when there are entries to drop."""
        if revision - self._forgot_at < ETCD_REVISIONS_MAX:
            return
        self._forgot_at = revision
        try:
            await self.compact(revision - ETCD_REVISIONS_KEPT)
        except JournalError:
            pass  # Another MGM will, or this one after as many revisions more.

    async def _states(self) -> dict[str, Any]:
        """Address -> StatusResponse, or None, of each member; all are asked at the same time."""
        request = messages.StatusRequest()

        async def ask(endpoint: Endpoint) -> Any:
            try:
                return await self.client.call_at(endpoint, STATUS, request, ETCD_CALL_SECONDS_MAX)
            except (EtcdError, JournalError):
                return None

        endpoints = self.client.endpoints
        states = await asyncio.gather(*(ask(one) for one in endpoints))
        return {one.address: state for one, state in zip(endpoints, states, strict=True)}

    async def close(self) -> None:
        await self.client.close()

    async def _txn(
        self, compare: list[Any], success: list[Any], failure: list[Any] | None = None
    ) -> Answer:
        self.client.check_open()
        return await self.client.call(TXN, requests.txn(compare, success, failure))

    def _get_first(self) -> Any:
        return requests.get(self.keys.log, self.keys.log_end, limit=1, keys_only=True)

    async def _bounds(self) -> tuple[Seq, Seq]:
        gets = [requests.get(self.keys.newest), self._get_first()]
        return self._bounds_of((await self._txn([], gets)).response)

    def _bounds_of(self, response: Any) -> tuple[Seq, Seq]:
        """First and last of a transaction that read `newest` and the first key."""
        last = _seq_of(requests.value_of(response, 0))
        kvs = requests.found(response, 1)
        first = self.keys.seq_of(kvs[0].key) if kvs else None
        return (Seq(1) if first is None else first), last


def _owner_of(value: bytes | None) -> Owner | None:
    return None if value is None else decode_owner(value)


def _seq_of(value: bytes | None) -> Seq:
    return Seq(0) if value is None else decode_seq(value)


def _fenced(held_by: bytes | None) -> Fenced:
    owner = _owner_of(held_by)
    name = "nobody" if owner is None else f"{owner.node} (epoch {owner.epoch})"
    return Fenced(f"the journal belongs to {name}")
