"""kXR_open: admit, choose the FST, sign a capability, redirect.

Reading: any readable replica that the client has not tried in vain. Writing a new file or over an
old one: placement, a fresh fid and a sealed grant, nothing journaled (but parents that kXR_mkpath
makes): the file appears when the FST commits. Updating: all replicas change in place.
"""

import errno
from typing import Final

from thesan.core.authority.capability import Grant, GrantKind, Op
from thesan.core.control.messages import AGAIN_KEY
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.ids import Fid, Fsid, NodeId
from thesan.core.model.paths import parent_and_name, parse_cgi
from thesan.core.namespace import admit, queries
from thesan.core.namespace.inode import PERMISSION_BITS, Inode
from thesan.core.placement.choose import choose, choose_read, choose_update
from thesan.core.wire import responses
from thesan.core.wire.numbers import OpenFlag
from thesan.core.wire.requests import Open, Truncate
from thesan.io.transport.server import ServerConnection
from thesan.roles.mgm.empty import open_empty
from thesan.roles.mgm.layouts import NewFile, new_file
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.metadata import caller, canonical
from thesan.roles.mgm.operations import operation_of
from thesan.roles.mgm.sessions import Session
from thesan.roles.mgm.tickets import Place, Work
from thesan.roles.mgm.uploads import Upload

_WRITES: Final = int(
    OpenFlag.DELETE | OpenFlag.NEW | OpenFlag.UPDATE | OpenFlag.APPEND | OpenFlag.WRITE_ONLY
)
_DELETE: Final = int(OpenFlag.DELETE)
_NEW: Final = int(OpenFlag.NEW)
_MKPATH: Final = int(OpenFlag.MKPATH)
_FULL: Final = "fserr"
"""XrdCl's word in `triedrc=` for kXR_FSError and kXR_NoSpace."""
_FILE_MODE: Final = 0o644
_DIRECTORY_MODE: Final = 0o755
_BOOKING_MAX: Final = 1 << 60
"""A client's `oss.asize` above it is a mistake."""
_NONE: Final[frozenset[Fsid]] = frozenset()


def open_file(master: Master, connection: ServerConnection, request: Open) -> bytes | None:
    """kXR_open in all its forms."""
    options = request.options
    if not options & _WRITES:
        return _open_read(master, connection, request)
    if options & (_DELETE | _NEW):
        return _open_new(master, connection, request)
    return _open_update(master, connection, request)


# -- reading ---------------------------------------------------------------------------------------
def _open_read(master: Master, connection: ServerConnection, request: Open) -> bytes | None:
    who = caller(connection)
    path = canonical(request.path)
    inode = admit.read(master.namespace, who, path)
    if not inode.locations and not inode.size:
        return open_empty(master, connection, request, inode)
    place = readable_replica(master, connection, inode, request.cgi)
    cgi = master.tickets.to_read(inode.fid, path, inode.layout, place, who, master.now_unix())
    return redirect_to(master, connection, request.sid, inode.seq, place[1], cgi)


def readable_replica(master: Master, connection: ServerConnection, inode: Inode, cgi: str) -> Place:
    """The replica to send a reader to; EAGAIN when one may be back soon."""
    topology = master.topology()
    locations = inode.locations
    is_retry = "tried=" in cgi
    if len(locations) == 1 and not is_retry:
        # No choice: most files have one replica, and this is the hot path.
        node = topology.readable.get(locations[0])
        if node is not None:
            return Fsid(locations[0]), node
    tried = topology.fsids_of_hosts(_tried_hosts(cgi)) if is_retry else _NONE
    geotag = _session(connection).geotag
    try:
        dice = master.dice.number() if len(locations) > 1 else 0
        fsid = choose_read(topology, locations, geotag, tried, dice)
    except OperationError as error:
        if master.is_patient(locations):
            raise OperationError(errno.EAGAIN, error.text) from error
        raise
    return fsid, topology.filesystems[fsid].node


# -- a new file, or new content in the place of old ------------------------------------------------
def _open_new(master: Master, connection: ServerConnection, request: Open) -> bytes | None:
    who = caller(connection)
    path = canonical(request.path)
    exclusive = not request.options & _DELETE
    before = master.namespace.op_count
    if request.options & _MKPATH:
        _make_parents(master, who, path)
    mode = request.mode & PERMISSION_BITS or _FILE_MODE
    place, cgi = start_upload(master, connection, path, request.cgi, mode, exclusive)
    tag = max(before, master.namespace.op_count) if request.options & _MKPATH else 0
    return redirect_to(master, connection, request.sid, tag, place[1], cgi)


def _make_parents(master: Master, who: Identity, path: str) -> None:
    parent, _ = parent_and_name(path)
    namespace, now_ns = master.namespace, master.now_ns()
    for op in admit.mkdir(namespace, who, parent, _DIRECTORY_MODE, now_ns, master.fids.take, True):
        master.submit(op)


