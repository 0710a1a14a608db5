"""What an admin verb may know and what it may answer.

A verb is a function `(context, args, identity) -> AdminReply | Change`. It reads, and where it
changes something it returns ops; it never writes. The MGM applies the ops of a Change in order and
sends the reply when they are durable. A resend under the same op_id is the MGM's
business: the verb is not called again.
"""

from typing import Any, Protocol

import msgspec

from thesan.core.authority.vid import Account
from thesan.core.control.messages import AdminReply, NodeReport
from thesan.core.model.identity import Identity
from thesan.core.namespace.inode import Inode
from thesan.core.namespace.ops import Op
from thesan.core.namespace.state import Namespace
from thesan.ports.engine import EngineMember
from thesan.ports.host import HostLoad
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.view import ClusterView

Args = dict[str, Any]
"""`Admin.args`: checked by the verb with admin.args."""


class Change(msgspec.Struct, frozen=True):
    """Apply `ops`, then answer `reply`."""

    ops: list[Op]
    reply: AdminReply
    is_whole: bool = True
    """All or nothing, in one batch of the journal. False: each op is right without the others, and
    the command can be repeated, so that there may be more of them than one batch takes."""
    is_secret: bool = False
    """The reply must not be written anywhere: a resend does the command again, instead of being
    given the first answer."""


Outcome = AdminReply | Change


class Session(msgspec.Struct, frozen=True):
    """One client connection, for `who`."""

    identity: Identity
    idle_s: float
    pid: int = 0
    user: str = ""
    """Login name as given by the client."""


class OpFigures(msgspec.Struct, frozen=True):
    """One counter of `ns stat`."""

    name: str
    """As EOS names it: Stat, Open, OpenRead, OpenWrite, Create, Commit, Mkdir, Rm, Rename..."""
    count: int
    rate_5s: float = 0.0
    rate_1min: float = 0.0
    rate_5min: float = 0.0
    rate_1h: float = 0.0
    mean_ms: float = 0.0
    sigma_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


class MgmState(msgspec.Struct, frozen=True):
    """One MGM of the instance, as this one knows it."""

    address: str
    is_online: bool
    role: str
    """starting, standby, master; empty when it was never heard."""
    eligible: bool
    epoch: int
    applied: int
    durable: int
    lag: int
    """Journal entries that it is behind."""
    heartbeat: int | str
    """Seconds since it was heard; `~` when it never was."""
    why: str
    report: NodeReport


class MgmFigures(msgspec.Struct, frozen=True):
    """What the MGM process knows of itself, for `ns`, `version` and `node`."""

    instance: str
    address: str
    """`host:port` of this MGM."""
    version: str
    start_ns: int
    """Wall-clock start of the process."""
    boot_s: float
    """Seconds from start until it could serve."""
    is_master: bool
    master: str
    """`host:port` of the master, empty when none is known."""
    mgms: tuple[str, ...]
    epoch: int
    committed_seq: int
    """Last journal batch that is durable and applied here."""
    pending_ops: int
    held_answers: int
    engine: str
    """Kind of the journal engine: memory, sqlite, etcd."""
    engine_first: int
    engine_last: int
    engine_bytes: int
    engine_healthy: bool
    file_count: int
    directory_count: int
    cached_count: int
    """Inodes in memory."""
    fid_last: int
    """Highest fid given out by this MGM; 0 before the first."""
    open_uploads: int
    connection_count: int
    op_figures: tuple[OpFigures, ...] = ()
    role: str = "master"
    """starting, standby, master."""
    why: str = ""
    """One sentence: why this MGM is, or is not, master."""
    lag: int = 0
    """Journal entries that are not applied here yet."""
    age_ms: int = 0
    """How old what it answers may be."""
    engine_detail: str = ""
    """What the engine says of itself; why it does not answer."""
    engine_members: tuple[EngineMember, ...] = ()


class AdminContext(Protocol):
    """The MGM as the verbs see it. `now_ns` is wall-clock time, `now_s` monotonic."""

    @property
    def namespace(self) -> Namespace: ...

    @property
    def view(self) -> ClusterView: ...

    @property
    def config(self) -> MgmConfig:
        """Settings of this MGM, the keytab among them."""
        ...

    @property
    def now_ns(self) -> int: ...

    @property
    def now_s(self) -> float: ...

    def dice(self) -> int:
        """64 unpredictable bits."""
        ...

    def user_name(self, uid: int) -> str:
        """Name of a uid; its number as text when it has none."""
        ...

    def group_name(self, gid: int) -> str:
        """Name of a gid, likewise."""
        ...

    def account(self, name: str) -> Account | None:
        """What the MGM's host knows of a user name."""
        ...

    def load(self) -> HostLoad:
        """Figures of this process and its host."""
        ...

    def figures(self) -> MgmFigures: ...

    def mgms(self) -> list[MgmState]:
        """Every MGM of the instance, by address."""
        ...

    def sessions(self) -> list[Session]:
        """Logged-in clients, in the order of login."""
        ...

    def replica_url(self, inode: Inode, path: str, fsid: int, identity: Identity) -> str:
        """`root://FST//path?cap=...` (op CHECKSUM) that lets the caller ask one FST for the size
        and the checksum of its own replica."""
        ...
