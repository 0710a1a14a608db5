"""Which filesystems: for new replicas, for reading, for changing what is there.

Pure and repeatable: the same snapshot and the same dice give the same choice. Draws are weighted
by usable space; a draw that breaks a rule is thrown again, which leaves the weights right among
those that obey it. Rules for one file, first the hard ones:

1. all replicas in one group, never two on one filesystem;
2. never two on one node while the group has another node;
3. never two in one geotag while the group has another geotag (on another node).
"""

import errno
from bisect import bisect_right
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.ids import Fsid
from thesan.core.model.units import human_count
from thesan.core.placement.topology import (
    ConfigStatus,
    Filesystem,
    Group,
    Topology,
    geotag_match,
    group_key,
    weight_of,
)

_MASK: Final = (1 << 64) - 1
_MULTIPLIER: Final = 6364136223846793005
_INCREMENT: Final = 1442695040888963407
"""Knuth's 64-bit linear congruence (MMIX); the high bits are used."""
_THROWS_MAX: Final = 8
"""Then the allowed candidates are listed and one is drawn among them."""
_NOTHING: Final[frozenset[int]] = frozenset()


class Choice(msgspec.Struct, frozen=True):
    """An explained placement."""

    fsids: tuple[Fsid, ...]
    """Empty when nothing could be placed."""
    why: list[str]
    """One sentence for the outcome, then one for each filesystem of the space."""


def choose(
    topology: Topology,
    space: str,
    replica_count: int,
    size: int,
    client_geotag: str = "",
    exclude: Collection[int] = _NOTHING,
    dice: int = 0,
    only_group: str = "",
) -> tuple[Fsid, ...]:
    """Filesystems for the replicas of a new file of about `size` bytes, the head's first.

    The head is the one nearest to the client. Filesystems whose FST missed a beat are left out
    unless that costs a replica its node. `dice` is an unpredictable number of 64 bits.
    `only_group` is a group of the space (`default.3`) that must take the file, empty for any.
    Raises OperationError: ENOENT (no such space) or ENOSPC, with the reason.
    """
    assert replica_count > 0
    for suspects in topology.suspects:
        out = suspects.union(map(Fsid, exclude))
        picks = _choose_unsuspected(
            topology, space, replica_count, size, client_geotag, out, dice, only_group
        )
        if picks:
            return picks
    return _choose(topology, space, replica_count, size, client_geotag, exclude, dice, only_group)


def _choose_unsuspected(
    topology: Topology,
    space: str,
    replica_count: int,
    size: int,
    client_geotag: str,
    exclude: Collection[int],
    dice: int,
    only_group: str,
) -> tuple[Fsid, ...]:
    """The choice among the others; empty when it would be a worse one."""
    try:
        picks = _choose(
            topology, space, replica_count, size, client_geotag, exclude, dice, only_group
        )
    except OperationError:
        return ()
    nodes = {topology.filesystems[fsid].node for fsid in picks}
    return picks if len(nodes) == replica_count else ()


def _choose(
    topology: Topology,
    space: str,
    replica_count: int,
    size: int,
    client_geotag: str,
    exclude: Collection[int],
    dice: int,
    only_group: str,
) -> tuple[Fsid, ...]:
    prepared = topology.spaces.get(space)
    if prepared is None:
        raise OperationError(errno.ENOENT, f"there is no space {space!r}")
    groups = prepared.groups
    if groups:
        dice = (dice * _MULTIPLIER + _INCREMENT) & _MASK
        first = 0
        if len(groups) > 1:
            sums = prepared.cumulative
            first = bisect_right(sums, (dice >> 16) % sums[-1])
        for step in range(len(groups)):
            group = groups[(first + step) % len(groups)]
            if only_group and group.name != only_group:
                continue
            picks = _pick(group, replica_count, size, exclude, dice)
            if picks:
                if client_geotag and len(picks) > 1:
                    _nearest_first(picks, group, client_geotag)
                return tuple([group.fsids[pick] for pick in picks])
    text = _nothing_fits(topology, space, replica_count, size, exclude, only_group)
    raise OperationError(errno.ENOSPC, text)


def _pick(
    group: Group, replica_count: int, size: int, exclude: Collection[int], dice: int
) -> list[int]:
    """Indexes into the group's arrays; empty when the group has not enough candidates."""
    if len(group.fsids) < replica_count:
        return []
    cumulative, nodes, tags, usable = group.cumulative, group.nodes, group.tags, group.usable
    total = cumulative[-1]
    picks: list[int] = []
    used_nodes: list[int] = []
    used_tags: list[int] = []
    for position in range(replica_count):
        new_node = position < group.node_count
        new_tag = new_node and position < group.tag_count
        for _ in range(_THROWS_MAX):
            dice = (dice * _MULTIPLIER + _INCREMENT) & _MASK
            index = bisect_right(cumulative, (dice >> 16) % total)
            if (
                usable[index] >= size
                and index not in picks
                and not (new_node and nodes[index] in used_nodes)
                and not (new_tag and tags[index] in used_tags)
                and not (exclude and group.fsids[index] in exclude)
            ):
                break
        else:
            found = _pick_exactly(group, picks, size, exclude, dice)
            if found is None:
                return []
            index = found
        picks.append(index)
        used_nodes.append(nodes[index])
        used_tags.append(tags[index])
    return picks


