"""The journal engine: append-with-compare, read, follow, takeover by CAS, trim.

Implemented by worlds.real.sqlite_engine, worlds.simulated.memory_engine and (next) etcd.
One contract suite, tests/contract/test_engine.py, runs over all of them.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from thesan.core.model.ids import Epoch, Seq


class Owner(msgspec.Struct, frozen=True, gc=False):
    """The mastership record: who may append. Compared whole in every append."""

    node: str
    epoch: Epoch
    address: str
    """`host:port` where clients reach this MGM."""
    since_ns: int = 0


class EngineMember(msgspec.Struct, frozen=True):
    """One server of an engine that has several."""

    address: str
    role: str
    """leader, follower, learner or down."""
    version: str = ""


class EngineStatus(msgspec.Struct, frozen=True):
    """What `thesan ns` and `engine status` show."""

    kind: str
    first: Seq
    """Oldest entry kept; 1 when nothing was trimmed, even if the journal is empty."""
    last: Seq
    """Newest entry; 0 when there is none."""
    used_bytes: int
    healthy: bool
    detail: str = ""
    beats: int = 0
    """Grows with every beat: with `last`, all that a standby needs to see that the owner lives."""
    quota_bytes: int = 0
    """What `used_bytes` may grow to before the engine refuses to write; 0: as much as the disk."""
    members: tuple[EngineMember, ...] = ()
    """Its servers; none: the engine is a file or memory."""


class Observation(msgspec.Struct, frozen=True, gc=False):
    """One linearizable look at the journal: two that are equal mean that nothing was written."""

    owner: Owner | None
    last: Seq
    """Newest entry."""
    beats: int
    """As in EngineStatus."""


class Engine(Protocol):
    """A durable, fenced, contiguous sequence of entries 1, 2, 3, ...

    Every method may raise Unavailable: for `append`, `beat` and `take_over` the outcome is then
    unknown and must be read back; for the others nothing happened.
    """

    async def owner(self) -> Owner | None:
        """The owner as the engine holds it now (linearizable read)."""
        ...

    async def observe(self) -> Observation:
        """Owner, head and beats as they are now, in one linearizable read: a failure detector
        counts silence only between two of these that succeeded."""
        ...

    async def take_over(
        self, seen: Owner | None, new: Owner, still: Observation | None = None
    ) -> bool:
        """Compare-and-set the owner: True when it was `seen` and is now `new`.

        With `still`, an observation of `seen`, also nothing may have been written since: a beat
        that was on its way before this call, behind writes that hang, wins.

        `new.epoch` must be greater than `seen.epoch`; otherwise ValueError.
        """
        ...

    async def append(self, owner: Owner, seq: Seq, data: bytes) -> None:
        """Durably append entry `seq`.

        In one transaction: owner is still `owner`, the last entry is `seq - 1`. A resend of the
        same bytes at the same seq by the same owner succeeds (idempotent). Raises Fenced when the
        owner differs, Corrupt when `seq` exists with other bytes or would leave a hole.
        """
        ...

    async def beat(self, owner: Owner) -> None:
        """A fenced no-op write that followers can see. Raises Fenced."""
        ...

    async def read(self, start: Seq, bytes_max: int) -> list[tuple[Seq, bytes]]:
        """Entries from `start`, contiguous, until about `bytes_max` (at least one if any).

        Empty when `start` is last + 1. Raises Trimmed when `start` is older than the first, and
        Corrupt beyond last + 1: the reader has seen entries that this journal does not hold.
        """
        ...

    def follow(self, start: Seq) -> AsyncGenerator[tuple[Seq, bytes], None]:
        """Entries from `start` as they become durable, for ever, without hole or repeat.

        Close it (contextlib.aclosing) when done.

        Raises Trimmed and Corrupt as `read` does, at any step: a follower that was overtaken by
        `trim` learns so, and never meets a silent hole.
        """
        ...

    async def trim(self, owner: Owner, before: Seq) -> None:
        """Drop entries older than `before` (never the last one). Raises Fenced."""
        ...

    async def status(self) -> EngineStatus:
        """Sizes and health."""
        ...

    async def close(self) -> None:
        """Release everything; later calls raise Unavailable."""
        ...
