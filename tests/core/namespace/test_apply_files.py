"""Content and replicas: commit, update, and where the bytes are."""

import errno

import pytest

from thesan.core.model.limits import REPLICA_COUNT_MAX
from thesan.core.namespace import queries
from thesan.core.namespace.ops import (
    AddReplica,
    CommitFile,
    CreateFile,
    DeletionDone,
    DiscardReplicas,
    DropReplica,
    SetAttributes,
    UpdateFile,
)


def _commit(instance, name: str = "f", **more: object) -> CommitFile:
    values: dict[str, object] = {
        "parent": 1, "name": name, "fid": instance.fid(), "mode": 0o640, "uid": 10, "gid": 20,
        "layout": 0x112, "size": 5, "adler32": 1, "crc32c": 2, "locations": (1, 2),
        "mtime_ns": 100, "time_ns": 200,
    }  # fmt: skip
    return CommitFile(**(values | more))


def test_a_file_appears_with_its_commit(instance) -> None:
    op = _commit(instance)
    instance.apply(op)
    inode = instance.at("/f")
    assert (inode.fid, inode.mode, inode.uid, inode.gid) == (op.fid, 0o100640, 10, 20)
    assert (inode.size, inode.adler32, inode.crc32c, inode.locations) == (5, 1, 2, (1, 2))
    assert (inode.mtime_ns, inode.ctime_ns, inode.birth_ns) == (100, 200, 200)
    assert queries.fs_counters(instance.ns, 1) == queries.FsCounters(1, 5, 0)
    instance.check()


def test_a_resend_changes_nothing_wherever_the_file_is_now(instance) -> None:
    op = _commit(instance)
    instance.apply(op)
    assert instance.apply(op).repeated
    instance.mkdir("/d")
    instance.rename("/f", "/d/g")
    assert instance.apply(op).repeated
    instance.reload()
    assert instance.apply(op).repeated
    instance.refused(errno.ENOENT, lambda: instance.at("/f"))
    instance.check()


def test_a_resend_does_not_bring_a_deleted_file_back(instance) -> None:
    op = _commit(instance)
    instance.apply(op)
    instance.unlink("/f")
    instance.refused(errno.ESTALE, lambda: instance.apply(op))
    instance.reload()
    instance.refused(errno.ESTALE, lambda: instance.apply(op))


def test_an_abandoned_upload_can_not_be_committed(instance) -> None:
    op = _commit(instance)
    instance.apply(DiscardReplicas(op.fid, (2, 2, 3)))
    assert queries.fs_counters(instance.ns, 2).deletions == 1
    instance.refused(errno.ESTALE, lambda: instance.apply(op))


def test_exclusive_loses_to_whoever_was_first(instance) -> None:
    instance.apply(_commit(instance))
    late = _commit(instance, exclusive=True)
    instance.refused(errno.EEXIST, lambda: instance.apply(late))
    instance.apply(DiscardReplicas(late.fid, late.locations))
    instance.settle()
    assert queries.deletions_on(instance.ns, 1) == [late.fid]
    instance.check()


def test_an_overwrite_changes_content_and_fid_and_nothing_else(instance) -> None:
    old = _commit(instance, mode=0o6755)
    instance.apply(old)
    instance.xattr("/f", "user.note", b"kept")
    birth = instance.at("/f").birth_ns
    instance.reload()
    new = _commit(instance, size=9, locations=(2, 3), uid=77, gid=77, mode=0o600)
    result = instance.apply(new)
    assert (result.fid, result.replaced) == (new.fid, old.fid)
    inode = instance.at("/f")
    assert (inode.fid, inode.size, inode.locations) == (new.fid, 9, (2, 3))
    assert (inode.mode, inode.uid, inode.gid, inode.birth_ns) == (0o100755, 10, 20, birth)
    assert inode.xattrs == {"user.note": b"kept"}
    assert queries.inode_of(instance.ns, old.fid) is None
    instance.settle()
    assert queries.deletions_on(instance.ns, 1) == queries.deletions_on(instance.ns, 2) == [old.fid]
    assert queries.replicas_on(instance.ns, 2) == [new.fid]
    instance.check()


def test_an_overwrite_is_seen_through_every_hard_link(instance) -> None:
    instance.commit("/f", size=1)
    instance.mkdir("/d")
    instance.link("/f", "/d/g")
    instance.link("/f", "/d/h")
    instance.reload()
    new = _commit(instance, size=9)
    instance.apply(new)
    for path in ("/f", "/d/g", "/d/h"):
        assert (instance.at(path).fid, instance.at(path).size) == (new.fid, 9)
    instance.check()
    instance.reload()
    assert instance.at("/d/h") is instance.at("/f")
    instance.check()


def test_a_symbolic_link_gives_way_to_a_file(instance) -> None:
    link = instance.symlink("t", "/f")
    op = _commit(instance)
    assert instance.apply(op).replaced == link
    assert instance.at("/f").is_file
    assert instance.at("/f").uid == 10
    instance.check()


def test_what_can_not_be_committed(instance) -> None:
    instance.mkdir("/d")
    for number, op in (
        (errno.EISDIR, _commit(instance, "d")),
        (errno.ENOENT, _commit(instance, parent=999)),
        (errno.EIO, _commit(instance, locations=())),
        (errno.EINVAL, _commit(instance, locations=(1, 1))),
        (errno.EINVAL, _commit(instance, locations=(0,))),
        (errno.EINVAL, _commit(instance, locations=(65535,))),
        (errno.EINVAL, _commit(instance, lost=(0,))),
        (errno.EINVAL, _commit(instance, locations=tuple(range(1, REPLICA_COUNT_MAX + 2)))),
    ):
        instance.refused(number, lambda op=op: instance.apply(op))