def _pick_exactly(
    group: Group, picks: Sequence[int], size: int, exclude: Collection[int], dice: int
) -> int | None:
    """One more index, drawn among those that obey the strictest rule that leaves any."""
    allowed = [
        index
        for index, fsid in enumerate(group.fsids)
        if group.usable[index] >= size and index not in picks and fsid not in exclude
    ]
    used_nodes = {group.nodes[pick] for pick in picks}
    used_tags = {group.tags[pick] for pick in picks}
    other_node = [index for index in allowed if group.nodes[index] not in used_nodes]
    other_tag = [index for index in other_node if group.tags[index] not in used_tags]
    for candidates in (other_tag, other_node, allowed):
        if candidates:
            return _draw(group, candidates, dice)
    return None


def _draw(group: Group, candidates: Sequence[int], dice: int) -> int:
    weights = [
        group.cumulative[index] - (group.cumulative[index - 1] if index else 0)
        for index in candidates
    ]
    dice = (dice * _MULTIPLIER + _INCREMENT) & _MASK
    mark = (dice >> 16) % sum(weights)
    for index, weight in zip(candidates, weights, strict=True):
        mark -= weight
        if mark < 0:
            return index
    raise AssertionError("the mark is below the sum of the weights")


def _nearest_first(picks: list[int], group: Group, client_geotag: str) -> None:
    best = max(picks, key=lambda pick: geotag_match(group.geotags[pick], client_geotag))
    picks.remove(best)
    picks.insert(0, best)


def choose_read(
    topology: Topology,
    replicas: Sequence[int],
    client_geotag: str = "",
    exclude: Collection[int] = _NOTHING,
    dice: int = 0,
) -> Fsid:
    """The replica to read: not one that is being drained if there is another, then the nearest
    by geotag, then by dice weighted with the idle share of the disk. One whose FST missed a beat
    only if there is no other.

    `exclude` are filesystems that the client tried in vain (`Topology.fsids_of_hosts`).
    Raises OperationError EADDRNOTAVAIL (kXR_noReplicas) with the reason for each replica.
    """
    if len(replicas) == 1 and not exclude:
        only = topology.filesystems.get(Fsid(replicas[0]))
        if only is not None and not only.unreadable_because():
            return only.fsid
    best: list[Filesystem] = []
    best_rank: tuple[int, int, int] | None = None
    for fsid in replicas:
        fs = topology.filesystems.get(Fsid(fsid))
        if fs is None or fsid in exclude or fs.unreadable_because():
            continue
        is_wanted = int(fs.status >= ConfigStatus.RO)
        rank = (-fs.missed, is_wanted, geotag_match(fs.geotag, client_geotag))
        if best_rank is None or rank > best_rank:
            best, best_rank = [fs], rank
        elif rank == best_rank:
            best.append(fs)
    if not best:
        raise OperationError(errno.EADDRNOTAVAIL, _no_replica(topology, replicas, exclude))
    if len(best) == 1:
        return best[0].fsid
    # An idle disk counts 101, a busy one 1: never nothing, or its load would never be seen to fall.
    weights = [1 + int(100 * (1.0 - min(1.0, max(0.0, fs.load)))) for fs in best]
    dice = (dice * _MULTIPLIER + _INCREMENT) & _MASK
    mark = (dice >> 16) % sum(weights)
    for fs, weight in zip(best, weights, strict=True):
        mark -= weight
        if mark < 0:
            return fs.fsid
    raise AssertionError("the mark is below the sum of the weights")


def choose_update(
    topology: Topology, replicas: Sequence[int], client_geotag: str = ""
) -> tuple[Fsid, ...]:
    """All replicas in the order of writing, the head's first, since all must change together.

    Raises OperationError EADDRNOTAVAIL when one of them can't be written now, or there is none.
    """
    members: list[Filesystem] = []
    for fsid in replicas:
        fs = topology.filesystems.get(Fsid(fsid))
        reason = fs.unwritable_because() if fs is not None else "it is not configured"
        if fs is None or reason:
            raise OperationError(errno.EADDRNOTAVAIL, f"replica on fs {fsid}: {reason}")
        members.append(fs)
    if not members:
        raise OperationError(errno.EADDRNOTAVAIL, "the file has no replica")
    if client_geotag:
        members.sort(key=lambda fs: -geotag_match(fs.geotag, client_geotag))
    return tuple(fs.fsid for fs in members)


