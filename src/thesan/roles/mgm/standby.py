"""Being a standby: follow the journal, answer reads from the replica, take over when it is time.

    open_standby ─► catch up ─► follow ─┬─► answers (desk)
                                        └─► each look: decide ─► claim ─► Mandate

Everything in here is dropped when the role ends: a new master builds its own from the same store.
"""

import asyncio
from collections.abc import Callable

import msgspec

from thesan.core.journal.entry import Entry
from thesan.core.leadership.decision import (
    Claim,
    Situation,
    Verdict,
    decide,
    is_eligible,
    next_look_s,
)
from thesan.core.leadership.lease import ReadLease
from thesan.core.leadership.records import MEMBER_SECTION, SUCCESSOR_SECTION, successor_of
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.leadership_limits import CLAIM_SECONDS_MAX
from thesan.core.model.limits import CHECKPOINT_SECONDS
from thesan.core.namespace import queries
from thesan.core.namespace.state import Namespace
from thesan.io.journal.checkpoint import Checkpointer
from thesan.io.journal.claim import claim
from thesan.io.journal.replay import Reader
from thesan.io.tasks import TaskOwner
from thesan.ports.engine import EngineStatus, Observation, Owner
from thesan.roles.mgm.admin_context import MasterContext
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.pipeline import Pipeline
from thesan.roles.mgm.process import Process
from thesan.roles.mgm.replica import Replica
from thesan.roles.mgm.watch import watch

_UNKNOWN_ENGINE = EngineStatus("unknown", Seq(1), Seq(0), 0, healthy=False)


class Mandate(msgspec.Struct, frozen=True):
    """The journal is ours: what a term begins with."""

    owner: Owner
    before: str
    """Address of the owner before; empty when there was none."""
    verdict: Verdict
    decided_s: float
    """Monotonic time of the decision; the phases count from there."""
    claimed_s: float
    silence_s: float
    must_wait: bool
    """Reads of the old master may still be good: nothing is answered for `silence_short_s`."""


