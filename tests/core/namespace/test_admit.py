"""Requests on names: who may, and what ops they become."""

import errno

import pytest

from thesan.core.model.identity import ROOT, Identity
from thesan.core.namespace import admit, queries
from thesan.core.namespace.ops import MakeDirectory, QuotaSet, SetAttributes

ALICE = Identity(1, 1, (1, 50), "alice", "unix")
BOB = Identity(2, 2, (2,), "bob", "unix")


@pytest.fixture
def home(instance):
    """/home/alice and /home/bob, each with a file; /tmp is sticky."""
    instance.mkdir("/home")
    instance.mkdir("/home/alice", 0o750, 1, 50)
    instance.mkdir("/home/bob", 0o755, 2, 2)
    instance.commit("/home/alice/f", uid=1, gid=1)
    instance.commit("/home/bob/f", uid=2, gid=2)
    instance.mkdir("/tmp", 0o1777)
    return instance


def _mkdir(home, who: Identity, path: str, **more: object):
    return home.apply_all(admit.mkdir(home.ns, who, path, 0o2777, home.now(), home.fid, **more))


def test_mkdir(home) -> None:
    _mkdir(home, ALICE, "/home/alice/d")
    made = home.at("/home/alice/d")
    assert (made.mode, made.uid, made.gid) == (0o042777, 1, 1)
    home.refused(errno.EACCES, lambda: _mkdir(home, BOB, "/home/alice/e"))
    home.refused(errno.EACCES, lambda: _mkdir(home, BOB, "/home/d"))
    home.refused(errno.EEXIST, lambda: _mkdir(home, ALICE, "/home/alice/d"))
    home.refused(errno.EEXIST, lambda: _mkdir(home, ALICE, "/home/alice/f"))
    home.refused(errno.ENOENT, lambda: _mkdir(home, ALICE, "/home/alice/x/y"))
    home.refused(errno.EBUSY, lambda: _mkdir(home, ALICE, "/"))


def test_names_with_a_newline_are_not_made(home) -> None:
    home.refused(errno.EINVAL, lambda: _mkdir(home, ALICE, "/home/alice/a\nb"))
    home.refused(errno.EINVAL, lambda: _mkdir(home, ALICE, "/home/alice/a\nb/c", parents=True))


def test_mkdir_with_parents(home) -> None:
    made = _mkdir(home, ALICE, "/home/alice/a/b/c", parents=True)
    assert len(made) == 3
    assert home.at("/home/alice/a/b/c").fid == made[-1].fid
    assert _mkdir(home, ALICE, "/home/alice/a/b", parents=True) == []
    assert _mkdir(home, ALICE, "/", parents=True) == []
    home.refused(errno.EEXIST, lambda: _mkdir(home, ALICE, "/home/alice/f", parents=True))
    home.refused(errno.ENOTDIR, lambda: _mkdir(home, ALICE, "/home/alice/f/x", parents=True))
    home.refused(errno.EACCES, lambda: _mkdir(home, BOB, "/home/alice/x", parents=True))
    home.refused(errno.EACCES, lambda: _mkdir(home, BOB, "/home/x/y", parents=True))
    home.symlink("nowhere", "/home/bob/l")
    home.refused(errno.ENOENT, lambda: _mkdir(home, BOB, "/home/bob/l/x", parents=True))


def test_the_op_id_goes_with_the_last_of_several(home) -> None:
    ops = admit.mkdir(home.ns, ALICE, "/home/alice/a/b", 0o755, 5, home.fid, True, b"id")
    assert [op.op_id for op in ops if isinstance(op, MakeDirectory)] == [b"", b"id"]
    home.apply_all(ops)
    assert home.ns.remembered(b"id").fid == home.at("/home/alice/a/b").fid


def test_what_a_directory_hands_down(home) -> None:
    home.apply(SetAttributes(home.at("/home/alice").fid, 5, mode=0o2775))
    home.xattr("/home/alice", "sys.mask", b"750")
    ops = admit.mkdir(home.ns, ALICE, "/home/alice/d/e", 0o777, 5, home.fid, True)
    home.apply_all(ops)
    for path in ("/home/alice/d", "/home/alice/d/e"):
        made = home.at(path)
        assert (made.mode, made.uid, made.gid) == (0o042750, 1, 50)
    home.xattr("/home/alice", "sys.owner.auth", b"*")
    home.xattr("/home/alice", "sys.acl", b"u:2:rwx")
    _mkdir(home, BOB, "/home/alice/given")
    assert home.at("/home/alice/given").uid == 1


def test_acting_as_the_owner(home) -> None:
    home.apply(SetAttributes(home.at("/home/alice").fid, 5, mode=0o711))
    home.xattr("/home/alice", "sys.owner.auth", b"unix:bob")
    _mkdir(home, BOB, "/home/alice/d")
    assert (home.at("/home/alice/d").uid, home.at("/home/alice/d").gid) == (1, 50)
    home.apply(admit.unlink(home.ns, BOB, "/home/alice/f", 5))


def test_unlink_and_rmdir(home) -> None:
    home.mkdir("/home/alice/d", uid=1, gid=1)
    home.refused(errno.EISDIR, lambda: admit.unlink(home.ns, ALICE, "/home/alice/d", 5))
    home.refused(errno.ENOTDIR, lambda: admit.rmdir(home.ns, ALICE, "/home/alice/f", 5))
    home.refused(errno.ENOENT, lambda: admit.unlink(home.ns, ALICE, "/home/alice/x", 5))
    home.refused(errno.EACCES, lambda: admit.unlink(home.ns, ALICE, "/home/bob/f", 5))
    home.refused(errno.EACCES, lambda: admit.rmdir(home.ns, BOB, "/home/alice/d", 5))
    home.apply(admit.rmdir(home.ns, ALICE, "/home/alice/d", 5))
    home.apply(admit.unlink(home.ns, ALICE, "/home/alice/f", 5))
    home.refused(errno.EBUSY, lambda: admit.rmdir(home.ns, ROOT, "/", 5))
    home.check()


