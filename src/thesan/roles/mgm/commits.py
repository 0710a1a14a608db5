"""Commit: an FST has closed a file; its grant says what that means for the namespace.

The grant carries everything that was decided at open, sealed by an MGM of this instance, so that
any later master can finish the commit. A resend gets the first answer.

A commit may come very late: FSTs keep it until a master has answered, while the client has long
given up and done the same upload again. What came after the open must not be undone then: an
upload that was opened later and is committed shuts out the earlier one (ECANCELED), and so does
the removal of the file that it was to replace (ENOENT). And of the tries that a client makes of one
upload, under one op id, at most one ever counts, also when its file is long gone (ECANCELED).
"""

import errno
import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from thesan.core.authority.capability import Grant, GrantKind
from thesan.core.control.messages import Commit, CommitReply, ReplicaCommit
from thesan.core.model.errors import CapabilityError, OperationError
from thesan.core.model.ids import Fid
from thesan.core.namespace import admit, keys, queries
from thesan.core.namespace.inode import Directory, Inode, pack_checksums
from thesan.core.namespace.ops import (
    CommitFile,
    DiscardReplicas,
    DropReplica,
    Op,
    RememberResult,
    UpdateFile,
)
from thesan.core.namespace.policy import policy_of
from thesan.roles.mgm.layouts import check_size
from thesan.roles.mgm.master import Master

_NEVER_IN: Final = frozenset(
    {errno.EEXIST, errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EDQUOT, errno.EFBIG}
    | {errno.EINVAL, errno.ECANCELED}
)
"""Refusals after which the file will never be in the namespace: its replicas are to go. Not
ESTALE: there the replicas of this fid are on a deletion list already, or are somebody's content."""

_OP_ID_BYTES: Final = 16
_refusal_decoder: Final = msgspec.msgpack.Decoder(tuple[int, str])
_encode_refusal: Final = msgspec.msgpack.Encoder().encode


def commit(master: Master, message: Commit) -> CommitReply:
    """Bring the file in. Raises OperationError, which fails the client's close: EACCES (no grant of
    ours), EINVAL, EEXIST, ENOENT, EISDIR, EDQUOT, ESTALE.

    The reply must be sent when all that is pending is durable.
    """
    try:
        grant = master.tickets.open(message.grant, master.now_unix())
    except CapabilityError as error:
        master.world.log.warning("commit refused", node=message.node, reason=error.text)
        raise OperationError(errno.EACCES, error.text) from error
    try:
        if grant.kind == GrantKind.UPDATE:
            _update(master, message, grant)
        else:
            _create(master, message, grant)
    except OperationError as error:
        if error.errno not in (errno.EAGAIN, errno.EUSERS):
            _give_up(master, message, grant, error)
        raise
    for fid in master.uploads.end(Fid(grant.fid), grant.path, grant.op_id):
        _shut_out(master, fid, grant.path)
    return CommitReply(seq=master.pipeline.head, epoch=master.epoch)


# -- refusals, which are remembered -------------------------------------------------------------
def _refusal_id(fid: int) -> bytes:
    """Under which the refusal of an upload is remembered; no client's id looks like that."""
    return b"refused upload %d" % fid


def _check_not_refused(master: Master, grant: Grant) -> None:
    """Raise the first answer again."""
    known = master.namespace.remembered(_refusal_id(grant.fid))
    if known is None:
        return
    number, text = _refusal_decoder.decode(known.answer)
    raise _shut_out_error(grant) if number == errno.ECANCELED else OperationError(number, text)


def _shut_out_error(grant: Grant) -> OperationError:
    """What a writer is told whose file another one took the place of."""
    if grant.exclusive:
        return OperationError(errno.EEXIST, f"{grant.path}: exists")
    return OperationError(errno.ECANCELED, _too_late(grant.path))


