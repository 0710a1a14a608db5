"""A naive model of the namespace, and a namespace with a store that is easy to play with."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.namespace import invariants, queries
from thesan.core.namespace.inode import S_IFDIR, S_IFLNK, S_IFREG, Inode
from thesan.core.namespace.ops import (
    AddReplica,
    CommitFile,
    ConfigSet,
    CreateFile,
    DeletionDone,
    DiscardReplicas,
    DropReplica,
    Link,
    MakeDirectory,
    Op,
    QuotaRemove,
    QuotaSet,
    RemoveDirectory,
    RemoveXattr,
    Rename,
    ReserveFids,
    Result,
    SetAttributes,
    SetXattr,
    Symlink,
    Unlink,
    UpdateFile,
)
from thesan.core.namespace.state import Namespace
from thesan.worlds.simulated.memory_store import MemoryStore

ROOT = Identity(0, 0, (0,), "root")
T0 = 10**18


class Instance:
    """A namespace, its store and its journal in one hand, with short words for ops."""

    def __init__(self, cache_entries_max: int = 1 << 20) -> None:
        self.cache_entries_max = cache_entries_max
        self.store = MemoryStore()
        self.ns = Namespace(self.store, cache_entries_max)
        self.time = T0
        self.fids = 1
        self.seq = 0
        self.apply(ReserveFids(1 << 30))

    def now(self) -> int:
        self.time += 1
        return self.time

    def fid(self) -> int:
        self.fids += 1
        return self.fids

    def apply(self, op: Op) -> Result:
        return self.ns.apply(op, self.ns.op_count + 1)

    def apply_all(self, ops: list[Op]) -> list[Result]:
        return [self.apply(op) for op in ops]

    def at(self, path: str) -> Inode:
        return queries.lookup(self.ns, path, ROOT, follow=False)

    def parent(self, path: str) -> tuple[int, str]:
        head, _, name = path.rpartition("/")
        return self.at(head or "/").fid, name

    def mkdir(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> int:
        op = MakeDirectory(*self.parent(path), self.fid(), mode, uid, gid, self.now())
        return self.apply(op).fid

    def commit(
        self,
        path: str,
        size: int = 100,
        locations: tuple[int, ...] = (1, 2),
        uid: int = 0,
        gid: int = 0,
        mode: int = 0o644,
        **more: Any,
    ) -> int:
        now = self.now()
        parent, name = self.parent(path)
        op = CommitFile(
            parent, name, more.pop("fid", 0) or self.fid(), mode, uid, gid, 0x112, size, 1, 2,
            locations, now, now, **more,
        )  # fmt: skip
        return self.apply(op).fid

    def symlink(self, target: str, path: str) -> int:
        op = Symlink(*self.parent(path), self.fid(), target, 0, 0, self.now())
        return self.apply(op).fid

    def link(self, source: str, path: str) -> None:
        self.apply(Link(self.at(source).fid, *self.parent(path), self.now()))

    def unlink(self, path: str) -> Result:
        return self.apply(Unlink(*self.parent(path), self.now()))

    def rename(self, source: str, target: str, **more: Any) -> Result:
        op = Rename(*self.parent(source), *self.parent(target), self.now(), **more)
        return self.apply(op)

    def xattr(self, path: str, name: str, value: bytes) -> None:
        self.apply(SetXattr(self.at(path).fid, name, value, self.now()))

    def refused(self, number: int, call: Callable[[], object]) -> None:
        """`call` raises this errno and changes nothing."""
        before = self.ns.op_count, self.ns.digest
        with pytest.raises(OperationError) as caught:
            call()
        assert errno.errorcode[caught.value.errno] == errno.errorcode[number], caught.value.text
        assert (self.ns.op_count, self.ns.digest) == before
        self.check()

    def check(self) -> None:
        assert invariants.check(self.ns) == []

    def settle(self) -> None:
        """Everything pending is durable and stored."""
        self.seq += 1
        changes = self.ns.take_changes(self.ns.op_count, self.seq)
        self.store.write(changes)
        self.ns.settle(changes)

    def reload(self) -> Namespace:
        """Settle, and start anew from the store with nothing in memory."""
        self.settle()
        self.ns = Namespace(self.store, self.cache_entries_max)
        return self.ns


@pytest.fixture
def instance() -> Instance:
    return Instance()


@pytest.fixture
def make_instance() -> type[Instance]:
    return Instance


@pytest.fixture
def naive_model() -> "type[Model]":
    return Model


class Refused(ValueError):
    """The model's error: its only argument is the errno."""


