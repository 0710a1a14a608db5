"""`file info` and `file check`: what is known of one file, and where its replicas are."""

import errno
from typing import Any, Final

from thesan.core.control.messages import AdminReply
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.layouts import (
    EOS_CHECKSUM_NAMES,
    ChecksumKind,
    checksum_kind_of,
    layout_kind_of,
    replica_count_of,
)
from thesan.core.model.paths import normalise
from thesan.core.model.units import NS_PER_S
from thesan.core.namespace import admit, queries
from thesan.core.namespace.inode import PERMISSION_BITS, Inode
from thesan.roles.mgm.admin.arguments import Arguments
from thesan.roles.mgm.admin.context import AdminContext, Args
from thesan.roles.mgm.admin.figures import Record, active_of, geotag_of, report_of, split_node

_FILES_PER_FOLDER: Final = 10_000
"""Files in one folder of an FST's disk, as in EOS."""


def info(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """One record: keys and order of EOS' `file info -m`, then xattrs and replicas.

    `path` is a path, `fid:DECIMAL` or `fxid:HEX`. Needs what stat needs.
    """
    arguments = Arguments(args)
    path = find_path(context, arguments.text("path"), identity)
    arguments.done()
    inode = queries.lookup(context.namespace, path, identity, follow=False)
    xattrs = _xattrs(context, path, identity)
    if inode.is_dir:
        return AdminReply(records=[_directory_record(path, inode, xattrs)])
    return AdminReply(records=[_file_record(context, path, inode, xattrs)])


def check(context: AdminContext, args: Args, identity: Identity) -> AdminReply:
    """What each replica should be, and a URL under which its FST says what it is.

    The caller asks the FSTs: size by kXR_stat, checksum by kXR_query, with the capability in `url`
    (empty where the filesystem can't be reached). Needs read permission.
    """
    arguments = Arguments(args)
    path = find_path(context, arguments.text("path"), identity)
    arguments.done()
    inode = admit.read(context.namespace, identity, path)
    expected: Record = {
        "path": path,
        "fxid": f"{inode.fid:08x}",
        "size": inode.size,
        "adler32": _hex(inode.adler32),
        "crc32c": _hex(inode.crc32c),
        "nrep": len(inode.locations),
        "nstripes": replica_count_of(inode.layout),
    }
    records = []
    for replica in _replica_records(context, inode):
        url = ""
        if replica["active"] == "online":
            url = context.replica_url(inode, path, replica["fsid"], identity)
        # `path` is the file's; where the replica is on its disk is `file`.
        records.append({**expected, **replica, "path": path, "url": url})
    if not records:
        records.append({**expected, "fsid": 0, "url": ""})
    wanted = replica_count_of(inode.layout) if inode.size else 0
    short = wanted - len(inode.locations)
    text = f"{path}: {len(inode.locations)} of {wanted} replicas"
    return AdminReply(records=records, text=text + (f", {short} missing" if short > 0 else ""))


def find_path(context: AdminContext, name: str, identity: Identity) -> str:
    """Normalised path of a path, `fid:N`, `fxid:HEX` or `inode:N`. Raises OperationError."""
    kind, colon, number = name.partition(":")
    if not colon or kind not in ("fid", "fxid", "inode"):
        return normalise(name)
    try:
        fid = int(number, 16 if kind == "fxid" else 10)
    except ValueError:
        raise OperationError(errno.EINVAL, f"not a file id: {name[:80]!r}") from None
    path = queries.path_of(context.namespace, fid) if 0 < fid < 2**63 else None
    if path is None:
        raise OperationError(errno.ENOENT, f"there is no file with id {number[:40]}")
    # The id tells nothing that the caller may not see: the path is walked with its permissions.
    queries.lookup(context.namespace, path, identity, follow=False)
    return path


def disk_path(root: str, fid: int) -> str:
    """Where an FST keeps the replica of a file."""
    return f"{root}/{fid // _FILES_PER_FOLDER:08x}/{fid:08x}"


def _xattrs(context: AdminContext, path: str, identity: Identity) -> dict[str, str]:
    try:
        found = admit.xattrs(context.namespace, identity, path)
    except OperationError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise
        return {}
    return {name: found[name].decode(errors="backslashreplace") for name in sorted(found)}


def _times(inode: Inode) -> Record:
    return {
        "mtime": _seconds(inode.mtime_ns),
        "ctime": _seconds(inode.ctime_ns),
        "btime": _seconds(inode.birth_ns),
    }


def _seconds(time_ns: int) -> str:
    return f"{time_ns // NS_PER_S}.{time_ns % NS_PER_S:09d}"


def _hex(checksum: int | None) -> str:
    return f"{checksum:08x}" if checksum is not None else ""


def _file_record(context: AdminContext, path: str, inode: Inode, xattrs: dict[str, str]) -> Record:
    kind = checksum_kind_of(inode.layout) if inode.is_file else ChecksumKind.NONE
    checksum = _hex(inode.crc32c if kind is ChecksumKind.CRC32C else inode.adler32)
    replicas = _replica_records(context, inode)
    record: dict[str, Any] = {
        "keylength.file": len(path),
        "file": path,
        "size": inode.size,
        "status": _health(inode, replicas),
        **_times(inode),
        "clock": 0,
        "mode": f"{inode.mode & PERMISSION_BITS:04o}",
        "uid": inode.uid,
        "gid": inode.gid,
        "fxid": f"{inode.fid:08x}",
        "fid": inode.fid,
        "ino": inode.fid,
        "pid": inode.parent,
        "pxid": f"{inode.parent:08x}",
        "xstype": EOS_CHECKSUM_NAMES[kind],
        "xs": checksum,
        "etag": f"{inode.fid}:{checksum or inode.mtime_ns // NS_PER_S}",
        "detached": 0,
        "layout": layout_kind_of(inode.layout).name.lower() if inode.is_file else "",
        "nstripes": replica_count_of(inode.layout) if inode.is_file else 0,
        "lid": f"{inode.layout:08x}",
        "nrep": len(inode.locations),
        "xattrs": xattrs,
        "fsid": list(inode.locations),
        "adler32": _hex(inode.adler32),
        "crc32c": _hex(inode.crc32c),
        "nlink": inode.nlink,
        "replicas": replicas,
    }
    if inode.is_symlink:
        record["target"] = inode.target
    return record


def _health(inode: Inode, replicas: list[Record]) -> str:
    """EOS' word for the state of a file's locations."""
    if not inode.is_file or inode.size == 0:
        return "healthy"
    online = sum(1 for replica in replicas if replica["active"] == "online")
    if not replicas:
        return "locations::0"
    if online == 0:
        return "locations::offline"
    if len(replicas) < replica_count_of(inode.layout):
        return "locations::incomplete"
    return "healthy" if online == len(replicas) else "locations::degraded"


def _directory_record(path: str, inode: Inode, xattrs: dict[str, str]) -> Record:
    name = path if path == "/" else path + "/"
    return {
        "keylength.file": len(name),
        "file": name,
        "entries": inode.size,
        **_times(inode),
        "mode": f"{inode.mode:o}",
        "uid": inode.uid,
        "gid": inode.gid,
        "fxid": f"{inode.fid:08x}",
        "fid": inode.fid,
        "ino": inode.fid,
        "pid": inode.parent,
        "pxid": f"{inode.parent:08x}",
        "etag": f"{inode.fid}:{inode.mtime_ns // NS_PER_S}",
        "nlink": inode.nlink,
        "xattrs": xattrs,
    }


def _replica_records(context: AdminContext, inode: Inode) -> list[Record]:
    """Where the replicas are, in the order of registration."""
    records: list[Record] = []
    for number, fsid in enumerate(inode.locations):
        fs = context.view.filesystem(fsid)
        if fs is None:
            records.append({"no": number, "fsid": fsid, "active": "unknown", "path": ""})
            continue
        host, port = split_node(fs.record.node)
        records.append(
            {
                "no": number,
                "fsid": fsid,
                "host": host,
                "port": port,
                "schedgroup": fs.record.group,
                "path": fs.record.path,
                "file": disk_path(fs.record.path, inode.fid),
                "boot": report_of(fs).boot,
                "configstatus": fs.record.configstatus,
                "drain": "nodrain",
                "active": active_of(context.view, fs, context.now_s),
                "geotag": geotag_of(context.view, fs),
            }
        )
    return records