def _give_up(master: Master, message: Commit, grant: Grant, error: OperationError) -> None:
    """The client's close fails. What is final is journaled, and the replicas with it."""
    master.world.log.warning(
        "commit refused",
        node=message.node,
        path=grant.path,
        fid=grant.fid,
        reason=error.text,
    )
    master.uploads.end(Fid(grant.fid), grant.path)
    if grant.kind != GrantKind.CREATE or error.errno not in _NEVER_IN:
        return
    if queries.inode_of(master.namespace, grant.fid) is not None:
        return
    refusal_id = _refusal_id(grant.fid)
    ops: list[Op] = [DiscardReplicas(grant.fid, grant.fsids)]
    if master.namespace.remembered(refusal_id) is None:
        ops.append(RememberResult(refusal_id, _encode_refusal((error.errno, error.text))))
    master.submit_all(ops)


def _shut_out(master: Master, fid: Fid, path: str) -> None:
    """An earlier upload of the path that was committed just now: it came too late."""
    refusal_id = _refusal_id(fid)
    if master.namespace.remembered(refusal_id) is None:
        answer = _encode_refusal((errno.ECANCELED, _too_late(path)))
        master.submit(RememberResult(refusal_id, answer))


def _too_late(path: str) -> str:
    return f"{path}: an upload that was opened later has taken its place"


# -- what was stored ----------------------------------------------------------------------------
def _good_replicas(
    message: Commit, grant: Grant, fsids: Sequence[int]
) -> tuple[ReplicaCommit, tuple[int, ...]]:
    """(what all good replicas are, their fsids). The head's word counts: it saw all the bytes.

    `fsids`: where replicas may be. Those that differ from the head's are lost. Raises
    OperationError EINVAL when there is none.
    """
    placed = dict.fromkeys(fsids)
    failed = dict.fromkeys(message.failed_fsids)
    given = {
        replica.fsid: replica
        for replica in message.replicas
        if replica.fsid in placed and replica.fsid not in failed
    }
    # In the order of placement, so that a resend by another replica's FST says the same.
    good = [given[fsid] for fsid in grant.fsids if fsid in given]
    if not good:
        raise OperationError(errno.EINVAL, "the commit names no good replica of the upload")
    first = good[0]
    if not 0 <= first.size < 1 << 63:
        raise OperationError(errno.EINVAL, f"the commit has the size {first.size}")
    if not (0 <= first.adler32 < 1 << 32 and 0 <= first.crc32c < 1 << 32):
        raise OperationError(errno.EINVAL, "the commit has a checksum of more than 32 bits")
    same = tuple([one.fsid for one in good if _content(one) == _content(first)])
    return first, same


def _content(replica: ReplicaCommit) -> tuple[int, int, int]:
    return replica.size, replica.adler32, replica.crc32c


def _create(master: Master, message: Commit, grant: Grant) -> None:
    if queries.inode_of(master.namespace, grant.fid) is None:
        _check_not_refused(master, grant)
        if _was_committed(master, grant):
            return
        _check_no_other_try(master, grant)
    what, locations = _good_replicas(message, grant, grant.fsids)
    there = queries.inode_of(master.namespace, grant.fid)
    if there is None:
        _check_again(master, grant, what.size, len(locations))
    gone = _lost_since(there, message, what, locations) if isinstance(there, Inode) else ()
    op = CommitFile(
        parent=grant.parent,
        name=grant.name,
        fid=grant.fid,
        mode=grant.mode,
        uid=grant.uid,
        gid=grant.gid,
        layout=grant.layout,
        size=what.size,
        adler32=what.adler32,
        crc32c=what.crc32c,
        locations=locations,
        mtime_ns=_mtime(message),
        time_ns=master.now_ns(),
        exclusive=grant.exclusive,
        lost=tuple([fsid for fsid in grant.fsids if fsid not in locations]),
    )
    if grant.op_id and grant.is_again and not _committed_try(master, grant):
        answer = keys.pack_fid(grant.fid)
        master.submit_all([op, RememberResult(_upload_id(grant), answer)])
    else:
        master.submit(op)
    for fsid in gone:
        master.submit(DropReplica(grant.fid, fsid))


