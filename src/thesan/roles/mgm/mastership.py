"""A term of mastership: the journal is claimed, everything is built anew, then served.

    Mandate ─► beats ─► store ─► namespace ─► replay to the head ─► writer ─► Master

The claim came first: after it nobody else can append, so the head that the replay reaches is the
head. Beats begin before the replay, so that a long one is not taken for silence. A mastership that
ends is dropped whole; the next one starts at the beginning of this line again.
"""

import asyncio
from collections.abc import Callable

from thesan.core.journal.entry import Position
from thesan.core.leadership.lease import ReadLease
from thesan.core.leadership.records import (
    HISTORY_SECTION,
    MEMBER_SECTION,
    MemberRecord,
    StoryRecord,
    encode_leadership,
    stories_to_drop,
    story_key,
)
from thesan.core.model.errors import Fenced, JournalError, StoreError, Unavailable
from thesan.core.model.ids import Seq
from thesan.core.model.limits import CHECKPOINT_SECONDS
from thesan.core.namespace import queries
from thesan.core.namespace.ops import ConfigSet, Op
from thesan.core.namespace.state import Namespace
from thesan.io.journal.checkpoint import Checkpointer
from thesan.io.journal.replay import replay
from thesan.io.journal.writer import JournalWriter
from thesan.io.tasks import TaskOwner
from thesan.ports.engine import Owner
from thesan.roles.mgm.admin_context import MasterContext
from thesan.roles.mgm.bootstrap import first_ops
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.pipeline import Pipeline
from thesan.roles.mgm.process import Process
from thesan.roles.mgm.replica import Replica
from thesan.roles.mgm.standby import Mandate
from thesan.roles.mgm.successors import is_replaceable
from thesan.roles.mgm.watch import watch


class Mastership:
    """One term: the Master, the writer it journals by, and its background tasks."""

    def __init__(self, process: Process, master: Master, writer: JournalWriter) -> None:
        self.master = master
        self._process = process
        self._writer = writer

    @property
    def owner(self) -> Owner:
        """What every append of this term is compared with."""
        return self._writer.owner

    @property
    def lost(self) -> str:
        """Why it is over; empty when it is not."""
        return self._writer.lost or ""

    async def drain(self) -> None:
        """Wait until everything submitted is durable. Raises JournalError when that fails."""
        await self._writer.flush()

    async def close(self) -> None:
        """End it: nothing more is written; who waits for an answer is disconnected."""
        self._process.pacemaker.stop()
        self.master.pipeline.broken("closed")
        await self.master.tasks.close()
        await self._writer.close()


class _Early:
    """Callbacks of the pacemaker, until there is a pipeline that they concern."""

    def __init__(self) -> None:
        self.pipeline: Pipeline | None = None
        self.fenced = ""
        self._sent_s = float("-inf")

    def on_confirmed(self, sent_s: float) -> None:
        self._sent_s = sent_s
        if self.pipeline is not None:
            self.pipeline.confirmed(sent_s)

    def on_fenced(self, why: str) -> None:
        self.fenced = why
        if self.pipeline is not None:
            self.pipeline.broken(why)

    def open(self, pipeline: Pipeline) -> None:
        """Pass on what came, and what comes. Raises Fenced."""
        if self.fenced:
            raise Fenced(self.fenced)
        self.pipeline = pipeline
        pipeline.confirmed(self._sent_s)


async def begin_term(
    process: Process, mandate: Mandate, on_lost: Callable[[str], None]
) -> Mastership:
    """Become master. `on_lost(why)` is called once if the mastership ends by itself.

    Raises Fenced (another MGM was faster), Trimmed, Corrupt, Unavailable, StoreError, ConfigError.
    """
    owner, early = mandate.owner, _Early()
    process.pacemaker.start(owner, process.timing.beat_s, early.on_confirmed, early.on_fenced)
    try:
        return await _build(process, mandate, early, on_lost)
    except BaseException:
        process.pacemaker.stop()
        raise


