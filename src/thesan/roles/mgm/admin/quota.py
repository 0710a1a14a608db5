"""`quota`: limits and usage of users, groups and projects, by quota node.

A quota node is a directory from which usage is counted. Bytes are physical (size times replicas),
as in EOS; the logical bytes beside them are what the files hold.
"""

import errno
from typing import Final

from thesan.core.authority.commands import is_admin
from thesan.core.control.messages import AdminReply
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ROOT, Identity
from thesan.core.model.limits import ADMIN_PAGE_RECORDS
from thesan.core.model.paths import normalise
from thesan.core.namespace import queries
from thesan.core.namespace.inode import Inode
from thesan.core.namespace.ops import QuotaRemove, QuotaSet
from thesan.core.namespace.queries import QuotaLine
from thesan.roles.mgm.admin.arguments import Arguments
from thesan.roles.mgm.admin.context import AdminContext, Args, Change
from thesan.roles.mgm.admin.figures import Record
from thesan.roles.mgm.layouts import new_file

_ID_MAX: Final = 2**32 - 2
_WARNING_SHARE: Final = 0.95
"""EOS warns when less than 5 % is left."""
_NODES_PER_PAGE: Final = 200


def ls(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """Usage and limits: keys and order of EOS' `quota ls -m`.

    Of one node (`path`, or the node that a path belongs to) or of all; people who are no admins
    see their own lines and the projects'. `uid` or `gid` picks one account.
    """
    arguments = Arguments(args)
    path = arguments.text("path", "")
    uid = arguments.number("uid", -1, maximum=_ID_MAX) if arguments.has("uid") else None
    gid = arguments.number("gid", -1, maximum=_ID_MAX) if arguments.has("gid") else None
    page = arguments.number("page", 0)
    arguments.done()
    nodes, next_page = _nodes(context, path, identity, page)
    records: list[Record] = []
    for fid in nodes:
        directory = queries.inode_of(context.namespace, fid)
        name = queries.path_of(context.namespace, fid)
        if directory is None or name is None:
            continue
        factor = _replica_factor(context, directory)
        for line in queries.quota_lines(context.namespace, fid):
            if not _is_asked_for(line, uid, gid) or not _may_see(line, identity):
                continue
            records.append(_record(context, line, name, factor))
        if len(records) >= ADMIN_PAGE_RECORDS and fid != nodes[-1]:
            next_page = str(fid)
            break
    return AdminReply(records=records, next_page=next_page)


def set_limit(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Set `bytes` and/or `files` of a `user`, `uid`, `gid` or `project` below `path`.

    What is not given stays. A directory that was no quota node becomes one.
    """
    arguments = Arguments(args)
    path = arguments.text("path")
    kind, number = _account(context, arguments)
    has_bytes, has_files = arguments.has("bytes"), arguments.has("files")
    bytes_max = arguments.byte_count("bytes", 0)
    files_max = arguments.byte_count("files", 0)
    arguments.done()
    if not has_bytes and not has_files:
        raise OperationError(errno.EINVAL, "give bytes, files or both")
    directory = _directory(context, path)
    old_bytes, old_files = _limits(context, directory.fid, kind, number)
    op = QuotaSet(
        fid=directory.fid,
        kind=kind,
        id=number,
        bytes_max=bytes_max if has_bytes else old_bytes,
        files_max=files_max if has_files else old_files,
    )
    text = f"quota of {kind}:{number} in {path}: bytes {op.bytes_max}, files {op.files_max}"
    return Change([op], AdminReply(records=[], text=text.replace("None", "not limited")))


def rm(context: AdminContext, args: Args, identity: Identity) -> Change:
    """Remove the limit of an account: `bytes`, `files`, or both when neither is named."""
    arguments = Arguments(args)
    path = arguments.text("path")
    kind, number = _account(context, arguments)
    drop_bytes, drop_files = arguments.flag("bytes"), arguments.flag("files")
    arguments.done()
    directory = _directory(context, path)
    old_bytes, old_files = _limits(context, directory.fid, kind, number)
    if old_bytes is None and old_files is None:
        raise OperationError(errno.ENOENT, f"{kind}:{number} has no quota in {path}")
    both = drop_bytes == drop_files
    op = QuotaSet(
        fid=directory.fid,
        kind=kind,
        id=number,
        bytes_max=None if both or drop_bytes else old_bytes,
        files_max=None if both or drop_files else old_files,
    )
    text = f"quota of {kind}:{number} in {path} removed"
    return Change([op], AdminReply(records=[], text=text))


def rmnode(context: AdminContext, args: Args, identity: Identity) -> Change:
    """A directory is no quota node any more: its usage goes to the node above."""
    arguments = Arguments(args)
    path = arguments.text("path")
    arguments.done()
    directory = _directory(context, path)
    if queries.quota_node_of(context.namespace, directory) != directory.fid:
        raise OperationError(errno.ENOENT, f"{path} is not a quota node")
    return Change(
        [QuotaRemove(directory.fid)],
        AdminReply(records=[], text=f"{path} is no quota node any more"),
    )


def _nodes(
    context: AdminContext, path: str, identity: Identity, page: int
) -> tuple[list[int], str]:
    """(quota nodes to list, next page)."""
    if not path:
        nodes = queries.quota_nodes(context.namespace, after=page, limit=_NODES_PER_PAGE)
        return nodes, str(nodes[-1]) if len(nodes) == _NODES_PER_PAGE else ""
    inode = queries.lookup(context.namespace, normalise(path), identity)
    node = queries.quota_node_of(context.namespace, inode)
    if not node:
        raise OperationError(errno.ENOENT, f"{path} is in no quota node")
    return [node], ""


def _is_asked_for(line: QuotaLine, uid: int | None, gid: int | None) -> bool:
    if uid is None and gid is None:
        return True
    return (line.kind == "u" and line.id == uid) or (line.kind == "g" and line.id == gid)


def _may_see(line: QuotaLine, identity: Identity) -> bool:
    if is_admin(identity) or line.kind == "p":
        return True
    return line.id == identity.uid if line.kind == "u" else line.id in identity.gids


def _account(context: AdminContext, arguments: Arguments) -> tuple[str, int]:
    """(kind, id) of exactly one of user, uid, gid, project."""
    given = [name for name in ("user", "uid", "gid", "project") if arguments.has(name)]
    if len(given) != 1:
        raise OperationError(errno.EINVAL, "give one of user, uid, gid, project")
    match given[0]:
        case "user":
            name = arguments.text("user")
            if name.isascii() and name.isdecimal():
                return "u", Arguments({"user": name}).number("user", maximum=_ID_MAX)
            account = context.account(name)
            if account is None:
                raise OperationError(errno.ENOENT, f"the MGM knows no user {name[:80]!r}")
            return "u", account[0]
        case "uid":
            return "u", arguments.number("uid", maximum=_ID_MAX)
        case "gid":
            return "g", arguments.number("gid", maximum=_ID_MAX)
        case _:
            if not arguments.flag("project"):
                raise OperationError(errno.EINVAL, "give one of user, uid, gid, project")
            return "p", 0


def _directory(context: AdminContext, path: str) -> Inode:
    # The table of commands has let the caller in: directories that are closed to an operator
    # need a quota too.
    inode = queries.lookup(context.namespace, normalise(path), ROOT)
    if not inode.is_dir:
        raise OperationError(errno.ENOTDIR, f"{path} is not a directory")
    return inode


def _limits(
    context: AdminContext, node: int, kind: str, number: int
) -> tuple[int | None, int | None]:
    for line in queries.quota_lines(context.namespace, node):
        if (line.kind, line.id) == (kind, number):
            return line.bytes_max, line.files_max
    return None, None


def _replica_factor(context: AdminContext, directory: Inode) -> int:
    """Replicas that a file there gets: physical bytes for one logical byte."""
    try:
        return new_file(context.view, directory, 0).replica_count
    except OperationError:
        return 1


def _record(context: AdminContext, line: QuotaLine, path: str, factor: int) -> Record:
    match line.kind:
        case "u":
            account = {"uid": context.user_name(line.id)}
        case "g":
            account = {"gid": context.group_name(line.id)}
        case _:
            account = {"gid": "project"}
    percent = 100.0 * line.physical_bytes / line.bytes_max if line.bytes_max else 0.0
    return {
        "quota": "node",
        **account,
        "space": path if path == "/" else path + "/",
        "usedbytes": line.physical_bytes,
        "usedlogicalbytes": line.logical_bytes,
        "usedfiles": line.files,
        "maxbytes": line.bytes_max or 0,
        "maxlogicalbytes": (line.bytes_max or 0) // factor,
        "maxfiles": line.files_max or 0,
        "percentageusedbytes": round(percent, 2),
        "statusbytes": _status(line.physical_bytes, line.bytes_max),
        "statusfiles": _status(line.files, line.files_max),
        "kind": line.kind,
        "id": line.id,
    }


def _status(used: int, limit: int | None) -> str:
    """ok, warning (less than 5 % left), exceeded, or ignored where there is no limit."""
    if limit is None:
        return "ignored"
    if used >= limit:
        return "exceeded"
    return "warning" if used > limit * _WARNING_SHARE else "ok"