def start_upload(
    master: Master,
    connection: ServerConnection,
    path: str,
    client_cgi: str,
    mode: int,
    exclusive: bool,
) -> tuple[Place, str]:
    """Place a new file and note the upload: (head, CGI of the redirect)."""
    who = caller(connection)
    master.pipeline.admit_bulk()
    directory = queries.resolve(master.namespace, path, who)[0]
    new = new_file(master, directory, _booking_of(parse_cgi(client_cgi)))
    admitted = admit.upload(
        master.namespace, who, path, mode, new.booking_bytes, new.replica_count, exclusive
    )
    existing = admitted.existing
    full = _full_filesystems(master, connection, path, client_cgi)
    places = _place_new(master, connection, new, client_cgi, full)
    fid = master.fids.take()
    now_s = master.now_unix()
    op_id = operation_of(who, client_cgi)
    grant = Grant(
        kind=GrantKind.CREATE,
        fid=fid,
        parent=admitted.parent.fid,
        name=admitted.name,
        path=path,
        mode=admitted.mode,
        uid=admitted.uid,
        gid=admitted.gid,
        layout=new.layout,
        fsids=tuple([place[0] for place in places]),
        space=new.space,
        exclusive=exclusive,
        replaced=existing.fid if existing is not None else 0,
        epoch=master.epoch,
        issued_s=now_s,
        booking_size=new.booking_bytes,
        generation=master.dice.number() >> 1,
        op_id=op_id,
        is_again=bool(op_id) and AGAIN_KEY in client_cgi,
    )
    sealed = master.tickets.seal(grant, now_s)
    work = Work(Op.CREATE, fid, path, new.layout, new.booking_bytes, sealed)
    _note(master, connection, grant, places[0], sealed, full)
    return places[0], master.tickets.capability_for_all(work, places, who, now_s)


def _place_new(
    master: Master,
    connection: ServerConnection,
    new: NewFile,
    client_cgi: str,
    full: frozenset[Fsid],
) -> list[Place]:
    """Where the replicas go: not to hosts where the client was in vain. If those are all, to other
    filesystems of the hosts where only a disk was `full`."""
    topology = master.topology()
    tried = topology.fsids_of_hosts(_tried_hosts(client_cgi)) if "tried=" in client_cgi else _NONE
    exclusions = [tried]
    if full:
        others = set(_tried_hosts(client_cgi)).difference(_full_hosts(client_cgi))
        exclusions.append(topology.fsids_of_hosts(others) | full)
    geotag = _session(connection).geotag
    dice = master.dice.number()
    while True:
        try:
            fsids = choose(
                topology,
                new.space,
                new.replica_count,
                new.booking_bytes,
                geotag,
                exclusions.pop(0),
                dice,
                new.group,
            )
        except OperationError as error:
            if exclusions:
                continue
            if error.errno in (errno.ENOSPC, errno.ENOENT) and master.is_patient():
                raise OperationError(errno.EAGAIN, error.text) from error
            raise
        return [(fsid, topology.filesystems[fsid].node) for fsid in fsids]


def _full_filesystems(
    master: Master, connection: ServerConnection, path: str, cgi: str
) -> frozenset[Fsid]:
    """Where this client's last tries of the upload went that ended with `fserr`. The client only
    knows the host's name, but a host has many disks."""
    if not _full_hosts(cgi):
        return _NONE
    last = master.uploads.of(path, caller(connection).uid, connection.peer_host)
    if last is None:
        return _NONE
    grant = master.tickets.open(last.ticket, master.now_unix())
    return last.full.union(map(Fsid, grant.fsids))


def _note(
    master: Master,
    connection: ServerConnection,
    grant: Grant,
    head: Place,
    sealed: bytes,
    full: frozenset[Fsid],
) -> None:
    master.uploads.add(
        Upload(
            path=grant.path,
            fid=Fid(grant.fid),
            uid=caller(connection).uid,
            host=connection.peer_host,
            node=head[1],
            ticket=sealed,
            opened_ns=master.now_ns(),
            op_id=grant.op_id,
            full=full,
        )
    )


# -- changing what is there ------------------------------------------------------------------------
def _open_update(master: Master, connection: ServerConnection, request: Open) -> bytes | None:
    who = caller(connection)
    path = canonical(request.path)
    tried = frozenset(_tried_hosts(request.cgi)) if "tried=" in request.cgi else frozenset()
    upload = master.uploads.resume(path, who.uid, connection.peer_host, tried, master.now_ns())
    if upload is not None:
        place, cgi = _go_on(master, who, upload)
        return redirect_to(master, connection, request.sid, 0, place[1], cgi)
    place, cgi, tag = start_change(master, connection, Op.UPDATE, path, request.cgi)
    return redirect_to(master, connection, request.sid, tag, place[1], cgi)


