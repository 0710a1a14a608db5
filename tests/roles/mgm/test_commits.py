"""Commits: what brings a file in, what is refused, what a resend does."""

import errno

import msgspec
import pytest

from thesan.core.control.messages import Commit, FileOp, ReplicaCommit, encode_request
from thesan.core.model.errors import OperationError
from thesan.core.namespace.ops import DropReplica
from thesan.core.wire.bodies import parse_redirect
from thesan.core.wire.numbers import OpenFlag, QueryCode, Status
from thesan.core.wire.requests import FAttr, Mkdir, Mv, Open, Query, Rm, Rmdir, Stat

from .conftest import FST

SID = b"\0\1"
NEW = int(OpenFlag.UPDATE | OpenFlag.NEW)
OVERWRITE = int(OpenFlag.UPDATE | OpenFlag.DELETE)
UPDATE = int(OpenFlag.UPDATE)


@pytest.fixture
def pair(cluster):
    cluster.admin("space", "config", space="default", key="policy.nstripes", value="2")
    return cluster


def refused(bench, capability, size: int = 10, **changes) -> int:
    with pytest.raises(OperationError) as caught:
        bench.commit(capability, size, **changes)
    return caught.value.errno


def inode_at(bench, path: str):
    return bench.mgm.master.namespace.tree.inode(bench.stat(path).id)


def deletions(bench) -> set[tuple[int, int]]:
    return {pair for number in (1, 2) for pair in bench.beat(number).deletions}


def test_a_commit_brings_the_file_in(pair) -> None:
    ticket = pair.capability(Open(SID, "/f", options=NEW, mode=0o600))
    reply = pair.commit(ticket, 123)
    assert (reply.seq, reply.epoch) == (pair.journal.last, 1)
    inode = inode_at(pair, "/f")
    assert (inode.size, inode.adler32, inode.crc32c) == (123, 0x11, 0x22)
    assert sorted(inode.locations) == [1, 2]
    assert inode.mtime_ns == 1_700_000_000 * 10**9


@pytest.mark.parametrize("options", [NEW, OVERWRITE])
@pytest.mark.parametrize("gone", ["removed", "renamed", "there"])
def test_of_the_tries_of_one_upload_one_counts(pair, options, gone) -> None:
    """Over masters that do not know each other's uploads, and after the file is gone."""
    first = pair.capability(Open(SID, "/f", "thesan.op=ab12", 0, options))
    pair.crash()
    pair.start()
    pair.beat(1)
    pair.beat(2)
    again = "thesan.op=ab12&thesan.again=1"
    second = pair.capability(Open(SID, "/f", again, 0, options))
    pair.commit(second, 10)
    if gone == "removed":
        pair.ok(Rm(SID, "/f"))
    elif gone == "renamed":
        pair.ok(Mv(SID, "/f", "/g"))
    pair.crash()
    pair.start()
    pair.commit(second, 10)
    wanted = errno.EEXIST if options == NEW else errno.ECANCELED
    pair.beat(1)
    pair.beat(2)
    for _ in range(2):
        assert refused(pair, first) == wanted
        if gone != "there":
            assert pair.errno(Stat(SID, "/f")) == errno.ENOENT
    other = pair.capability(Open(SID, "/h", "thesan.op=cd34", 0, options))
    pair.commit(other, 10)


def test_who_does_not_name_uploads_can_not_say_that_it_tried_before(pair) -> None:
    for name in ("/f", "/g"):
        pair.commit(pair.capability(Open(SID, name, "thesan.again=1", 0, NEW)), 10)


def test_a_resend_gets_the_same_answer_and_changes_nothing(pair) -> None:
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    pair.commit(ticket, 123)
    before = pair.mgm.master.namespace.digest, inode_at(pair, "/f").ctime_ns
    pair.sleep(5)
    pair.commit(ticket, 123)
    assert inode_at(pair, "/f").ctime_ns == before[1]
    pair.crash()
    pair.start()
    pair.commit(ticket, 123)
    assert inode_at(pair, "/f").ctime_ns == before[1]


def test_any_later_master_can_finish_it(pair) -> None:
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    pair.crash()
    pair.start()
    assert pair.errno(Stat(SID, "/f")) == errno.ENOENT
    pair.commit(ticket, 5)
    assert pair.stat("/f").size == 5


def test_two_exclusive_creates_the_first_commit_wins(pair) -> None:
    first = pair.capability(Open(SID, "/f", options=NEW))
    second = pair.capability(Open(SID, "/f", options=NEW))
    pair.commit(second, 2)
    assert refused(pair, first, 1) == errno.EEXIST
    assert refused(pair, first, 1) == errno.EEXIST
    assert pair.stat("/f").size == 2
    assert deletions(pair) == {(1, first.fid), (2, first.fid)}


