"""The namespace against a naive model, op by op, through evictions, commits and crashes."""

import errno
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from thesan.core.model.errors import OperationError
from thesan.core.namespace import invariants, keys, queries, snapshot
from thesan.core.namespace.inode import S_IFDIR, S_IFLNK, S_IFREG, Directory
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
    decode_op,
    encode_op,
)
from thesan.core.namespace.state import Namespace
from thesan.worlds.simulated.memory_store import MemoryStore


class Refused(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.number = number


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


_names = st.sampled_from(["a", "b", "c", "é", "name"])
_modes = st.sampled_from([0o755, 0o644, 0o700, 0o4755, 0o1777])
_ids = st.integers(0, 3)
_fsids = st.lists(st.integers(1, 4), unique=True, max_size=3).map(tuple)
_sums = st.none() | st.integers(0, 0xFFFFFFFF)


class Machine(RuleBasedStateMachine):
    """Every op is applied to both; the journal is the list of encoded ops."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.ns = Namespace(self.store, cache_entries_max=6)
        self.model = Model()
        self.journal: list[bytes] = []
        self.digests: list[bytes] = [self.ns.digest]
        self.seq = 0
        self.time = 10**18
        self.next_fid = 2
        self.used: list[int] = []

    @initialize()
    def reserve(self) -> None:
        self.perform(ReserveFids(1 << 20))

    # -- running ---------------------------------------------------------------------------------
    def perform(self, op: Op) -> None:
        before = self.ns.op_count, self.ns.digest
        wanted: Result | int
        try:
            wanted = self.model.apply(op)
        except Refused as refusal:
            wanted = refusal.number
        try:
            found: Result | int = self.ns.apply(op, self.ns.op_count + 1)
        except OperationError as error:
            found = error.errno
        assert found == wanted, f"{op}: {found}, the model says {wanted}"
        if isinstance(found, Result):
            self.journal.append(encode_op(op))
            self.digests.append(self.ns.digest)
        else:
            assert (self.ns.op_count, self.ns.digest) == before

    def now(self) -> int:
        self.time += 1
        return self.time

    def fresh_fid(self) -> int:
        fid = self.next_fid
        self.next_fid += 1
        self.used.append(fid)
        return fid

    def some(self, data: st.DataObject, kinds: str = "dfl") -> int:
        """A fid, mostly of an object of these kinds that exists."""
        fids = [
            fid
            for fid, node in self.model.nodes.items()
            if ("d" if node.is_dir else "l" if node.target else "f") in kinds
        ]
        return data.draw(st.sampled_from([*fids * 4, *self.model.nodes, 999]))

    def name_in(self, data: st.DataObject, parent: int) -> str:
        node = self.model.nodes.get(parent)
        known = sorted(node.entries) if node is not None else []
        return data.draw(st.sampled_from([*known * 3, "a", "b"]))

    # -- ops -------------------------------------------------------------------------------------
    @rule(data=st.data(), name=_names, mode=_modes, uid=_ids, gid=_ids)
    def make_directory(self, data: st.DataObject, name: str, mode: int, uid: int, gid: int) -> None:
        parent = self.some(data, "d")
        self.perform(MakeDirectory(parent, name, self.fresh_fid(), mode, uid, gid, self.now()))

    @rule(data=st.data(), name=_names, mode=_modes, uid=_ids, op_id=st.sampled_from([b"", b"1"]))
    def create(self, data: st.DataObject, name: str, mode: int, uid: int, op_id: bytes) -> None:
        parent, fid = self.some(data, "d"), self.fresh_fid()
        self.perform(CreateFile(parent, name, fid, mode, uid, 1, self.now(), 0x112, op_id))

    @rule(
        data=st.data(),
        name=_names,
        size=st.sampled_from([0, 10, 4096]),
        locations=_fsids,
        lost=_fsids,
        sums=st.tuples(_sums, _sums),
        exclusive=st.booleans(),
        again=st.booleans(),
    )
    def commit(
        self,
        data: st.DataObject,
        name: str,
        size: int,
        locations: tuple[int, ...],
        lost: tuple[int, ...],
        sums: tuple[int | None, int | None],
        exclusive: bool,
        again: bool,
    ) -> None:
        parent = self.some(data, "d")
        fid = data.draw(st.sampled_from(self.used)) if again and self.used else self.fresh_fid()
        if size and not locations:
            locations = (7,)
        now = self.now()
        owner = data.draw(_ids), data.draw(_ids)
        self.perform(
            CommitFile(
                parent, name, fid, 0o644, *owner, 0x112, size, *sums, locations, now - 1, now,
                exclusive, lost,
            )
        )  # fmt: skip

    @rule(data=st.data(), name=_names, where=st.sampled_from(["a", "/b/c", "../é"]))
    def symlink(self, data: st.DataObject, name: str, where: str) -> None:
        parent = self.some(data, "d")
        self.perform(Symlink(parent, name, self.fresh_fid(), where, 1, 1, self.now()))

    @rule(data=st.data(), name=_names)
    def link(self, data: st.DataObject, name: str) -> None:
        self.perform(Link(self.some(data, "fl"), self.some(data, "d"), name, self.now()))

    @rule(data=st.data())
    def unlink(self, data: st.DataObject) -> None:
        parent = self.some(data, "d")
        self.perform(Unlink(parent, self.name_in(data, parent), self.now()))

    @rule(data=st.data())
    def remove_directory(self, data: st.DataObject) -> None:
        parent = self.some(data, "d")
        self.perform(RemoveDirectory(parent, self.name_in(data, parent), self.now()))

    @rule(data=st.data(), fresh=_names, no_replace=st.booleans())
    def rename(self, data: st.DataObject, fresh: str, no_replace: bool) -> None:
        source, target = self.some(data, "d"), self.some(data, "d")
        name = self.name_in(data, source)
        new = data.draw(st.sampled_from([fresh, self.name_in(data, target)]))
        self.perform(Rename(source, name, target, new, self.now(), no_replace))

    @rule(data=st.data(), size=st.integers(0, 3), lost=_fsids, locations=st.none() | _fsids)
    def update(
        self,
        data: st.DataObject,
        size: int,
        lost: tuple[int, ...],
        locations: tuple[int, ...] | None,
    ) -> None:
        fid, now = self.some(data, "f"), self.now()
        self.perform(UpdateFile(fid, size, 7, None, now - 1, now, lost, locations))

    @rule(data=st.data(), fsid=st.integers(1, 4), drop=st.booleans(), flag=st.booleans())
    def replica(self, data: st.DataObject, fsid: int, drop: bool, flag: bool) -> None:
        fid = self.some(data, "f")
        self.perform(
            DropReplica(fid, fsid, flag, data.draw(st.booleans()))
            if drop
            else AddReplica(fid, fsid)
        )

    @rule(data=st.data(), fsids=_fsids)
    def discard(self, data: st.DataObject, fsids: tuple[int, ...]) -> None:
        fid = data.draw(st.sampled_from(self.used)) if self.used else self.fresh_fid()
        self.perform(DiscardReplicas(fid, fsids))

    @rule(data=st.data())
    def deleted(self, data: st.DataObject) -> None:
        known = sorted(self.model.deletions)
        pairs = data.draw(st.lists(st.sampled_from(known), max_size=5)) if known else []
        self.perform(DeletionDone((*pairs, (3, 12345))))

    @rule(
        data=st.data(),
        mode=st.none() | _modes,
        uid=st.none() | _ids,
        gid=st.none() | _ids,
        mtime=st.none() | st.just(5),
    )
    def attributes(
        self,
        data: st.DataObject,
        mode: int | None,
        uid: int | None,
        gid: int | None,
        mtime: int | None,
    ) -> None:
        self.perform(SetAttributes(self.some(data), self.now(), mode, uid, gid, mtime))

    @rule(
        data=st.data(),
        name=st.sampled_from(["user.a", "user.b", "sys.acl"]),
        value=st.binary(max_size=4),
        create=st.booleans(),
        replace=st.booleans(),
        remove=st.booleans(),
    )
    def xattr(
        self,
        data: st.DataObject,
        name: str,
        value: bytes,
        create: bool,
        replace: bool,
        remove: bool,
    ) -> None:
        fid = self.some(data)
        if remove:
            self.perform(RemoveXattr(fid, name, self.now()))
        else:
            self.perform(SetXattr(fid, name, value, self.now(), create, replace))

    @rule(key=_names, value=st.none() | st.binary(max_size=3))
    def configure(self, key: str, value: bytes | None) -> None:
        self.perform(ConfigSet("fs", key, value))

    @rule(data=st.data(), kind=st.sampled_from("ug"), number=_ids, most=st.none() | _ids)
    def quota_set(self, data: st.DataObject, kind: str, number: int, most: int | None) -> None:
        self.perform(QuotaSet(self.some(data, "d"), kind, number, most, None))

    @rule(data=st.data())
    def quota_remove(self, data: st.DataObject) -> None:
        self.perform(QuotaRemove(self.some(data, "d")))

    # -- the store -------------------------------------------------------------------------------
    @rule(count=st.integers(1, 20))
    def evict(self, count: int) -> None:
        self.ns.evict(count)

    @rule(share=st.integers(0, 4))
    def commit_batch(self, share: int) -> None:
        """Some of the pending ops are durable in the journal."""
        first = self.ns.tree.tables.applied.op_count
        through = first + (self.ns.op_count - first) * share // 4
        self.seq += 1
        changes = self.ns.take_changes(through, self.seq, 1, self.seq)
        self.store.write(changes)
        self.ns.settle(changes)

    @rule()
    def flush(self) -> None:
        self.store.flush()

    @precondition(lambda self: self.store.unflushed_count)
    @rule(keep=st.integers(0, 5))
    def crash(self, keep: int) -> None:
        """Memory and the youngest writes are lost; the journal is replayed."""
        self.store = self.store.crash(keep)
        self.ns = Namespace(self.store, cache_entries_max=6)
        assert self.ns.op_count <= len(self.journal)
        assert self.ns.digest == self.digests[self.ns.op_count]
        for number in range(self.ns.op_count, len(self.journal)):
            self.ns.apply(decode_op(self.journal[number]), number + 1)
            assert self.ns.digest == self.digests[number + 1]

    # -- what must hold --------------------------------------------------------------------------
    @invariant()
    def sound(self) -> None:
        assert invariants.check(self.ns) == []

    @invariant()
    def equal_to_the_model(self) -> None:
        assert _seen(self.ns) == _wanted(self.model)

    def teardown(self) -> None:
        """Another replica, with other batches and another cache, ends with the same bytes."""
        other_store = MemoryStore()
        other = Namespace(other_store)
        for number, data in enumerate(self.journal):
            other.apply(decode_op(data), number + 1)
            if number % 3 == 0:
                _settle(other, other_store, self.seq)
        for ns, store in ((other, other_store), (self.ns, self.store)):
            _settle(ns, store, self.seq)
        mine = b"".join(snapshot.dump(self.store))
        assert mine == b"".join(snapshot.dump(other_store))
        copy = MemoryStore()
        for changes in snapshot.restore([mine]):
            copy.write(changes)
        assert b"".join(snapshot.dump(copy)) == mine
        assert _seen(Namespace(copy)) == _wanted(self.model)


def _settle(ns: Namespace, store: MemoryStore, seq: int) -> None:
    changes = ns.take_changes(ns.op_count, seq)
    store.write(changes)
    ns.settle(changes)


def _wanted(model: Model) -> object:
    nodes = {
        fid: (
            node.mode, node.uid, node.gid, len(node.entries) if node.is_dir else node.size,
            node.mtime, node.ctime, node.layout, set(node.locations), node.sums, node.target,
            node.xattrs, node.quota, dict(sorted(node.entries.items())),
            len(model.holders(fid)) if not node.is_dir
            else 2 + sum(model.nodes[child].is_dir for child in node.entries.values()),
        )
        for fid, node in sorted(model.nodes.items())
    }  # fmt: skip
    results = {op_id: result.fid for op_id, result in model.results.items()}
    return nodes, model.deletions, results, sorted(model.config.items()), model.limit


def _seen(ns: Namespace) -> object:
    """The same through the public queries, directory by directory."""
    nodes: dict[int, object] = {}
    todo = [1]
    while todo:
        fid = todo.pop()
        inode = queries.inode_of(ns, fid)
        assert inode is not None
        entries: dict[str, int] = {}
        if isinstance(inode, Directory):
            after: str | None = ""
            while after is not None:
                page = queries.list_page(ns, inode, after, limit=2)
                entries |= {name: child.fid for name, child in page.entries}
                after = page.after
            inode = queries.inode_of(ns, fid)
            assert inode is not None
            todo += [child for child in entries.values() if child not in nodes]
        nodes[fid] = (
            inode.mode, inode.uid, inode.gid, inode.size, inode.mtime_ns, inode.ctime_ns,
            inode.layout, set(inode.locations), (inode.adler32, inode.crc32c), inode.target,
            inode.xattrs or {}, isinstance(inode, Directory) and inode.is_quota_node, entries,
            inode.nlink,
        )  # fmt: skip
    tables = ns.tree.tables
    deletions = {(keys.replica_fsid(key), keys.replica_fid(key)) for key in tables.merged(b"U")}
    results = {}
    for op_id in (key[1:] for key in tables.merged(b"R")):
        known = ns.remembered(op_id)
        assert known is not None
        results[op_id] = known.fid
    config = sorted((("fs", key), value) for key, value in queries.config(ns, "fs").items())
    return dict(sorted(nodes.items())), deletions, results, config, ns.fid_limit


TestNamespaceModel = Machine.TestCase
TestNamespaceModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestNamespaceModel = pytest.mark.slow(TestNamespaceModel)
