"""`node`: list FSTs, switch them on and off, configure and remove them."""

import errno
from typing import Final

import msgspec

from thesan.core.control.messages import AdminReply
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.units import NS_PER_S
from thesan.core.namespace.ops import ConfigSet
from thesan.core.placement.records import NODE_SECTION, encode_record
from thesan.roles.mgm.admin import leadership
from thesan.roles.mgm.admin.arguments import Arguments
from thesan.roles.mgm.admin.context import AdminContext, Args, Change
from thesan.roles.mgm.admin.figures import Record, Sums
from thesan.roles.mgm.view import NodeState

_SETTING_BYTES_MAX: Final = 1024
HEARTBEAT_DELTA_MAX: Final = 86400
"""EOS shows no more than a day."""


def ls(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """FSTs: keys and order of EOS' `node ls -m`; then MGMs and the journal engine, with another
    `type`."""
    arguments = Arguments(args)
    match = arguments.text("match", "")
    arguments.done()
    records = [_record(context, state) for state in context.view.nodes()]
    records += leadership.node_records(context)
    if match:
        records = [one for one in records if match in _names_of(one)]
    return AdminReply(records=records)


def _names_of(record: Record) -> tuple[str, str]:
    address = str(record["hostport"])
    return address, address.rpartition(":")[0]


def status(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """One FST: its record, its settings, its filesystems."""
    arguments = Arguments(args)
    state = find(context, arguments.text("node"))
    arguments.done()
    record = _record(context, state)
    record["boot.id"] = state.boot_id
    record["epoch"] = state.epoch
    record["http.port"] = state.report.http_port
    record["pid"] = state.report.pid
    record["fsids"] = [fs.fsid for fs in context.view.filesystems_of(state.node)]
    for key, value in sorted(state.record.settings.items()):
        record[f"cfg.{key}"] = value
    return AdminReply(records=[record])


def set_status(context: AdminContext, args: Args, identity: Identity) -> Change:
    """`node set HOST:PORT on|off`: an FST that is off gets no clients.

    EOS makes a node of an address that it does not know. Here FSTs come by themselves, and a
    mistyped address must not be a node that nobody has, while the one that was meant stays on.
    """
    arguments = Arguments(args)
    state = find(context, arguments.text("node"))
    wanted = arguments.choice("status", ("on", "off"))
    arguments.done()
    record = msgspec.structs.replace(state.record, status=wanted)
    return Change(
        [ConfigSet(NODE_SECTION, state.node, encode_record(record))],
        AdminReply(records=[], text=f"node {state.node} is {wanted}"),
    )


def config(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Set a key of all filesystems of an FST: `fs.configstatus` and the like is not here but in
    `fs config`; an FST itself has the key `comment`."""
    arguments = Arguments(args)
    state = find(context, arguments.text("node"))
    key = arguments.choice("key", ("comment",))
    value = arguments.text("value")
    arguments.done()
    if len(value) > _SETTING_BYTES_MAX:
        raise OperationError(errno.E2BIG, f"{key} is longer than {_SETTING_BYTES_MAX}")
    settings = {**state.record.settings, key: value}
    record = msgspec.structs.replace(state.record, settings=settings)
    return Change(
        [ConfigSet(NODE_SECTION, state.node, encode_record(record))],
        AdminReply(records=[], text=f"node {state.node}: {key} set"),
    )


def rm(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Remove an FST that has no filesystems and does not beat any more."""
    arguments = Arguments(args)
    state = find(context, arguments.text("node"))
    arguments.done()
    members = context.view.filesystems_of(state.node)
    if members:
        listed = ", ".join(str(fs.fsid) for fs in members[:20])
        raise OperationError(errno.EBUSY, f"node {state.node} has the filesystems {listed}")
    if state.online_at(context.now_s):
        raise OperationError(errno.EBUSY, f"node {state.node} is online: stop its FST first")
    return Change(
        [ConfigSet(NODE_SECTION, state.node, None)],
        AdminReply(records=[], text=f"node {state.node} removed"),
    )


def find(context: AdminContext, name: str) -> NodeState:
    """A node by `host:port`, or by its host where that is unique. Raises OperationError ENOENT."""
    state = context.view.node(name)
    if state is not None:
        return state
    matches = [one for one in context.view.nodes() if one.node.rpartition(":")[0] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(one.node for one in matches)
        raise OperationError(errno.EINVAL, f"host {name} has several FSTs: {listed}")
    raise OperationError(errno.ENOENT, f"there is no node {name[:80]!r}")


def heartbeat_delta(state: NodeState, now_s: float) -> int | str:
    """Seconds since the last beat; `~` when there was none or it is a day ago, as EOS shows it."""
    if state.beat_s < 0.0 or now_s - state.beat_s >= HEARTBEAT_DELTA_MAX:
        return "~"
    return int(now_s - state.beat_s)


def _record(context: AdminContext, state: NodeState) -> Record:
    members = context.view.filesystems_of(state.node)
    sums = Sums(members)
    report = state.report
    uptime_s = max(0, context.now_ns - report.start_ns) // NS_PER_S if report.start_ns else 0
    return {
        "type": "nodesview",
        "hostport": state.node,
        "status": "online" if state.online_at(context.now_s) else "offline",
        "cfg.status": state.record.status,
        "heartbeatdelta": heartbeat_delta(state, context.now_s),
        "nofs": sums.count,
        **sums.io_part(),
        "cfg.stat.net.ethratemib": report.net_mb_per_s_max,
        "cfg.stat.net.inratemib": report.net_in_mb_per_s,
        "cfg.stat.net.outratemib": report.net_out_mb_per_s,
        **sums.open_part(),
        "sum.stat.statfs.freebytes": sums.free(),
        "sum.stat.statfs.usedbytes": sums.used(),
        "sum.stat.statfs.capacity": sums.capacity(),
        "sum.stat.usedfiles": sums.total(lambda one: one.used_files),
        "sum.stat.statfs.ffree": sums.total(lambda one: one.free_files),
        "sum.stat.statfs.fused": sums.total(lambda one: max(0, one.files - one.free_files)),
        "sum.stat.statfs.files": sums.total(lambda one: one.files),
        "local.balancer.running": 0,
        "cfg.stat.sys.vsize": report.vsize_bytes,
        "cfg.stat.sys.rss": report.rss_bytes,
        "cfg.stat.sys.threads": report.threads,
        "cfg.stat.sys.sockets": report.sockets,
        "cfg.stat.sys.eos.version": report.version,
        "cfg.stat.sys.xrootd.version": report.version,
        "cfg.stat.sys.kernel": report.kernel,
        "cfg.stat.sys.eos.start": report.start_ns // NS_PER_S,
        "cfg.stat.sys.uptime": uptime_s,
        "sum.stat.disk.iops?configstatus@rw": 0,
        "sum.stat.disk.bw?configstatus@rw": 0,
        "cfg.stat.geotag": report.geotag,
    }
