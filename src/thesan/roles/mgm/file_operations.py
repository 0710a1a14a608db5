"""FileOp: namespace operations that XRootD has no request for.

lstat readlink info acl chown link symlink touch utime. Paths are absolute; who may ask is in
core.authority.commands, what the caller may do there is admission's business. A change carries the
client's op id, so that a resend gets the first answer.
"""

import errno
from collections.abc import Callable
from typing import Any, Final

import msgspec

from thesan.core.control.messages import FileOp
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import Identity
from thesan.core.model.layouts import CHECKSUM_NAMES, ChecksumKind
from thesan.core.model.paths import normalise
from thesan.core.namespace import admit, queries
from thesan.core.namespace.inode import PERMISSION_BITS, Inode
from thesan.core.namespace.ops import Op
from thesan.roles.mgm.acl_edit import edit
from thesan.roles.mgm.admin.arguments import Arguments
from thesan.roles.mgm.checksums import SERVED, checksum_of
from thesan.roles.mgm.layouts import new_file
from thesan.roles.mgm.master import Master

Result = dict[str, Any]
_FILE_MODE: Final = 0o644


def perform(master: Master, who: Identity, message: FileOp, op_id: bytes) -> Result:
    """Do it. Raises OperationError; EINVAL for a verb or an argument that there is not.

    The caller has checked the role, and that `op_id` has no remembered result.
    """
    verb = VERBS.get(message.verb)
    if verb is None:
        raise OperationError(
            errno.EINVAL, f"there is no file operation {message.verb[:40]!r}: {', '.join(VERBS)}"
        )
    values = dict(message.args)
    other = values.pop("source", None) or values.pop("target", None)
    call = Call(who, normalise(message.path), other, Arguments(values), op_id)
    return verb(master, call)


class Call(msgspec.Struct, frozen=True):
    """One request, taken apart."""

    who: Identity
    path: str
    """Normalised."""
    other: Any
    """The argument `source` or `target`: a second path, or the text of a link."""
    args: Arguments
    """The others."""
    op_id: bytes

    def other_path(self) -> str:
        """The second path. Raises OperationError EINVAL when there is none."""
        if not isinstance(self.other, str) or not self.other or "\0" in self.other:
            raise OperationError(errno.EINVAL, "a second path is missing: `source` or `target`")
        return self.other


Verb = Callable[[Master, Call], Result]


def record_of(master: Master, inode: Inode) -> Result:
    """Fields of a stat: what POSIX knows of a file. Times in ns, sizes in bytes."""
    now_s = master.now_s()
    record: Result = {
        "fid": inode.fid,
        "mode": inode.mode,
        "nlink": inode.nlink,
        "uid": inode.uid,
        "gid": inode.gid,
        "owner": master.names.user(inode.uid, now_s),
        "group": master.names.group(inode.gid, now_s),
        "size": inode.size,
        "mtime_ns": inode.mtime_ns,
        "ctime_ns": inode.ctime_ns,
        "birth_ns": inode.birth_ns,
    }
    if inode.target is not None:
        record["target"] = inode.target
    return record


def _lstat(master: Master, call: Call) -> Result:
    call.args.done()
    return record_of(master, queries.lookup(master.namespace, call.path, call.who, follow=False))


def _readlink(master: Master, call: Call) -> Result:
    call.args.done()
    return {"target": admit.readlink(master.namespace, call.who, call.path)}


def _info(master: Master, call: Call) -> Result:
    """The stat and, of a file, layout, checksums and where its replicas are."""
    follow = call.args.flag("follow", True)
    call.args.done()
    inode = queries.lookup(master.namespace, call.path, call.who, follow)
    result = record_of(master, inode)
    result["path"] = queries.path_of(master.namespace, inode.fid)
    result["parent"] = inode.parent
    if inode.is_file:
        result["layout"] = inode.layout
        result["fsids"] = list(inode.locations)
        result["checksums"] = {CHECKSUM_NAMES[kind]: _checksum(inode, kind) for kind in SERVED}
    return result


def _checksum(inode: Inode, kind: ChecksumKind) -> str:
    return checksum_of(inode, kind) or ""


def _acl(master: Master, call: Call) -> Result:
    """The ACL; with `rule` it is changed before."""
    name = f"{call.args.choice('kind', ('sys', 'user'), 'sys')}.acl"
    rule = call.args.text("rule", "")
    call.args.done()
    value = admit.xattrs(master.namespace, call.who, call.path).get(name, b"")
    text = value.decode(errors="replace")
    if rule:
        text = edit(text, rule)
        now_ns = master.now_ns()
        op: Op
        if text:
            op = admit.set_xattr(
                master.namespace, call.who, call.path, name, text.encode(), now_ns, op_id=call.op_id
            )
        else:
            op = admit.remove_xattr(
                master.namespace, call.who, call.path, name, now_ns, op_id=call.op_id
            )
        if text or value:
            master.submit(op)
    return {"acl": text}


def _chown(master: Master, call: Call) -> Result:
    uid = call.args.number("uid") if call.args.has("uid") else None
    gid = call.args.number("gid") if call.args.has("gid") else None
    follow = call.args.flag("follow", True)
    call.args.done()
    op = admit.chown(
        master.namespace, call.who, call.path, uid, gid, master.now_ns(), follow, call.op_id
    )
    return {"fid": master.submit(op).fid}


def _link(master: Master, call: Call) -> Result:
    """One more name, `path`, for the file `source`."""
    source = normalise(call.other_path())
    call.args.done()
    op = admit.link(master.namespace, call.who, source, call.path, master.now_ns(), call.op_id)
    return {"fid": master.submit(op).fid}


def _symlink(master: Master, call: Call) -> Result:
    """A symbolic link at `path` that holds the text `target`."""
    target = call.other_path()
    call.args.done()
    op = admit.symlink(
        master.namespace, call.who, target, call.path, master.now_ns(), master.fids.take, call.op_id
    )
    return {"fid": master.submit(op).fid}


def _touch(master: Master, call: Call) -> Result:
    mode = call.args.number("mode", _FILE_MODE, maximum=PERMISSION_BITS)
    call.args.done()
    namespace = master.namespace
    directory = queries.resolve(namespace, call.path, call.who)[0]
    layout = new_file(master, directory, 0).layout
    fid = 0
    for op in admit.touch(
        namespace, call.who, call.path, mode, master.now_ns(), master.fids.take, layout, call.op_id
    ):
        fid = master.submit(op).fid
    return {"fid": fid}


def _utime(master: Master, call: Call) -> Result:
    """mtime to `mtime_ns`, or to now."""
    mtime_ns = call.args.number("mtime_ns") if call.args.has("mtime_ns") else None
    call.args.done()
    op = admit.utimes(master.namespace, call.who, call.path, mtime_ns, master.now_ns(), call.op_id)
    return {"fid": master.submit(op).fid}


VERBS: Final[dict[str, Verb]] = {
    "lstat": _lstat,
    "readlink": _readlink,
    "info": _info,
    "acl": _acl,
    "chown": _chown,
    "link": _link,
    "symlink": _symlink,
    "touch": _touch,
    "utime": _utime,
}
