"""kXR_query: checksum, config, space, stats, xattr, prepare status, and our control messages.

Also kXR_set and kXR_prepare, which ask for little more than to be taken.
"""

import errno
from collections.abc import Callable
from typing import Final
from xml.sax.saxutils import quoteattr

import msgspec

from thesan import __version__
from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.core.model.layouts import CHECKSUM_NAMES
from thesan.core.model.limits import (
    BIND_STREAMS_MAX,
    READV_ITEM_BYTES_MAX,
    READV_ITEMS_MAX,
    XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX,
)
from thesan.core.model.paths import normalise, parse_cgi, split_cgi
from thesan.core.model.units import NS_PER_S
from thesan.core.namespace import queries
from thesan.core.wire import responses
from thesan.core.wire.bodies import build_checksum, build_config
from thesan.core.wire.numbers import PrepareFlag, QueryCode
from thesan.core.wire.requests import Prepare, Query, Set
from thesan.io.transport.server import ServerConnection
from thesan.roles.mgm.checksums import SERVED, checksum_of, kind_of
from thesan.roles.mgm.control import control
from thesan.roles.mgm.layouts import DEFAULT_SPACE
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.metadata import caller
from thesan.roles.mgm.open import readable_replica, redirect_to
from thesan.roles.mgm.tickets import Work

Answer = bytes | None
_CHECKSUM_LIST: Final = ",".join(
    f"{number}:{CHECKSUM_NAMES[kind]}" for number, kind in enumerate(SERVED)
)
_CONFIG: Final[dict[str, str]] = {
    "version": f"v{__version__}",
    "chksum": _CHECKSUM_LIST,
    "role": "manager",
    "tpc": "1",
    "bind_max": str(BIND_STREAMS_MAX - 1),
    "pio_max": "5",
    "readv_ior_max": str(READV_ITEM_BYTES_MAX),
    "readv_iov_max": str(READV_ITEMS_MAX),
    "cms": "none|",
    "fattr": f"{XATTR_NAME_BYTES_MAX} {XATTR_VALUE_BYTES_MAX}",
}
"""Answers that are the same on every MGM. Other keys are echoed, as native does."""


def query(master: Master, connection: ServerConnection, request: Query) -> Answer:
    """kXR_query."""
    handler = _HANDLERS.get(request.infotype)
    if handler is None:
        raise OperationError(errno.ENOTSUP, f"query of kind {request.infotype} is not served here")
    return handler(master, connection, request)


def _text(request: Query) -> str:
    try:
        return request.args.decode()
    except UnicodeDecodeError as error:
        raise OperationError(errno.EINVAL, "the argument is not UTF-8") from error


def _config(master: Master, connection: ServerConnection, request: Query) -> Answer:
    local = {"sitename": master.config.sitename, "cid": master.config.instance}
    values = []
    for key in _text(request).replace("\0", " ").split():
        value = _CONFIG.get(key) or local.get(key)
        values.append((key, value or None))
    return responses.ok(request.sid, build_config(values))


def _checksum(master: Master, connection: ServerConnection, request: Query) -> Answer:
    raw, cgi = split_cgi(_text(request))
    if not raw:
        raise OperationError(errno.EBADF, "there is no such open file at this MGM")
    path = normalise(raw)
    who = caller(connection)
    inode = queries.lookup(master.namespace, path, who)
    if not inode.is_file:
        raise OperationError(errno.EISDIR, "only files have a checksum")
    kind = kind_of(parse_cgi(cgi).get("cks.type", ""))
    value = checksum_of(inode, kind)
    if value is not None:
        body = build_checksum(CHECKSUM_NAMES[kind], value)
        return master.show(connection, inode.seq, request.sid, body)
    return _checksum_at_fst(master, connection, request, path, cgi)


def _checksum_at_fst(
    master: Master, connection: ServerConnection, request: Query, path: str, cgi: str
) -> Answer:
    who = caller(connection)
    inode = queries.lookup(master.namespace, path, who)
    place = readable_replica(master, connection, inode, cgi)
    work = Work(Op.CHECKSUM, inode.fid, path, inode.layout)
    ticket = master.tickets.capability(work, place, who, master.now_unix())
    return redirect_to(master, connection, request.sid, inode.seq, place[1], ticket)


