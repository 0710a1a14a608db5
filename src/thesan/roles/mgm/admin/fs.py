"""`fs`: add, list, configure, boot, move and remove filesystems; their self-registration."""

import errno
from typing import Final

import msgspec

from thesan.core.authority.commands import Who, may
from thesan.core.control.messages import AdminReply, FsRegister, FsRegisterReply
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.ids import FSID_MAX, FSID_MIN
from thesan.core.model.limits import (
    ADMIN_PAGE_RECORDS,
    DELETIONS_BATCH_MAX,
    FORGET_DELETIONS_MAX,
    SPACE_NAME_BYTES_MAX,
)
from thesan.core.model.paths import normalise
from thesan.core.namespace import queries
from thesan.core.namespace.ops import ConfigSet, DeletionDone, Op
from thesan.core.placement.records import (
    FS_SECTION,
    LAST_FSID_KEY,
    MGM_SECTION,
    SPACE_SECTION,
    FsRecord,
    SpaceRecord,
    encode_record,
)
from thesan.core.placement.topology import CONFIG_STATUS_OF, assign_group, check_geotag
from thesan.roles.mgm.admin.arguments import Arguments, parse_bytes
from thesan.roles.mgm.admin.context import AdminContext, Args, Change
from thesan.roles.mgm.admin.figures import Record, active_of, fs_record, split_node
from thesan.roles.mgm.view import FsState

_UUID_BYTES_MAX: Final = 64
_PERIODS: Final = (
    "graceperiod",
    "drainperiod",
    "scaninterval",
    "scan_rain_interval",
    "scanreruninterval",
)
"""Settings in seconds that are kept and shown; the services that obey them read them from here."""


