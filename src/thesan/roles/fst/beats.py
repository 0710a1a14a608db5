"""The beat: each second, to every MGM, what this node has and how it is; and obeying the answer.

A beat never waits for a disk: the figures of a disk that hangs stay old, and after a while it is
taken out of service. Answers are obeyed only forwards: an MGM that was master once can't bring back
an older configuration or an older epoch.
"""

import asyncio
import errno
from collections.abc import Callable

from thesan.core.control.messages import Beat, BeatReply, NodeReport
from thesan.core.model.errors import OperationError
from thesan.core.model.limits import (
    BEAT_SECONDS,
    BEAT_SECONDS_MIN,
    CONTROL_CALL_SECONDS_MAX,
    DELETED_REPORTED_MAX,
    DISK_HANG_SECONDS_MAX,
)
from thesan.io.tasks import TaskOwner
from thesan.ports.host import Host, HostLoad
from thesan.ports.log import Log
from thesan.roles.fst.deletions import Deletions
from thesan.roles.fst.fleet import Fleet
from thesan.roles.fst.mgms import MgmLink, Mgms
from thesan.roles.fst.store import FsStore


class Heart:
    """Beats for all links; keeps the epoch."""

    def __init__(
        self,
        node: str,
        boot_id: str,
        describe: Callable[[HostLoad], NodeReport],
        fleet: Fleet,
        deletions: Deletions,
        mgms: Mgms,
        host: Host,
        tasks: TaskOwner,
        log: Log,
    ) -> None:
        """`describe` fills a NodeReport from the host's figures."""
        self.is_active = True
        """`node set on|off`; off: nothing new is opened."""
        self._node = node
        self._boot_id = boot_id
        self._describe = describe
        self._fleet = fleet
        self._deletions = deletions
        self._mgms = mgms
        self._host = host
        self._tasks = tasks
        self._log = log
        self._config_seq = -1
        self._config_epoch = -1
        """Of the master that configured this node: another one counts anew."""
        self._report = NodeReport()
        self._disk_loads: dict[str, tuple[float, float, float]] = {}
        self._asked_at: dict[str, float] = {}
        self._news: dict[str, asyncio.Event] = {}

    @property
    def epoch(self) -> int:
        """Highest epoch that an MGM has shown; capabilities of older ones are refused."""
        return self._mgms.epoch

    def tell(self) -> None:
        """Something changed that the MGMs should know before the next second: beat soon."""
        for news in self._news.values():
            news.set()

    async def measure(self) -> None:
        """Take the figures, each second, for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                self._report = self._describe(self._host.load())
                for store in self._fleet.stores:
                    self._disk_loads[store.path] = self._host.disk_load(store.path)
                    self._ask_usage(store, loop.time())
            except Exception as error:
                # Old figures are better than none for ever.
                self._log.error("figures not taken", error=repr(error))
            due = max(due + BEAT_SECONDS, loop.time())
            await asyncio.sleep(due - loop.time())

    def _ask_usage(self, store: FsStore, now: float) -> None:
        """Begin to ask the disk how full it is, unless it still owes the last answer."""
        since = self._asked_at.get(store.path)
        if since is None:
            self._asked_at[store.path] = now
            self._tasks.start(f"usage {store.path}", self._usage(store))
        elif now - since > DISK_HANG_SECONDS_MAX:
            text = f"the disk did not answer for {DISK_HANG_SECONDS_MAX:.0f} s"
            store.note_error(OperationError(errno.EIO, text))

    async def _usage(self, store: FsStore) -> None:
        try:
            await store.refresh_usage()
        finally:
            del self._asked_at[store.path]

    async def visit(self, link: MgmLink) -> None:
        """Beat on one link until it breaks. Raises OperationError or ControlError then."""
        loop = asyncio.get_running_loop()
        news = self._news[link.address] = asyncio.Event()
        due = loop.time()
        while True:
            beat = self._beat()
            reply = await link.ask(beat, BeatReply, CONTROL_CALL_SECONDS_MAX)
            self._obey(beat, reply)
            await asyncio.sleep(BEAT_SECONDS_MIN)
            due = max(due + BEAT_SECONDS, loop.time())
            try:
                async with asyncio.timeout_at(due):
                    await news.wait()
            except TimeoutError:
                pass
            else:
                due = loop.time()
            news.clear()

    def _beat(self) -> Beat:
        return Beat(
            node=self._node,
            boot_id=self._boot_id,
            report=self._report,
            filesystems=[
                store.report(self._disk_loads.get(store.path, (0.0, 0.0, 0.0)))
                for store in self._fleet.stores
                if store.fsid or store.config is not None
            ],
            epoch=self.epoch,
            config_seq=self._config_seq if self._config_epoch == self.epoch else -1,
            deleted=self._deletions.done(DELETED_REPORTED_MAX),
        )

    def _obey(self, beat: Beat, reply: BeatReply) -> None:
        if reply.epoch < self.epoch:
            return  # it was master once, and does not know yet that it is no more
        self._mgms.heard(reply.epoch, reply.master_address)
        if reply.master:
            self._mgms.heard_members(reply.mgms)
            self._configure(reply)
            self._deletions.reported(beat.deleted)
            self._deletions.order(reply.deletions)
            return
        self._mgms.heard_of(reply.mgms)
        if self._config_epoch < 0:
            # No master yet since we started: an older configuration is better than none.
            self._switch(reply)
            if reply.filesystems is not None:
                self._fleet.configure(reply.filesystems)

    def _configure(self, reply: BeatReply) -> None:
        """As the master has it; an answer that was overtaken by a later one changes nothing."""
        is_first = self._config_epoch != reply.epoch
        self._switch(reply)
        if reply.filesystems is not None and (is_first or reply.config_seq >= self._config_seq):
            self._config_epoch, self._config_seq = reply.epoch, reply.config_seq
            self._fleet.configure(reply.filesystems)

    def _switch(self, reply: BeatReply) -> None:
        if reply.active != self.is_active:
            self._log.info("node switched", active=reply.active)
            self.is_active = reply.active