def _lost_since(
    inode: Inode, message: Commit, what: ReplicaCommit, locations: tuple[int, ...]
) -> list[int]:
    """Registered replicas of a committed file that the head has lost: the commit that named them
    was late, they knew of none, and may have removed themselves meanwhile.

    Only the head of an upload sends its commit, and what it sent later comes later (see
    fst_links), so of two the one that is handled now is its last word. That names replicas as
    failed which may be good only after a crash of the head; then at least its own is, and stays.
    """
    is_same = (inode.size, inode.body) == (what.size, pack_checksums(what.adler32, what.crc32c))
    if not is_same or not any(fsid in inode.locations for fsid in locations):
        return []
    failed = dict.fromkeys(message.failed_fsids)
    return [fsid for fsid in inode.locations if fsid in failed and fsid not in locations]


def _upload_id(grant: Grant) -> bytes:
    """Under which the try that was committed is remembered, where there were several."""
    return b"upload " + grant.op_id


def _committed_try(master: Master, grant: Grant) -> int:
    """fid of the try of this upload that was committed; 0 when none is known, or the client names
    its uploads not."""
    known = master.namespace.remembered(_upload_id(grant)) if grant.op_id else None
    return keys.unpack_fid(known.answer) if known is not None else 0


def _check_no_other_try(master: Master, grant: Grant) -> None:
    """Raise ECANCELED or EEXIST when the client had success with another try of the upload."""
    if _committed_try(master, grant) not in (0, grant.fid):
        raise _shut_out_error(grant)


def _was_committed(master: Master, grant: Grant) -> bool:
    """True for a resend that comes after the file was replaced or removed: its replicas await
    deletion, and not because the upload was refused."""
    found = master.tables.get_many([keys.deletion(fsid, grant.fid) for fsid in grant.fsids])
    return any(value is not None for value in found)


def _check_again(master: Master, grant: Grant, size: int, replica_count: int) -> None:
    """Name, quota and size limits as they are now; at open the size was the client's word."""
    parent = queries.inode_of(master.namespace, grant.parent)
    if not isinstance(parent, Directory):
        return  # CommitFile says ENOENT.
    there = master.tree.child(parent, grant.name)
    if there is None:
        if grant.replaced:
            raise OperationError(
                errno.ENOENT, f"{grant.path}: was removed or renamed after the upload began"
            )
    elif grant.exclusive:
        raise OperationError(errno.EEXIST, f"{grant.path}: exists")
    elif there.locations and there.fid > grant.fid:
        raise OperationError(errno.ECANCELED, _too_late(grant.path))
    check_size(policy_of(parent), size)
    growth = max(0, size * replica_count - _physical(there))
    admit.quota(master.namespace, parent, grant.uid, grant.gid, growth, int(there is None))


def _physical(inode: Inode | None) -> int:
    return inode.physical_bytes if inode is not None and inode.is_file else 0


def _update(master: Master, message: Commit, grant: Grant) -> None:
    # One close has one time of change, over all resends of its commit. A capability may be used
    # for several: each counts.
    closed = b"%d %b" % (message.mtime_ns, message.grant)
    op_id = hashlib.blake2b(closed, digest_size=_OP_ID_BYTES).digest()
    inode = queries.inode_of(master.namespace, grant.fid)
    placed: Sequence[int] = grant.fsids
    if inode is not None and master.namespace.remembered(op_id) is None:
        # A replica that was lost meanwhile has old content, and must not push out the good ones.
        placed = [fsid for fsid in grant.fsids if fsid in inode.locations]
        given = [replica.fsid for replica in message.replicas]
        if given and not any(fsid in placed for fsid in given):
            text = f"{grant.path}: the replicas on {given} are no longer those of the file"
            raise OperationError(errno.ESTALE, text)
    what, locations = _good_replicas(message, grant, placed)
    before = (*grant.fsids, *(inode.locations if inode is not None else ()))
    op = UpdateFile(
        fid=grant.fid,
        size=what.size,
        adler32=what.adler32,
        crc32c=what.crc32c,
        mtime_ns=_mtime(message),
        time_ns=master.now_ns(),
        lost=tuple([fsid for fsid in dict.fromkeys(before) if fsid not in locations]),
        op_id=op_id,
    )
    master.submit(op)


def _mtime(message: Commit) -> int:
    """Within what the namespace can hold, whatever the FST's clock says."""
    return min(max(0, message.mtime_ns), (1 << 63) - 1)