def test_the_sticky_bit(home) -> None:
    home.commit("/tmp/alice", uid=1)
    home.commit("/tmp/bob", uid=2)
    home.refused(errno.EPERM, lambda: admit.unlink(home.ns, BOB, "/tmp/alice", 5))
    home.refused(errno.EPERM, lambda: admit.rename(home.ns, BOB, "/tmp/alice", "/tmp/x", 5))
    home.refused(errno.EPERM, lambda: admit.rename(home.ns, BOB, "/tmp/bob", "/tmp/alice", 5))
    home.apply(admit.rename(home.ns, BOB, "/tmp/bob", "/tmp/x", 5))
    home.apply(admit.unlink(home.ns, ALICE, "/tmp/alice", 5))


def test_rename(home) -> None:
    home.apply(admit.rename(home.ns, ALICE, "/home/alice/f", "/home/alice/g", 5))
    home.refused(
        errno.EACCES, lambda: admit.rename(home.ns, ALICE, "/home/alice/g", "/home/bob/g", 5)
    )
    home.refused(
        errno.EACCES, lambda: admit.rename(home.ns, ALICE, "/home/bob/f", "/home/alice/x", 5)
    )
    home.refused(
        errno.ENOENT, lambda: admit.rename(home.ns, ALICE, "/home/alice/x", "/home/alice/y", 5)
    )
    op = admit.rename(home.ns, ROOT, "/home/alice/g", "/home/bob/f", 5, no_replace=True)
    home.refused(errno.EEXIST, lambda: home.apply(op))
    home.apply(admit.rename(home.ns, ALICE, "/home/alice/g", "/tmp/g", 5))
    assert home.at("/tmp/g").uid == 1


def test_a_directory_that_is_moved_elsewhere_must_be_writable_itself(home) -> None:
    home.apply(SetAttributes(home.at("/home/alice").fid, 5, mode=0o777))
    home.mkdir("/home/alice/d", 0o755, 1, 1)
    home.apply(admit.rename(home.ns, BOB, "/home/alice/d", "/home/alice/e", 5))
    home.refused(
        errno.EACCES, lambda: admit.rename(home.ns, BOB, "/home/alice/e", "/home/bob/e", 5)
    )


def test_a_file_must_fit_where_it_goes(home) -> None:
    node = home.at("/home/alice").fid
    home.apply(QuotaSet(node, "u", 2, 50, None))
    home.refused(
        errno.EDQUOT, lambda: admit.rename(home.ns, ROOT, "/home/bob/f", "/home/alice/b", 5)
    )
    home.apply(QuotaSet(node, "u", 2, 200, 1))
    home.apply(admit.rename(home.ns, ROOT, "/home/bob/f", "/home/alice/b", 5))


def test_symlink_and_readlink(home) -> None:
    home.apply(admit.symlink(home.ns, ALICE, "../x", "/home/alice/l", 5, home.fid))
    assert admit.readlink(home.ns, ALICE, "/home/alice/l") == "../x"
    home.refused(errno.EINVAL, lambda: admit.readlink(home.ns, ALICE, "/home/alice/f"))
    for target in ("", "a\0b", "x" * 4096):
        home.refused(
            errno.EINVAL,
            lambda target=target: admit.symlink(
                home.ns, ALICE, target, "/home/alice/m", 5, home.fid
            ),
        )
    home.refused(
        errno.EEXIST, lambda: admit.symlink(home.ns, ALICE, "x", "/home/alice/l", 5, home.fid)
    )
    home.refused(
        errno.EACCES, lambda: admit.symlink(home.ns, BOB, "x", "/home/alice/m", 5, home.fid)
    )
    home.apply(QuotaSet(home.at("/home/alice").fid, "u", 1, None, 0))
    home.refused(
        errno.EDQUOT, lambda: admit.symlink(home.ns, ALICE, "x", "/home/alice/m", 5, home.fid)
    )


def test_link(home) -> None:
    home.apply(admit.link(home.ns, ALICE, "/home/alice/f", "/home/alice/g", 5))
    assert home.at("/home/alice/g").nlink == 2
    home.refused(errno.EPERM, lambda: admit.link(home.ns, ALICE, "/home/bob", "/home/alice/d", 5))
    home.refused(errno.EPERM, lambda: admit.link(home.ns, ALICE, "/home/bob/f", "/home/alice/b", 5))
    home.apply(SetAttributes(home.at("/home/bob/f").fid, 5, mode=0o666))
    home.apply(admit.link(home.ns, ALICE, "/home/bob/f", "/home/alice/b", 5))
    home.refused(
        errno.EEXIST, lambda: admit.link(home.ns, ALICE, "/home/alice/f", "/home/alice/b", 5)
    )


def test_listing(home) -> None:
    assert admit.listing(home.ns, ALICE, "/home/alice").fid == home.at("/home/alice").fid
    home.refused(errno.EACCES, lambda: admit.listing(home.ns, BOB, "/home/alice"))
    home.refused(errno.ENOTDIR, lambda: admit.listing(home.ns, BOB, "/home/bob/f"))
    home.xattr("/home/alice", "sys.acl", b"u:2:x")
    assert len(queries.list_page(home.ns, admit.listing(home.ns, BOB, "/home/alice")).entries) == 1
