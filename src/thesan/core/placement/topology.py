"""The cluster as placement sees it: an immutable snapshot of spaces, groups, nodes, filesystems.

A space holds groups `space.N`; a group holds filesystems; the replicas of one file stay in one
group. A snapshot is made whole (`build`), with the candidate arrays that make a choice cheap, and
replaced whole when something changed. Free space in it is as old as the last beat.
"""

import errno
from collections.abc import Iterable, Mapping
from enum import IntEnum
from itertools import accumulate
from typing import Final

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.ids import Fsid, NodeId
from thesan.core.model.limits import GEOTAG_BYTES_MAX, GEOTAG_TOKEN_BYTES_MAX, GROUP_COUNT_MAX
from thesan.core.model.units import MIB, human_count

GEOTAG_SEPARATOR: Final = "::"


class ConfigStatus(IntEnum):
    """What the operator wants from a filesystem; values and order as EOS' configstatus."""

    OFF = 0
    EMPTY = 1
    """Drained: holds nothing, may be removed."""
    DRAINDEAD = 2
    """To be drained, and not even readable."""
    DRAIN = 3
    """Readable; its replicas are to be copied elsewhere."""
    RO = 4
    WO = 5
    """Write once: takes new replicas and is read, but nothing on it is changed."""
    RW = 6


class BootState(IntEnum):
    """What the FST says of a filesystem; values as EOS' stat.boot."""

    OPSERROR = -2
    BOOTFAILURE = -1
    DOWN = 0
    BOOTING = 2
    BOOTED = 3


CONFIG_STATUS_NAMES: Final = {status: status.name.lower() for status in ConfigStatus}
CONFIG_STATUS_OF: Final = {name: status for status, name in CONFIG_STATUS_NAMES.items()}
BOOT_STATE_NAMES: Final = {state: state.name.lower() for state in BootState}
BOOT_STATE_OF: Final = {name: state for state, name in BOOT_STATE_NAMES.items()}


class Filesystem(msgspec.Struct, frozen=True):
    """One filesystem: configuration and the last report of its FST."""

    fsid: Fsid
    node: NodeId
    path: str
    space: str
    group: str
    """Full name `space.N`."""
    status: ConfigStatus = ConfigStatus.RW
    boot: BootState = BootState.BOOTED
    online: bool = True
    """Its FST beats."""
    missed: int = 0
    """Beats that its FST has missed: better somewhere else, if there is another place."""
    node_on: bool = True
    """`node set ... on`."""
    group_on: bool = True
    """`group set ... on`."""
    space_on: bool = True
    """`space set ... on`."""
    read_only: bool = False
    """The FST found its disk mounted read-only."""
    geotag: str = ""
    capacity_bytes: int = 0
    free_bytes: int = 0
    headroom_bytes: int = 0
    free_files: int = 1
    load: float = 0.0
    """Busy share of the disk, 0..1."""

    @property
    def host(self) -> str:
        """Host part of its node's name."""
        return self.node.rpartition(":")[0]

    @property
    def usable_bytes(self) -> int:
        """Free space above the headroom."""
        return max(0, self.free_bytes - self.headroom_bytes)

    def unreachable_because(self) -> str:
        """Why nobody can be sent there; empty when one can."""
        if not self.online:
            return "its node is offline"
        if not self.node_on:
            return "its node is set off"
        if self.boot is not BootState.BOOTED:
            return f"boot state is {BOOT_STATE_NAMES[self.boot]}"
        return ""

    def unreadable_because(self) -> str:
        """Why it serves no reads; empty when it does."""
        if self.status < ConfigStatus.DRAIN:
            return f"configstatus is {CONFIG_STATUS_NAMES[self.status]}"
        return self.unreachable_because()

    def unwritable_because(self) -> str:
        """Why replicas on it can't be changed; empty when they can."""
        if self.status is not ConfigStatus.RW:
            return f"configstatus is {CONFIG_STATUS_NAMES[self.status]}"
        if self.read_only:
            return "its disk is mounted read-only"
        return self.unreachable_because()

    def unplaceable_because(self) -> str:
        """Why it takes no new replica, of whatever size; empty when it does."""
        if self.status is not ConfigStatus.WO and self.status is not ConfigStatus.RW:
            return f"configstatus is {CONFIG_STATUS_NAMES[self.status]}"
        if self.read_only:
            return "its disk is mounted read-only"
        if not self.space_on:
            return f"space {self.space} is set off"
        if not self.group_on:
            return f"group {self.group} is not set on"
        reason = self.unreachable_because()
        if reason:
            return reason
        if self.usable_bytes == 0:
            free, headroom = human_count(self.free_bytes), human_count(self.headroom_bytes)
            return f"full: {free} free, headroom {headroom}"
        if self.free_files == 0:
            return "it has no free inode"
        return ""


class Group(msgspec.Struct, frozen=True):
    """The filesystems of a group that take new replicas, as parallel arrays.

    `nodes` and `tags` number the distinct nodes and geotags; `cumulative` sums the weights.
    """

    name: str
    fsids: tuple[Fsid, ...]
    nodes: tuple[int, ...]
    tags: tuple[int, ...]
    geotags: tuple[str, ...]
    usable: tuple[int, ...]
    cumulative: tuple[int, ...]
    node_count: int
    tag_count: int


class Space(msgspec.Struct, frozen=True):
    """Groups of a space that have a candidate at all, and their summed weights."""

    name: str
    groups: tuple[Group, ...]
    cumulative: tuple[int, ...]


