"""`ns stat`, `version` and `config ls`: what the MGM knows of itself."""

import msgspec

from thesan.core.authority.rules import VID_SECTION
from thesan.core.control.messages import AdminReply
from thesan.core.leadership.records import HISTORY_SECTION, MEMBER_SECTION
from thesan.core.model.identity import Identity
from thesan.core.model.limits import CACHE_ENTRIES_MAX
from thesan.core.model.units import NS_PER_S
from thesan.core.namespace import queries
from thesan.core.placement.records import (
    FS_SECTION,
    GROUP_SECTION,
    MGM_SECTION,
    NODE_SECTION,
    SPACE_SECTION,
)
from thesan.roles.mgm.admin.arguments import Arguments
from thesan.roles.mgm.admin.context import AdminContext, Args
from thesan.roles.mgm.admin.figures import Record

_RECORD_SECTIONS = (FS_SECTION, NODE_SECTION, GROUP_SECTION, SPACE_SECTION)
_LEADERSHIP_SECTIONS = (MEMBER_SECTION, HISTORY_SECTION)
_MAP_SECTIONS = (*_RECORD_SECTIONS, *_LEADERSHIP_SECTIONS)
_TEXT_SECTIONS = (MGM_SECTION, VID_SECTION)


def stat(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """One figure a record, `uid=all gid=all KEY=VALUE`, as EOS' `ns stat -m` prints them."""
    Arguments(args).done()
    figures = context.figures()
    load = context.load()
    uptime_s = max(0, context.now_ns - figures.start_ns) // NS_PER_S
    others = ",".join(address for address in figures.mgms if address != figures.master)
    values: dict[str, object] = {
        "ns.total.files": figures.file_count,
        "ns.total.directories": figures.directory_count,
        "ns.current.fid": figures.fid_last,
        "ns.boot.status": "booted",
        "ns.boot.time": round(figures.boot_s, 3),
        "ns.uptime": uptime_s,
        "ns.mgm.local": figures.address,
        "ns.mgm.role": "leader" if figures.is_master else "follower",
        "ns.mgm.leader": figures.master,
        "ns.mgm.followers": others,
        "ns.mgm.epoch": figures.epoch,
        "ns.mgm.state": figures.role,
        "ns.mgm.why": figures.why,
        "ns.mgm.lag": figures.lag,
        "ns.mgm.age.ms": figures.age_ms,
        "ns.journal.engine": figures.engine,
        "ns.journal.healthy": figures.engine_healthy,
        "ns.journal.detail": figures.engine_detail,
        "ns.journal.first": figures.engine_first,
        "ns.journal.last": figures.engine_last,
        "ns.journal.bytes": figures.engine_bytes,
        "ns.journal.committed": figures.committed_seq,
        "ns.journal.pending": figures.pending_ops,
        "ns.answers.held": figures.held_answers,
        "ns.uploads.open": figures.open_uploads,
        "ns.clients": figures.connection_count,
        "ns.cache.files.maxsize": CACHE_ENTRIES_MAX,
        "ns.cache.files.occupancy": figures.cached_count,
        "ns.memory.virtual": load.process_vsize_bytes,
        "ns.memory.resident": load.process_rss_bytes,
        "ns.stat.threads": load.thread_count,
        "ns.stat.sockets": load.socket_count,
        "ns.cpu.load": round(load.cpu_load, 4),
    }
    records: list[Record] = [{"uid": "all", "gid": "all", key: values[key]} for key in values]
    records += [
        {
            "uid": "all",
            "gid": "all",
            "cmd": one.name,
            "total": one.count,
            "5s": one.rate_5s,
            "60s": one.rate_1min,
            "300s": one.rate_5min,
            "3600s": one.rate_1h,
            "exec": one.mean_ms,
            "execsig": one.sigma_ms,
            "exec99": one.p99_ms,
            "execmax": one.max_ms,
        }
        for one in figures.op_figures
    ]
    return AdminReply(records=records)


def version(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Instance and versions; keys of EOS' `version -m`."""
    Arguments(args).done()
    figures = context.figures()
    record = {
        "eos.instance.name": figures.instance,
        "eos.instance.version": figures.version,
        "eos.instance.release": "thesan",
        "mgm": figures.address,
        "engine": figures.engine,
    }
    text = f"EOS_INSTANCE={figures.instance} EOS_SERVER_VERSION={figures.version}"
    return AdminReply(records=[record], text=text)


def config(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """The configuration that the journal holds: section, key and value, one a record."""
    arguments = Arguments(args)
    wanted = arguments.choice("section", (*_MAP_SECTIONS, *_TEXT_SECTIONS, ""), "")
    arguments.done()
    records: list[Record] = []
    for section in (*_MAP_SECTIONS, *_TEXT_SECTIONS):
        if wanted and section != wanted:
            continue
        for key, raw in sorted(queries.config(context.namespace, section).items()):
            text = raw.decode(errors="replace")
            value = msgspec.msgpack.decode(raw) if section in _MAP_SECTIONS else text
            records.append({"section": section, "key": key, "value": value})
    return AdminReply(records=records)