def test_lost_replicas_are_to_be_deleted_unless_they_are_good(instance) -> None:
    op = _commit(instance, lost=(2, 3, 3))
    instance.apply(op)
    instance.settle()
    assert queries.deletions_on(instance.ns, 3) == [op.fid]
    assert queries.deletions_on(instance.ns, 2) == []
    instance.check()


def test_an_update_in_place(instance) -> None:
    fid = instance.commit("/f", size=10, locations=(1, 2, 3), mode=0o4755)
    instance.apply(UpdateFile(fid, 50, 8, 9, 1000, 2000, lost=(3, 4)))
    inode = instance.at("/f")
    assert (inode.fid, inode.size, inode.adler32, inode.crc32c) == (fid, 50, 8, 9)
    assert (inode.mtime_ns, inode.ctime_ns, inode.mode) == (1000, 2000, 0o100755)
    assert inode.locations == (1, 2)
    instance.settle()
    assert queries.deletions_on(instance.ns, 3) == queries.deletions_on(instance.ns, 4) == [fid]
    assert queries.fs_counters(instance.ns, 2) == queries.FsCounters(1, 50, 0)
    instance.check()


def test_an_update_may_give_an_empty_file_its_first_replicas(instance) -> None:
    fid = instance.apply(CreateFile(1, "f", instance.fid(), 0o644, 0, 0, 5, 0x112)).fid
    instance.refused(errno.EIO, lambda: instance.apply(UpdateFile(fid, 5, 1, 1, 6, 6)))
    instance.apply(UpdateFile(fid, 5, 1, 1, 6, 6, locations=(4, 5)))
    assert instance.at("/f").locations == (4, 5)
    instance.check()


def test_an_update_is_done_once_under_its_id(instance) -> None:
    fid = instance.commit("/f")
    first = UpdateFile(fid, 50, 8, 9, 1000, 2000, op_id=b"nonce")
    instance.apply(first)
    instance.apply(UpdateFile(fid, 60, 8, 9, 3000, 3000))
    assert instance.apply(first).repeated
    assert instance.at("/f").size == 60


def test_an_update_needs_a_file_and_a_replica(instance) -> None:
    directory, link = instance.mkdir("/d"), instance.symlink("t", "/l")
    fid = instance.commit("/f", locations=(1, 2))
    for number, target in ((errno.EISDIR, directory), (errno.EINVAL, link), (errno.ENOENT, 999)):
        op = UpdateFile(target, 1, 1, 1, 1, 1)
        instance.refused(number, lambda op=op: instance.apply(op))
    instance.refused(errno.EIO, lambda: instance.apply(UpdateFile(fid, 1, 1, 1, 1, 1, lost=(1, 2))))


def test_replicas_come_and_go(instance) -> None:
    fid = instance.commit("/f", size=10, locations=(1,))
    instance.apply(AddReplica(fid, 2))
    assert instance.apply(AddReplica(fid, 2)).repeated
    assert instance.at("/f").locations == (1, 2)
    instance.apply(DropReplica(fid, 1))
    instance.refused(errno.ENODATA, lambda: instance.apply(DropReplica(fid, 1)))
    instance.refused(errno.EINVAL, lambda: instance.apply(DropReplica(fid, 2)))
    instance.refused(errno.EINPROGRESS, lambda: instance.apply(AddReplica(fid, 1)))
    instance.apply(DeletionDone(((1, fid), (1, 12345), (0, fid))))
    instance.apply(AddReplica(fid, 1))
    instance.apply(DropReplica(fid, 2, delete=False))
    assert queries.fs_counters(instance.ns, 2) == queries.FsCounters(0, 0, 0)
    instance.apply(DropReplica(fid, 1, force=True))
    assert instance.at("/f").locations == ()
    instance.check()


def test_a_file_has_so_many_replicas_and_no_more(instance) -> None:
    fid = instance.commit("/f", locations=tuple(range(1, REPLICA_COUNT_MAX + 1)))
    instance.refused(errno.EMLINK, lambda: instance.apply(AddReplica(fid, 99)))
    instance.refused(errno.EINVAL, lambda: instance.apply(AddReplica(fid, 0)))


def test_a_registered_replica_is_not_discarded(instance) -> None:
    fid = instance.commit("/f", locations=(1,))
    instance.refused(errno.EEXIST, lambda: instance.apply(DiscardReplicas(fid, (5, 1))))


@pytest.mark.parametrize("uid", [0, 10])
def test_physical_bytes_follow_every_change(instance, uid: int) -> None:
    fid = instance.commit("/f", size=10, locations=(1, 2), uid=uid)
    assert queries.counters(instance.ns).physical_bytes == 20
    instance.apply(AddReplica(fid, 3))
    instance.apply(SetAttributes(fid, 5, uid=3))
    assert queries.counters(instance.ns).physical_bytes == 30
    instance.apply(UpdateFile(fid, 100, 1, 1, 1, 1))
    assert queries.counters(instance.ns).physical_bytes == 300
    instance.unlink("/f")
    assert queries.counters(instance.ns) == queries.Counters(0, 1, 0, 0, 0, 0)