def _go_on(master: Master, who: Identity, upload: Upload[bytes]) -> tuple[Place, str]:
    """The same upload once more: a writer whose connection to the FST broke."""
    now_s = master.now_unix()
    grant = master.tickets.open(upload.ticket, now_s)
    work = Work(Op.CREATE, grant.fid, upload.path, grant.layout, grant.booking_size, upload.ticket)
    places = [(Fsid(fsid), master.node_of(fsid)) for fsid in grant.fsids]
    return places[0], master.tickets.capability_for_all(work, places, who, now_s)


def start_change(
    master: Master, connection: ServerConnection, op: Op, path: str, client_cgi: str
) -> tuple[Place, str, int]:
    """Let all replicas of a file be changed: (head, CGI of the redirect, tag of what was seen).

    A file that has none (made by `touch`) gets them as a new upload in its place would.
    """
    who = caller(connection)
    booking = _booking_of(parse_cgi(client_cgi))
    inode = admit.update(master.namespace, who, path, 0)
    if booking > inode.size:
        inode = admit.update(master.namespace, who, path, booking - inode.size)
    tag = inode.seq
    if not inode.locations:
        mode = inode.mode & PERMISSION_BITS
        place, cgi = start_upload(master, connection, path, client_cgi, mode, False)
        return place, cgi, tag
    topology = master.topology()
    try:
        fsids = choose_update(topology, inode.locations, _session(connection).geotag)
    except OperationError as error:
        if master.is_patient(inode.locations):
            raise OperationError(errno.EAGAIN, error.text) from error
        raise
    places = [(fsid, topology.filesystems[fsid].node) for fsid in fsids]
    _check_not_full(places, path, client_cgi)
    now_s = master.now_unix()
    grant = Grant(
        kind=GrantKind.UPDATE,
        fid=inode.fid,
        parent=inode.parent,
        name=inode.name,
        path=path,
        mode=inode.mode & PERMISSION_BITS,
        uid=inode.uid,
        gid=inode.gid,
        layout=inode.layout,
        fsids=fsids,
        space="",
        exclusive=False,
        replaced=0,
        epoch=master.epoch,
        issued_s=now_s,
        booking_size=booking,
        generation=master.dice.number() >> 1,
    )
    work = Work(op, inode.fid, path, inode.layout, booking, master.tickets.seal(grant, now_s))
    return places[0], master.tickets.capability_for_all(work, places, who, now_s), tag


def _check_not_full(places: list[Place], path: str, cgi: str) -> None:
    """A client that comes back from one of the replicas with `fserr`: it has no room for more, and
    all replicas must change, so there is no other place to try. Raises OperationError ENOSPC."""
    failed = _full_hosts(cgi)
    for fsid, node in places:
        if node.rpartition(":")[0] in failed:
            raise OperationError(errno.ENOSPC, f"{path}: no space left on fs {fsid} at {node}")


def truncate(master: Master, connection: ServerConnection, request: Truncate) -> bytes | None:
    """kXR_truncate by path: the head FST does it to all replicas and commits."""
    if not request.path:
        raise OperationError(errno.EBADF, "there is no such open file at this MGM")
    if request.size < 0:
        raise OperationError(errno.EINVAL, f"size {request.size} is negative")
    path = canonical(request.path)
    inode = admit.update(master.namespace, caller(connection), path, 0)
    if not inode.locations and not request.size:
        return master.show(connection, inode.seq, request.sid, b"")
    growth = f"oss.asize={request.size}"
    cgi = f"{request.cgi}&{growth}" if request.cgi else growth
    place, ticket, tag = start_change(master, connection, Op.TRUNCATE, path, cgi)
    return redirect_to(master, connection, request.sid, tag, place[1], ticket)


# -- what they share -------------------------------------------------------------------------------
def redirect_to(
    master: Master, connection: ServerConnection, sid: bytes, tag: int, node: NodeId, cgi: str
) -> bytes | None:
    """kXR_redirect to an FST, held while what it follows from (op number `tag`) is pending."""
    host, port = master.address_of(node)
    data = responses.redirect(sid, host, port, cgi)
    if tag < master.tree.tree_tag:
        tag = master.tree.tree_tag
    return master.send(connection, tag, data)


def _session(connection: ServerConnection) -> Session:
    session = connection.state
    assert isinstance(session, Session)
    return session


def _tried_hosts(cgi: str) -> list[str]:
    """Host names that the client has been to in vain, and that it lists in `tried=`."""
    return [host for host in parse_cgi(cgi).get("tried", "").split(",") if host]


def _full_hosts(cgi: str) -> list[str]:
    """Those of them that said `fserr`: a disk there has no room, or fails."""
    if "triedrc=" not in cgi:
        return []
    words = parse_cgi(cgi).get("triedrc", "").split(",")
    return [host for host, word in zip(_tried_hosts(cgi), words, strict=False) if word == _FULL]


def _booking_of(values: dict[str, str]) -> int:
    """`oss.asize`: the size that the client says it will write; 0 when it does not."""
    text = values.get("oss.asize", "")
    if not text.isascii() or not text.isdecimal() or len(text) > 20:
        return 0
    return min(int(text), _BOOKING_MAX)
