"""`space`: list, define, configure, switch, remove; and explain where a file would go."""

import errno
from typing import Final

import msgspec

from thesan.core.control.messages import AdminReply
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.ids import FSID_MAX
from thesan.core.model.layouts import LayoutKind
from thesan.core.model.limits import FSID_COUNT_MAX, GROUP_COUNT_MAX, REPLICA_COUNT_MAX
from thesan.core.namespace.ops import ConfigSet, Op
from thesan.core.placement.choose import explain
from thesan.core.placement.records import SPACE_SECTION, SpaceRecord, encode_record
from thesan.core.placement.topology import check_geotag
from thesan.roles.mgm.admin.arguments import Arguments, parse_bytes
from thesan.roles.mgm.admin.context import AdminContext, Args, Change
from thesan.roles.mgm.admin.figures import (
    Record,
    Sums,
    common_geotag,
    geotag_of,
    members_by,
    net_part,
)
from thesan.roles.mgm.admin.fs import check_space_name, configured, set_op
from thesan.roles.mgm.view import FsState

POLICY_LAYOUT: Final = "policy.layout"
"""Layout of files in this space where the directory does not say: plain or replica."""
POLICY_STRIPES: Final = "policy.nstripes"
"""Replicas of a file, likewise."""
_LAYOUT_NAMES: Final = tuple(kind.name.lower() for kind in LayoutKind)
_ON_OFF: Final = ("on", "off")


