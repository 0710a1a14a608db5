"""What the admin verbs see of the MGM; see roles.mgm.admin.context."""

from thesan import __version__
from thesan.core.authority.capability import Op
from thesan.core.authority.vid import Account
from thesan.core.model.identity import Identity
from thesan.core.model.ids import Fsid
from thesan.core.model.paths import join_cgi
from thesan.core.namespace import queries
from thesan.core.namespace.inode import Inode
from thesan.core.namespace.state import Namespace
from thesan.ports.engine import EngineStatus
from thesan.ports.host import HostLoad
from thesan.roles.mgm.admin.context import MgmFigures, MgmState, Session
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.process import Process
from thesan.roles.mgm.tickets import Work
from thesan.roles.mgm.view import ClusterView


class MasterContext:
    """AdminContext over the object graph of a role."""

    def __init__(self, master: Master, process: Process, engine: EngineStatus) -> None:
        self._master = master
        self._process = process
        self._boot_s = master.now_s() - process.started_s
        self.engine = engine
        """As last looked at; `mastership` looks every few seconds."""

    @property
    def namespace(self) -> Namespace:
        return self._master.namespace

    @property
    def view(self) -> ClusterView:
        return self._master.view

    @property
    def config(self) -> MgmConfig:
        """Settings of this MGM."""
        return self._master.config

    @property
    def now_ns(self) -> int:
        return self._master.now_ns()

    @property
    def now_s(self) -> float:
        return self._master.now_s()

    def dice(self) -> int:
        """64 unpredictable bits."""
        return self._master.dice.number()

    def user_name(self, uid: int) -> str:
        """Name of a uid; its number as text when it has none."""
        return self._master.names.user(uid, self.now_s)

    def group_name(self, gid: int) -> str:
        """Name of a gid, likewise."""
        return self._master.names.group(gid, self.now_s)

    def account(self, name: str) -> Account | None:
        """What the MGM's host knows of a user name."""
        return self._master.names.account(name, self.now_s)

    def load(self) -> HostLoad:
        """Figures of this process and its host."""
        return self._master.world.host.load()

    def figures(self) -> MgmFigures:
        """What this process knows of itself."""
        master, engine, process = self._master, self.engine, self._process
        leader = process.leader()
        counters = queries.counters(master.namespace)
        return MgmFigures(
            instance=master.config.instance,
            address=master.address,
            version=__version__,
            start_ns=master.figures.start_ns,
            boot_s=self._boot_s,
            is_master=master.is_master,
            master=leader.master_address,
            mgms=process.members,
            epoch=leader.epoch,
            committed_seq=master.pipeline.held.committed,
            pending_ops=master.pipeline.pending_ops,
            held_answers=master.pipeline.held.count,
            engine=engine.kind,
            engine_first=engine.first,
            engine_last=engine.last,
            engine_bytes=engine.used_bytes,
            engine_healthy=engine.healthy,
            file_count=counters.files,
            directory_count=counters.directories,
            cached_count=master.namespace.cached_count,
            fid_last=master.fids.last,
            open_uploads=len(master.uploads),
            connection_count=len(master.sessions),
            op_figures=master.figures.table(master.now_s()),
            role=process.role.value,
            why=process.why,
            lag=process.lag(),
            age_ms=master.age_ms(),
            # A master does not look: what troubled its last look says nothing of now.
            engine_members=engine.members,
            engine_detail=engine.detail
            if process.observer.is_idle
            else process.observer.trouble or engine.detail,
        )

    def mgms(self) -> list[MgmState]:
        """Every MGM of the instance, by address."""
        return self._process.mgm_states()

    def sessions(self) -> list[Session]:
        """Logged-in clients, in the order of login."""
        return [
            Session(
                connection.identity,
                connection.idle_seconds,
                connection.pid,
                connection.user,
            )
            for connection, _ in self._master.sessions.all()
            if connection.identity is not None
        ]

    def replica_url(self, inode: Inode, path: str, fsid: int, identity: Identity) -> str:
        """`root://FST//path?cap=...` for one replica; empty when its fs is not configured."""
        master = self._master
        state = master.view.filesystem(fsid)
        if state is None:
            return ""
        place = (Fsid(fsid), master.node_of(fsid))
        work = Work(Op.CHECKSUM, inode.fid, path, inode.layout)
        cgi = master.tickets.capability(work, place, identity, master.now_unix())
        return f"root://{state.record.node}/{join_cgi(path, cgi)}"