class Topology(msgspec.Struct, frozen=True):
    """The snapshot. Make it with `build`."""

    filesystems: Mapping[Fsid, Filesystem]
    """In the order of fsid."""
    spaces: Mapping[str, Space]
    """Every space that exists, also those where nothing can be placed."""
    fsids_by_host: Mapping[str, tuple[Fsid, ...]]
    readable: Mapping[int, NodeId]
    """Nodes of the filesystems that serve reads, by fsid."""
    suspects: tuple[frozenset[Fsid], ...] = ()
    """Filesystems to leave out as long as others will do: those that missed one beat or more, two
    or more, and so on. When all are late, since the machine is, the dead are later still."""

    def fsids_of_hosts(self, hosts: Iterable[str]) -> frozenset[Fsid]:
        """Filesystems of these host names (without port): what `tried=` lists."""
        found: set[Fsid] = set()
        for host in hosts:
            found.update(self.fsids_by_host.get(host, ()))
        return frozenset(found)


def build(filesystems: Iterable[Filesystem], spaces: Iterable[str] = ()) -> Topology:
    """Make a snapshot; `spaces` names those that exist even if they are empty."""
    ordered = {fs.fsid: fs for fs in sorted(filesystems, key=lambda fs: fs.fsid)}
    by_space: dict[str, dict[str, list[Filesystem]]] = {name: {} for name in spaces}
    by_host: dict[str, list[Fsid]] = {}
    for fs in ordered.values():
        by_space.setdefault(fs.space, {})
        if fs.node:
            by_host.setdefault(fs.host, []).append(fs.fsid)
        if not fs.unplaceable_because():
            by_space[fs.space].setdefault(fs.group, []).append(fs)
    prepared = {}
    for name in sorted(by_space):
        members = by_space[name]
        groups = tuple(_group(group, members[group]) for group in sorted(members, key=group_key))
        sums = tuple(accumulate(group.cumulative[-1] for group in groups))
        prepared[name] = Space(name, groups, sums)
    hosts = {host: tuple(by_host[host]) for host in sorted(by_host)}
    readable = {int(fs.fsid): fs.node for fs in ordered.values() if not fs.unreadable_because()}
    suspects = tuple(
        frozenset(fs.fsid for fs in ordered.values() if fs.missed >= count)
        for count in sorted({fs.missed for fs in ordered.values()} - {0})
    )
    return Topology(ordered, prepared, hosts, readable, suspects)


def _group(name: str, members: list[Filesystem]) -> Group:
    node_numbers: dict[str, int] = {}
    tag_numbers: dict[str, int] = {}
    return Group(
        name=name,
        fsids=tuple(fs.fsid for fs in members),
        nodes=tuple(node_numbers.setdefault(fs.node, len(node_numbers)) for fs in members),
        tags=tuple(tag_numbers.setdefault(fs.geotag, len(tag_numbers)) for fs in members),
        geotags=tuple(fs.geotag for fs in members),
        usable=tuple(fs.usable_bytes for fs in members),
        cumulative=tuple(accumulate(weight_of(fs) for fs in members)),
        node_count=len(node_numbers),
        tag_count=len(tag_numbers),
    )


def weight_of(fs: Filesystem) -> int:
    """Share of new replicas that a filesystem gets: its usable space in MiB, at least 1."""
    return fs.usable_bytes // MIB or 1


def group_key(name: str) -> tuple[str, int, str]:
    """Sort key: `default.2` comes before `default.10`."""
    space, _, number = name.rpartition(".")
    return (space, int(number), "") if number.isdecimal() else (name, -1, name)


def geotag_match(geotag: str, client_geotag: str) -> int:
    """Number of leading tokens that two geotags share; 0 when either is empty."""
    if not geotag or not client_geotag:
        return 0
    count = 0
    for one, other in zip(
        geotag.split(GEOTAG_SEPARATOR), client_geotag.split(GEOTAG_SEPARATOR), strict=False
    ):
        if one != other:
            break
        count += 1
    return count


def check_geotag(geotag: str) -> None:
    """`site::room::rack`, tokens of 1-8 letters, digits, `-` and `_`. Raises OperationError."""
    for token in geotag.split(GEOTAG_SEPARATOR) if geotag else ():
        plain = token.replace("-", "").replace("_", "")
        if not 0 < len(token) <= GEOTAG_TOKEN_BYTES_MAX or not plain.isalnum():
            raise OperationError(errno.EINVAL, f"not a geotag: {geotag[:80]!r} (token {token!r})")
    if len(geotag) > GEOTAG_BYTES_MAX or not geotag.isascii():
        raise OperationError(errno.EINVAL, f"geotag is longer than {GEOTAG_BYTES_MAX} ASCII bytes")


def assign_group(
    space: str, group_size: int, group_count: int, node: str, members: Mapping[str, list[str]]
) -> str:
    """The group that a new filesystem of `node` joins.

    `members`: nodes of the filesystems that each group has now, by full group name. As in EOS,
    group size 0 means that the space has the one group `space.0`; otherwise the first group with
    room that has no filesystem of this node yet, then the first with room.
    Raises OperationError ENOSPC when all groups are full.
    """
    if group_size <= 0:
        return f"{space}.0"
    names = [f"{space}.{number}" for number in range(min(max(1, group_count), GROUP_COUNT_MAX))]
    roomy = [name for name in names if len(members.get(name, ())) < group_size]
    for name in roomy:
        if node not in members.get(name, ()):
            return name
    if roomy:
        return roomy[0]
    raise OperationError(
        errno.ENOSPC,
        f"all {len(names)} groups of space {space} have {group_size} filesystems: "
        f"raise groupsize or groupmod",
    )
