"""Becoming master: claim the journal, build everything anew from store and journal, then serve.

    owner() ─► claim(epoch + 1) ─► store ─► namespace ─► replay to the head ─► writer ─► Master

The claim comes first: after it nobody else can append, so the head that the replay reaches is the
head. A mastership that ends is dropped whole; the next one starts at the top of this line again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from thesan.core.authority.keytab import Keytab
from thesan.core.journal.entry import Entry, Position
from thesan.core.model.errors import Corrupt, Fenced, JournalError, OperationError, StoreError
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.limits import CHECKPOINT_SECONDS
from thesan.core.namespace.ops import decode_op
from thesan.core.namespace.state import Namespace
from thesan.io.journal.checkpoint import Checkpointer
from thesan.io.journal.claim import claim
from thesan.io.journal.replay import replay
from thesan.io.journal.writer import JournalWriter
from thesan.io.tasks import TaskOwner
from thesan.ports.engine import Engine, Owner
from thesan.ports.store import Store
from thesan.ports.world import World
from thesan.roles.mgm.admin_context import MasterContext
from thesan.roles.mgm.bootstrap import first_ops
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.figures import Figures
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.names import Names
from thesan.roles.mgm.pipeline import Pipeline
from thesan.roles.mgm.sessions import Sessions
from thesan.roles.mgm.watch import watch

Flush = Callable[[], Awaitable[None]]
"""Makes everything written to the store durable, without stopping the loop."""


@dataclass(frozen=True)
class Process:
    """What outlives a mastership."""

    world: World
    config: MgmConfig
    address: str
    """`host:port` under which clients know this MGM."""
    engine: Engine
    store: Store
    flush: Flush
    keytab: Keytab
    sessions: Sessions
    names: Names
    figures: Figures
    started_s: float
    """Monotonic start of the process."""


class Mastership:
    """One term: the Master, the writer it journals by, and its background tasks."""

    def __init__(self, master: Master, writer: JournalWriter, owner: Owner) -> None:
        self.master = master
        self.owner = owner
        self._writer = writer

    async def drain(self) -> None:
        """Wait until everything submitted is durable. Raises JournalError when that fails."""
        await self._writer.flush()

    async def close(self) -> None:
        """End it: nothing more is written; who waits for an answer is disconnected."""
        self.master.pipeline.broken("closed")
        await self.master.tasks.close()
        await self._writer.close()


async def take_over(process: Process, on_lost: Callable[[str], None]) -> Mastership:
    """Become master. `on_lost(why)` is called once if the mastership ends by itself.

    Raises Fenced (another MGM was faster), Trimmed, Corrupt, Unavailable, StoreError, ConfigError.
    """
    owner = await _claim(process)
    namespace = Namespace(process.store)
    is_fresh = namespace.op_count == 0
    head = await _catch_up(process, namespace)
    is_fresh = is_fresh and head.seq == 0

    pipeline = Pipeline(namespace, process.store, head.seq, on_lost)
    writer = JournalWriter(
        process.engine,
        owner,
        Seq(head.seq + 1),
        head.crc,
        pipeline.broken,
        on_batch=pipeline.on_batch,
    )
    pipeline.open(writer)
    tasks = TaskOwner("master", _reporter(process, pipeline))
    master = Master(
        process.world,
        process.config,
        process.address,
        owner.epoch,
        namespace,
        pipeline,
        process.keytab,
        process.sessions,
        process.names,
        process.figures,
        tasks,
    )
    mastership = Mastership(master, writer, owner)
    try:
        writer.start()
        master.fids.start()
        if is_fresh:
            master.submit_all(first_ops(process.config, process.world.host))
        await writer.flush()
        boot_s = asyncio.get_running_loop().time() - process.started_s
        context = MasterContext(master, boot_s, await process.engine.status())
        master.context = context
        process.sessions.remap(master.rules, master.now_s())
        tasks.start("watch", watch(master, context, process.engine))
        tasks.start("checkpoint", _checkpoint(process, namespace, pipeline, owner))
    except BaseException:
        await mastership.close()
        raise
    return mastership


async def _claim(process: Process) -> Owner:
    seen = await process.engine.owner()
    owner = Owner(
        node=process.address,
        epoch=Epoch((seen.epoch if seen is not None else 0) + 1),
        address=process.address,
        since_ns=process.world.clock.now_ns(),
    )
    if not await claim(process.engine, seen, owner):
        raise Fenced("another MGM became master first")
    return owner


async def _catch_up(process: Process, namespace: Namespace) -> Position:
    """Apply what the journal has beyond the store."""

    def apply(entry: Entry) -> bytes:
        for data in entry.ops:
            try:
                namespace.apply(decode_op(data), namespace.op_count + 1)
            except OperationError as error:
                raise Corrupt(f"an op of entry {entry.seq} can't be applied: {error}") from error
        changes = namespace.take_changes(namespace.op_count, entry.seq, entry.epoch, entry.crc)
        process.store.write(changes)
        namespace.settle(changes)
        return namespace.digest

    start = Position(
        Seq(namespace.applied_seq), Epoch(namespace.applied_epoch), namespace.applied_crc
    )
    head = await replay(process.engine, start, apply)
    if head.seq > start.seq:
        process.world.log.info("journal replayed", entries=head.seq - start.seq, head=head.seq)
    return head


def _reporter(process: Process, pipeline: Pipeline) -> Callable[[str, BaseException], None]:
    """A background task that dies is the end of the mastership: better anew than half alive."""

    def report(name: str, error: BaseException) -> None:
        if name.startswith("master.dirlist"):
            process.world.log.error("listing failed", task=name, reason=repr(error))
            return
        process.world.log.error("background task failed", task=name, reason=repr(error))
        pipeline.broken(f"{name} ended by {error!r}")

    return report


async def _checkpoint(
    process: Process, namespace: Namespace, pipeline: Pipeline, owner: Owner
) -> None:
    """Flush the store and trim the journal now and then."""
    checkpointer = Checkpointer(
        process.engine, process.flush, lambda: Seq(namespace.applied_seq), owner=owner
    )
    try:
        await checkpointer.run(CHECKPOINT_SECONDS)
    except (JournalError, StoreError) as error:
        pipeline.broken(f"checkpoint: {error}")
