"""`group`: list groups, switch them, remove empty ones."""

import errno

from thesan.core.control.messages import AdminReply
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.namespace.ops import ConfigSet
from thesan.core.placement.records import GROUP_SECTION, GroupRecord, encode_record
from thesan.roles.mgm.admin.arguments import Arguments
from thesan.roles.mgm.admin.context import AdminContext, Args, Change
from thesan.roles.mgm.admin.figures import (
    Record,
    Sums,
    common_geotag,
    filled_percent,
    geotag_of,
    members_by,
    net_part,
)
from thesan.roles.mgm.view import FsState


def ls(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Groups: keys and order of EOS' `group ls -m`."""
    arguments = Arguments(args)
    match = arguments.text("match", "")
    arguments.done()
    members = members_by(context.view, lambda fs: fs.record.group)
    return AdminReply(
        records=[
            _record(context, name, record, members.get(name, []))
            for name, record in context.view.groups().items()
            if not match or match in (name, name.partition(".")[0])
        ]
    )


def set_status(context: AdminContext, args: Args, identity: Identity) -> Change:
    """`group set NAME on|drain|off`: only a group that is on takes new files."""
    arguments = Arguments(args)
    name = arguments.text("group")
    wanted = arguments.choice("status", ("on", "drain", "off"))
    arguments.done()
    _find(context, name)
    return Change(
        [ConfigSet(GROUP_SECTION, name, encode_record(GroupRecord(status=wanted)))],
        AdminReply(records=[], text=f"group {name} is {wanted}"),
    )


def rm(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Forget a group that has no filesystems."""
    arguments = Arguments(args)
    name = arguments.text("group")
    arguments.done()
    _find(context, name)
    members = [fs.fsid for fs in context.view.filesystems() if fs.record.group == name]
    if members:
        listed = ", ".join(str(fsid) for fsid in members[:20])
        raise OperationError(errno.EBUSY, f"group {name} has the filesystems {listed}")
    return Change(
        [ConfigSet(GROUP_SECTION, name, None)],
        AdminReply(records=[], text=f"group {name} removed"),
    )


def _find(context: AdminContext, name: str) -> GroupRecord:
    record = context.view.groups().get(name)
    if record is None:
        raise OperationError(errno.ENOENT, f"there is no group {name[:80]!r}")
    return record


def _record(
    context: AdminContext, name: str, record: GroupRecord, members: list[FsState]
) -> Record:
    view = context.view
    sums = Sums(members)
    return {
        "type": "groupview",
        "cfg.status": record.status,
        "name": name,
        "nofs": sums.count,
        **sums.io_part(),
        **net_part(view, [fs.record.node for fs in members]),
        **sums.open_part(),
        "sum.stat.statfs.usedbytes": sums.used(),
        "sum.stat.statfs.freebytes": sums.free(),
        "sum.stat.statfs.capacity": sums.capacity(),
        "sum.stat.usedfiles": sums.total(lambda one: one.used_files),
        "sum.stat.statfs.ffree": sums.total(lambda one: one.free_files),
        "sum.stat.statfs.files": sums.total(lambda one: one.files),
        "dev.stat.statfs.filled": sums.deviation(filled_percent),
        "avg.stat.statfs.filled": sums.mean(filled_percent),
        "sig.stat.statfs.filled": sums.sigma(filled_percent),
        "cfg.stat.balancing": "idle",
        "local.balancer.running": 0,
        "avg.stat.geotag": common_geotag([geotag_of(view, fs) for fs in members]),
    }
