"""What must hold in every state, checked from the records alone and against the cache.

Reads everything: for tests, and for an offline check of a store (Namespace over a checkpoint).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from thesan.core.model.ids import ROOT_FID
from thesan.core.namespace import keys
from thesan.core.namespace.inode import (
    FLAG_XATTRS,
    Directory,
    Inode,
    decode_record,
    decode_xattrs,
    encode_record,
)
from thesan.core.namespace.state import Namespace
from thesan.core.namespace.tree import Tree


def check(ns: Namespace) -> list[str]:
    """Every violation found, in words; empty when all is well."""
    return _Checker(ns.tree).run()


class _Checker:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.faults: list[str] = []
        self.inodes: dict[int, Inode] = {}
        self.names: dict[int, list[tuple[int, str]]] = defaultdict(list)
        """Fid to its (parent, name) entries."""
        self.entries: dict[int, dict[str, int]] = defaultdict(dict)

    def run(self) -> list[str]:
        tables = self.tree.tables
        for key, value in tables.merged(b"I").items():
            fid = keys.unpack_fid(key[1:])
            self.inodes[fid] = decode_record(fid, value)
        for key, value in tables.merged(b"D").items():
            parent, name, fid = keys.unpack_fid(key[1:9]), key[9:].decode(), keys.unpack_fid(value)
            self.names[fid].append((parent, name))
            self.entries[parent][name] = fid
        self._check_names()
        self._check_directories()
        self._check_links()
        self._check_xattrs()
        self._check_replicas()
        self._check_counters()
        self._check_quota()
        self._check_results()
        self._check_cache()
        return self.faults

    def _expect(self, holds: bool, fault: str) -> None:
        if not holds:
            self.faults.append(fault)

    def _check_names(self) -> None:
        for fid, names in self.names.items():
            self._expect(fid in self.inodes, f"entries {names} name {fid}, which does not exist")
        for fid, inode in self.inodes.items():
            self._expect(0 < fid < self.tree.fid_limit, f"fid {fid} was never reserved")
            if fid == ROOT_FID:
                self._expect(not self.names[fid], "the root has a name")
                continue
            primary = (inode.parent, inode.name)
            self._expect(primary in self.names[fid], f"{fid} has no entry {primary}")
            count = 1 if isinstance(inode, Directory) else inode.nlink
            self._expect(len(self.names[fid]) == count, f"{fid}: nlink {count}")

    def _check_directories(self) -> None:
        for parent in self.entries:
            self._expect(
                isinstance(self.inodes.get(parent), Directory), f"{parent} is no directory"
            )
        for fid, inode in self.inodes.items():
            if isinstance(inode, Directory):
                entries = self.entries[fid]
                below = sum(isinstance(self.inodes.get(c), Directory) for c in entries.values())
                self._expect(inode.size == len(entries), f"directory {fid}: size {inode.size}")
                self._expect(inode.nlink == 2 + below, f"directory {fid}: nlink {inode.nlink}")
            seen: set[int] = set()
            step = fid
            while step != ROOT_FID and step in self.inodes and step not in seen:
                seen.add(step)
                step = self.inodes[step].parent
            self._expect(step == ROOT_FID, f"{fid} is not below the root")

    def _check_links(self) -> None:
        found: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for key in self.tree.tables.merged(b"L"):
            found[keys.unpack_fid(key[1:9])].append(keys.link_name(key))
        for fid, inode in self.inodes.items():
            linked = inode.nlink > 1 and not isinstance(inode, Directory)
            wanted = sorted(self.names[fid]) if linked else []
            self._expect(sorted(found.pop(fid, [])) == wanted, f"{fid}: L records")
        self._expect(not found, f"L records of nothing: {sorted(found)}")

    def _check_xattrs(self) -> None:
        records = self.tree.tables.merged(b"X")
        for fid, inode in self.inodes.items():
            record = records.pop(keys.xattrs(fid), None)
            self._expect(
                (record is not None) == bool(inode.flags & FLAG_XATTRS), f"{fid}: xattr flag"
            )
            if record is not None:
                inode.xattrs = decode_xattrs(fid, record)
                self._expect(bool(inode.xattrs), f"{fid}: empty X record")
        self._expect(not records, f"X records of nothing: {sorted(records)}")

    def _check_replicas(self) -> None:
        wanted = {
            keys.replica(fsid, fid)
            for fid, inode in self.inodes.items()
            for fsid in inode.locations
        }
        found = set(self.tree.tables.merged(b"F"))
        self._expect(found == wanted, f"F index: {sorted(found ^ wanted)}")
        for key in self.tree.tables.merged(b"U"):
            index = keys.replica(keys.replica_fsid(key), keys.replica_fid(key))
            self._expect(index not in wanted, f"{key!r} is registered and awaits deletion")

    def _check_counters(self) -> None:
        tables = self.tree.tables
        kinds = Counter("d" if i.is_dir else "l" if i.is_symlink else "f" for i in self._all())
        files = [inode for inode in self._all() if inode.is_file]
        nodes = sum(isinstance(i, Directory) and i.is_quota_node for i in self._all())
        self._expect(len(tables.merged(b"Q")) == nodes, "Q records and quota flags differ")
        wanted: dict[bytes, list[int]] = defaultdict(lambda: [0, 0, 0])
        wanted[keys.INSTANCE] = [
            kinds["f"],
            kinds["d"],
            kinds["l"],
            sum(inode.size for inode in files),
            sum(inode.physical_bytes for inode in files),
            nodes,
        ]
        for inode in files:
            for fsid in inode.locations:
                words = wanted[keys.fs_counters(fsid)]
                words[0] += 1
                words[1] += inode.size
        for key in tables.merged(b"U"):
            wanted[keys.fs_counters(keys.replica_fsid(key))][2] += 1
        self._compare_counters(b"N", wanted, lambda key: not key.startswith(b"NQ"))

    def _check_quota(self) -> None:
        wanted: dict[bytes, list[int]] = defaultdict(lambda: [0, 0, 0])
        for inode in self._all():
            if isinstance(inode, Directory):
                continue
            nodes = {self._node_of(parent) for parent, _ in self.names[inode.fid]}
            self._expect(len(nodes) == 1, f"{inode.fid} has names in several quota nodes")
            node = nodes.pop() if nodes else 0
            logical = inode.size if inode.is_file else 0
            for kind, number in (("u", inode.uid), ("g", inode.gid), ("p", 0)):
                if node:
                    words = wanted[keys.quota_counters(node, kind, number)]
                    words[0] += logical * len(inode.locations)
                    words[1] += logical
                    words[2] += 1
        self._compare_counters(b"NQ", wanted, lambda key: True)

    def _compare_counters(
        self, prefix: bytes, wanted: dict[bytes, list[int]], mine: Callable[[bytes], bool]
    ) -> None:
        tables = self.tree.tables
        for key in set(tables.counter_keys(prefix)) | set(wanted):
            if mine(key):
                words = 6 if key == keys.INSTANCE else 3
                found = tables.counters(key, words)
                self._expect(found == wanted[key], f"{key!r}: {found}, counted {wanted[key]}")

    def _node_of(self, directory: int) -> int:
        step = self.inodes.get(directory)
        seen: set[int] = set()
        while isinstance(step, Directory) and step.fid not in seen:
            if step.is_quota_node:
                return step.fid
            seen.add(step.fid)
            step = self.inodes.get(step.parent)
        return 0

    def _check_results(self) -> None:
        places = self.tree.tables.merged(b"r")
        results = self.tree.tables.merged(b"R")
        self._expect(
            sorted(places.values()) == sorted(key[1:] for key in results), "R and r differ"
        )
        for place, op_id in places.items():
            value = results.get(keys.result(op_id), b"")
            self._expect(value[:8] == place[1:], f"result {op_id!r} is not at its place")

    def _check_cache(self) -> None:
        tree = self.tree
        slots: Counter[int] = Counter()
        count = 0
        for holder, name, inode in self._cached():
            count += 1
            fid = self.entries[holder.fid].get(name)
            self._expect(fid == inode.fid, f"cached {name!r} of {holder.fid} is {inode.fid}")
            self._check_cached(inode)
            if not isinstance(inode, Directory) and inode.nlink > 1:
                slots[inode.fid] += 1
                self._expect(tree.linked.get(inode.fid) is inode, f"{inode.fid} is not in linked")
        self._expect(count == tree.cached_count, f"cached_count {tree.cached_count}, not {count}")
        self._expect(tree.link_slot_counts == dict(slots), "link slots differ")
        self._expect(set(tree.linked) == set(slots), "linked differs")
        for fid, directory in tree.directories.items():
            self._expect(directory.fid == fid, f"directory {fid} is filed wrongly")
            self._check_cached(directory)
            if fid != ROOT_FID:
                holder_of = tree.directories.get(directory.parent)
                kept = holder_of.children.get(directory.name) if holder_of is not None else None
                self._expect(kept is directory, f"directory {fid} is not with its parent")
            if directory.complete:
                missing = set(self.entries[fid]) - set(directory.children)
                self._expect(not missing, f"directory {fid} is not complete: {missing}")
            if directory.names is not None:
                self._expect(directory.names == sorted(self.entries[fid]), f"{fid}: names")

    def _check_cached(self, inode: Inode) -> None:
        stored = self.inodes.get(inode.fid)
        if stored is None:
            self.faults.append(f"cached {inode.fid} does not exist")
            return
        self._expect(encode_record(stored) == encode_record(inode), f"cached {inode.fid} differs")
        self._expect(stored.xattrs == inode.xattrs, f"cached {inode.fid}: attributes differ")
        self._expect(
            isinstance(stored, Directory) == isinstance(inode, Directory), f"{inode.fid}: class"
        )

    def _cached(self) -> Iterator[tuple[Directory, str, Inode]]:
        for directory in self.tree.directories.values():
            for name, inode in directory.children.items():
                yield directory, name, inode

    def _all(self) -> Iterator[Inode]:
        return iter(self.inodes.values())
