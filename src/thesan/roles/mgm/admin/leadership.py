"""`ns master` and `mgm`: who is master and why, how that came, which MGMs there are."""

import errno
from typing import Final

from thesan.core.authority.commands import Who, may
from thesan.core.control.messages import Admin, AdminReply
from thesan.core.leadership.records import (
    HISTORY_SECTION,
    MEMBER_SECTION,
    MemberRecord,
    StoryRecord,
    decode_leadership,
    encode_leadership,
    stories,
)
from thesan.core.model.addresses import is_address
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.limits import MGM_COUNT_MAX, NAME_BYTES_MAX
from thesan.core.namespace import queries
from thesan.core.namespace.ops import ConfigSet
from thesan.roles.mgm.admin.arguments import Arguments
from thesan.roles.mgm.admin.context import AdminContext, Args, Change, MgmState
from thesan.roles.mgm.admin.figures import Record

_COMMENT_BYTES_MAX: Final = 1024
_TO: Final = ("to", "host")
"""Arguments of `ns master` that make it an order to hand over."""


# -- ns master -----------------------------------------------------------------------------------
def is_order(message: Admin) -> bool:
    """True for `ns master HOST`: done by the process, not by a verb."""
    asks = (message.noun, message.verb) == ("ns", "master")
    return asks and any(message.args.get(name) for name in _TO)


def wanted(message: Admin, identity: Identity) -> str:
    """The MGM that an order names. Raises OperationError EPERM, EINVAL."""
    if not may(Who.ROOT, identity):
        text = f"ns master HOST is for root; you are {identity.name} (uid {identity.uid})"
        raise OperationError(errno.EPERM, text)
    return next(Arguments(message.args).text(name) for name in _TO if message.args.get(name))


def master(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Who is master, since when and why; with `history` every switch that is remembered."""
    arguments = Arguments(args)
    with_history = arguments.flag("history")
    for name in _TO:
        arguments.text(name, "")
    arguments.done()
    told = stories(queries.config(context.namespace, HISTORY_SECTION))
    if with_history:
        return AdminReply(records=[story_fields(story) for story in reversed(told)])
    figures = context.figures()
    record: Record = {
        "master": figures.master,
        "epoch": figures.epoch,
        "asked": figures.address,
        "role": figures.role,
        "asked.why": figures.why,
    }
    if told and told[-1].epoch == figures.epoch:
        record = {**story_fields(told[-1]), **record}
    return AdminReply(records=[record])


def story_fields(story: StoryRecord) -> Record:
    """One switch: keys of `ns master` and its history."""
    fields: Record = {
        "epoch": story.epoch,
        "master": story.node,
        "before": story.before,
        "ground": story.ground,
        "why": story.why,
        "since_ns": story.since_ns,
    }
    fields.update({f"{name}_ms": value for name, value in story.phases.items()})
    return fields


# -- mgm ls, add, rm -----------------------------------------------------------------------------
def ls(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Every MGM of the instance as this one knows it."""
    Arguments(args).done()
    members = queries.config(context.namespace, MEMBER_SECTION)
    records: list[Record] = []
    for state in context.mgms():
        data = members.get(state.address)
        member = decode_leadership(MemberRecord, data) if data is not None else MemberRecord()
        records.append({**_state_fields(state), "comment": member.comment})
    return AdminReply(records=records)


def _state_fields(state: MgmState) -> Record:
    return {
        "hostport": state.address,
        "status": "online" if state.is_online else "offline",
        "role": state.role,
        "eligible": state.eligible,
        "epoch": state.epoch,
        "applied": state.applied,
        "durable": state.durable,
        "lag": state.lag,
        "heartbeatdelta": state.heartbeat,
        "geotag": state.report.geotag,
        "version": state.report.version,
        "rss": state.report.rss_bytes,
        "threads": state.report.threads,
        "sockets": state.report.sockets,
        "why": state.why,
    }


def node_records(context: AdminContext) -> list[Record]:
    """MGMs and the journal engine as `node ls` shows them, after the FSTs: what every MGM says
    alike. Figures that are older here than there are in `mgm ls`."""
    records: list[Record] = [
        {
            "type": "mgm",
            "hostport": state.address,
            "status": "online" if state.is_online else "offline",
            "cfg.status": "master" if state.address == context.figures().master else "standby",
            "heartbeatdelta": state.heartbeat,
            "nofs": 0,
            "cfg.stat.sys.eos.version": state.report.version,
            "cfg.stat.sys.kernel": state.report.kernel,
            "cfg.stat.geotag": state.report.geotag,
        }
        for state in context.mgms()
    ]
    figures = context.figures()
    records.append(
        {
            "type": "engine",
            "hostport": figures.engine,
            "status": "online" if figures.engine_healthy else "offline",
            "cfg.status": figures.engine_detail or "on",
            "heartbeatdelta": 0,
            "nofs": 0,
        }
    )
    records += [
        {
            "type": "engine",
            "hostport": member.address,
            "status": "offline" if member.role == "down" else "online",
            "cfg.status": member.role,
            "heartbeatdelta": 0,
            "nofs": 0,
            "cfg.stat.sys.eos.version": member.version,
        }
        for member in figures.engine_members
    ]
    return records


def add(context: AdminContext, args: Args, identity: Identity) -> Change:
    """One more member: an MGM at that address may follow, and take over."""
    arguments = Arguments(args)
    address = arguments.text("mgm")
    comment = arguments.text("comment", "")
    arguments.done()
    check_new_member(context, address)
    if len(comment.encode()) > _COMMENT_BYTES_MAX:
        raise OperationError(errno.E2BIG, f"comment is longer than {_COMMENT_BYTES_MAX}")
    record = encode_leadership(MemberRecord(context.now_ns, comment))
    text = f"{address} is a member; it follows as soon as it runs"
    change = [ConfigSet(MEMBER_SECTION, address, record)]
    return Change(list(change), AdminReply(records=[], text=text))


def check_new_member(context: AdminContext, address: str) -> None:
    """Whether an MGM of that address may become one. Raises OperationError EINVAL, EEXIST,
    ENOSPC."""
    if not is_address(address) or len(address) > NAME_BYTES_MAX or not address.isprintable():
        raise OperationError(errno.EINVAL, f"mgm is not host:port: {address[:80]!r}")
    members = queries.config(context.namespace, MEMBER_SECTION)
    if address in members:
        raise OperationError(errno.EEXIST, f"{address} is a member already (thesan mgm ls)")
    if len(members) >= MGM_COUNT_MAX:
        raise OperationError(errno.ENOSPC, f"there are {MGM_COUNT_MAX} MGMs already")


def rm(context: AdminContext, args: Args, identity: Identity) -> Change:
    """A member less: it may not take over any more, and nobody waits for it."""
    arguments = Arguments(args)
    address = arguments.text("mgm")
    arguments.done()
    members = queries.config(context.namespace, MEMBER_SECTION)
    if address not in members:
        raise OperationError(errno.ENOENT, f"{address[:80]!r} is no member")
    if address == context.figures().address:
        raise OperationError(errno.EBUSY, f"{address} is master: hand over first")
    return Change(
        [ConfigSet(MEMBER_SECTION, address, None)],
        AdminReply(records=[], text=f"{address} is no member any more"),
    )