@dataclass
class Node:
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    ctime: int = 0
    layout: int = 0
    locations: tuple[int, ...] = ()
    sums: tuple[int | None, int | None] = (None, None)
    target: str | None = None
    xattrs: dict[str, bytes] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    quota: bool = False

    @property
    def is_dir(self) -> bool:
        return self.mode & 0o170000 == S_IFDIR


class Model:
    """Dictionaries and linear searches: slow, and plain enough to be believed."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {1: Node(S_IFDIR | 0o755)}
        self.limit = 2
        self.deletions: set[tuple[int, int]] = set()
        self.results: dict[bytes, Result] = {}
        self.config: dict[tuple[str, str], bytes] = {}

    def apply(self, op: Op) -> Result:
        op_id = getattr(op, "op_id", b"")
        if op_id and op_id in self.results:
            known = self.results[op_id]
            return Result(known.fid, known.replaced, known.answer, repeated=True)
        result: Result = getattr(self, type(op).__name__)(op)
        if op_id:
            self.results[op_id] = result
        return result

    # -- looking around --------------------------------------------------------------------------
    def dir(self, fid: int) -> Node:
        if fid not in self.nodes:
            raise Refused(errno.ENOENT)
        if not self.nodes[fid].is_dir:
            raise Refused(errno.ENOTDIR)
        return self.nodes[fid]

    def entry(self, parent: int, name: str) -> int:
        fid = self.dir(parent).entries.get(name)
        if fid is None:
            raise Refused(errno.ENOENT)
        return fid

    def holders(self, fid: int) -> list[int]:
        return [d for d, n in self.nodes.items() for child in n.entries.values() if child == fid]

    def below(self, fid: int) -> set[int]:
        found = {fid}
        for child in self.nodes[fid].entries.values():
            found |= self.below(child)
        return found

    def quota_node(self, directory: int) -> int:
        while not self.nodes[directory].quota:
            if directory == 1:
                return 0
            directory = self.holders(directory)[0]
        return directory

    def stamp(self, fid: int, time_ns: int) -> None:
        self.nodes[fid].mtime = self.nodes[fid].ctime = time_ns

    def fresh(self, fid: int) -> None:
        if fid >= self.limit or fid in self.nodes:
            raise Refused(errno.EINVAL)

    def add(self, op: Any, node: Node) -> Result:
        if op.name in self.dir(op.parent).entries:
            raise Refused(errno.EEXIST)
        self.fresh(op.fid)
        node.uid, node.gid, node.mtime, node.ctime = op.uid, op.gid, op.time_ns, op.time_ns
        self.nodes[op.fid] = node
        self.nodes[op.parent].entries[op.name] = op.fid
        self.stamp(op.parent, op.time_ns)
        return Result(op.fid)

    def drop(self, parent: int, name: str, time_ns: int) -> int:
        fid = self.nodes[parent].entries.pop(name)
        if self.holders(fid):
            self.nodes[fid].ctime = time_ns
            return 0
        node = self.nodes.pop(fid)
        self.deletions |= {(fsid, fid) for fsid in node.locations}
        return fid

    # -- names -----------------------------------------------------------------------------------
    def MakeDirectory(self, op: MakeDirectory) -> Result:
        result = self.add(op, Node(S_IFDIR | op.mode))
        parent = self.nodes[op.parent]
        self.nodes[op.fid].xattrs = {k: v for k, v in parent.xattrs.items() if k[:4] == "sys."}
        return result

    def CreateFile(self, op: CreateFile) -> Result:
        return self.add(op, Node(S_IFREG | op.mode, layout=op.layout))

    def Symlink(self, op: Symlink) -> Result:
        size = len(op.target.encode())
        return self.add(op, Node(S_IFLNK | 0o777, target=op.target, size=size))

    def Link(self, op: Link) -> Result:
        if op.fid not in self.nodes:
            raise Refused(errno.ENOENT)
        if self.nodes[op.fid].is_dir:
            raise Refused(errno.EPERM)
        if op.name in self.dir(op.parent).entries:
            raise Refused(errno.EEXIST)
        if self.quota_node(self.holders(op.fid)[0]) != self.quota_node(op.parent):
            raise Refused(errno.EXDEV)
        self.nodes[op.parent].entries[op.name] = op.fid
        self.nodes[op.fid].ctime = op.time_ns
        self.stamp(op.parent, op.time_ns)
        return Result(op.fid)

    def Unlink(self, op: Unlink) -> Result:
        fid = self.entry(op.parent, op.name)
        if self.nodes[fid].is_dir:
            raise Refused(errno.EISDIR)
        gone = self.drop(op.parent, op.name, op.time_ns)
        self.stamp(op.parent, op.time_ns)
        return Result(fid, replaced=gone)

    def removable(self, fid: int) -> None:
        node = self.dir(fid)
        if node.entries:
            raise Refused(errno.ENOTEMPTY)
        if node.quota:
            raise Refused(errno.EBUSY)

    def RemoveDirectory(self, op: RemoveDirectory) -> Result:
        fid = self.entry(op.parent, op.name)
        self.removable(fid)
        self.drop(op.parent, op.name, op.time_ns)
        self.stamp(op.parent, op.time_ns)
        return Result(fid, replaced=fid)

    def Rename(self, op: Rename) -> Result:
        fid = self.entry(op.source_parent, op.source_name)
        moved, victim = self.nodes[fid], self.dir(op.target_parent).entries.get(op.target_name)
        if victim is not None:
            if op.no_replace:
                raise Refused(errno.EEXIST)
            if victim == fid:
                return Result(fid)
            if moved.is_dir:
                self.removable(victim)
            elif self.nodes[victim].is_dir:
                raise Refused(errno.EISDIR)
        if moved.is_dir and op.target_parent in self.below(fid):
            raise Refused(errno.EINVAL)
        if self.quota_node(op.source_parent) != self.quota_node(op.target_parent):
            bound = bool(moved.entries) and not moved.quota
            if bound if moved.is_dir else len(self.holders(fid)) > 1:
                raise Refused(errno.EXDEV)
        gone = 0
        if victim is not None:
            gone = self.drop(op.target_parent, op.target_name, op.time_ns)
        del self.nodes[op.source_parent].entries[op.source_name]
        self.nodes[op.target_parent].entries[op.target_name] = fid
        moved.ctime = op.time_ns
        self.stamp(op.source_parent, op.time_ns)
        self.stamp(op.target_parent, op.time_ns)
        return Result(fid, replaced=gone)

    # -- content ---------------------------------------------------------------------------------
    def CommitFile(self, op: CommitFile) -> Result:
        if op.fid in self.nodes:
            return Result(op.fid, repeated=True)
        if any((fsid, op.fid) in self.deletions for fsid in op.locations):
            raise Refused(errno.ESTALE)
        old = self.dir(op.parent).entries.get(op.name)
        if old is not None and op.exclusive:
            raise Refused(errno.EEXIST)
        if old is not None and self.nodes[old].is_dir:
            raise Refused(errno.EISDIR)
        self.fresh(op.fid)
        gone = 0
        if old is not None and self.nodes[old].target is None:
            gone, node = old, self.nodes.pop(old)
            self.deletions |= {(fsid, old) for fsid in node.locations}
            node.mode &= ~0o6000
            for holder in list(self.nodes.values()):
                for name, child in holder.entries.items():
                    if child == old:
                        holder.entries[name] = op.fid
        else:
            if old is not None:
                gone = self.drop(op.parent, op.name, op.time_ns)
            node = Node(S_IFREG | op.mode, op.uid, op.gid)
            self.nodes[op.parent].entries[op.name] = op.fid
            self.stamp(op.parent, op.time_ns)
        node.size, node.layout, node.locations = op.size, op.layout, op.locations
        node.sums, node.mtime, node.ctime = (op.adler32, op.crc32c), op.mtime_ns, op.time_ns
        self.nodes[op.fid] = node
        self.deletions |= {(fsid, op.fid) for fsid in op.lost if fsid not in op.locations}
        return Result(op.fid, replaced=gone)

    def file(self, fid: int) -> Node:
        if fid not in self.nodes:
            raise Refused(errno.ENOENT)
        if self.nodes[fid].is_dir:
            raise Refused(errno.EISDIR)
        if self.nodes[fid].target is not None:
            raise Refused(errno.EINVAL)
        return self.nodes[fid]

    def UpdateFile(self, op: UpdateFile) -> Result:
        node = self.file(op.fid)
        good = node.locations if op.locations is None else op.locations
        left = tuple(fsid for fsid in good if fsid not in op.lost)
        if op.size and not left:
            raise Refused(errno.EIO)
        if any((fsid, op.fid) in self.deletions for fsid in left if fsid not in node.locations):
            raise Refused(errno.EINPROGRESS)
        self.deletions |= {(f, op.fid) for f in (*node.locations, *op.lost) if f not in left}
        node.size, node.locations, node.sums = op.size, left, (op.adler32, op.crc32c)
        node.mtime, node.ctime, node.mode = op.mtime_ns, op.time_ns, node.mode & ~0o6000
        return Result(op.fid)

    def AddReplica(self, op: AddReplica) -> Result:
        node = self.file(op.fid)
        if op.fsid in node.locations:
            return Result(op.fid, repeated=True)
        if (op.fsid, op.fid) in self.deletions:
            raise Refused(errno.EINPROGRESS)
        node.locations += (op.fsid,)
        return Result(op.fid)

    def DropReplica(self, op: DropReplica) -> Result:
        node = self.file(op.fid)
        if op.fsid not in node.locations:
            raise Refused(errno.ENODATA)
        if len(node.locations) == 1 and node.size and not op.force:
            raise Refused(errno.EINVAL)
        node.locations = tuple(fsid for fsid in node.locations if fsid != op.fsid)
        if op.delete:
            self.deletions.add((op.fsid, op.fid))
        return Result(op.fid)

    def DiscardReplicas(self, op: DiscardReplicas) -> Result:
        node = self.nodes.get(op.fid)
        if node is not None and set(node.locations) & set(op.fsids):
            raise Refused(errno.EEXIST)
        self.deletions |= {(fsid, op.fid) for fsid in op.fsids}
        return Result(op.fid)

    def DeletionDone(self, op: DeletionDone) -> Result:
        self.deletions -= set(op.pairs)
        return Result()

    # -- attributes and instance -----------------------------------------------------------------
    def any(self, fid: int) -> Node:
        if fid not in self.nodes:
            raise Refused(errno.ENOENT)
        return self.nodes[fid]

    def SetAttributes(self, op: SetAttributes) -> Result:
        node = self.any(op.fid)
        if op.mode is not None:
            node.mode = node.mode & 0o170000 | op.mode
        node.uid = node.uid if op.uid is None else op.uid
        node.gid = node.gid if op.gid is None else op.gid
        node.mtime = node.mtime if op.mtime_ns is None else op.mtime_ns
        node.ctime = op.time_ns
        return Result(op.fid)

    def SetXattr(self, op: SetXattr) -> Result:
        node = self.any(op.fid)
        if op.create and op.name in node.xattrs:
            raise Refused(errno.EEXIST)
        if op.replace and op.name not in node.xattrs:
            raise Refused(errno.ENODATA)
        node.xattrs[op.name], node.ctime = op.value, op.time_ns
        return Result(op.fid)

    def RemoveXattr(self, op: RemoveXattr) -> Result:
        node = self.any(op.fid)
        if op.name not in node.xattrs:
            raise Refused(errno.ENODATA)
        del node.xattrs[op.name]
        node.ctime = op.time_ns
        return Result(op.fid)

    def ReserveFids(self, op: ReserveFids) -> Result:
        if op.limit <= self.limit:
            raise Refused(errno.EINVAL)
        self.limit = op.limit
        return Result()

    def ConfigSet(self, op: ConfigSet) -> Result:
        where = op.section, op.key
        if op.value is None:
            return Result(repeated=self.config.pop(where, None) is None)
        self.config[where] = op.value
        return Result()

    def QuotaSet(self, op: QuotaSet) -> Result:
        node = self.dir(op.fid)
        if not node.quota:
            inside = self.below(op.fid)
            for fid in list(inside):
                if self.nodes[fid].quota:
                    inside -= self.below(fid) - {fid}
            for fid in inside - {op.fid}:
                if not self.nodes[fid].is_dir and not set(self.holders(fid)) <= inside:
                    raise Refused(errno.EXDEV)
        node.quota = True
        return Result(op.fid)

    def QuotaRemove(self, op: QuotaRemove) -> Result:
        if not self.dir(op.fid).quota:
            raise Refused(errno.ENODATA)
        self.nodes[op.fid].quota = False
        return Result(op.fid)
