"""Beats, registrations, deletions and inquiries of pretended FSTs."""

import errno

import pytest

from thesan.core.control.messages import (
    Beat,
    BeatReply,
    FsConfig,
    FsRegister,
    Inquire,
    InquireReply,
    NodeReport,
)
from thesan.core.model.errors import OperationError
from thesan.core.model.limits import DELETIONS_BATCH_MAX
from thesan.core.wire.requests import Rm

SID = b"\0\1"


def beat(bench, node: str = "fst1:1095", **values) -> BeatReply:
    return bench.control(Beat(node, "b", NodeReport(), [], **values))


def test_a_filesystem_registers_itself_and_keeps_its_id(bench) -> None:
    message = FsRegister(node="fst1:1095", uuid="u-1", path="/data", space="default")
    first = bench.control(message)
    assert bench.control(message).fsid == first.fsid == 1
    other = bench.control(FsRegister("fst2:1095", "u-2", "/data", "default"))
    assert other.fsid == 2
    bench.crash()
    bench.start()
    assert bench.control(message).fsid == 1
    (record, _) = bench.admin("fs", "ls").records
    assert (record["id"], record["host"], record["path"]) == (1, "fst1", "/data")


def test_a_beat_is_answered_with_what_is_new(bench) -> None:
    bench.control(FsRegister("fst1:1095", "u-1", "/data", "default"))
    reply = beat(bench)
    assert (reply.master, reply.epoch, reply.master_address) == (True, 1, "mgm:1094")
    assert (reply.mgms, reply.active) == (["mgm:1094"], True)
    assert reply.filesystems == [FsConfig(1, "u-1", "/data", "rw", 64 << 20, 0)]
    again = beat(bench, config_seq=reply.config_seq)
    assert (again.config_seq, again.filesystems) == (reply.config_seq, None)


def test_an_fst_is_told_where_files_are_registered(cluster) -> None:
    """So that it takes no empty directory for that filesystem."""
    cluster.store_file("/f")
    told = [fs for n in (1, 2) for fs in beat(cluster, f"fst{n}:1095").filesystems]
    (record,) = cluster.admin("file", "info", path="/f").records
    assert {fs.fsid for fs in told if fs.has_replicas} == set(record["fsid"])
    assert not all(fs.has_replicas for fs in told)


def test_configuration_only_goes_forward(bench) -> None:
    bench.control(FsRegister("fst1:1095", "u-1", "/data", "default"))
    seen = [beat(bench).config_seq]
    for status in ("ro", "rw", "ro"):
        bench.admin("fs", "config", fs="1", key="configstatus", value=status)
        reply = beat(bench, config_seq=seen[-1])
        assert reply.filesystems[0].configstatus == status
        seen.append(reply.config_seq)
    bench.crash()
    bench.start()
    reply = beat(bench)
    assert reply.filesystems[0].configstatus == "ro"
    assert reply.config_seq >= seen[-1]
    assert seen == sorted(set(seen))


def test_a_node_that_is_set_off_is_told(bench) -> None:
    beat(bench)
    bench.admin("node", "set", node="fst1:1095", status="off")
    assert not beat(bench).active


def test_deletions_are_repeated_until_they_are_reported(cluster) -> None:
    fids = [cluster.store_file(f"/f{number}") for number in range(4)]
    for number in range(4):
        cluster.ok(Rm(SID, f"/f{number}"))
    wanted = {pair for n in (1, 2) for pair in beat(cluster, f"fst{n}:1095").deletions}
    assert sorted(fid for _, fid in wanted) == sorted(fids)
    again = {pair for n in (1, 2) for pair in beat(cluster, f"fst{n}:1095").deletions}
    assert again == wanted
    for number in (1, 2):
        mine = beat(cluster, f"fst{number}:1095").deletions
        reply = beat(cluster, f"fst{number}:1095", deleted=mine)
        assert reply.deletions == []
        assert beat(cluster, f"fst{number}:1095").deletions == []
    cluster.crash()
    cluster.start()
    assert beat(cluster, "fst1:1095").deletions == beat(cluster, "fst2:1095").deletions == []


def test_an_fst_reports_for_its_own_filesystems_only(cluster) -> None:
    fid = cluster.store_file("/f")
    cluster.ok(Rm(SID, "/f"))
    (fsid,) = [f for n in (1, 2) for f, _ in beat(cluster, f"fst{n}:1095").deletions]
    other = "fst2:1095" if fsid == 1 else "fst1:1095"
    beat(cluster, other, deleted=[(fsid, fid), (77, fid)])
    assert beat(cluster, f"fst{fsid}:1095").deletions == [(fsid, fid)]


def test_deletions_come_in_bounded_batches(cluster) -> None:
    from thesan.core.namespace.ops import DiscardReplicas

    async def discard() -> None:
        for fid in range(10**6, 10**6 + DELETIONS_BATCH_MAX + 50):
            cluster.mgm.master.submit(DiscardReplicas(fid, (1,)))

    cluster.run(discard())
    reply = beat(cluster)
    assert len(reply.deletions) == DELETIONS_BATCH_MAX
    rest = beat(cluster, deleted=reply.deletions)
    assert len(rest.deletions) == 50
    assert not set(rest.deletions) & set(reply.deletions)


def test_inquire(cluster) -> None:
    fid = cluster.store_file("/f")
    (fsid,) = cluster.mgm.master.namespace.tree.inode(fid).locations
    reply = cluster.control(Inquire(f"fst{fsid}:1095", fsid, [fid, fid + 1, 5]))
    assert reply == InquireReply([True, False, False], 1)


def test_only_daemons_may_say_such_things(bench, alice) -> None:
    root = bench.peer().identity
    for message in (
        Beat("x:1", "b", NodeReport(), []),
        FsRegister("x:1", "u", "/d", "default"),
        Inquire("x:1", 1, [1]),
    ):
        for who in (alice, root):
            with pytest.raises(OperationError) as caught:
                bench.control(message, who)
            assert caught.value.errno == errno.EACCES  # EPERM has the same XRootD code
