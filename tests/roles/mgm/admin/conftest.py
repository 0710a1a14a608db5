"""An MGM as the admin verbs see it: a real namespace and cluster view, no network."""

from collections.abc import Callable
from typing import Any

import pytest

from thesan.core.control.messages import Admin, AdminReply, Beat, FsReport, NodeReport
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ROOT, Identity
from thesan.core.namespace import ops, queries
from thesan.core.namespace.inode import Inode
from thesan.core.namespace.ops import ConfigSet, Op, Result
from thesan.core.namespace.state import Namespace
from thesan.ports.host import HostLoad
from thesan.roles.mgm.admin.context import Change, MgmFigures, MgmState, OpFigures, Session
from thesan.roles.mgm.admin.dispatch import run
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.view import ClusterView
from thesan.worlds.simulated.memory_store import MemoryStore

GIB = 1 << 30
USERS = {"alice": (1000, 100, (100,)), "bob": (1001, 100, (100, 4))}


class Mgm:
    """AdminContext, and what a test does with it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.namespace = Namespace(self.store)
        self.now_ns = 1_800_000_000 * 10**9
        self.now_s = 1000.0
        self.view = ClusterView(lambda section: queries.config(self.namespace, section), self.now_s)
        self.config = MgmConfig(
            instance="test", keytab="# a secret", journal="etcd:e1:2379/test", failover="fast"
        )
        self.open_sessions: list[Session] = []
        self.seq = 0
        self.next_fid = 100

    def dice(self) -> int:
        return 4711

    def user_name(self, uid: int) -> str:
        return next((name for name, one in USERS.items() if one[0] == uid), str(uid))

    def group_name(self, gid: int) -> str:
        return {100: "users"}.get(gid, str(gid))

    def account(self, name: str) -> tuple[int, int, tuple[int, ...]] | None:
        return USERS.get(name)

    def load(self) -> HostLoad:
        return HostLoad(0.25, 0.0, 0.0, 0.0, 1 << 27, 1 << 30, 9, 12, "6.1", 0)

    def figures(self) -> MgmFigures:
        counters = queries.counters(self.namespace)
        return MgmFigures(
            instance="test",
            address="mgm1:1094",
            version="0.1.0",
            start_ns=self.now_ns - 60 * 10**9,
            boot_s=0.5,
            is_master=True,
            master="mgm1:1094",
            mgms=("mgm1:1094", "mgm2:1094"),
            epoch=3,
            committed_seq=self.seq,
            pending_ops=0,
            held_answers=0,
            engine="memory",
            engine_first=1,
            engine_last=self.seq,
            engine_bytes=4096,
            engine_healthy=True,
            file_count=counters.files,
            directory_count=counters.directories,
            cached_count=self.namespace.cached_count,
            fid_last=self.next_fid,
            open_uploads=0,
            connection_count=len(self.open_sessions),
            op_figures=(OpFigures("Stat", 7, rate_5s=1.4),),
        )

    def mgms(self) -> list[MgmState]:
        return [
            MgmState("mgm1:1094", True, "master", True, 3, 9, 9, 0, 0, "was first", NodeReport()),
            MgmState("mgm2:1094", False, "", False, 0, 0, 0, 9, "~", "never heard", NodeReport()),
        ]

    def sessions(self) -> list[Session]:
        return list(self.open_sessions)

    def replica_url(self, inode: Inode, path: str, fsid: int, identity: Identity) -> str:
        return f"root://fs{fsid}/{path}?cap=x"

    # -- for the tests -----------------------------------------------------------------------------
    def apply(self, *some: Op) -> list[Result]:
        """Apply, store and settle."""
        results = []
        for op in some:
            results.append(self.namespace.apply(op, self.namespace.op_count + 1))
            if isinstance(op, ConfigSet):
                self.view.config_changed(op.section)
        self.seq += 1
        changes = self.namespace.take_changes(self.namespace.op_count, self.seq, 3, 0)
        self.store.write(changes)
        self.namespace.settle(changes)
        return results

    def do(self, command: str, identity: Identity = ROOT, **args: Any) -> AdminReply:
        """One command; what it changes is applied."""
        noun, _, verb = command.partition(" ")
        outcome = run(self, Admin(noun=noun, verb=verb, args=args), identity)
        if isinstance(outcome, Change):
            self.apply(*outcome.ops)
            return outcome.reply
        return outcome

    def beat(self, node: str, *reports: FsReport, geotag: str = "") -> None:
        """A beat of an FST now."""
        report = NodeReport(
            geotag=geotag,
            version="0.1.0",
            kernel="6.1",
            start_ns=self.now_ns - 10**10,
            net_in_mb_per_s=1.0,
            net_out_mb_per_s=2.0,
            net_mb_per_s_max=119.0,
            pid=77,
        )
        self.view.beat(
            Beat(node=node, boot_id="b", report=report, filesystems=list(reports)), self.now_s
        )

    def report(self, fsid: int, **fields: Any) -> FsReport:
        """What an FST says of a healthy filesystem, half full."""
        state = self.view.filesystem(fsid)
        assert state is not None
        values: dict[str, Any] = {
            "fsid": fsid,
            "uuid": state.record.uuid,
            "path": state.record.path,
            "boot": "booted",
            "capacity_bytes": 100 * GIB,
            "free_bytes": 50 * GIB,
            "files": 1000,
            "free_files": 900,
            "used_files": 5,
        }
        return FsReport(**{**values, **fields})

    def grow(self, count: int, space: str = "default", hosts: int = 2) -> None:
        """Add and boot filesystems on some nodes."""
        for number in range(count):
            node = f"fst{number % hosts + 1}:1095"
            self.do(
                "fs add",
                uuid=f"uuid-{space}-{number}",
                node=node,
                path=f"/d/{space}/{number}",
                space=space,
            )
        self.beat_all()

    def beat_all(self) -> None:
        """Every configured node reports all its filesystems as healthy."""
        nodes = dict.fromkeys(fs.record.node for fs in self.view.filesystems())
        for node in nodes:
            members = self.view.filesystems_of(node)
            self.beat(node, *(self.report(fs.fsid) for fs in members))

    def make_file(
        self, name: str, fsids: tuple[int, ...], size: int = 10, parent: int = 1, uid: int = 1000
    ) -> int:
        """A committed file with replicas; its fid."""
        self.next_fid += 1
        self.apply(
            ops.CommitFile(
                parent=parent,
                name=name,
                fid=self.next_fid,
                mode=0o640,
                uid=uid,
                gid=100,
                layout=0x112,
                size=size,
                adler32=0x1234ABCD,
                crc32c=0xCAFE,
                locations=fsids,
                mtime_ns=self.now_ns,
                time_ns=self.now_ns,
            )
        )
        return self.next_fid

    def make_directory(self, name: str, parent: int = 1, mode: int = 0o755, uid: int = 0) -> int:
        """A directory; its fid."""
        self.next_fid += 1
        self.apply(
            ops.MakeDirectory(
                parent=parent,
                name=name,
                fid=self.next_fid,
                mode=mode,
                uid=uid,
                gid=0,
                time_ns=self.now_ns,
            )
        )
        return self.next_fid


@pytest.fixture
def mgm() -> Mgm:
    mgm = Mgm()
    mgm.apply(ops.ReserveFids(1 << 20))
    return mgm


@pytest.fixture
def alice() -> Identity:
    return Identity(uid=1000, gid=100, gids=(100,), name="alice", prot="unix", host="client1")


@pytest.fixture
def refused() -> Callable[..., None]:
    """refused(errno, text, call, ...): the call raises that OperationError."""

    def check(number: int, text: str, call: Callable[..., object], *args: Any, **kw: Any) -> None:
        with pytest.raises(OperationError, match=text or ".") as caught:
            call(*args, **kw)
        assert caught.value.errno == number, caught.value.text

    return check
