"""Tree: the cached part of the namespace, loaded lazily from the tables, evicted in small steps.

Truth is in Tables; everything here can be dropped and loaded again, except what pending ops have
touched (it carries their tag). A cached directory's ancestors are always cached.
"""

from collections import OrderedDict

from thesan.core.model.errors import StoreError
from thesan.core.model.ids import ROOT_FID
from thesan.core.model.limits import (
    CACHE_ENTRIES_MAX,
    DIRECTORY_CACHED_MAX,
    EVICTION_ENTRIES_MAX,
    EVICTION_ENTRIES_MIN,
)
from thesan.core.namespace import keys
from thesan.core.namespace.inode import (
    FLAG_XATTRS,
    Directory,
    Inode,
    decode_record,
    decode_xattrs,
    encode_record,
    new_directory,
)
from thesan.core.namespace.tables import Source, Tables

Limits = dict[str, tuple[int | None, int | None]]
"""Account of a quota node (`u<uid>`, `g<gid>`, `p0`) to (physical bytes, files); None: no limit."""


class Tree:
    """The tables, and the inodes that are in memory."""

    def __init__(self, source: Source, cache_entries_max: int = CACHE_ENTRIES_MAX) -> None:
        self.tables = Tables(source)
        self.cache_entries_max = cache_entries_max
        self.directories: dict[int, Directory] = {}
        """Every cached directory by fid."""
        self.linked: dict[int, Inode] = {}
        """Every cached inode with several names: one object, however it is reached."""
        self.cached_count = 0
        """Entries in all `children` dicts."""
        self.tree_tag = 0
        """Tag of the last op that changed what a path walk depends on besides its end."""
        self.configs: dict[str, dict[str, bytes]] = {}
        """Configuration sections that were asked for."""
        self.limits: dict[int, Limits] = {}
        """Limits of quota nodes that were asked for."""
        self.link_slot_counts: dict[int, int] = {}
        """Of each inode in `linked`: how many `children` dicts hold it."""
        self._clock: OrderedDict[int, None] = OrderedDict()
        """Directories with cached entries, in the order in which eviction looks at them."""
        self._crowded: Directory | None = None
        """A directory with more cached entries than a dict can take without a pause."""
        self._open()

    def _open(self) -> None:
        tables = self.tables
        layout = tables.get(keys.M_FORMAT)
        whole = tables.get(keys.M_APPLIED) is not None
        if not whole and tables.committed(b"", b"\xff", 1):
            raise StoreError("the store has content but no position: a restore was interrupted")
        if not whole:
            root = new_directory(ROOT_FID, 0, "", 0o755, 0, 0, 0)
            tables.changes.append((keys.M_FORMAT, keys.FORMAT))
            tables.changes.append((keys.M_FID, keys.pack_fid(ROOT_FID + 1)))
            tables.changes.append((keys.inode(ROOT_FID), encode_record(root)))
            tables.add_to_instance(directories=1)
            tables.seal(0, genesis=True)
        elif layout != keys.FORMAT:
            raise StoreError(f"the store has format {layout!r}, this version reads {keys.FORMAT!r}")
        else:
            loaded = self._load(ROOT_FID)
            if not isinstance(loaded, Directory):
                raise StoreError("the store has no root directory")
            root = loaded
        self.root = root
        self.directories[ROOT_FID] = root
        limit = tables.get(keys.M_FID)
        results = tables.get(keys.M_RESULTS)
        if limit is None:
            raise StoreError("the store has no fid limit")
        self.fid_limit = keys.unpack_fid(limit)
        """Fids below may be given out."""
        self.result_number = keys.unpack_fid(results) if results is not None else 0
        """Number of the next remembered result."""
        self.fid_seen = self.fid_limit
        """No op has used a fid from here on: such a fid is certainly new."""

    # -- reading ---------------------------------------------------------------------------------
    def child(self, directory: Directory, name: str) -> Inode | None:
        """Entry `name`, loaded if need be; None when there is none."""
        inode = directory.children.get(name)
        if inode is not None or directory.complete:
            return inode
        value = self.tables.get(keys.entry(directory.fid, name))
        if value is None:
            return None
        fid = keys.unpack_fid(value)
        inode = self.linked.get(fid) or self._load(fid)
        if inode is None:
            raise StoreError(f"entry {name!r} of {directory.fid} names {fid}, which does not exist")
        self.attach(directory, name, inode)
        return inode

    def children_of(self, directory: Directory, rows: list[tuple[str, int]]) -> list[Inode]:
        """Inodes of (name, fid) entries of a directory, all missing ones loaded at once."""
        children = directory.children
        missing = [(name, fid) for name, fid in rows if name not in children]
        if missing:
            wanted = [keys.inode(fid) for _, fid in missing]
            records = self.tables.get_many(wanted)
            linked = self.linked
            for (name, fid), key, record in zip(missing, wanted, records, strict=True):
                inode = linked.get(fid)
                if inode is None:
                    if record is None:
                        raise StoreError(f"entry {name!r} of {directory.fid} names {fid}: absent")
                    inode = self._decode(fid, key, record)
                self.attach(directory, name, inode)
        return [children[name] for name, _ in rows]

    def directory(self, fid: int) -> Directory | None:
        """A directory by fid, with all its ancestors."""
        found = self.directories.get(fid)
        if found is not None:
            return found
        below: list[str] = []
        while found is None:
            record = self.tables.get(keys.inode(fid))
            if record is None and not below:
                return None
            inode = decode_record(fid, record) if record is not None else None
            if not isinstance(inode, Directory):
                if not below:
                    return None
                raise StoreError(f"directory {below[-1]!r} has lost its parent {fid}")
            below.append(inode.name)
            fid = inode.parent
            found = self.directories.get(fid)
        while below:
            child = self.child(found, below.pop())
            if not isinstance(child, Directory):
                raise StoreError(f"directory {found.fid} has lost a child")
            found = child
        return found

    def inode(self, fid: int) -> Inode | None:
        """Anything by fid; None when it does not exist."""
        known = self.directories.get(fid) or self.linked.get(fid)
        if known is not None:
            return known
        key = keys.inode(fid)
        record = self.tables.get(key)
        if record is None:
            return None
        inode = self._decode(fid, key, record)
        parent = self.directory(inode.parent)
        if parent is None:
            raise StoreError(f"inode {fid} has lost its parent {inode.parent}")
        known = parent.children.get(inode.name)
        if known is not None:
            return known
        self.attach(parent, inode.name, inode)
        return inode

    def quota_node(self, directory: Directory) -> int:
        """Fid of the quota node that accounts entries of this directory; 0 for none."""
        if self.tables.counters(keys.INSTANCE, keys.INSTANCE_COUNTERS)[5] == 0:
            return 0
        step: Directory | None = directory
        while step is not None:
            if step.is_quota_node:
                return step.fid
            step = self.directories.get(step.parent)
        return 0

    def path(self, inode: Inode) -> str:
        """Absolute path of the primary name."""
        names: list[str] = []
        step: Inode | None = inode
        while step is not None and step.parent:
            names.append(step.name)
            step = self.directory(step.parent)
        return "/" + "/".join(reversed(names))

    def see(self, fid: int) -> None:
        """An op has used this fid."""
        if fid >= self.fid_seen:
            self.fid_seen = fid + 1

    def _load(self, fid: int) -> Inode | None:
        key = keys.inode(fid)
        record = self.tables.get(key)
        return self._decode(fid, key, record) if record is not None else None

    def _decode(self, fid: int, key: bytes, record: bytes) -> Inode:
        inode = decode_record(fid, record)
        inode.seq = self.tables.pending_tag(key)
        if inode.flags & FLAG_XATTRS:
            xattrs = self.tables.get(keys.xattrs(fid))
            if xattrs is None:
                raise StoreError(f"inode {fid} has lost its attributes")
            inode.xattrs = decode_xattrs(fid, xattrs)
        if isinstance(inode, Directory):
            inode.complete = inode.size == 0
            inode.set_open()
        return inode

    # -- the cache -------------------------------------------------------------------------------
    def attach(self, directory: Directory, name: str, inode: Inode) -> None:
        """Put an inode in the cache under a name that it has."""
        directory.used = True
        if not directory.children:
            self._clock[directory.fid] = None
        children = directory.children
        children[name] = inode
        self.cached_count += 1
        if len(children) > DIRECTORY_CACHED_MAX:
            self._crowded = directory
        if inode.parent == directory.fid and inode.name == name:
            inode.parent = directory.fid
            inode.name = name
        if isinstance(inode, Directory):
            self.directories[inode.fid] = inode
        elif inode.nlink > 1:
            self.linked[inode.fid] = inode
            self.link_slot_counts[inode.fid] = self.link_slot_counts.get(inode.fid, 0) + 1

    def detach(self, directory: Directory, name: str) -> None:
        """Take a cached name out of the cache; a directory then must not be used any more."""
        inode = directory.children.pop(name)
        self.cached_count -= 1
        self._forget(inode)

    def _forget(self, inode: Inode) -> None:
        if isinstance(inode, Directory):
            del self.directories[inode.fid]
        elif inode.nlink > 1:
            slots = self.link_slot_counts[inode.fid] - 1
            if slots:
                self.link_slot_counts[inode.fid] = slots
            else:
                self.unlink_slots(inode)

    def link_slots(self, inode: Inode) -> None:
        """A cached inode with one name is about to get a second one."""
        self.linked[inode.fid] = inode
        self.link_slot_counts[inode.fid] = 1

    def unlink_slots(self, inode: Inode) -> None:
        """An inode is about to have one name only, or to leave the cache."""
        self.linked.pop(inode.fid, None)
        self.link_slot_counts.pop(inode.fid, None)

    def rename_linked(self, inode: Inode, fid: int) -> None:
        """A cached inode with several names is about to get another fid."""
        del self.linked[inode.fid]
        self.linked[fid] = inode
        self.link_slot_counts[fid] = self.link_slot_counts.pop(inode.fid)

    def make_room(self) -> None:
        """One small step of eviction when too much is cached. Call it between ops only."""
        self.thin_crowd()
        excess = self.cached_count - self.cache_entries_max
        if excess > 0:
            self.evict(min(excess + EVICTION_ENTRIES_MIN, EVICTION_ENTRIES_MAX))

    def thin_crowd(self) -> None:
        """Drop entries of the directory that has too many cached. Safe while one is listed: a
        directory with cached entries stays, and who holds an inode keeps it."""
        crowded = self._crowded
        if crowded is not None:
            crowd = len(crowded.children) - DIRECTORY_CACHED_MAX
            self._evict_from(crowded, min(crowd + EVICTION_ENTRIES_MIN, EVICTION_ENTRIES_MAX))
            if len(crowded.children) <= DIRECTORY_CACHED_MAX:
                self._crowded = None

    def evict(self, entries_max: int) -> int:
        """Drop up to `entries_max` entries, least used directories first; number dropped.

        A clock over the directories: one that was used since the hand last passed gets another
        round. A directory goes when none of its entries is cached. What pending ops have touched
        may go too: loaded again it carries a pending tag (`_decode`).
        """
        dropped = 0
        rounds = min(2 * len(self._clock), entries_max + EVICTION_ENTRIES_MIN)
        while self._clock and dropped < entries_max and rounds > 0:
            rounds -= 1
            fid, _ = self._clock.popitem(last=False)
            directory = self.directories.get(fid)
            if directory is None or not directory.children:
                continue
            if directory.used:
                directory.used = False
            else:
                dropped += self._evict_from(directory, entries_max - dropped)
            if directory.children:
                self._clock[fid] = None
        return dropped

    def _evict_from(self, directory: Directory, entries_max: int) -> int:
        children = directory.children
        kept: list[tuple[str, Inode]] = []
        dropped = 0
        for _ in range(min(entries_max, len(children))):
            name, inode = children.popitem()
            if isinstance(inode, Directory) and inode.children:
                kept.append((name, inode))
            else:
                dropped += 1
                self._forget(inode)
        if dropped:
            directory.complete = False
            directory.names = None
            self.cached_count -= dropped
        children.update(kept)
        return dropped
