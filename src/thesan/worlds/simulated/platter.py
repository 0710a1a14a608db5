"""What a simulated disk holds: now, and after a power cut.

The model is that of a journaling filesystem (ext4, xfs). Names, attributes and removals enter an
ordered journal; any fsync commits all of it; a power cut keeps a prefix of the rest. File bytes are
in the page cache until their own fsync; a power cut keeps any of the later writes, torn at will.
A failed fsync drops the bytes from what will ever be written, and later ones succeed (fsyncgate).
"""

import errno
import random
from dataclasses import dataclass
from typing import Final

from thesan.core.model.errors import OperationError
from thesan.core.model.units import GIB

SECTOR_BYTES: Final = 512
"""A power cut tears a write at a multiple of this."""
INODE_COUNT_MAX: Final = 1_000_000
"""What statvfs shows."""


class Inode:
    """One file's bytes and attributes."""

    __slots__ = ("data", "durable", "links", "pending", "xattrs")

    def __init__(self) -> None:
        self.data = bytearray()
        """As the processes of this machine see it."""
        self.durable = b""
        """What a power cut leaves if it loses all of `pending`."""
        self.pending: list[tuple[int, bytes | None]] = []
        """(offset, bytes) written or (size, None) cut since the last fsync."""
        self.xattrs: dict[str, bytes] = {}
        self.links = 0

    def write(self, offset: int, data: bytes) -> None:
        """Write, with a hole where the file was shorter."""
        _put(self.data, offset, data)
        self.pending.append((offset, data))

    def truncate(self, size: int) -> None:
        """Cut, or lengthen with a hole."""
        _cut(self.data, size)
        self.pending.append((size, None))

    def commit(self) -> None:
        """fsync."""
        if self.pending:
            buffer = bytearray(self.durable)
            for offset, data in self.pending:
                if data is None:
                    _cut(buffer, offset)
                else:
                    _put(buffer, offset, data)
            self.durable = bytes(buffer)
            self.pending.clear()

    def crash(self, dice: random.Random) -> None:
        """Keep each pending write, lose it, or keep its first sectors."""
        buffer = bytearray(self.durable)
        for offset, data in self.pending:
            fate = dice.random()
            if fate < 0.4:
                continue
            if data is None:
                _cut(buffer, offset)
            elif fate < 0.7:
                sectors = dice.randint(0, len(data) // SECTOR_BYTES)
                _put(buffer, offset, data[: sectors * SECTOR_BYTES])
            else:
                _put(buffer, offset, data)
        self.data = buffer
        self.durable = bytes(buffer)
        self.pending.clear()


@dataclass(slots=True)
class DiskFaults:
    """What is wrong with a disk just now."""

    slow_factor: float = 1.0
    """Every call takes this many times longer."""
    read_only: bool = False
    full: bool = False
    dead: bool = False
    """Every call fails with EIO."""
    sync_failures: int = 0
    """So many of the next fsyncs fail with EIO."""


_Entry = tuple[str, str, Inode | None, bytes | None]
"""("link", path, inode, -) | ("unlink", path, -, -) | ("xattr", name, inode, value)."""


class Platter:
    """One disk of a machine. It outlives processes and power cuts."""

    def __init__(self, label: str, capacity_bytes: int = 100 * GIB) -> None:
        self.label = label
        self.capacity_bytes = capacity_bytes
        self.faults = DiskFaults()
        self.names: dict[str, Inode] = {}
        self.directories: dict[str, None] = {"": None}
        self.used_bytes = 0
        self._durable_names: dict[str, Inode] = {}
        self._durable_xattrs: dict[Inode, dict[str, bytes]] = {}
        self._journal: list[_Entry] = []

    # -- names ---------------------------------------------------------------------------------
    def link(self, path: str, inode: Inode) -> None:
        """Give a file a name, taking it from whoever had it."""
        self._forget(path)
        parent = path.rpartition("/")[0]
        while parent not in self.directories:
            self.directories[parent] = None
            parent = parent.rpartition("/")[0]
        self.names[path] = inode
        inode.links += 1
        if inode.links == 1:
            self.used_bytes += len(inode.data)
        self._journal.append(("link", path, inode, None))

    def unlink(self, path: str) -> bool:
        """Take a name away; False when it was not there."""
        if not self._forget(path):
            return False
        self._journal.append(("unlink", path, None, None))
        return True

    def rename(self, old: str, new: str) -> None:
        """Atomic: one journal position."""
        inode = self.names[old]
        self.link(new, inode)
        del self._journal[-1]
        self._forget(old)
        self._journal.append(("rename", f"{old}\0{new}", inode, None))

    def set_xattr(self, path: str, name: str, value: bytes) -> None:
        """Set an attribute of a file."""
        self.set_inode_xattr(self.file(path), name, value)

    def set_inode_xattr(self, inode: Inode, name: str, value: bytes) -> None:
        """Set an attribute of an open file, which may have lost its name."""
        inode.xattrs[name] = value
        self._journal.append(("xattr", name, inode, value))

    def file(self, path: str) -> Inode:
        """Raises OperationError ENOENT, or EINVAL for a directory."""
        inode = self.names.get(path)
        if inode is None:
            if path in self.directories:
                raise OperationError(errno.EINVAL, f"{self.label}/{path} is not a regular file")
            raise OperationError(errno.ENOENT, f"{self.label}/{path} is not there")
        return inode

    def children(self, path: str) -> list[str]:
        """Sorted names directly below a directory."""
        prefix = f"{path}/" if path else ""
        found = {
            rest.partition("/")[0]
            for name in (*self.names, *self.directories)
            if name.startswith(prefix) and (rest := name[len(prefix) :])
        }
        return sorted(found)

    # -- bytes ---------------------------------------------------------------------------------
    def write(self, inode: Inode, offset: int, data: bytes) -> None:
        """Raises OperationError ENOSPC."""
        growth = max(0, offset + len(data) - len(inode.data))
        if growth and (self.faults.full or self.used_bytes + growth > self.capacity_bytes):
            raise OperationError(errno.ENOSPC, f"{self.label} is full")
        inode.write(offset, data)
        if inode.links:
            self.used_bytes += growth

    def truncate(self, inode: Inode, size: int) -> None:
        """Set the size."""
        if inode.links:
            self.used_bytes += size - len(inode.data)
        inode.truncate(size)

    def sync(self, inode: Inode | None) -> None:
        """fsync of a file, or of a directory (None). Raises OperationError EIO."""
        if self.faults.sync_failures > 0:
            self.faults.sync_failures -= 1
            if inode is not None:
                inode.pending.clear()
            raise OperationError(errno.EIO, f"{self.label}: fsync failed")
        if inode is not None:
            inode.commit()
        self._commit_journal(len(self._journal))

    # -- the power cut -------------------------------------------------------------------------
    def crash(self, dice: random.Random) -> None:
        """What was not synced is kept, torn or lost."""
        self._commit_journal(dice.randint(0, len(self._journal)))
        self._journal.clear()
        self.names = dict(self._durable_names)
        inodes = list(dict.fromkeys(self.names.values()))
        for inode in inodes:
            inode.links = 0
            inode.xattrs = dict(self._durable_xattrs.get(inode, {}))
            inode.crash(dice)
        for inode in self.names.values():
            inode.links += 1
        self.used_bytes = sum(len(inode.data) for inode in inodes)

    def rot(self, path: str, dice: random.Random) -> None:
        """Flip one bit of a file for good."""
        inode = self.file(path)
        place, bit = dice.randrange(len(inode.data)), 1 << dice.randrange(8)
        inode.data[place] ^= bit
        if place < len(inode.durable):
            durable = bytearray(inode.durable)
            durable[place] = inode.data[place]
            inode.durable = bytes(durable)

    # -- inside --------------------------------------------------------------------------------
    def _forget(self, path: str) -> bool:
        inode = self.names.pop(path, None)
        if inode is None:
            return False
        inode.links -= 1
        if inode.links == 0:
            self.used_bytes -= len(inode.data)
        return True

    def _commit_journal(self, entry_count: int) -> None:
        for verb, text, inode, value in self._journal[:entry_count]:
            match verb:
                case "link":
                    assert inode is not None
                    self._durable_names[text] = inode
                case "unlink":
                    self._durable_names.pop(text, None)
                case "rename":
                    assert inode is not None
                    old, _, new = text.partition("\0")
                    self._durable_names.pop(old, None)
                    self._durable_names[new] = inode
                case "xattr":
                    assert inode is not None
                    assert value is not None
                    self._durable_xattrs.setdefault(inode, {})[text] = value
                case _:
                    raise AssertionError(f"unknown journal entry {verb}")
        del self._journal[:entry_count]
        kept = dict.fromkeys(self._durable_names.values())
        kept.update(dict.fromkeys(entry[2] for entry in self._journal if entry[2] is not None))
        self._durable_xattrs = {
            inode: found for inode, found in self._durable_xattrs.items() if inode in kept
        }


def _put(buffer: bytearray, offset: int, data: bytes) -> None:
    if not data:
        return  # POSIX: a write of nothing makes no hole
    if offset > len(buffer):
        buffer.extend(bytes(offset - len(buffer)))
    buffer[offset : offset + len(data)] = data


def _cut(buffer: bytearray, size: int) -> None:
    if size < len(buffer):
        del buffer[size:]
    else:
        buffer.extend(bytes(size - len(buffer)))
