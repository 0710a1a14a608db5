"""Master: everything that lives as long as one mastership, and the few verbs that all requests use.

Built fresh by `mastership` from the store and the journal, dropped whole when the mastership ends:
nothing in here is ever converted from one role to another. A standby builds one too, over a
pipeline that takes no change, and answers reads from it: its desk.
"""

import asyncio
import errno
from collections.abc import Callable, Mapping, Sequence

from thesan.core.authority.rules import VID_SECTION, VidRules, parse_rules
from thesan.core.leadership.records import MEMBER_SECTION
from thesan.core.model.errors import OperationError
from thesan.core.model.ids import Epoch, Fid, NodeId
from thesan.core.model.limits import FST_RETURN_SECONDS_MAX, NODE_COUNT_MAX
from thesan.core.model.units import NS_PER_S
from thesan.core.namespace import queries
from thesan.core.namespace.ops import ConfigSet, Op, ReserveFids, Result
from thesan.core.namespace.state import Namespace
from thesan.core.placement.records import SpaceRecord
from thesan.core.placement.topology import Topology
from thesan.core.wire import responses
from thesan.io.tasks import TaskOwner
from thesan.io.transport.server import ServerConnection
from thesan.roles.mgm.admin.context import AdminContext
from thesan.roles.mgm.dice import Dice
from thesan.roles.mgm.fids import Fids
from thesan.roles.mgm.pipeline import Pipeline
from thesan.roles.mgm.process import Process
from thesan.roles.mgm.tickets import Tickets
from thesan.roles.mgm.uploads import Uploads
from thesan.roles.mgm.view import SECTIONS, ClusterView


