"""Ops: every mutation that may enter the journal, as a value.

An op is deterministic: ids, times and placements were decided by the master and are inside. It is
encoded as a msgpack array [tag, fields...]. Versions meet by two rules: a field is only ever added
at the end, with a default; a changed meaning gets a new tag. A replica that does not know a tag
stops (Corrupt), it never skips.

Objects are named by fid, new names by (parent fid, name): an op means the same whatever was
renamed meanwhile. `op_id`, where not empty, is the client's id of the operation: the result is
remembered under it, so that a resend gets the first answer (state.Namespace.apply).
All times are ns since 1970 UTC, all sizes bytes, names are checked by admission.
"""

from typing import Final

import msgspec

from thesan.core.model.errors import Corrupt


class _Op(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Base of all ops."""


# -- names ---------------------------------------------------------------------------------------
class MakeDirectory(_Op, frozen=True, tag=1):
    """New empty directory; sys.* attributes of the parent are inherited.

    ENOENT/ENOTDIR parent, EEXIST name."""

    parent: int
    name: str
    fid: int
    mode: int
    """Permission bits 07777."""
    uid: int
    gid: int
    time_ns: int
    op_id: bytes = b""


class CreateFile(_Op, frozen=True, tag=2):
    """New empty file without replicas (`touch`). ENOENT/ENOTDIR parent, EEXIST name."""

    parent: int
    name: str
    fid: int
    mode: int
    uid: int
    gid: int
    time_ns: int
    layout: int
    op_id: bytes = b""


class Symlink(_Op, frozen=True, tag=3):
    """New symbolic link. ENOENT/ENOTDIR parent, EEXIST name."""

    parent: int
    name: str
    fid: int
    target: str
    uid: int
    gid: int
    time_ns: int
    op_id: bytes = b""


class Link(_Op, frozen=True, tag=4):
    """One more name for a file or symbolic link. EPERM directory, EMLINK, EEXIST, ENOENT, EXDEV
    (other quota node)."""

    fid: int
    parent: int
    name: str
    time_ns: int
    op_id: bytes = b""


class Unlink(_Op, frozen=True, tag=5):
    """Remove a name; with the last one the file goes and its replicas await deletion.

    ENOENT, EISDIR."""

    parent: int
    name: str
    time_ns: int
    op_id: bytes = b""


class RemoveDirectory(_Op, frozen=True, tag=6):
    """Remove an empty directory. ENOENT, ENOTDIR, ENOTEMPTY, EBUSY (quota node or root)."""

    parent: int
    name: str
    time_ns: int
    op_id: bytes = b""


class Rename(_Op, frozen=True, tag=7):
    """POSIX rename. ENOENT, EISDIR, ENOTDIR, ENOTEMPTY, EINVAL (into its own subtree), EEXIST
    (`no_replace`), EXDEV (a directory with content, to another quota node)."""

    source_parent: int
    source_name: str
    target_parent: int
    target_name: str
    time_ns: int
    no_replace: bool = False
    op_id: bytes = b""


# -- files ---------------------------------------------------------------------------------------
class CommitFile(_Op, frozen=True, tag=8):
    """An upload is complete: the file appears, or takes the place of the non-directory there.

    Idempotent by fid: a resend with the same content succeeds and changes nothing. A regular file
    that is replaced keeps its owner, mode, attributes, birth time and hard links; its content, fid
    and replicas are exchanged and the old replicas await deletion.
    ENOENT (parent gone), EEXIST (`exclusive` and the name exists; the replicas then await
    deletion by the caller's own DiscardReplicas), EISDIR, ESTALE (this fid was committed and
    deleted since, or has other content).
    """

    parent: int
    name: str
    fid: int
    mode: int
    uid: int
    gid: int
    layout: int
    size: int
    adler32: int | None
    crc32c: int | None
    locations: tuple[int, ...]
    """fsids that hold a good replica."""
    mtime_ns: int
    time_ns: int
    exclusive: bool = False
    lost: tuple[int, ...] = ()
    """fsids that were placed but hold no good replica: whatever lies there is to be deleted."""


class UpdateFile(_Op, frozen=True, tag=9):
    """Content changed in place. ENOENT, EISDIR; EIO when no good replica would be left.

    `lost` replicas missed the update and are dropped; set-user-id bits are cleared. An update is
    not idempotent by itself: give the capability's id as `op_id`."""

    fid: int
    size: int
    adler32: int | None
    crc32c: int | None
    mtime_ns: int
    time_ns: int
    lost: tuple[int, ...] = ()
    locations: tuple[int, ...] | None = None
    """fsids that hold a good replica now; None: as before, less the lost ones."""
    op_id: bytes = b""


class AddReplica(_Op, frozen=True, tag=10):
    """One more good replica. No change when it is registered. ENOENT, EISDIR, EMLINK (too many),
    EINPROGRESS (the fs is still to delete an older one)."""

    fid: int
    fsid: int


class DropReplica(_Op, frozen=True, tag=11):
    """Unregister a replica; `delete` sends it to the fs' deletion list. ENOENT, EISDIR, ENODATA
    (not registered), EINVAL (the last one of a file with content, without `force`)."""

    fid: int
    fsid: int
    delete: bool = True
    force: bool = False


class DiscardReplicas(_Op, frozen=True, tag=12):
    """Replicas of a file that never entered the namespace await deletion. EEXIST (registered)."""

    fid: int
    fsids: tuple[int, ...]


class DeletionDone(_Op, frozen=True, tag=13):
    """(fsid, fid) pairs that FSTs have removed from disk. Unknown pairs are ignored."""

    pairs: tuple[tuple[int, int], ...]


# -- attributes ----------------------------------------------------------------------------------
class SetAttributes(_Op, frozen=True, tag=14):
    """chmod, chown, utimes: None leaves a field. ENOENT."""

    fid: int
    time_ns: int
    mode: int | None = None
    """Permission bits 07777."""
    uid: int | None = None
    gid: int | None = None
    mtime_ns: int | None = None
    layout: int | None = None
    op_id: bytes = b""


class SetXattr(_Op, frozen=True, tag=15):
    """Set one extended attribute. ENOENT, EEXIST (`create`), ENODATA (`replace`), ENOSPC (too many
    or too large all told)."""

    fid: int
    name: str
    value: bytes
    time_ns: int
    create: bool = False
    replace: bool = False
    op_id: bytes = b""


class RemoveXattr(_Op, frozen=True, tag=16):
    """Remove one extended attribute. ENOENT, ENODATA."""

    fid: int
    name: str
    time_ns: int
    op_id: bytes = b""


# -- instance ------------------------------------------------------------------------------------
class ReserveFids(_Op, frozen=True, tag=17):
    """Fids below `limit` may be given out from now on. EINVAL when it does not grow."""

    limit: int


class ConfigSet(_Op, frozen=True, tag=18):
    """Set (None: remove) one configuration value; removing what is absent changes nothing."""

    section: str
    key: str
    value: bytes | None
    op_id: bytes = b""


class QuotaSet(_Op, frozen=True, tag=19):
    """Set limits of one account of a quota node; makes the directory a quota node if it was none.

    `kind` is `u`, `g` or `p` (project: everything in the node, id 0). None removes that limit;
    0 allows nothing. ENOENT, ENOTDIR, EINVAL, EFBIG (more entries below than can be counted in one
    op: make quota nodes before filling them)."""

    fid: int
    kind: str
    id: int
    bytes_max: int | None
    """Physical bytes: size times replicas."""
    files_max: int | None
    op_id: bytes = b""


class QuotaRemove(_Op, frozen=True, tag=20):
    """A directory is no quota node any more; its usage goes to the node above. ENOENT, ENODATA."""

    fid: int
    op_id: bytes = b""


class RememberResult(_Op, frozen=True, tag=21):
    """Remember an answer that no other op carries. EEXIST when the id has a result."""

    op_id: bytes
    answer: bytes


Op = (
    MakeDirectory
    | CreateFile
    | Symlink
    | Link
    | Unlink
    | RemoveDirectory
    | Rename
    | CommitFile
    | UpdateFile
    | AddReplica
    | DropReplica
    | DiscardReplicas
    | DeletionDone
    | SetAttributes
    | SetXattr
    | RemoveXattr
    | ReserveFids
    | ConfigSet
    | QuotaSet
    | QuotaRemove
    | RememberResult
)


class Result(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What an op did; kept under its op_id."""

    fid: int = 0
    """Object that was made or changed; 0 for ops that have none."""
    replaced: int = 0
    """Fid of the object whose name was taken over and which is gone, 0 for none."""
    answer: bytes = b""
    """Of RememberResult."""
    repeated: bool = False
    """True when nothing was done because the op had been applied before."""


OP_VERSION: Final = 1
"""Highest version of the op set that this code writes; a master writes what all members read."""

_encoder = msgspec.msgpack.Encoder()
_decoder: "msgspec.msgpack.Decoder[Op]" = msgspec.msgpack.Decoder(Op)


def encode_op(op: Op) -> bytes:
    """msgpack of one op."""
    return _encoder.encode(op)


def decode_op(data: bytes) -> Op:
    """Raises Corrupt for anything that is not an op that this version knows."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Corrupt(f"unreadable op: {error}") from error