def explain(
    topology: Topology,
    space: str,
    replica_count: int,
    size: int,
    client_geotag: str = "",
    exclude: Collection[int] = _NOTHING,
    dice: int = 0,
    only_group: str = "",
) -> Choice:
    """The same choice as `choose`, with the reason for each filesystem of the space.

    Raises OperationError ENOENT when there is no such space; "nothing fits" is an answer here.
    """
    try:
        fsids = choose(
            topology, space, replica_count, size, client_geotag, exclude, dice, only_group
        )
    except OperationError as error:
        if error.errno != errno.ENOSPC:
            raise
        fsids = ()
        why = [error.text + "."]
    else:
        group = topology.filesystems[fsids[0]].group
        why = [f"{replica_count} x {human_count(size)} in space {space}: group {group} was drawn."]
    members = [fs for fs in topology.filesystems.values() if fs.space == space]
    members.sort(key=lambda fs: (group_key(fs.group), fs.fsid))
    shares = _shares(members)
    for fs in members:
        reason = _reason(topology, fs, fsids, size, exclude)
        share = f" ({shares[fs.fsid]:.1%} of the weight in its group)" if fs.fsid in shares else ""
        why.append(f"fs {fs.fsid} on {fs.node} in {fs.group}: {reason}{share}.")
    return Choice(fsids, why)


def _shares(members: Sequence[Filesystem]) -> dict[Fsid, float]:
    sums: dict[str, int] = {}
    placeable = [fs for fs in members if not fs.unplaceable_because()]
    for fs in placeable:
        sums[fs.group] = sums.get(fs.group, 0) + weight_of(fs)
    return {fs.fsid: weight_of(fs) / sums[fs.group] for fs in placeable}


def _reason(
    topology: Topology,
    fs: Filesystem,
    fsids: tuple[Fsid, ...],
    size: int,
    exclude: Collection[int],
) -> str:
    if fs.fsid in fsids:
        place = "taken as head" if fs.fsid == fsids[0] else "taken"
        return f"{place}, {human_count(fs.usable_bytes)} usable"
    reason = _unfit_because(fs, size, exclude)
    if reason:
        return f"left out, {reason}"
    if not fsids:
        return "could take a replica, but its group has not enough like it"
    taken = [topology.filesystems[fsid] for fsid in fsids]
    if taken[0].group != fs.group:
        return f"left out, group {taken[0].group} was drawn"
    for other in taken:
        if other.node == fs.node:
            return f"left out, on the same node as fs {other.fsid}"
    for other in taken:
        if other.geotag == fs.geotag and fs.geotag:
            return f"left out, in the same geotag {fs.geotag} as fs {other.fsid}"
    return "not drawn"


def _unfit_because(fs: Filesystem, size: int, exclude: Collection[int]) -> str:
    if fs.fsid in exclude:
        return "excluded by the request"
    reason = fs.unplaceable_because()
    if not reason and fs.usable_bytes < size:
        reason = f"only {human_count(fs.usable_bytes)} usable"
    return reason


def _nothing_fits(
    topology: Topology,
    space: str,
    replica_count: int,
    size: int,
    exclude: Collection[int],
    only_group: str,
) -> str:
    members = [
        fs
        for fs in topology.filesystems.values()
        if fs.space == space and only_group in ("", fs.group)
    ]
    if not members:
        return f"{f'group {only_group}' if only_group else f'space {space}'} has no filesystem"
    fitting: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for fs in members:
        reason = _unfit_because(fs, size, exclude)
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            fitting[fs.group] = fitting.get(fs.group, 0) + 1
    most = max(fitting.values(), default=0)
    listed = ", ".join(f"{count} x {reason}" for reason, count in list(reasons.items())[:5])
    wanted = f"{replica_count} filesystems for {human_count(size)}"
    if only_group:
        outcome = f"group {only_group} has not {wanted}: it has {most}"
    else:
        outcome = f"no group of space {space} has {wanted}: the best has {most}"
    return outcome + (f" (left out: {listed})" if listed else "")


def _no_replica(topology: Topology, replicas: Sequence[int], exclude: Collection[int]) -> str:
    reasons = []
    for fsid in replicas:
        fs = topology.filesystems.get(Fsid(fsid))
        if fs is None:
            reasons.append(f"fs {fsid}: not configured")
        elif fsid in exclude:
            reasons.append(f"fs {fsid}: tried by the client")
        else:
            reasons.append(f"fs {fsid}: {fs.unreadable_because()}")
    return "no replica can be read: " + ("; ".join(reasons) or "the file has none")
