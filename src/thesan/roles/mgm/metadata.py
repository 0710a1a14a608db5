"""Requests about names and attributes: stat, statx, mkdir, rm, rmdir, mv, chmod, locate.

Each handler is `(master, connection, request) -> answer | None`. Reads leave at once unless they
met something that is not durable; mutations leave when they are.
"""

import errno
from typing import Final

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.ids import Fsid
from thesan.core.model.paths import normalise, split_cgi
from thesan.core.model.units import MIB
from thesan.core.namespace import admit, queries
from thesan.core.namespace.inode import PERMISSION_BITS, Inode
from thesan.core.placement.topology import Topology
from thesan.core.wire import responses
from thesan.core.wire.bodies import (
    Location,
    VfsInfo,
    build_locate,
    build_statx,
    build_vfs,
)
from thesan.core.wire.numbers import MkdirFlag, StatFlag, StatOption
from thesan.core.wire.requests import Chmod, Locate, Mkdir, Mv, Rm, Rmdir, Stat, StatX
from thesan.io.transport.server import ServerConnection
from thesan.roles.mgm import empty
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.operations import operation_of, was_done
from thesan.roles.mgm.stats import flags_of, template

_VFS: Final = int(StatOption.VFS)
_PARENTS: Final = int(MkdirFlag.PARENTS)
_DIRECTORY_MODE: Final = 0o755


def caller(connection: ServerConnection) -> Identity:
    """Whom the request is judged by."""
    who = connection.identity
    assert who is not None, "the transport lets nobody in without an identity"
    return who


def canonical(path: str) -> str:
    """`normalise`, but for the common path that is normal already, which is seen at a glance.

    Names are not measured then: whoever makes a name has it checked by admission.
    """
    if path[:1] == "/" != path[-1:] and "//" not in path and "/." not in path:
        return path
    return normalise(path)


def stat(master: Master, connection: ServerConnection, request: Stat) -> bytes | None:
    """kXR_stat by path; with the vfs option figures of the path's space; by handle of an empty
    file that the MGM serves itself."""
    if request.options & _VFS:
        return _stat_vfs(master, connection, request)
    if not request.path:
        return empty.stat(master, connection, request)
    who = caller(connection)
    inode = queries.lookup(master.namespace, request.path, who)
    text = inode.text or template(master, inode)
    body = text % flags_of(master, inode, who) + b"\0"
    return master.show(connection, inode.seq, request.sid, body)


