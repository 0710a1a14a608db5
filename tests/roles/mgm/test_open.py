"""kXR_open in all its forms, and truncate by path."""

import errno

import pytest

from thesan.core.authority.capability import Op
from thesan.core.control.messages import Beat, NodeReport
from thesan.core.model.layouts import LayoutKind, layout_kind_of, replica_count_of
from thesan.core.wire.bodies import parse_redirect, parse_wait
from thesan.core.wire.numbers import OpenFlag, Status
from thesan.core.wire.requests import FAttr, Mkdir, Open, Stat, Truncate

SID = b"\0\1"
READ = int(OpenFlag.READ)
NEW = int(OpenFlag.UPDATE | OpenFlag.NEW)
OVERWRITE = int(OpenFlag.UPDATE | OpenFlag.DELETE)
UPDATE = int(OpenFlag.UPDATE)
MKPATH = int(OpenFlag.MKPATH)


@pytest.fixture
def pair(cluster):
    """Two replicas of everything, on two FSTs."""
    cluster.admin("space", "config", space="default", key="policy.nstripes", value="2")
    return cluster


# -- reading -----------------------------------------------------------------------------------
def test_a_read_is_sent_to_the_replica_with_a_capability_for_it(cluster, alice) -> None:
    fid = cluster.store_file("/f")
    ticket = cluster.capability(Open(SID, "/f", options=READ), alice)
    assert (ticket.op, ticket.fid, ticket.uid, ticket.gid) == (Op.READ, fid, 1001, 1001)
    assert (ticket.replicas, ticket.grant) == ((), b"")
    inode = cluster.mgm.master.namespace.tree.inode(fid)
    assert inode.locations == (ticket.fsid,)


def test_reads_need_permission_and_a_file(cluster, alice, bob) -> None:
    cluster.ok(Mkdir(SID, "/home", mode=0o777))
    cluster.store_file("/home/f", who=alice, mode=0o600)
    assert cluster.errno(Open(SID, "/home/f", options=READ), bob) == errno.EACCES
    assert cluster.errno(Open(SID, "/home", options=READ)) == errno.EISDIR
    assert cluster.errno(Open(SID, "/home/none", options=READ)) == errno.ENOENT


def test_a_replica_that_was_tried_in_vain_is_not_named_again(pair) -> None:
    pair.store_file("/f")
    for host, other in (("fst1", "fst2:1095"), ("fst2", "fst1:1095")):
        request = Open(SID, "/f", f"tried={host}&triedrc=ioerr", options=READ)
        assert pair.capability(request).node == other
    request = Open(SID, "/f", "tried=fst1,fst2&triedrc=ioerr,enoent", options=READ)
    assert pair.errno(request) == errno.EADDRNOTAVAIL


def test_readers_are_spread_over_the_replicas(pair) -> None:
    pair.store_file("/f")
    nodes = [pair.capability(Open(SID, "/f", options=READ)).node for _ in range(40)]
    assert set(nodes) == {"fst1:1095", "fst2:1095"}


def test_an_fst_that_fell_silent_a_moment_ago_is_waited_for_then_given_up(cluster) -> None:
    cluster.store_file("/f")
    cluster.sleep(10)
    status, body = cluster.ask(Open(SID, "/f", options=READ))
    assert status == Status.WAIT
    assert parse_wait(body)[0] == 1
    cluster.sleep(60)
    assert cluster.errno(Open(SID, "/f", options=READ)) == errno.EADDRNOTAVAIL


# -- new files ---------------------------------------------------------------------------------
def test_a_new_file_is_invisible_until_its_commit(cluster) -> None:
    ticket = cluster.capability(Open(SID, "/f", options=NEW, mode=0o640))
    assert ticket.op == Op.CREATE
    assert cluster.errno(Stat(SID, "/f")) == errno.ENOENT
    assert cluster.journal.last == cluster.mgm.master.pipeline.head
    before = cluster.journal.last
    cluster.capability(Open(SID, "/g", options=NEW))
    assert cluster.journal.last == before, "an open journals nothing"
    cluster.commit(ticket, 77)
    info = cluster.stat("/f")
    assert (info.size, info.mode, info.id) == (77, 0o640, ticket.fid)


def test_replicas_are_placed_on_different_nodes_and_the_head_gets_tokens(pair) -> None:
    ticket = pair.capability(Open(SID, "/f", "oss.asize=4096", options=NEW))
    nodes = [ticket.node, *(replica.node for replica in ticket.replicas)]
    assert sorted(nodes) == ["fst1:1095", "fst2:1095"]
    assert ticket.booking_size == 4096
    assert replica_count_of(ticket.layout) == 2
    assert layout_kind_of(ticket.layout) is LayoutKind.REPLICA
    grant = pair.mgm.master.tickets.open(ticket.grant, pair.mgm.master.now_unix())
    assert grant.fsids == (ticket.fsid, ticket.replicas[0].fsid)


