"""Modes, owners, times and extended attributes."""

import errno

from thesan.core.model.limits import XATTR_COUNT_MAX, XATTR_VALUE_BYTES_MAX
from thesan.core.namespace import queries
from thesan.core.namespace.ops import QuotaSet, RemoveXattr, SetAttributes, SetXattr


def test_only_what_is_given_changes(instance) -> None:
    fid = instance.commit("/f", uid=1, gid=2, mode=0o644)
    instance.apply(SetAttributes(fid, 9, mode=0o4711))
    inode = instance.at("/f")
    mtime = inode.mtime_ns
    assert (inode.mode, inode.uid, inode.gid, inode.ctime_ns) == (0o104711, 1, 2, 9)
    instance.apply(SetAttributes(fid, 10, uid=5, gid=6, mtime_ns=3, layout=0x12))
    assert (inode.mode, inode.uid, inode.gid) == (0o104711, 5, 6)
    assert (inode.mtime_ns, inode.ctime_ns, inode.layout) == (3, 10, 0x12)
    assert mtime != 3
    instance.refused(errno.ENOENT, lambda: instance.apply(SetAttributes(99, 1)))


def test_a_directory_changes_what_walks_through_it(instance) -> None:
    instance.mkdir("/d")
    before = instance.ns.tree_tag
    instance.commit("/d/f")
    instance.apply(SetAttributes(instance.at("/d/f").fid, 5, mode=0o600))
    assert instance.ns.tree_tag == before
    instance.apply(SetAttributes(instance.at("/d").fid, 5, mode=0o700))
    assert instance.ns.tree_tag == instance.ns.op_count
    assert not instance.ns.tree.directories[instance.at("/d").fid].open_x


def test_chown_moves_usage_between_accounts(instance) -> None:
    node = instance.mkdir("/q")
    instance.apply(QuotaSet(node, "u", 1, 1000, None))
    fid = instance.commit("/q/f", size=10, uid=1, gid=1)
    instance.apply(SetAttributes(fid, 5, uid=2))
    used = {(line.kind, line.id): line.files for line in queries.quota_lines(instance.ns, node)}
    assert used == {("u", 1): 0, ("u", 2): 1, ("g", 1): 1, ("p", 0): 1}
    instance.check()


def test_attributes_are_set_replaced_and_removed(instance) -> None:
    fid = instance.commit("/f")
    instance.apply(SetXattr(fid, "user.a", b"1", 5))
    instance.refused(
        errno.EEXIST, lambda: instance.apply(SetXattr(fid, "user.a", b"2", 5, create=True))
    )
    instance.refused(
        errno.ENODATA, lambda: instance.apply(SetXattr(fid, "user.b", b"2", 5, replace=True))
    )
    instance.apply(SetXattr(fid, "user.a", b"", 6, replace=True))
    instance.apply(SetXattr(fid, "user.b", b"\0\xff", 7, create=True))
    instance.reload()
    assert instance.at("/f").xattrs == {"user.a": b"", "user.b": b"\0\xff"}
    assert instance.at("/f").ctime_ns == 7
    instance.apply(RemoveXattr(fid, "user.a", 8))
    instance.refused(errno.ENODATA, lambda: instance.apply(RemoveXattr(fid, "user.a", 9)))
    instance.apply(RemoveXattr(fid, "user.b", 9))
    assert instance.at("/f").xattrs is None
    instance.refused(errno.ENOENT, lambda: instance.apply(SetXattr(99, "user.a", b"", 1)))
    instance.check()


def test_attributes_are_bounded_all_told(instance) -> None:
    fid = instance.commit("/f")
    value = bytes(XATTR_VALUE_BYTES_MAX - 10)
    instance.apply(SetXattr(fid, "user.a", value, 1))
    instance.apply(SetXattr(fid, "user.b", value, 1))
    instance.refused(errno.ENOSPC, lambda: instance.apply(SetXattr(fid, "user.c", value, 1)))
    other = instance.commit("/g")
    for number in range(XATTR_COUNT_MAX):
        instance.apply(SetXattr(other, f"user.{number}", b"", 1))
    instance.refused(errno.ENOSPC, lambda: instance.apply(SetXattr(other, "user.x", b"", 1)))


def test_an_acl_closes_the_fast_way(instance) -> None:
    instance.mkdir("/d")
    directory = instance.ns.tree.directories[instance.at("/d").fid]
    assert directory.open_x
    instance.xattr("/d", "sys.acl", b"u:1:rx")
    assert not directory.open_x
    instance.apply(RemoveXattr(directory.fid, "sys.acl", 5))
    assert directory.open_x
