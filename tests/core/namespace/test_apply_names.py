"""Making, linking and removing names."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import LINK_COUNT_MAX
from thesan.core.namespace import keys, queries
from thesan.core.namespace.ops import (
    CreateFile,
    Link,
    MakeDirectory,
    QuotaSet,
    RemoveDirectory,
    Symlink,
    Unlink,
)


def test_a_new_directory(instance) -> None:
    fid = instance.mkdir("/d", 0o2750, 10, 20)
    inode = instance.at("/d")
    assert (inode.fid, inode.mode, inode.uid, inode.gid) == (fid, 0o042750, 10, 20)
    assert inode.mtime_ns == inode.ctime_ns == inode.birth_ns == instance.time
    root = instance.at("/")
    assert (root.mtime_ns, root.nlink, root.size) == (instance.time, 3, 1)


def test_sys_attributes_are_inherited_once(instance) -> None:
    instance.mkdir("/d")
    instance.xattr("/d", "sys.forced.nstripes", b"2")
    instance.xattr("/d", "user.note", b"mine")
    instance.xattr("/d", "sys.tmp.etag", b"1")
    instance.mkdir("/d/sub")
    instance.commit("/d/f")
    assert instance.at("/d/sub").xattrs == {"sys.forced.nstripes": b"2"}
    assert instance.at("/d/f").xattrs is None
    instance.xattr("/d", "sys.forced.nstripes", b"3")
    assert instance.at("/d/sub").xattrs == {"sys.forced.nstripes": b"2"}
    instance.reload()
    assert instance.at("/d/sub").xattrs == {"sys.forced.nstripes": b"2"}
    instance.check()


def test_what_is_no_parent(instance) -> None:
    file = instance.commit("/f")
    for parent, number in ((999, errno.ENOENT), (file, errno.ENOTDIR)):
        for op in (
            MakeDirectory(parent, "x", 50, 0o755, 0, 0, 1),
            CreateFile(parent, "x", 50, 0o644, 0, 0, 1, 0),
            Symlink(parent, "x", 50, "t", 0, 0, 1),
            Unlink(parent, "x", 1),
            RemoveDirectory(parent, "x", 1),
            Link(file, parent, "x", 1),
        ):
            instance.refused(number, lambda op=op: instance.apply(op))


def test_a_name_is_taken_whatever_it_names(instance) -> None:
    instance.mkdir("/d")
    file = instance.commit("/f")
    instance.symlink("/f", "/l")
    for name in ("d", "f", "l"):
        for op in (
            MakeDirectory(1, name, 50, 0o755, 0, 0, 1),
            CreateFile(1, name, 50, 0o644, 0, 0, 1, 0),
            Symlink(1, name, 50, "t", 0, 0, 1),
            Link(file, 1, name, 1),
        ):
            instance.refused(errno.EEXIST, lambda op=op: instance.apply(op))


def test_fids_must_be_reserved_and_new(instance) -> None:
    used = instance.commit("/f")
    for fid in (used, 1, 1 << 30):
        op = CreateFile(1, "x", fid, 0o644, 0, 0, 1, 0)
        instance.refused(errno.EINVAL, lambda op=op: instance.apply(op))
    instance.reload()
    instance.refused(errno.EINVAL, lambda: instance.apply(CreateFile(1, "x", used, 0, 0, 0, 1, 0)))


def test_a_symbolic_link_has_the_size_of_its_target(instance) -> None:
    instance.symlink("../é", "/l")
    inode = instance.at("/l")
    assert (inode.target, inode.size, inode.is_symlink) == ("../é", 5, True)
    assert queries.counters(instance.ns).symlinks == 1
    assert queries.counters(instance.ns).logical_bytes == 0
    assert instance.ns.tree_tag == instance.ns.op_count


def test_unlink_sends_replicas_to_the_deletion_list(instance) -> None:
    fid = instance.commit("/f", size=10, locations=(3, 5))
    result = instance.unlink("/f")
    assert (result.fid, result.replaced) == (fid, fid)
    instance.settle()
    assert queries.deletions_on(instance.ns, 3) == queries.deletions_on(instance.ns, 5) == [fid]
    assert queries.replicas_on(instance.ns, 3) == []
    assert queries.fs_counters(instance.ns, 3) == queries.FsCounters(0, 0, 1)
    instance.check()


def test_unlink_of_one_name_keeps_the_file(instance) -> None:
    fid = instance.commit("/f")
    instance.link("/f", "/g")
    before = instance.at("/g").ctime_ns
    result = instance.unlink("/f")
    assert (result.fid, result.replaced) == (fid, 0)
    assert instance.at("/g").ctime_ns > before
    assert queries.has_replica(instance.ns, 1, fid)


def test_unlink_and_rmdir_keep_to_their_kind(instance) -> None:
    instance.mkdir("/d")
    instance.commit("/f")
    instance.refused(errno.EISDIR, lambda: instance.unlink("/d"))
    instance.refused(errno.ENOTDIR, lambda: instance.apply(RemoveDirectory(1, "f", 1)))
    instance.refused(errno.ENOENT, lambda: instance.unlink("/x"))
    instance.refused(errno.ENOENT, lambda: instance.apply(RemoveDirectory(1, "x", 1)))


def test_rmdir(instance) -> None:
    fid = instance.mkdir("/d")
    instance.xattr("/d", "user.a", b"1")
    instance.commit("/d/f")
    instance.refused(errno.ENOTEMPTY, lambda: instance.apply(RemoveDirectory(1, "d", 1)))
    instance.unlink("/d/f")
    instance.apply(QuotaSet(fid, "u", 1, 1, None))
    instance.refused(errno.EBUSY, lambda: instance.apply(RemoveDirectory(1, "d", 1)))
    empty = instance.mkdir("/e")
    assert instance.apply(RemoveDirectory(1, "e", 5)).replaced == empty
    assert instance.at("/").nlink == 3
    instance.check()


def test_links_have_rules(instance) -> None:
    directory = instance.mkdir("/d")
    fid = instance.commit("/f")
    instance.refused(errno.EPERM, lambda: instance.apply(Link(directory, 1, "x", 1)))
    instance.refused(errno.ENOENT, lambda: instance.apply(Link(999, 1, "x", 1)))
    instance.apply(QuotaSet(directory, "u", 1, 1, None))
    instance.refused(errno.EXDEV, lambda: instance.link("/f", "/d/f"))
    instance.at("/f").nlink = LINK_COUNT_MAX
    with pytest.raises(OperationError) as caught:
        instance.apply(Link(fid, 1, "x", 1))
    assert caught.value.errno == errno.EMLINK


def test_a_symbolic_link_may_have_two_names(instance) -> None:
    instance.symlink("t", "/l")
    instance.link("/l", "/m")
    assert instance.at("/m").target == "t"
    instance.reload()
    instance.unlink("/l")
    assert instance.at("/m").nlink == 1
    assert instance.ns.tree.tables.merged(keys.links(instance.at("/m").fid)) == {}
    instance.check()