def test_exclusive_is_exclusive_at_open(cluster) -> None:
    cluster.store_file("/f")
    assert cluster.errno(Open(SID, "/f", options=NEW)) == errno.EEXIST
    cluster.ok(Mkdir(SID, "/d"))
    assert cluster.errno(Open(SID, "/d", options=OVERWRITE)) == errno.EISDIR


def test_an_overwrite_gets_a_fresh_fid_and_leaves_the_old_content_until_its_commit(cluster) -> None:
    old = cluster.store_file("/f", 10)
    ticket = cluster.capability(Open(SID, "/f", options=OVERWRITE))
    assert ticket.fid != old
    assert cluster.stat("/f").size == 10
    assert cluster.capability(Open(SID, "/f", options=READ)).fid == old
    cluster.commit(ticket, 20)
    assert (cluster.stat("/f").size, cluster.stat("/f").id) == (20, ticket.fid)


def test_parents_are_made_when_asked_and_only_then(cluster, alice) -> None:
    assert cluster.errno(Open(SID, "/a/b/f", options=NEW)) == errno.ENOENT
    ticket = cluster.capability(Open(SID, "/a/b/f", options=NEW | MKPATH))
    assert cluster.stat("/a/b").mode == 0o755
    cluster.commit(ticket)
    assert cluster.stat("/a/b/f").size == 10
    assert cluster.errno(Open(SID, "/x/f", options=NEW | MKPATH), alice) == errno.EACCES


def test_new_files_need_room_and_permission(cluster, alice) -> None:
    assert cluster.errno(Open(SID, "/f", options=NEW), alice) == errno.EACCES
    too_much = f"oss.asize={200 << 30}"
    assert cluster.errno(Open(SID, "/f", too_much, options=NEW)) == errno.ENOSPC


def test_a_directory_may_force_a_group(bench) -> None:
    bench.admin("space", "define", space="default", groupsize="1", groupmod="4")
    for number in (1, 2, 3):
        bench.beat(number)
    bench.ok(Mkdir(SID, "/d"))
    bench.ok(FAttr(SID, 3, "/d", names=["sys.forced.group"], values=[b"default.1"]))
    tickets = [bench.capability(Open(SID, f"/d/f{n}", options=NEW)) for n in range(12)]
    (fsid,) = {ticket.fsid for ticket in tickets}
    assert bench.mgm.master.view.filesystem(fsid).record.group == "default.1"


def test_while_the_fsts_have_not_spoken_yet_clients_wait(bench) -> None:
    bench.beat(1)
    bench.store_file("/f")
    bench.crash()
    bench.start()
    for options in (READ, NEW | MKPATH):
        status, _ = bench.ask(Open(SID, "/f" if options == READ else "/g", options=options))
        assert status == Status.WAIT
    bench.beat(1)
    assert bench.capability(Open(SID, "/f", options=READ)).op == Op.READ


def test_an_instance_without_filesystems_says_so(bench) -> None:
    assert bench.errno(Open(SID, "/f", options=NEW)) == errno.ENOENT


@pytest.mark.parametrize("text", ["-5", "ten", "1e3", "٣", "9" * 400, "9" * 5000])
def test_a_size_that_is_none_is_no_size(cluster, text: str) -> None:
    status, body = cluster.ask(Open(SID, "/f", f"oss.asize={text}", options=NEW))
    assert status in (Status.REDIRECT, Status.ERROR)
    if status == Status.REDIRECT:
        assert parse_redirect(body).host in ("fst1", "fst2")


# -- updates -----------------------------------------------------------------------------------
def test_an_update_changes_all_replicas_in_place(pair) -> None:
    fid = pair.store_file("/f", 10)
    ticket = pair.capability(Open(SID, "/f", options=UPDATE))
    assert (ticket.op, ticket.fid) == (Op.UPDATE, fid)
    assert len(ticket.replicas) == 1
    pair.commit(ticket, 30)
    assert (pair.stat("/f").size, pair.stat("/f").id) == (30, fid)


def test_an_update_needs_the_file_the_right_and_every_replica(pair, alice) -> None:
    pair.store_file("/f")
    assert pair.errno(Open(SID, "/none", options=UPDATE)) == errno.ENOENT
    assert pair.errno(Open(SID, "/f", options=UPDATE), alice) == errno.EACCES
    pair.admin("fs", "config", fs="1", key="configstatus", value="ro")
    assert pair.errno(Open(SID, "/f", options=UPDATE)) == errno.EADDRNOTAVAIL