def _space(master: Master, connection: ServerConnection, request: Query) -> Answer:
    """Figures of the space that `oss.cgroup` names, else of the default one, in bytes."""
    _, cgi = split_cgi(_text(request))
    name = parse_cgi(cgi).get("oss.cgroup", "") or DEFAULT_SPACE
    total = free = largest = 0
    for fs in master.topology().filesystems.values():
        if fs.space == name and not fs.unreachable_because():
            total += fs.capacity_bytes
            free += fs.free_bytes
            largest = max(largest, fs.free_bytes)
    text = (
        f"oss.cgroup={name}&oss.space={total}&oss.free={free}&oss.maxf={largest}"
        f"&oss.used={total - free}&oss.quota=-1"
    )
    return responses.ok(request.sid, text.encode() + b"\0")


def _xattr(master: Master, connection: ServerConnection, request: Query) -> Answer:
    path = normalise(split_cgi(_text(request))[0])
    inode = queries.lookup(master.namespace, path, caller(connection))
    mtime, ctime = inode.mtime_ns // NS_PER_S, inode.ctime_ns // NS_PER_S
    text = (
        f"oss.cgroup={DEFAULT_SPACE}&oss.type={'f' if inode.is_file else 'd'}"
        f"&oss.used={inode.size}&oss.mt={mtime}&oss.ct={ctime}&oss.at={mtime}"
        f"&oss.u={inode.uid}&oss.g={inode.gid}&oss.fs=w"
    )
    return master.show(connection, inode.seq, request.sid, text.encode() + b"\0")


def _stats(master: Master, connection: ServerConnection, request: Query) -> Answer:
    """The XML of `xrdfs query stats`, with the sections that an MGM has something to say in."""
    host, _, port = master.address.rpartition(":")
    counts = "".join(
        f"<{name}>{count}</{name}>" for name, count in sorted(master.figures.counts().items())
    )
    text = (
        f'<statistics tod="{master.now_unix()}" ver="v{__version__}" '
        f'src={quoteattr(master.address)} tos="{master.figures.start_ns // NS_PER_S}" '
        f'pgm="thesan" ins={quoteattr(master.config.instance)} pid="0" '
        f"site={quoteattr(master.config.sitename)}>"
        f'<stats id="info"><host>{host}</host><port>{port}</port>'
        f"<name>{master.config.instance}</name></stats>"
        f'<stats id="link"><num>{len(master.sessions)}</num></stats>'
        f'<stats id="xrootd"><ops>{counts}</ops></stats></statistics>'
    )
    return responses.ok(request.sid, text.encode() + b"\0")


def _prepare_status(master: Master, connection: ServerConnection, request: Query) -> Answer:
    """Status of a prepare, as JSON like dCache's and EOS': every file is always on disk."""
    request_id, *paths = _text(request).split("\n")
    who = caller(connection)
    files = []
    for raw in paths:
        if not raw:
            continue
        error = ""
        try:
            queries.lookup(master.namespace, normalise(split_cgi(raw)[0]), who)
        except OperationError as failure:
            error = failure.text
        files.append(
            {
                "path": raw,
                "path_exists": not error,
                "on_tape": False,
                "online": not error,
                "requested": False,
                "has_reqid": False,
                "req_time": "",
                "error_text": error,
            }
        )
    body = msgspec.json.encode({"request_id": request_id, "responses": files})
    return master.show(connection, master.namespace.op_count, request.sid, body + b"\0")


def _control(master: Master, connection: ServerConnection, request: Query) -> Answer:
    return control(master, connection, request.sid, request.args)


_HANDLERS: Final[dict[int, Callable[[Master, ServerConnection, Query], Answer]]] = {
    QueryCode.CONFIG: _config,
    QueryCode.CHECKSUM: _checksum,
    QueryCode.SPACE: _space,
    QueryCode.FSINFO: _space,
    QueryCode.XATTR: _xattr,
    QueryCode.STATS: _stats,
    QueryCode.PREPARE: _prepare_status,
    QueryCode.OPAQUE: _control,
}


def set_info(master: Master, connection: ServerConnection, request: Set) -> bytes:
    """kXR_set: `appid NAME` and the like; taken, since clients expect it."""
    return responses.ok(request.sid)


def prepare(master: Master, connection: ServerConnection, request: Prepare) -> Answer:
    """kXR_prepare: nothing has to be staged, so every request is fulfilled at once.

    Files that do not exist are an error, unless the client said kXR_noerrs.
    """
    if request.options & PrepareFlag.CANCEL:
        return responses.ok(request.sid)
    who = caller(connection)
    if not request.options & PrepareFlag.NO_ERRORS:
        for raw in request.paths:
            queries.lookup(master.namespace, normalise(split_cgi(raw)[0]), who)
    request_id = f"{master.epoch:x}.{master.dice.take(8).hex()}"
    body = request_id.encode()
    return master.show(connection, master.namespace.op_count, request.sid, body)