async def _build(
    process: Process, mandate: Mandate, early: _Early, on_lost: Callable[[str], None]
) -> Mastership:
    loop = asyncio.get_running_loop()
    clock = process.world.clock.boot_s
    namespace = Namespace(process.store)
    is_fresh = namespace.op_count == 0
    head = await _catch_up(process, namespace)
    is_fresh = is_fresh and head.seq == 0
    replayed_s = loop.time()

    lease = ReadLease(process.timing.lease_s)
    pipeline = Pipeline(namespace, process.store, head.seq, on_lost, lease, clock)

    def written(sent_s: float) -> None:
        process.pacemaker.written(sent_s)
        pipeline.confirmed(sent_s)

    writer = JournalWriter(
        process.engine,
        mandate.owner,
        Seq(head.seq + 1),
        head.crc,
        pipeline.broken,
        on_batch=pipeline.on_batch,
        on_confirmed=written,
        clock=clock,
    )
    pipeline.open(writer)
    process.applied = lambda: int(pipeline.held.committed)
    tasks = TaskOwner("master", _reporter(process, pipeline))
    master = Master(process, mandate.owner.epoch, namespace, pipeline, tasks, is_master=True)
    mastership = Mastership(process, master, writer)
    try:
        early.open(pipeline)
        writer.start()
        master.fids.start()
        if is_fresh:
            master.submit_all(first_ops(process.config, process.world.host))
        master.submit_all(_membership(process, namespace, mandate.owner))
        await writer.flush()
        if pipeline.store_failure:
            raise StoreError(pipeline.store_failure)
        master.context = MasterContext(master, process, await process.engine.status())
        process.sessions.remap(master.rules, master.now_s())
        if mandate.must_wait:
            # A quarter longer than the lease, which the old master counts by its own clock.
            end_s = mandate.claimed_s + process.timing.silence_short_s
            await asyncio.sleep(max(0.0, end_s - loop.time()))
        _tell_story(master, mandate, replayed_s)
        tasks.start("watch", watch(master, master.context, process.engine))
        tasks.start("checkpoint", _checkpoint(process, namespace, pipeline, mandate.owner))
    except BaseException:
        await mastership.close()
        raise
    return mastership


def _membership(process: Process, namespace: Namespace, owner: Owner) -> list[Op]:
    """The members, journaled: the settings' at the very first start; the master always."""
    known = queries.config(namespace, MEMBER_SECTION)
    record = encode_leadership(MemberRecord(owner.since_ns))
    wanted: tuple[str, ...] = (process.address,)
    ops: list[Op] = []
    if not known:
        wanted = tuple(dict.fromkeys((*process.config.mgms, process.address)))
    elif process.is_alone and process.address not in known:
        # The only MGM, under a new address.
        ops = [ConfigSet(MEMBER_SECTION, address, None) for address in known]
    new = [address for address in wanted if address not in known]
    return ops + [ConfigSet(MEMBER_SECTION, address, record) for address in new]


def _tell_story(master: Master, mandate: Mandate, replayed_s: float) -> None:
    """Journal what this switch was, and why."""
    now_s = master.now_s()
    owner, decided_s = mandate.owner, mandate.decided_s
    claim = mandate.verdict.claim
    story = StoryRecord(
        epoch=owner.epoch,
        node=owner.address,
        before=mandate.before,
        ground=claim.value if claim is not None else "",
        why=mandate.verdict.why,
        since_ns=owner.since_ns,
        phases={
            "silence": round(1000 * mandate.silence_s, 1),
            "claim": round(1000 * (mandate.claimed_s - decided_s), 1),
            "replay": round(1000 * (replayed_s - mandate.claimed_s), 1),
            "ready": round(1000 * (now_s - replayed_s), 1),
            "total": round(1000 * (now_s - decided_s), 1),
        },
    )
    section = queries.config(master.namespace, HISTORY_SECTION)
    ops: list[Op] = [ConfigSet(HISTORY_SECTION, key, None) for key in stories_to_drop(section)]
    ops.append(ConfigSet(HISTORY_SECTION, story_key(owner.epoch), encode_leadership(story)))
    master.submit_all(ops)


async def _catch_up(process: Process, namespace: Namespace) -> Position:
    """Apply what the journal has beyond the store."""
    replica = Replica(namespace, process.store)
    start = replica.position
    head = await replay(process.engine, start, replica.apply)
    if head.seq > start.seq:
        process.world.log.info("journal replayed", entries=head.seq - start.seq, head=head.seq)
    return head


def _reporter(process: Process, pipeline: Pipeline) -> Callable[[str, BaseException], None]:
    """A background task that dies is the end of the mastership: better anew than half alive. A
    listing is one client's, and says only what it found out about the store."""

    def report(name: str, error: BaseException) -> None:
        is_listing = name.startswith("master.dirlist")
        what = "listing failed" if is_listing else "background task failed"
        process.world.log.error(what, task=name, reason=repr(error))
        if isinstance(error, StoreError) and (not is_listing or is_replaceable(process)):
            pipeline.store_failed(error)
        elif not is_listing:
            pipeline.broken(f"{name} ended by {error!r}")

    return report


async def _checkpoint(
    process: Process, namespace: Namespace, pipeline: Pipeline, owner: Owner
) -> None:
    """Flush the store and trim the journal now and then."""
    checkpointer = Checkpointer(
        process.engine,
        process.flush,
        lambda: Seq(namespace.applied_seq),
        owner=owner,
        closed=process.closed_through,
        peers_durable=lambda: [Seq(seq) for seq in process.peers.durable()],
        is_alone=lambda: process.is_alone,
    )
    try:
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            try:
                process.durable = await checkpointer.step()
            except Unavailable:
                continue
    except StoreError as error:
        pipeline.store_failed(error)
    except JournalError as error:
        pipeline.broken(f"checkpoint: {error}")