def test_a_broken_writer_finds_its_upload_again(cluster, alice, bob) -> None:
    cluster.ok(Mkdir(SID, "/home", mode=0o777))
    first = cluster.capability(Open(SID, "/home/f", options=NEW), alice)
    again = cluster.capability(Open(SID, "/home/f", options=UPDATE), alice)
    assert (again.fid, again.fsid, again.node, again.op) == (
        first.fid,
        first.fsid,
        first.node,
        Op.CREATE,
    )
    assert again.grant == first.grant
    assert cluster.errno(Open(SID, "/home/f", options=UPDATE), bob) == errno.ENOENT
    host = first.node.partition(":")[0]
    request = Open(SID, "/home/f", f"tried={host}", options=UPDATE)
    assert cluster.errno(request, alice) == errno.ENOENT
    assert cluster.errno(Open(SID, "/home/f", options=UPDATE), alice) == errno.ENOENT


@pytest.mark.parametrize(
    ("cgi", "number"),
    [
        ("tried=fst1&triedrc=fserr", errno.ENOSPC),
        ("tried=fst9,fst2&triedrc=enoent,fserr", errno.ENOSPC),
        ("tried=fst9&triedrc=fserr", 0),
        ("tried=fst1&triedrc=srverr", 0),
        ("tried=fst1", 0),
    ],
)
def test_a_full_disk_is_no_reason_to_go_in_circles(pair, cgi, number) -> None:
    """An update has nowhere else to go: the FST's word is the answer."""
    pair.store_file("/f")
    for request in (
        Open(SID, "/f", options=UPDATE, cgi=cgi),
        Truncate(SID, "/f", size=5, cgi=cgi),
    ):
        if number:
            assert pair.errno(request) == number
        else:
            assert pair.ask(request)[0] == Status.REDIRECT


def test_a_host_with_a_full_disk_may_have_room_on_another(bench) -> None:
    """The client knows names of hosts only; the MGM knows which disks it sent the client to."""
    bench.beat(1, fs=3)
    asked, seen = Open(SID, "/f", options=NEW), set()
    for _ in range(3):
        seen.add(bench.capability(asked).fsid)
        asked = Open(SID, "/f", options=NEW, cgi="tried=fst1&triedrc=fserr")
    assert len(seen) == 3
    assert bench.errno(asked) == errno.ENOSPC
    bench.capability(Open(SID, "/f", options=NEW))


def test_another_host_is_better_than_another_disk(bench) -> None:
    bench.beat(1, fs=3)
    bench.beat(2)
    for name in "abcdefgh":
        node = bench.capability(Open(SID, f"/{name}", options=NEW)).node
        host = node.partition(":")[0]
        cgi = f"tried={host}&triedrc=fserr"
        assert bench.capability(Open(SID, f"/{name}", options=NEW, cgi=cgi)).node != node


@pytest.mark.parametrize("cgi", ["tried=fst1&triedrc=srverr", "tried=fst1"])
def test_a_host_that_failed_is_left_with_all_its_disks(bench, cgi) -> None:
    bench.beat(1, fs=3)
    bench.capability(Open(SID, "/f", options=NEW))
    assert bench.errno(Open(SID, "/f", options=NEW, cgi=cgi)) == errno.ENOSPC


def test_who_was_not_sent_there_is_told_that_there_is_no_other_host(bench, alice) -> None:
    bench.beat(1, fs=3)
    bench.ok(Mkdir(SID, "/home", mode=0o777))
    bench.capability(Open(SID, "/home/f", options=NEW))
    request = Open(SID, "/home/f", options=NEW, cgi="tried=fst1&triedrc=fserr")
    assert bench.errno(request, alice) == errno.ENOSPC


def test_after_the_commit_an_update_is_an_update(cluster) -> None:
    fid = cluster.store_file("/f")
    ticket = cluster.capability(Open(SID, "/f", options=UPDATE))
    assert (ticket.op, ticket.fid) == (Op.UPDATE, fid)


def test_truncate_by_path_goes_to_the_head(pair, alice) -> None:
    fid = pair.store_file("/f", 10)
    ticket = pair.capability(Truncate(SID, "/f", size=4))
    assert (ticket.op, ticket.fid, len(ticket.replicas)) == (Op.TRUNCATE, fid, 1)
    assert pair.errno(Truncate(SID, "/f", size=4), alice) == errno.EACCES
    assert pair.errno(Truncate(SID, "/f", size=-1)) == errno.EINVAL
    assert pair.errno(Truncate(SID, "", size=1)) == errno.EBADF


def test_the_mode_of_a_read_is_not_looked_at(cluster) -> None:
    cluster.store_file("/f")
    assert cluster.capability(Open(SID, "/f", options=READ, mode=0o200)).op == Op.READ


def test_a_beat_of_a_foreign_node_makes_no_place(bench) -> None:
    bench.control(Beat(node="x:1095", boot_id="b", report=NodeReport(), filesystems=[]))
    assert bench.errno(Open(SID, "/f", options=NEW)) == errno.ENOENT