class Master:
    """The object graph of one role. Handlers take it as their first argument."""

    def __init__(
        self,
        process: Process,
        epoch: Epoch,
        namespace: Namespace,
        pipeline: Pipeline,
        tasks: TaskOwner,
        *,
        is_master: bool,
    ) -> None:
        """On a standby `pipeline` takes no change, and `epoch` is that of the master it knows."""
        self.process = process
        self.is_master = is_master
        self.world = process.world
        self.config = process.config
        self.address = process.address
        """`host:port` under which clients know this MGM."""
        self.epoch = epoch
        self.namespace = namespace
        self.tree = namespace.tree
        """For the hot path: `tree.tree_tag` without a property on the way."""
        self.tables = namespace.tree.tables
        """For the hot path: `tables.committed_tag`."""
        self.pipeline = pipeline
        self._lease = pipeline.held.lease
        self._boot_s = pipeline.held.clock
        self.sessions = process.sessions
        self.names = process.names
        self.figures = process.figures
        self.tasks = tasks
        self.loop = asyncio.get_running_loop()
        self.dice = Dice(process.world.entropy)
        self.tickets = Tickets(process.keytab, self.dice, epoch, self.now_unix())
        self.uploads: Uploads[bytes] = Uploads()
        self.view = ClusterView(
            lambda section: queries.config(namespace, section), process.started_s
        )
        for beat, at_s in process.beats.values():
            self.view.beat(beat, at_s)
        self.fids = Fids(Fid(namespace.fid_limit), self._reserve_fids)
        self.dark: frozenset[int] = frozenset()
        """Filesystems that can't be read now, as of the last look of `watch`."""
        self.config_number = namespace.op_count
        """Number of the op that changed the configuration of FSTs last, or that this mastership
        began with: it only grows, also over masterships, so that an FST never goes back."""
        self.age_ms: Callable[[], int] = _no_age
        """How old what is answered from this may be."""
        self.context: AdminContext
        """What admin verbs see of this; set by `mastership`, which knows more than a Master."""
        self._rules: VidRules | None = None
        self._addresses: dict[NodeId, tuple[str, int]] = {}
        self._spaces: Mapping[str, SpaceRecord] | None = None

    # -- time ----------------------------------------------------------------------------------
    def now_ns(self) -> int:
        """Wall clock, for data."""
        return self.world.clock.now_ns()

    def now_unix(self) -> int:
        """Wall clock in whole seconds, for tickets."""
        return self.world.clock.now_ns() // NS_PER_S

    def now_s(self) -> float:
        """Monotonic seconds, for decisions."""
        return self.loop.time()

    @property
    def is_certain(self) -> bool:
        """This MGM is master, beyond any doubt, at this moment."""
        return self.is_master and self._boot_s() < self._lease.until

    # -- mutations and answers -------------------------------------------------------------------
    def submit(self, op: Op) -> Result:
        """Apply and journal one op; see Pipeline.submit."""
        result = self.pipeline.submit(op)
        if type(op) is ConfigSet:
            self._config_changed(op.section)
        return result

    def submit_all(self, ops: Sequence[Op]) -> None:
        """Apply and journal several ops in one batch; see Pipeline.submit_all."""
        self.pipeline.submit_all(ops)
        for op in ops:
            if type(op) is ConfigSet:
                self._config_changed(op.section)

    def done(self, connection: ServerConnection, sid: bytes, body: bytes = b"") -> bytes | None:
        """kXR_ok to a mutation, when it is durable."""
        return self.pipeline.answer_at_head(connection, responses.ok(sid, body))

    def show(self, connection: ServerConnection, tag: int, sid: bytes, body: bytes) -> bytes | None:
        """kXR_ok to a read that met what op number `tag` changed last (an inode's `seq`)."""
        if tag < self.tree.tree_tag:
            tag = self.tree.tree_tag
        return self.send(connection, tag, responses.ok(sid, body))

    def send(self, connection: ServerConnection, tag: int, data: bytes) -> bytes | None:
        """`data`, which shows what op number `tag` left: at once, or when it is certainly true."""
        if tag <= self.tables.committed_tag and self._boot_s() < self._lease.until:
            return data
        return self.pipeline.answer(connection, tag, data)

    def refuse(
        self, connection: ServerConnection, sid: bytes, error: OperationError
    ) -> bytes | None:
        """kXR_error, held like any answer that shows pending changes; kXR_wait for what is only
        a matter of time."""
        if error.errno in (errno.EAGAIN, errno.EUSERS):
            return responses.wait(sid, 1, error.text)
        return self.pipeline.answer_at_head(connection, responses.error_of(sid, error))

    def _reserve_fids(self, limit: int, done: Callable[[], None]) -> None:
        self.pipeline.submit(ReserveFids(limit))
        self.pipeline.held.call(self.pipeline.head, done)

    # -- configuration ---------------------------------------------------------------------------
    @property
    def rules(self) -> VidRules:
        """The identity rules as they are in memory now."""
        if self._rules is None:
            self._rules = parse_rules(queries.config(self.namespace, VID_SECTION))
        return self._rules

    def _config_changed(self, section: str) -> None:
        self._forget_config(section)
        if section in SECTIONS:
            self.config_number = self.namespace.op_count
        if section == MEMBER_SECTION:
            self.process.members_changed(queries.config(self.namespace, section))
        if section == VID_SECTION:
            # Not before it is durable: who is let in under a rule would show it.
            self.pipeline.held.call(
                self.pipeline.head, lambda: self.sessions.remap(self.rules, self.now_s())
            )

    def config_applied(self, section: str) -> None:
        """On a standby: an entry that changed this section is applied, and durable."""
        self._forget_config(section)
        if section == VID_SECTION:
            self.sessions.remap(self.rules, self.now_s())

    def _forget_config(self, section: str) -> None:
        self.view.config_changed(section)
        self._spaces = None
        if section == VID_SECTION:
            self._rules = None

    def new_epoch(self, epoch: Epoch) -> None:
        """On a standby: another master than before; capabilities of older epochs are refused."""
        self.epoch = epoch
        self.tickets = Tickets(self.process.keytab, self.dice, epoch, self.now_unix())

    def spaces(self) -> Mapping[str, SpaceRecord]:
        """Records of all spaces, kept until the configuration changes."""
        if self._spaces is None:
            self._spaces = self.view.spaces()
        return self._spaces

    # -- the cluster -----------------------------------------------------------------------------
    def topology(self) -> Topology:
        """The snapshot to place with."""
        return self.view.topology(self.now_s())

    def node_of(self, fsid: int) -> NodeId:
        """The FST that has a filesystem. OperationError EADDRNOTAVAIL when it was removed."""
        state = self.view.filesystem(fsid)
        if state is None:
            raise OperationError(errno.EADDRNOTAVAIL, f"filesystem {fsid} is not configured")
        return NodeId(state.record.node)

    def address_of(self, node: NodeId) -> tuple[str, int]:
        """(host, port) of a node's name, as a redirect wants them."""
        address = self._addresses.get(node)
        if address is None:
            host, _, port = node.rpartition(":")
            address = host, int(port)
            if len(self._addresses) < NODE_COUNT_MAX:
                self._addresses[node] = address
        return address

    def is_patient(self, fsids: tuple[int, ...] | None = None) -> bool:
        """True when what can't be reached now may be back soon: this MGM has not heard all FSTs
        since its start, or one of these filesystems (None: any) fell silent a moment ago."""
        now_s = self.now_s()
        if self.view.warming(now_s):
            return True
        for fs in self.view.filesystems():
            if fsids is not None and fs.fsid not in fsids:
                continue
            node = self.view.node(fs.record.node)
            if node is None or node.beat_s < 0.0:
                continue
            silent_s = now_s - node.beat_s
            if not node.online_at(now_s) and silent_s <= FST_RETURN_SECONDS_MAX:
                return True
            if node.online_at(now_s) and fs.report is not None and fs.report.boot == "booting":
                return True
        return False


def _no_age() -> int:
    return 0