def test_the_file_follows_its_directory(pair) -> None:
    pair.ok(Mkdir(SID, "/a"))
    ticket = pair.capability(Open(SID, "/a/f", options=NEW))
    pair.ok(Mv(SID, "/a", "/b"))
    pair.commit(ticket, 9)
    assert pair.stat("/b/f").size == 9


def test_a_directory_that_is_gone_takes_no_file(pair) -> None:
    pair.ok(Mkdir(SID, "/a"))
    ticket = pair.capability(Open(SID, "/a/f", options=NEW))
    pair.ok(Rmdir(SID, "/a"))
    assert refused(pair, ticket) == errno.ENOENT
    assert deletions(pair) == {(1, ticket.fid), (2, ticket.fid)}


def test_a_resend_after_the_file_was_deleted_is_told_the_truth_and_does_nothing(pair) -> None:
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    pair.commit(ticket)
    pair.ok(Rm(SID, "/f"))
    pair.commit(ticket)
    assert pair.errno(Stat(SID, "/f")) == errno.ENOENT
    pair.store_file("/f", 5)
    pair.commit(ticket)
    assert pair.stat("/f").size == 5


# -- commits that come too late ----------------------------------------------------------------
def test_a_later_upload_is_not_undone_by_an_earlier_one(pair) -> None:
    pair.store_file("/f", 1)
    early = pair.capability(Open(SID, "/f", options=OVERWRITE))
    late = pair.capability(Open(SID, "/f", options=OVERWRITE))
    pair.commit(late, 3)
    for _ in range(2):
        assert refused(pair, early, 2) == errno.ECANCELED
    assert pair.stat("/f").size == 3
    assert {fid for _, fid in deletions(pair)} >= {early.fid}
    pair.crash()
    pair.start()
    pair.beat(1)
    assert refused(pair, early, 2) == errno.ECANCELED


def test_the_earlier_one_may_be_committed_first(pair) -> None:
    early = pair.capability(Open(SID, "/f", options=OVERWRITE))
    late = pair.capability(Open(SID, "/f", options=OVERWRITE))
    pair.commit(early, 2)
    assert pair.stat("/f").size == 2
    pair.commit(late, 3)
    assert pair.stat("/f").size == 3
    pair.commit(early, 2)
    pair.commit(late, 3)
    assert pair.stat("/f").size == 3


def test_what_was_removed_does_not_come_back(pair) -> None:
    """First try, second try, committed, removed; then the first try's commit arrives."""
    first = pair.capability(Open(SID, "/f", options=OVERWRITE))
    second = pair.capability(Open(SID, "/f", options=OVERWRITE))
    pair.commit(second)
    pair.ok(Rm(SID, "/f"))
    assert refused(pair, first) == errno.ECANCELED
    assert pair.errno(Stat(SID, "/f")) == errno.ENOENT


@pytest.mark.parametrize("change", [Rm(SID, "/f"), Mv(SID, "/f", "/g")])
def test_a_file_that_was_taken_away_meanwhile_is_not_replaced(pair, change) -> None:
    pair.store_file("/f", 1)
    ticket = pair.capability(Open(SID, "/f", options=OVERWRITE))
    pair.ok(change)
    assert refused(pair, ticket) == errno.ENOENT
    assert pair.errno(Stat(SID, "/f")) == errno.ENOENT
    assert {fid for _, fid in deletions(pair)} >= {ticket.fid}


def test_a_touched_file_is_no_later_upload(pair) -> None:
    ticket = pair.capability(Open(SID, "/f", options=OVERWRITE))
    pair.control(FileOp("touch", "/f"), pair.peer().identity)
    pair.commit(ticket, 9)
    assert pair.stat("/f").size == 9


def test_an_overwrite_keeps_what_the_file_is_and_drops_the_old_replicas(pair, alice) -> None:
    pair.ok(Mkdir(SID, "/home", mode=0o777))
    old = pair.store_file("/home/f", 5, alice, mode=0o640)
    pair.ok(FAttr(SID, 3, "/home/f", names=["a"], values=[b"1"]))
    ticket = pair.capability(Open(SID, "/home/f", options=OVERWRITE, mode=0o777))
    pair.commit(ticket, 6)
    info = pair.stat("/home/f")
    assert (info.size, info.mode, info.owner) == (6, 0o640, "alice")
    assert deletions(pair) == {(1, old), (2, old)}