def ls(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Filesystems by fsid, or those that `match`: a node, host, group, space or fsid.

    At most ADMIN_PAGE_RECORDS; the next page begins after the last fsid of this one.
    """
    arguments = Arguments(args)
    match = arguments.text("match", "")
    after = arguments.number("page", 0)
    arguments.done()
    records: list[Record] = []
    for fs in context.view.filesystems():
        host = split_node(fs.record.node)[0]
        names = (fs.record.node, host, fs.record.group, fs.record.space, str(fs.fsid))
        if fs.fsid <= after or (match and match not in names):
            continue
        if len(records) == ADMIN_PAGE_RECORDS:
            return AdminReply(records=records, next_page=str(records[-1]["id"]))
        records.append(fs_record(context.view, fs, context.now_s))
    return AdminReply(records=records)


def status(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Everything known of one filesystem, with why it takes or does not take new files."""
    arguments = Arguments(args)
    fs = find(context, arguments.text("fs"))
    arguments.done()
    record = fs_record(context.view, fs, context.now_s)
    placement = context.view.placement_of(fs.fsid, context.now_s)
    assert placement is not None, "it was found in the same view"
    counters = queries.fs_counters(context.namespace, fs.fsid)
    record.update(
        {
            "space": fs.record.space,
            "boot.request": fs.record.boot_request,
            "place": placement.unplaceable_because() or "takes new files",
            "write": placement.unwritable_because() or "may be written",
            "read": placement.unreadable_because() or "may be read",
            "ns.replicas": counters.replicas,
            "ns.bytes": counters.bytes,
            "ns.deletions": counters.deletions,
            **{f"cfg.{key}": value for key, value in sorted(fs.record.settings.items())},
        }
    )
    return AdminReply(records=[record])


def add(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Add a filesystem: uuid, node, path, space (`default`, or a group `default.3`), status."""
    arguments = Arguments(args)
    fsid = arguments.number("fsid", 0, maximum=FSID_MAX)
    record = FsRecord(
        uuid=arguments.text("uuid"),
        node=arguments.text("node"),
        path=arguments.text("path"),
        space="",
        group=arguments.text("space"),
        configstatus=arguments.choice("status", tuple(CONFIG_STATUS_OF), "rw"),
    )
    arguments.done()
    fsid, ops = _add(context, record, fsid)
    text = f"fs {fsid} added: {record.node} {record.path} in {_group_of(ops)}"
    return Change(ops, AdminReply(records=[{"id": fsid, "uuid": record.uuid}], text=text))


def register(
    context: AdminContext, message: FsRegister, identity: Identity
) -> tuple[list[Op], FsRegisterReply]:
    """An FST adds a filesystem of its own. The same uuid gets its old fsid back, without ops.

    Raises OperationError EPERM (not a daemon), EEXIST (the uuid is that of another node's fs).
    """
    if not may(Who.DAEMON, identity):
        raise OperationError(errno.EPERM, "only a daemon that proved the keytab registers an fs")
    for fs in context.view.filesystems():
        if fs.record.uuid == message.uuid:
            if (fs.record.node, fs.record.path) == (message.node, message.path):
                return [], FsRegisterReply(fsid=fs.fsid)
            return _moved(context, fs, message)
    if message.configstatus not in CONFIG_STATUS_OF:
        raise OperationError(errno.EINVAL, f"unknown configstatus {message.configstatus[:20]!r}")
    record = FsRecord(
        uuid=message.uuid,
        node=message.node,
        path=message.path,
        space="",
        group=message.space,
        configstatus=message.configstatus,
    )
    wanted = message.fsid
    if not 0 <= wanted <= FSID_MAX:
        raise OperationError(errno.EINVAL, f"{wanted} is not an fsid")
    fsid, ops = _add(context, record, wanted)
    return ops, FsRegisterReply(fsid=fsid)


def _moved(
    context: AdminContext, fs: FsState, message: FsRegister
) -> tuple[list[Op], FsRegisterReply]:
    """The disk is at another node or path now: its label (uuid) says that it is the same one.

    Unless its old node reports it still: then one of the two is a copy.
    """
    if active_of(context.view, fs, context.now_s) == "online":
        raise OperationError(
            errno.EEXIST,
            f"uuid {fs.record.uuid} is fs {fs.fsid}, online at {fs.record.node} {fs.record.path}",
        )
    record = _checked(msgspec.structs.replace(fs.record, node=message.node, path=message.path))
    return [_set(fs.fsid, record)], FsRegisterReply(fsid=fs.fsid)


def config(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Set one key of a filesystem: configstatus, headroom, forcegeotag, statuscomment, periods."""
    arguments = Arguments(args)
    fs = find(context, arguments.text("fs"))
    key, value = arguments.text("key"), arguments.text("value")
    comment = arguments.text("comment", "")
    arguments.done()
    record = configured(context, fs, key, value)
    if comment:
        record = msgspec.structs.replace(record, comment=comment)
    text = f"fs {fs.fsid}: {key} set to {value}"
    return Change([_set(fs.fsid, record)], AdminReply(records=[], text=text))


def configured(context: AdminContext, fs: FsState, key: str, value: str) -> FsRecord:
    """The record of `fs` with one key changed. Raises OperationError EINVAL, EBUSY."""
    record = fs.record
    if key == "configstatus":
        if value not in CONFIG_STATUS_OF:
            raise OperationError(
                errno.EINVAL, f"configstatus is {value!r}, may be {', '.join(CONFIG_STATUS_OF)}"
            )
        if value == "empty":
            _require_no_replicas(context, fs)
        return msgspec.structs.replace(record, configstatus=value)
    if key == "headroom":
        return msgspec.structs.replace(record, headroom_bytes=parse_bytes(value))
    if key == "forcegeotag":
        geotag = "" if value == "<none>" else value
        check_geotag(geotag)
        return msgspec.structs.replace(record, geotag=geotag)
    if key == "statuscomment":
        return msgspec.structs.replace(record, comment=value)
    if key in _PERIODS:
        if not value.isascii() or not value.isdecimal() or len(value) > 10:
            raise OperationError(errno.EINVAL, f"{key} is a number of seconds, not {value[:40]!r}")
        return msgspec.structs.replace(record, settings={**record.settings, key: value})
    known = ", ".join(("configstatus", "headroom", "forcegeotag", "statuscomment", *_PERIODS))
    raise OperationError(errno.EINVAL, f"fs has no key {key[:40]!r}: there are {known}")


def boot(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Boot again: one fs, those of a `node`, or all with `*`."""
    arguments = Arguments(args)
    if arguments.has("node"):
        members = context.view.filesystems_of(arguments.text("node"))
    else:
        name = arguments.text("fs")
        members = context.view.filesystems() if name == "*" else [find(context, name)]
    arguments.done()
    if not members:
        raise OperationError(errno.ENOENT, "there is no such filesystem")
    ops: list[Op] = []
    for fs in members:
        request = fs.record.boot_request + 1
        ops.append(_set(fs.fsid, msgspec.structs.replace(fs.record, boot_request=request)))
    listed = ", ".join(str(fs.fsid) for fs in members[:20])
    text = f"boot requested for {len(members)} filesystems: {listed}"
    reply = AdminReply(records=[{"id": fs.fsid} for fs in members], text=text)
    return Change(ops, reply, is_whole=False)


def mv(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Move a filesystem to another group or space. It must be empty: files stay in one group."""
    arguments = Arguments(args)
    fs = find(context, arguments.text("fs"))
    target = arguments.text("target")
    arguments.done()
    _require_no_replicas(context, fs)
    group, space = _place_in_group(context, target, fs.record.node, fs)
    record = msgspec.structs.replace(fs.record, group=group, space=space)
    ops = [*_space_ops(context, space), _set(fs.fsid, record)]
    return Change(ops, AdminReply(records=[], text=f"fs {fs.fsid} moved to {group}"))


def rm(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Remove a filesystem that is `empty` and has no replica registered."""
    arguments = Arguments(args)
    fs = find(context, arguments.text("fs"))
    arguments.done()
    _require_no_replicas(context, fs)
    if fs.record.configstatus not in ("empty", "off"):
        raise OperationError(
            errno.EBUSY,
            f"fs {fs.fsid} has configstatus {fs.record.configstatus}: set it to empty first",
        )
    if queries.fs_counters(context.namespace, fs.fsid).deletions:
        raise OperationError(
            errno.EBUSY, f"fs {fs.fsid} has pending deletions: wait, or fs dropdeletion {fs.fsid}"
        )
    ops: list[Op] = [ConfigSet(FS_SECTION, str(fs.fsid), None)]
    return Change(ops, AdminReply(records=[], text=f"fs {fs.fsid} removed"))


def dropdeletion(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Forget what a filesystem was to delete: its files stay on the disk, unknown to thesan."""
    arguments = Arguments(args)
    fs = find(context, arguments.text("fs"))
    arguments.done()
    ops: list[Op] = []
    count, after = 0, 0
    while count < FORGET_DELETIONS_MAX:
        fids = queries.deletions_on(
            context.namespace, fs.fsid, after=after, limit=DELETIONS_BATCH_MAX
        )
        if not fids:
            break
        ops.append(DeletionDone(tuple((fs.fsid, fid) for fid in fids)))
        count, after = count + len(fids), fids[-1]
    text = f"{count} pending deletions of fs {fs.fsid} forgotten"
    if count >= FORGET_DELETIONS_MAX:
        text += "; there may be more: repeat the command"
    reply = AdminReply(records=[{"id": fs.fsid, "forgotten": count}], text=text)
    return Change(ops, reply, is_whole=False)


def find(context: AdminContext, name: str) -> FsState:
    """A filesystem by fsid, uuid or `host:port/path`. Raises OperationError ENOENT."""
    if name.isascii() and name.isdecimal() and len(name) <= 5:
        fs = context.view.filesystem(int(name))
        if fs is not None:
            return fs
    for fs in context.view.filesystems():
        if name in (fs.record.uuid, fs.record.node + fs.record.path):
            return fs
    raise OperationError(errno.ENOENT, f"there is no filesystem {name[:80]!r}")


def _add(context: AdminContext, record: FsRecord, wanted: int) -> tuple[int, list[Op]]:
    """Ops that add a filesystem; its `group` may name a space only."""
    group, space = _place_in_group(context, record.group, record.node, None)
    record = _checked(msgspec.structs.replace(record, group=group, space=space))
    for fs in context.view.filesystems():
        if fs.record.uuid == record.uuid:
            raise OperationError(errno.EEXIST, f"uuid {record.uuid} is that of fs {fs.fsid}")
        if (fs.record.node, fs.record.path) == (record.node, record.path):
            raise OperationError(errno.EEXIST, f"{record.node} {record.path} is fs {fs.fsid}")
    fsid = wanted or _free_fsid(context)
    if context.view.filesystem(fsid) is not None:
        raise OperationError(errno.EEXIST, f"fsid {fsid} is taken")
    if queries.fs_counters(context.namespace, fsid).deletions:
        raise OperationError(errno.EEXIST, f"fsid {fsid} has pending deletions of an earlier fs")
    ops: list[Op] = [*_space_ops(context, space)]
    if fsid > _last_fsid(context):
        ops.append(ConfigSet(MGM_SECTION, LAST_FSID_KEY, str(fsid).encode()))
    ops.append(_set(fsid, record))
    return fsid, ops


def _checked(record: FsRecord) -> FsRecord:
    """A record whose names are sound. Raises OperationError EINVAL."""
    host, _, port = record.node.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port[:6]) < 65536:
        raise OperationError(errno.EINVAL, f"node is not host:port: {record.node[:80]!r}")
    if any(char.isspace() or not char.isprintable() or char == "/" for char in record.node):
        raise OperationError(errno.EINVAL, f"node is not host:port: {record.node[:80]!r}")
    uuid = record.uuid
    if not 0 < len(uuid) <= _UUID_BYTES_MAX or not uuid.replace("-", "").isalnum():
        raise OperationError(errno.EINVAL, f"not a uuid: {uuid[:80]!r}")
    if not uuid.isascii() or uuid.isdecimal():
        raise OperationError(errno.EINVAL, f"uuid must not look like an fsid: {uuid[:80]!r}")
    return msgspec.structs.replace(record, path=normalise(record.path))


def _free_fsid(context: AdminContext) -> int:
    """The next id never given out; when there is none left, the lowest that is free."""
    last = _last_fsid(context)
    if last < FSID_MAX:
        return last + 1
    taken = {fs.fsid for fs in context.view.filesystems()}
    for fsid in range(FSID_MIN, FSID_MAX + 1):
        if fsid not in taken and not queries.fs_counters(context.namespace, fsid).deletions:
            return fsid
    raise OperationError(errno.ENOSPC, f"all {FSID_MAX} fsids are taken")


def _last_fsid(context: AdminContext) -> int:
    stored = queries.config(context.namespace, MGM_SECTION).get(LAST_FSID_KEY)
    last = int(stored) if stored is not None else 0
    return max([last, *(fs.fsid for fs in context.view.filesystems())])


def _place_in_group(
    context: AdminContext, target: str, node: str, moving: FsState | None
) -> tuple[str, str]:
    """(group, space) for `space` or `space.N`. Raises OperationError EINVAL, ENOSPC."""
    space, dot, number = target.partition(".")
    check_space_name(space)
    if dot:
        if not number.isascii() or not number.isdecimal() or len(number) > 5:
            raise OperationError(errno.EINVAL, f"not a group: {target[:80]!r}")
        return f"{space}.{int(number)}", space
    members: dict[str, list[str]] = {}
    for fs in context.view.filesystems():
        if fs is not moving:
            members.setdefault(fs.record.group, []).append(fs.record.node)
    defined = context.view.spaces().get(space, SpaceRecord())
    return assign_group(space, defined.group_size, defined.group_count, node, members), space


def check_space_name(space: str) -> None:
    """Letters, digits, `-` and `_`. Raises OperationError EINVAL."""
    plain = space.replace("-", "").replace("_", "")
    if not plain.isalnum() or not space.isascii() or len(space) > SPACE_NAME_BYTES_MAX:
        raise OperationError(errno.EINVAL, f"not a space name: {space[:80]!r}")


def _space_ops(context: AdminContext, space: str) -> list[Op]:
    """The op that records a space that was not defined before."""
    if space in queries.config(context.namespace, SPACE_SECTION):
        return []
    return [ConfigSet(SPACE_SECTION, space, encode_record(SpaceRecord()))]


def _set(fsid: int, record: FsRecord) -> Op:
    return ConfigSet(FS_SECTION, str(fsid), encode_record(record))


def set_op(fs: FsState, record: FsRecord) -> Op:
    """The op that replaces the record of a filesystem."""
    return _set(fs.fsid, record)


def _group_of(ops: list[Op]) -> str:
    """Group in the record that the last op sets."""
    last = ops[-1]
    assert isinstance(last, ConfigSet)
    assert last.value is not None
    group: str = msgspec.msgpack.decode(last.value, type=FsRecord).group
    return group


def _require_no_replicas(context: AdminContext, fs: FsState) -> None:
    count = queries.fs_counters(context.namespace, fs.fsid).replicas
    if count:
        raise OperationError(
            errno.EBUSY, f"fs {fs.fsid} is not empty: {count} replicas are registered"
        )