def _stat_vfs(master: Master, connection: ServerConnection, request: Stat) -> bytes:
    if request.path:
        queries.lookup(master.namespace, request.path, caller(connection))
    capacity, free, nodes = space_figures(master.topology())
    use = 100 - 100 * free // capacity if capacity else 0
    body = build_vfs(VfsInfo(nodes, min(free // MIB, (1 << 31) - 1), use))
    return responses.ok(request.sid, body)


def space_figures(topology: Topology) -> tuple[int, int, int]:
    """(capacity, free, nodes) in bytes over what can be written now; (0, 0, 0) when nothing can."""
    capacity = free = 0
    nodes: dict[str, None] = {}
    for fs in topology.filesystems.values():
        if not fs.unwritable_because():
            capacity += fs.capacity_bytes
            free += fs.usable_bytes
            nodes[fs.node] = None
    return capacity, free, len(nodes)


def statx(master: Master, connection: ServerConnection, request: StatX) -> bytes | None:
    """kXR_statx: one flag byte for each path; what is not there is `other`, as native answers."""
    who = caller(connection)
    flags, tag = [], 0
    for path in request.paths:
        try:
            inode = queries.lookup(master.namespace, split_cgi(path)[0], who)
        except OperationError:
            flags.append(int(StatFlag.OTHER))
            tag = master.namespace.op_count
            continue
        flags.append(flags_of(master, inode, who) & 0xFF)
        tag = max(tag, inode.seq)
    return master.show(connection, tag, request.sid, build_statx(flags))


def mkdir(master: Master, connection: ServerConnection, request: Mkdir) -> bytes | None:
    """kXR_mkdir, with parents when asked. `mkdir -p` of what is there is fine."""
    who = caller(connection)
    op_id = operation_of(who, request.cgi)
    if not was_done(master, op_id):
        mode = request.mode & PERMISSION_BITS or _DIRECTORY_MODE
        parents = bool(request.options & _PARENTS)
        for op in admit.mkdir(
            master.namespace,
            who,
            canonical(request.path),
            mode,
            master.now_ns(),
            master.fids.take,
            parents,
            op_id,
        ):
            master.submit(op)
    return master.done(connection, request.sid)


def rm(master: Master, connection: ServerConnection, request: Rm) -> bytes | None:
    """kXR_rm."""
    who = caller(connection)
    op_id = operation_of(who, request.cgi)
    if not was_done(master, op_id):
        path = canonical(request.path)
        master.submit(admit.unlink(master.namespace, who, path, master.now_ns(), op_id))
    return master.done(connection, request.sid)


def rmdir(master: Master, connection: ServerConnection, request: Rmdir) -> bytes | None:
    """kXR_rmdir."""
    who = caller(connection)
    op_id = operation_of(who, request.cgi)
    if not was_done(master, op_id):
        path = canonical(request.path)
        master.submit(admit.rmdir(master.namespace, who, path, master.now_ns(), op_id))
    return master.done(connection, request.sid)


def mv(master: Master, connection: ServerConnection, request: Mv) -> bytes | None:
    """kXR_mv: POSIX rename, an existing target file is replaced."""
    who = caller(connection)
    op_id = operation_of(who, request.source_cgi or request.target_cgi)
    if not was_done(master, op_id):
        source, target = canonical(request.source), canonical(request.target)
        now_ns = master.now_ns()
        master.submit(admit.rename(master.namespace, who, source, target, now_ns, op_id=op_id))
    return master.done(connection, request.sid)


def chmod(master: Master, connection: ServerConnection, request: Chmod) -> bytes | None:
    """kXR_chmod."""
    who = caller(connection)
    op_id = operation_of(who, request.cgi)
    if not was_done(master, op_id):
        mode = request.mode & PERMISSION_BITS
        now_ns = master.now_ns()
        master.submit(admit.chmod(master.namespace, who, request.path, mode, now_ns, op_id))
    return master.done(connection, request.sid)


def locate(master: Master, connection: ServerConnection, request: Locate) -> bytes | None:
    """kXR_locate. For `*`, `*path` and directories the MGM names itself, as a server: clients go
    to the addresses named here to list and to ask for space. For a file, the FSTs that serve it.
    """
    path = request.path
    who = caller(connection)
    everywhere = path.startswith("*")
    if everywhere:
        path = path[1:]
    inode: Inode | None = None
    if path:
        inode = queries.lookup(master.namespace, canonical(path), who)
    tag = inode.seq if inode is not None else 0
    if everywhere or inode is None or not inode.is_file or not inode.locations:
        locations = [Location(master.address, writable=True)]
    else:
        locations = _holders(master, inode)
        if not locations:
            number = errno.EAGAIN if master.is_patient(inode.locations) else errno.EADDRNOTAVAIL
            raise OperationError(number, "no replica of the file can be read now")
    return master.show(connection, tag, request.sid, build_locate(locations))


def _holders(master: Master, inode: Inode) -> list[Location]:
    filesystems = master.topology().filesystems
    nodes: dict[str, bool] = {}
    for fsid in inode.locations:
        fs = filesystems.get(Fsid(fsid))
        if fs is not None and not fs.unreadable_because():
            nodes[fs.node] = nodes.get(fs.node, False) or not fs.unwritable_because()
    return [Location(node, writable=writable) for node, writable in nodes.items()]