class Standby:
    """One stay in the role."""

    def __init__(self, process: Process) -> None:
        """Builds the object graph over the store. Raises StoreError, Corrupt."""
        self.is_caught_up = False
        """It has reached the head once: its answers are young."""
        self.caught_up_s = 0.0
        """Boot seconds when it was seen to be at the head last."""
        self._process = process
        self._tasks = TaskOwner("standby", self._task_failed)
        namespace = Namespace(process.store)
        self._replica = Replica(namespace, process.store)
        self._replica.on_applied = self._applied
        pipeline = Pipeline(
            namespace,
            process.store,
            Seq(namespace.applied_seq),
            self._log_break,
            ReadLease(float("inf")),
            process.world.clock.boot_s,
        )
        epoch = Epoch(process.seen_epoch)
        self.desk = Master(process, epoch, namespace, pipeline, self._tasks, is_master=False)
        """What requests are answered from."""
        self.desk.age_ms = self.age_ms
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting: list[tuple[int, Callable[[bool], None]]] = []

    @property
    def applied(self) -> int:
        """Last entry that the answers show."""
        return self._replica.namespace.applied_seq

    def age_ms(self) -> int:
        """How old the answers may be."""
        now_s = self._process.world.clock.boot_s()
        return max(0, round(1000 * (now_s - self.caught_up_s)))

    # -- following ---------------------------------------------------------------------------
    def start(self) -> None:
        """Begin to follow. Call once."""
        process = self._process
        tasks = self._tasks
        context = MasterContext(self.desk, process, _UNKNOWN_ENGINE)
        self.desk.context = context
        process.sessions.remap(self.desk.rules, self.desk.now_s())
        self._read_members()
        process.applied = lambda: self.applied
        tasks.start("follow", self._follow())
        tasks.start("watch", watch(self.desk, context, process.engine))
        tasks.start("checkpoint", self._checkpoint())

    async def close(self) -> None:
        """Nothing of it runs after this."""
        self._replica.on_applied = None
        await self._tasks.close()
        for _, done in self._waiting:
            done(False)
        self._waiting.clear()

    def _task_failed(self, name: str, error: BaseException) -> None:
        """A background task ended: so does the role, but for a listing."""
        if name.startswith("standby.dirlist"):
            self._process.world.log.error("listing failed", task=name, reason=repr(error))
        elif not self._failed.done():
            self._failed.set_exception(error)
            self._failed.exception()  # Looked at by who waits for a claim, or by nobody.

    def _log_break(self, why: str) -> None:
        """Nothing is written through a standby's pipeline, so nothing can break it."""
        self._process.world.log.error("a standby's pipeline broke", reason=why)

    async def _follow(self) -> None:
        reader = Reader(self._process.engine, self._replica.position, self._replica.apply)
        await reader.follow()

    def _applied(self, entry: Entry, sections: dict[str, None]) -> None:
        process, desk = self._process, self.desk
        process.saw_epoch(entry.epoch)
        desk.pipeline.replayed(entry.seq)
        for section in sections:
            desk.config_applied(section)
        if MEMBER_SECTION in sections:
            self._read_members()
        if self._waiting:
            ready = [done for seq, done in self._waiting if seq <= entry.seq]
            self._waiting = [item for item in self._waiting if item[0] > entry.seq]
            for done in ready:
                done(True)

    def _read_members(self) -> None:
        section = queries.config(self._replica.namespace, MEMBER_SECTION)
        self._process.members_changed(section)

    def when_applied(self, seq: int, seconds: float, done: Callable[[bool], None]) -> None:
        """Call `done(True)` once entry `seq` is applied, `done(False)` after `seconds` without."""
        if seq <= self.applied:
            done(True)
            return
        item = (seq, done)
        self._waiting.append(item)

        def expire() -> None:
            if item in self._waiting:
                self._waiting.remove(item)
                done(False)

        asyncio.get_running_loop().call_later(seconds, expire)

    async def _checkpoint(self) -> None:
        process = self._process
        namespace = self._replica.namespace
        keeper = Checkpointer(
            process.engine,
            process.flush,
            lambda: Seq(namespace.applied_seq),
            closed=process.closed_through,
        )
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            process.durable = await keeper.step()

    # -- deciding ----------------------------------------------------------------------------
    async def until_claimed(self) -> Mandate:
        """Follow and look until the journal is ours.

        Raises what ended the role: Trimmed, Corrupt, StoreError...
        """
        observer = self._process.observer
        while True:
            await observer.next_look()
            if self._failed.done():
                self._failed.result()
            mandate = await self._consider(observer.seen if not observer.trouble else None)
            if mandate is not None:
                return mandate

    async def _consider(self, seen: Observation | None) -> Mandate | None:
        """One cycle: note what was seen, decide, perhaps claim."""
        process = self._process
        if seen is not None:
            self._note(seen)
        silence_s = process.observer.detector.silence_s
        situation = self._situation(seen)
        verdict = decide(situation, process.timing)
        process.is_eligible = is_eligible(situation)
        process.observer.pause_s = next_look_s(situation, process.timing)
        if verdict.claim is None or seen is None:
            self._say(verdict.why)
            return None
        process.world.log.info("claims the journal", reason=verdict.why)
        return await self._claim(seen, verdict, silence_s)

    def _note(self, seen: Observation) -> None:
        process = self._process
        if seen.owner is not None:
            epoch = seen.owner.epoch
            process.saw_epoch(epoch)
            if epoch != self.desk.epoch:
                self.desk.new_epoch(epoch)
        if self.applied >= seen.last:
            self.caught_up_s = process.world.clock.boot_s()
            self.is_caught_up = True

    def _situation(self, seen: Observation | None) -> Situation:
        process = self._process
        owner = seen.owner if seen is not None else None
        epoch = int(owner.epoch) if owner is not None else 0
        section = queries.config(self._replica.namespace, SUCCESSOR_SECTION)
        named = successor_of(section, epoch) if owner is not None else None
        return Situation(
            address=process.address,
            is_member=process.is_member,
            is_alone=process.is_alone,
            fault=process.fault,
            is_answered=seen is not None,
            owner=owner.address if owner is not None else "",
            epoch=epoch,
            silence_s=process.observer.detector.silence_s,
            head=int(seen.last) if seen is not None else 0,
            applied=self.applied,
            successor=named.node if named is not None else "",
            successor_why=named.why if named is not None else "",
            has_resigned=owner is not None and process.peers.has_resigned(owner),
            is_gone=owner is not None and process.peers.is_gone(owner),
        )

    def _say(self, why: str) -> None:
        self._process.why = why

    async def _claim(self, seen: Observation, verdict: Verdict, silence_s: float) -> Mandate | None:
        process = self._process
        assert verdict.claim is not None
        loop = asyncio.get_running_loop()
        decided_s = loop.time()
        # Always an epoch that nobody has heard of. One that was proposed before without an answer
        # may be the owner by now, but this MGM has not served it, and said so to the others: they
        # would take a second claim of that epoch for one that was given up already.
        seen_epoch = seen.owner.epoch if seen.owner is not None else 0
        owner = Owner(
            node=process.address,
            epoch=Epoch(max(seen_epoch, process.highest_epoch, process.proposed_epoch) + 1),
            address=process.address,
            since_ns=process.world.clock.now_ns(),
        )
        process.propose(owner.epoch)
        # Silence may be a disk below the engine that hangs: it answers reads, and the master's
        # beat waits there with our claim behind it. Then the beat is to win.
        still = seen if verdict.claim is Claim.SILENT else None
        why = await self._take(seen.owner, owner, still)
        if why:
            process.resign()
            self._say(why)
            return None
        process.claimed()
        must_wait = not await self._was_quiet(seen, owner, verdict.claim)
        return Mandate(
            owner=owner,
            before=seen.owner.address if seen.owner is not None else "",
            verdict=verdict,
            decided_s=decided_s,
            claimed_s=loop.time(),
            silence_s=silence_s,
            must_wait=must_wait,
        )

    async def _take(self, seen: Owner | None, owner: Owner, still: Observation | None) -> str:
        """Claim; why it failed, empty when it did not."""
        try:
            async with asyncio.timeout(CLAIM_SECONDS_MAX):
                won = await claim(self._process.engine, seen, owner, still)
        except TimeoutError:
            return "the journal engine did not say whether the claim succeeded"
        return "" if won else "another MGM was faster, or the master lives"

    async def _was_quiet(self, seen: Observation, owner: Owner, ground: Claim) -> bool:
        """Whether the reads of the old master have certainly ended.

        Between the look that decided and the claim it may have written once more; a claim compares
        only the owner. What the journal holds now is all that it ever wrote.
        """
        if ground in (Claim.FIRST, Claim.ALONE, Claim.RESIGNED):
            return True
        after = await self._process.observer.look()
        if after is None or after.owner != owner or after.last != seen.last:
            return False
        # Who hands over goes on beating, but answers nothing before it takes its word back, and
        # that would be an entry.
        return ground is Claim.HANDED_OVER or after.beats == seen.beats
