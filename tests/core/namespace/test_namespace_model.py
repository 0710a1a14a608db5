"""The namespace against a naive model, op by op, through evictions, commits and crashes."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from thesan.core.model.errors import OperationError
from thesan.core.namespace import invariants, keys, queries, snapshot
from thesan.core.namespace.inode import Directory
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

_names = st.sampled_from(["a", "b", "c", "é", "name"])
_modes = st.sampled_from([0o755, 0o644, 0o700, 0o4755, 0o1777])
_ids = st.integers(0, 3)
_fsids = st.lists(st.integers(1, 4), unique=True, max_size=3).map(tuple)
_sums = st.none() | st.integers(0, 0xFFFFFFFF)


class Machine(RuleBasedStateMachine):
    """Every op is applied to both; the journal is the list of encoded ops."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.ns = Namespace(self.store, cache_entries_max=6)
        self.model = model
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
        except ValueError as refusal:
            wanted = refusal.args[0]
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

    def entry(self, data: st.DataObject, kinds: str = "dfl") -> tuple[int, str]:
        """A (parent, name), mostly of such an object that exists."""
        nodes = self.model.nodes
        known = [(fid, name) for fid, node in nodes.items() for name in node.entries]
        wanted = [
            (fid, name)
            for fid, name in known
            for node in [nodes[nodes[fid].entries[name]]]
            if ("d" if node.is_dir else "l" if node.target else "f") in kinds
        ]
        files = [(fid, "a") for fid, node in nodes.items() if not node.is_dir]
        pool = [*wanted * 3, *known, *files[:1], (1, "absent"), (999, "a")]
        return data.draw(st.sampled_from(pool))

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
        self.perform(Unlink(*self.entry(data, "fl"), self.now()))

    @rule(data=st.data())
    def remove_directory(self, data: st.DataObject) -> None:
        self.perform(RemoveDirectory(*self.entry(data, "d"), self.now()))

    @rule(data=st.data(), fresh=_names, no_replace=st.booleans())
    def rename(self, data: st.DataObject, fresh: str, no_replace: bool) -> None:
        source = self.entry(data)
        target = data.draw(st.sampled_from([(self.some(data, "d"), fresh), self.entry(data)]))
        self.perform(Rename(*source, *target, self.now(), no_replace and fresh == "a"))

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
        node = self.model.nodes.get(fid)
        if drop and node is not None and node.locations:
            fsid = data.draw(st.sampled_from([*node.locations, fsid]))
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


def _wanted(model: Any) -> object:
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


def test_it_behaves_as_the_model(naive_model: Any) -> None:
    run_state_machine_as_test(
        lambda: Machine(naive_model()),
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None),
    )