def ls(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Spaces: keys and order of EOS' `space ls -m`."""
    arguments = Arguments(args)
    match = arguments.text("match", "")
    arguments.done()
    members = members_by(context.view, lambda fs: fs.record.space)
    return AdminReply(
        records=[
            _record(context, name, record, members.get(name, []))
            for name, record in context.view.spaces().items()
            if not match or match == name
        ]
    )


def status(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Configuration of one space, one key a record."""
    arguments = Arguments(args)
    name = arguments.text("space")
    arguments.done()
    record = find(context, name)
    values = {
        "groupmod": record.group_count,
        "groupsize": record.group_size,
        "nominalsize": record.nominal_bytes,
        "status": record.status,
        **dict(sorted(record.settings.items())),
    }
    return AdminReply(records=[{"key": key, "value": value} for key, value in values.items()])


def place(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Where a new file would go now, and why: one throw of the dice, nothing is placed."""
    arguments = Arguments(args)
    name = arguments.text("space", "default")
    replica_count = arguments.number("replicas", 2, maximum=REPLICA_COUNT_MAX)
    size = arguments.byte_count("size", 0)
    geotag = arguments.text("geotag", "")
    exclude = arguments.numbers("exclude", maximum=FSID_MAX)
    group = arguments.text("group", "")
    arguments.done()
    check_geotag(geotag)
    if replica_count == 0:
        raise OperationError(errno.EINVAL, "a file has at least one replica")
    topology = context.view.topology(context.now_s)
    choice = explain(
        topology, name, replica_count, size, geotag, frozenset(exclude), context.dice(), group
    )
    taken = ", ".join(f"fs {fsid}" for fsid in choice.fsids)
    record = {
        "space": name,
        "replicas": replica_count,
        "size": size,
        "geotag": geotag,
        "fsids": list(choice.fsids),
        "why": choice.why,
    }
    return AdminReply(records=[record], text=taken or choice.why[0])


def define(context: AdminContext, args: Args, identity: Identity) -> Change:
    """`space define NAME [GROUPSIZE [GROUPMOD]]`: make a space, or change its groups."""
    arguments = Arguments(args)
    name = arguments.text("space")
    group_size = arguments.number("groupsize", 0, maximum=FSID_COUNT_MAX)
    group_count = arguments.number("groupmod", 24, maximum=GROUP_COUNT_MAX)
    arguments.done()
    check_space_name(name)
    record = msgspec.structs.replace(
        context.view.spaces().get(name, SpaceRecord()),
        group_size=group_size,
        group_count=max(1, group_count),
    )
    text = f"space {name}: groupsize {group_size}, groupmod {record.group_count}"
    return Change([_set(name, record)], AdminReply(records=[], text=text))


def config(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Set one key of a space; `fs.KEY` sets KEY of every filesystem in it."""
    arguments = Arguments(args)
    name = arguments.text("space")
    key, value = arguments.text("key"), arguments.text("value")
    arguments.done()
    record = find(context, name)
    key = key.removeprefix("space.")
    if key.startswith("fs."):
        members = _members(context, name)
        ops: list[Op] = [
            set_op(fs, configured(context, fs, key.removeprefix("fs."), value)) for fs in members
        ]
        text = f"space {name}: {key} set to {value} on {len(members)} filesystems"
        return Change(ops, AdminReply(records=[], text=text), is_whole=False)
    record = _configured(record, key, value)
    text = f"space {name}: {key} set to {value}"
    return Change([_set(name, record)], AdminReply(records=[], text=text))


def set_status(context: AdminContext, args: Args, identity: Identity) -> Change:
    """`space set NAME on|off`: a space that is off takes no new files."""
    arguments = Arguments(args)
    name = arguments.text("space")
    wanted = arguments.choice("status", _ON_OFF)
    arguments.done()
    record = msgspec.structs.replace(find(context, name), status=wanted)
    return Change([_set(name, record)], AdminReply(records=[], text=f"space {name} is {wanted}"))


def rm(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Forget a space that has no filesystems."""
    arguments = Arguments(args)
    name = arguments.text("space")
    arguments.done()
    find(context, name)
    members = _members(context, name)
    if members:
        listed = ", ".join(str(fs.fsid) for fs in members[:20])
        raise OperationError(errno.EBUSY, f"space {name} has the filesystems {listed}")
    return Change(
        [ConfigSet(SPACE_SECTION, name, None)],
        AdminReply(records=[], text=f"space {name} removed"),
    )


def find(context: AdminContext, name: str) -> SpaceRecord:
    """A space by name. Raises OperationError ENOENT."""
    record = context.view.spaces().get(name)
    if record is None:
        raise OperationError(errno.ENOENT, f"there is no space {name[:80]!r}")
    return record


def _configured(record: SpaceRecord, key: str, value: str) -> SpaceRecord:
    allowed: tuple[str, ...] = ()
    match key:
        case "groupsize":
            size = Arguments({key: value}).number(key, maximum=FSID_COUNT_MAX)
            return msgspec.structs.replace(record, group_size=size)
        case "groupmod":
            count = Arguments({key: value}).number(key, maximum=GROUP_COUNT_MAX)
            return msgspec.structs.replace(record, group_count=max(1, count))
        case "nominalsize":
            return msgspec.structs.replace(record, nominal_bytes=parse_bytes(value))
        case "policy.layout":
            allowed = _LAYOUT_NAMES
        case "policy.nstripes":
            allowed = tuple(str(count) for count in range(1, REPLICA_COUNT_MAX + 1))
        case _:
            known = (
                "groupsize",
                "groupmod",
                "nominalsize",
                POLICY_LAYOUT,
                POLICY_STRIPES,
                "fs.*",
            )
            raise OperationError(
                errno.EINVAL, f"space has no key {key[:40]!r}: there are {', '.join(known)}"
            )
    settings = dict(record.settings)
    if value == "<none>":
        settings.pop(key, None)
    else:
        settings[key] = Arguments({key: value}).choice(key, allowed)
    return msgspec.structs.replace(record, settings=settings)


def _members(context: AdminContext, name: str) -> list[FsState]:
    return [fs for fs in context.view.filesystems() if fs.record.space == name]


def _set(name: str, record: SpaceRecord) -> Op:
    return ConfigSet(SPACE_SECTION, name, encode_record(record))


def _record(
    context: AdminContext, name: str, record: SpaceRecord, members: list[FsState]
) -> Record:
    view = context.view
    sums = Sums(members)
    placeable = [
        fs
        for member in members
        if (fs := view.placement_of(member.fsid, context.now_s)) and not fs.unplaceable_because()
    ]
    capacity = sums.capacity()
    return {
        "type": "spaceview",
        "name": name,
        "cfg.groupsize": record.group_size,
        "cfg.groupmod": record.group_count,
        "nofs": sums.count,
        **sums.io_part(),
        **net_part(view, [fs.record.node for fs in members]),
        **sums.open_part(),
        "sum.stat.statfs.usedbytes": sums.used(),
        "sum.stat.statfs.freebytes": sums.free(),
        "sum.stat.statfs.freebytes?configstatus@rw": sums.total_rw(lambda one: one.free_bytes),
        "sum.stat.statfs.capacity": capacity,
        "sum.stat.usedfiles": sums.total(lambda one: one.used_files),
        "sum.stat.statfs.ffiles": sums.total(lambda one: one.free_files),
        "sum.stat.statfs.files": sums.total(lambda one: one.files),
        "sched.capacity": sum(fs.usable_bytes for fs in placeable),
        "sum.stat.statfs.capacity?configstatus@rw": sums.total_rw(lambda one: one.capacity_bytes),
        "sum.<n>?configstatus@rw": sums.count_rw,
        "cfg.quota": "on",
        "cfg.nominalsize": record.nominal_bytes,
        "cfg.balancer": "off",
        "cfg.balancer.threshold": 0,
        "local.balancer.running": 0,
        "sum.stat.disk.iops?configstatus@rw": 0,
        "sum.stat.disk.bw?configstatus@rw": 0,
        "avg.stat.geotag": common_geotag([geotag_of(view, fs) for fs in members]),
        "usage": round(100.0 * sums.used() / capacity, 2) if capacity else 0.0,
        "cfg.status": record.status,
    }
