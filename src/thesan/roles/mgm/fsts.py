"""What FSTs say and ask: beats, deletions done, which replicas are registered."""

import errno

import msgspec

from thesan.core.control.messages import Beat, BeatReply, FsConfig, Inquire, InquireReply
from thesan.core.model.errors import OperationError
from thesan.core.model.limits import DELETIONS_BATCH_MAX
from thesan.core.namespace import queries
from thesan.core.namespace.ops import DeletionDone
from thesan.roles.mgm.master import Master


def beat(master: Master, message: Beat) -> BeatReply:
    """Take in a beat: state and figures to the view, deletions to the journal; say what is new.

    A reply with `master` must be sent when all that is pending is durable: the FST forgets what it
    reported. A standby, and a master whose lease has ended, only take the beat.
    """
    view = master.view
    view.beat(message, master.now_s())
    if not master.is_certain:
        return _beat_at_standby(master, message)
    done = _deletions_done(master, message)
    _, filesystems = view.node_config(message.node)
    config_seq = master.config_number
    return BeatReply(
        master=True,
        epoch=master.epoch,
        master_address=master.address,
        mgms=list(master.process.members),
        config_seq=config_seq,
        active=view.node_active(message.node),
        filesystems=None if message.config_seq == config_seq else _known(master, filesystems),
        deletions=_deletions_wanted(master, [fs.fsid for fs in filesystems], done),
    )


def _beat_at_standby(master: Master, message: Beat) -> BeatReply:
    """The beat is in the view; what there is to obey, the master says. An FST that has no
    configuration at all gets the one that is known here: it can serve with no master alive."""
    filesystems = None
    if message.config_seq < 0:
        filesystems = _known(master, master.view.node_config(message.node)[1])
    return msgspec.structs.replace(
        master.process.standby_reply(message),
        active=master.view.node_active(message.node),
        filesystems=filesystems,
    )


def _known(master: Master, filesystems: list[FsConfig]) -> list[FsConfig]:
    """With what the namespace knows of each, so that an empty stand-in is not taken for a disk."""
    return [
        msgspec.structs.replace(
            fs, has_replicas=queries.fs_counters(master.namespace, fs.fsid).replicas > 0
        )
        for fs in filesystems
    ]


def _deletions_done(master: Master, message: Beat) -> frozenset[tuple[int, int]]:
    """Journal what the FST has removed from its own filesystems."""
    if not message.deleted:
        return frozenset()
    view = master.view
    mine: dict[int, bool] = {}
    pairs = []
    for fsid, fid in message.deleted[:DELETIONS_BATCH_MAX]:
        if fsid not in mine:
            fs = view.filesystem(fsid)
            mine[fsid] = fs is not None and fs.record.node == message.node
        if mine[fsid]:
            pairs.append((fsid, fid))
    if pairs:
        try:
            master.submit(DeletionDone(tuple(pairs)))
        except OperationError as error:
            if error.errno != errno.EUSERS:
                raise
            # No room now. The FST forgets them, is told to delete them once more and says so
            # again: cheaper than a beat that is not taken, which would make the FST look dead.
            return frozenset()
    return frozenset(pairs)


def _deletions_wanted(
    master: Master, fsids: list[int], done: frozenset[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The next deletions for a node, at most DELETIONS_BATCH_MAX, fairly over its filesystems."""
    wanted: list[tuple[int, int]] = []
    waiting = [fsid for fsid in fsids if queries.fs_counters(master.namespace, fsid).deletions > 0]
    for fsid in waiting:
        share = max(1, DELETIONS_BATCH_MAX // len(waiting))
        # What was just reported is in the committed list still: ask for so many more.
        fids = queries.deletions_on(master.namespace, fsid, limit=share + len(done))
        wanted += [(fsid, fid) for fid in fids if (fsid, fid) not in done][:share]
    return wanted[:DELETIONS_BATCH_MAX]


def inquire(master: Master, message: Inquire) -> InquireReply:
    """Which of the fids have a replica registered on the filesystem."""
    namespace = master.namespace
    known = [queries.has_replica(namespace, message.fsid, fid) for fid in message.fids]
    return InquireReply(known=known, epoch=master.epoch)