def test_lost_replicas_are_neither_registered_nor_forgotten(pair) -> None:
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    head, other = ticket.fsid, ticket.replicas[0].fsid
    pair.commit(ticket, 10, replicas=[ReplicaCommit(head, 10, 1, 2)], failed_fsids=[other])
    assert inode_at(pair, "/f").locations == (head,)
    assert deletions(pair) == {(other, ticket.fid)}


def test_a_replica_that_was_lost_after_a_late_commit_was_sent_is_dropped(pair) -> None:
    """It asked twice, was not known, and has removed itself; then the commit came that names it."""
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    head, other = ticket.fsid, ticket.replicas[0].fsid
    pair.commit(ticket, 10)
    own = [ReplicaCommit(head, 10, 0x11, 0x22)]
    for _ in range(2):
        pair.commit(ticket, 10, replicas=own, failed_fsids=[other])
        assert inode_at(pair, "/f").locations == (head,)
        assert deletions(pair) == {(other, ticket.fid)}
    pair.commit(ticket, 10)
    assert inode_at(pair, "/f").locations == (head,), "it does not come back"


@pytest.mark.parametrize("reason", ["other content", "head not registered", "the only one"])
def test_a_late_commit_pushes_no_good_replica_out(pair, reason) -> None:
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    head, other = ticket.fsid, ticket.replicas[0].fsid
    if reason == "the only one":
        first = [ReplicaCommit(other, 10, 0x11, 0x22)]
        pair.commit(ticket, 10, replicas=first, failed_fsids=[head])
    else:
        pair.commit(ticket, 10)
    if reason == "other content":
        update = pair.capability(Open(SID, "/f", options=UPDATE))
        pair.commit(update, 20)
    elif reason == "head not registered":
        pair.mgm.master.submit(DropReplica(ticket.fid, head))
    before = inode_at(pair, "/f").locations
    own = [ReplicaCommit(head, 10, 0x11, 0x22)]
    pair.commit(ticket, 10, replicas=own, failed_fsids=[other])
    assert other in before
    assert inode_at(pair, "/f").locations == before


def test_a_replica_that_differs_from_the_head_is_lost(pair) -> None:
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    head, other = ticket.fsid, ticket.replicas[0].fsid
    replicas = [ReplicaCommit(other, 10, 9, 9), ReplicaCommit(head, 10, 1, 2)]
    pair.commit(ticket, 10, replicas=replicas)
    inode = inode_at(pair, "/f")
    assert (inode.locations, inode.adler32) == ((head,), 1)


@pytest.mark.parametrize(
    "replicas",
    [
        [],
        [ReplicaCommit(99, 10, 1, 2)],
        [ReplicaCommit(1, -1, 1, 2), ReplicaCommit(2, -1, 1, 2)],
        [ReplicaCommit(1, 1 << 63, 1, 2), ReplicaCommit(2, 1 << 63, 1, 2)],
        [ReplicaCommit(1, 10, 1 << 32, 2), ReplicaCommit(2, 10, 1 << 32, 2)],
        [ReplicaCommit(1, 10, 1, -2), ReplicaCommit(2, 10, 1, -2)],
    ],
)
def test_commits_that_can_not_be_are_refused(pair, replicas) -> None:
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    assert refused(pair, ticket, replicas=replicas) == errno.EINVAL
    assert pair.errno(Stat(SID, "/f")) == errno.ENOENT


@pytest.mark.parametrize("flip", [0, 10, -1])
def test_a_forged_grant_is_refused(pair, flip: int) -> None:
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    grant = bytearray(ticket.grant)
    grant[flip] ^= 1
    assert refused(pair, ticket, grant=bytes(grant)) == errno.EACCES
    assert refused(pair, ticket, grant=b"") == errno.EACCES
    assert deletions(pair) == set()


def test_people_can_not_commit(pair, alice) -> None:
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    message = Commit(ticket.node, ticket.grant, [ReplicaCommit(ticket.fsid, 1, 1, 1)], 0)
    for who in (alice, pair.peer().identity):
        with pytest.raises(OperationError) as caught:
            pair.control(message, who)
        assert caught.value.errno == errno.EACCES


def test_an_update_is_recorded_once(pair) -> None:
    pair.store_file("/f", 10)
    first = pair.capability(Open(SID, "/f", options=UPDATE))
    pair.commit(first, 20)
    second = pair.capability(Open(SID, "/f", options=UPDATE))
    pair.commit(second, 30)
    pair.commit(first, 20)
    assert pair.stat("/f").size == 30, "a late resend of an older update must change nothing"


