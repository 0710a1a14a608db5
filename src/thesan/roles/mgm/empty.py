"""Files without content and without replica (`touch`) are read here, at the MGM.

There is no FST to redirect to, and none is needed: open answers a handle, every read is empty.
What else a client may do with a handle is answered too, so that no client sees a difference.
"""

import errno
from typing import Final

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import EMPTY_HANDLES_MAX
from thesan.core.namespace import queries
from thesan.core.namespace.inode import Inode
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_open, build_readv
from thesan.core.wire.numbers import OpenFlag
from thesan.core.wire.requests import (
    Close,
    Open,
    PgRead,
    PgWrite,
    Read,
    ReadV,
    Stat,
    Sync,
    Write,
    WriteV,
)
from thesan.io.transport.server import ServerConnection
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.sessions import Session
from thesan.roles.mgm.stats import flags_of, template

_RETSTAT: Final = int(OpenFlag.RETSTAT)


def _session(connection: ServerConnection) -> Session:
    session = connection.state
    assert isinstance(session, Session)
    return session


def _fid_of(connection: ServerConnection, fh: int) -> int:
    fid = _session(connection).empty_files.get(fh)
    if fid is None:
        raise OperationError(errno.EBADF, "there is no such open file at this MGM")
    return fid


def open_empty(
    master: Master, connection: ServerConnection, request: Open, inode: Inode
) -> bytes | None:
    """A handle for a file that has nothing to read."""
    session = _session(connection)
    if len(session.empty_files) >= EMPTY_HANDLES_MAX:
        raise OperationError(errno.EMFILE, f"{EMPTY_HANDLES_MAX} empty files are open already")
    session.handle_next = fh = session.handle_next + 1
    session.empty_files[fh] = inode.fid
    stat_text = None
    if request.options & _RETSTAT:
        stat_text = _stat_text(master, connection, inode)
    return master.show(connection, inode.seq, request.sid, build_open(fh, stat_text))


def _stat_text(master: Master, connection: ServerConnection, inode: Inode) -> bytes:
    who = connection.identity
    assert who is not None
    return template(master, inode) % flags_of(master, inode, who) + b"\0"


def stat(master: Master, connection: ServerConnection, request: Stat) -> bytes | None:
    """kXR_stat by handle."""
    fid = _fid_of(connection, request.fh)
    inode = queries.inode_of(master.namespace, fid)
    if inode is None:
        raise OperationError(errno.ENOENT, "the file was removed meanwhile")
    body = _stat_text(master, connection, inode)
    return master.show(connection, inode.seq, request.sid, body)


def path_of_handle(master: Master, connection: ServerConnection, fh: int) -> str:
    """Path of an open empty file."""
    path = queries.path_of(master.namespace, _fid_of(connection, fh))
    if path is None:
        raise OperationError(errno.ENOENT, "the file was removed meanwhile")
    return path


def read(master: Master, connection: ServerConnection, request: Read) -> bytes:
    """kXR_read: nothing, at any offset."""
    _fid_of(connection, request.fh)
    return responses.ok(request.sid)


def readv(master: Master, connection: ServerConnection, request: ReadV) -> bytes:
    """kXR_readv: an item without bytes for each that was asked for."""
    for fh, _, _ in request.items:
        _fid_of(connection, fh)
    return responses.ok(
        request.sid, build_readv((fh, offset, b"") for fh, _, offset in request.items)
    )


def pgread(master: Master, connection: ServerConnection, request: PgRead) -> bytes:
    """kXR_pgread: a final kXR_status without pages."""
    _fid_of(connection, request.fh)
    return responses.pgread_head(request.sid, request.offset, 0, final=True)


def sync(master: Master, connection: ServerConnection, request: Sync) -> bytes:
    """kXR_sync."""
    _fid_of(connection, request.fh)
    return responses.ok(request.sid)


def close(master: Master, connection: ServerConnection, request: Close) -> bytes:
    """kXR_close."""
    _fid_of(connection, request.fh)
    del _session(connection).empty_files[request.fh]
    return responses.ok(request.sid)


def refuse_write(
    master: Master, connection: ServerConnection, request: Write | PgWrite | WriteV
) -> bytes:
    """No file is ever open for writing at an MGM."""
    raise OperationError(errno.EBADF, "no file is open for writing at this MGM")