def test_an_update_of_a_file_that_is_gone(pair) -> None:
    pair.store_file("/f", 10)
    ticket = pair.capability(Open(SID, "/f", options=UPDATE))
    pair.ok(Rm(SID, "/f"))
    assert refused(pair, ticket) == errno.ENOENT


def test_a_replica_that_missed_an_update_is_dropped(pair) -> None:
    fid = pair.store_file("/f", 10)
    ticket = pair.capability(Open(SID, "/f", options=UPDATE))
    head, other = ticket.fsid, ticket.replicas[0].fsid
    pair.commit(ticket, 20, replicas=[ReplicaCommit(head, 20, 1, 2)], failed_fsids=[other])
    assert inode_at(pair, "/f").locations == (head,)
    assert deletions(pair) == {(other, fid)}


def test_every_close_under_one_capability_counts(pair) -> None:
    """XrdCl opens the same URL again after a broken connection."""
    pair.store_file("/f", 10)
    ticket = pair.capability(Open(SID, "/f", options=UPDATE))
    pair.commit(ticket, 20, mtime_ns=1)
    pair.commit(ticket, 30, mtime_ns=2)
    assert pair.stat("/f").size == 30
    pair.commit(ticket, 20, mtime_ns=1)
    assert pair.stat("/f").size == 30


@pytest.mark.parametrize("size", [0, 15])
def test_a_replica_that_was_lost_does_not_push_out_the_good_one(pair, size) -> None:
    """The commit of an FST that comes back after its disk was lost to an earlier change."""
    pair.store_file("/f", 10)
    ticket = pair.capability(Open(SID, "/f", options=UPDATE))
    lost, good = ticket.fsid, ticket.replicas[0].fsid
    pair.commit(ticket, 20, replicas=[ReplicaCommit(good, 20, 1, 2)], failed_fsids=[lost])
    stale = {"replicas": [ReplicaCommit(lost, size, 3, 4)], "failed_fsids": [good], "mtime_ns": 5}
    assert refused(pair, ticket, size, **stale) == errno.ENODEV, "as ESTALE reads on the wire"
    assert inode_at(pair, "/f").locations == (good,)
    assert pair.stat("/f").size == 20
    both = [ReplicaCommit(lost, 7, 3, 4), ReplicaCommit(good, 8, 5, 6)]
    pair.commit(ticket, 8, replicas=both, mtime_ns=6)
    assert inode_at(pair, "/f").locations == (good,)
    assert pair.stat("/f").size == 8, "the word of those that are the file's counts"


def test_quota_is_enforced_again_when_the_size_is_known(pair, alice) -> None:
    pair.ok(Mkdir(SID, "/home", mode=0o777))
    pair.admin("quota", "set", path="/home", uid="1001", bytes="1000")
    ticket = pair.capability(Open(SID, "/home/f", options=NEW), alice)
    assert refused(pair, ticket, 501) == errno.EDQUOT
    assert deletions(pair) == {(1, ticket.fid), (2, ticket.fid)}
    ticket = pair.capability(Open(SID, "/home/f", options=NEW), alice)
    pair.commit(ticket, 500)
    pair.commit(ticket, 500)
    again = pair.capability(Open(SID, "/home/f", options=OVERWRITE), alice)
    pair.commit(again, 400)


def test_a_size_that_the_directory_forbids(pair) -> None:
    pair.ok(Mkdir(SID, "/d"))
    pair.ok(FAttr(SID, 3, "/d", names=["sys.forced.maxsize"], values=[b"100"]))
    ticket = pair.capability(Open(SID, "/d/f", options=NEW))
    assert refused(pair, ticket, 101) == errno.ENODEV  # EFBIG has no XRootD code
    status = pair.errno(Open(SID, "/d/f", "oss.asize=101", options=NEW))
    assert status == errno.ENODEV
    assert msgspec.structs.asdict(ticket)["booking_size"] == 0


def test_a_commit_that_was_sent_before_this_mastership_is_sent_again(pair) -> None:
    """It may have waited in a dead line while another master had it, and the file was removed."""
    ticket = pair.capability(Open(SID, "/f", options=NEW))
    message = Commit(ticket.node, ticket.grant, [ReplicaCommit(ticket.fsid, 1, 1, 1)], 0, epoch=0)
    query = Query(SID, QueryCode.OPAQUE, args=encode_request(message))
    status, body = pair.ask(query, FST)
    assert status == Status.REDIRECT
    target = parse_redirect(body)
    assert (target.host, target.port, target.cgi) == ("mgm", 1094, "mgm.epoch=1")
    assert pair.errno(Stat(SID, "/f")) == errno.ENOENT
    pair.commit(ticket, 10)
    assert pair.stat("/f").size == 10
