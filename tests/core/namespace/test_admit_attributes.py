"""Requests on modes, owners, times and extended attributes."""

import errno

import pytest

from thesan.core.model.identity import ROOT, Identity
from thesan.core.namespace import admit

ALICE = Identity(1, 1, (1, 50), "alice", "unix")
BOB = Identity(2, 2, (2,), "bob", "unix")


@pytest.fixture
def home(instance):
    instance.mkdir("/d", 0o755, 1, 1)
    instance.commit("/d/f", uid=1, gid=60, mode=0o644)
    instance.symlink("f", "/d/l")
    return instance


def test_chmod(home) -> None:
    home.apply(admit.chmod(home.ns, ALICE, "/d/f", 0o6755, 5))
    assert home.at("/d/f").mode == 0o104755, "set-group-id only for one's own group"
    home.apply(admit.chmod(home.ns, ROOT, "/d/f", 0o6755, 5))
    assert home.at("/d/f").mode == 0o106755
    home.apply(admit.chmod(home.ns, ALICE, "/d", 0o2775, 5))
    assert home.at("/d").mode == 0o042775
    home.apply(admit.chmod(home.ns, ALICE, "/d/l", 0o100600, 5))
    assert home.at("/d/f").mode == 0o100600, "links are followed, type bits ignored"
    home.refused(errno.EPERM, lambda: admit.chmod(home.ns, BOB, "/d/f", 0o777, 5))


def test_chown(home) -> None:
    home.apply(admit.chmod(home.ns, ROOT, "/d/f", 0o6755, 5))
    home.refused(errno.EPERM, lambda: admit.chown(home.ns, ALICE, "/d/f", 2, None, 5))
    home.refused(errno.EPERM, lambda: admit.chown(home.ns, ALICE, "/d/f", None, 2, 5))
    home.apply(admit.chown(home.ns, ALICE, "/d/f", None, 50, 5))
    assert (home.at("/d/f").gid, home.at("/d/f").mode) == (50, 0o100755)
    home.apply(admit.chown(home.ns, ROOT, "/d/l", 7, 8, 5))
    assert (home.at("/d/f").uid, home.at("/d/f").gid, home.at("/d/l").uid) == (7, 8, 0)
    home.apply(admit.chown(home.ns, ROOT, "/d/l", 9, None, 5, follow=False))
    assert (home.at("/d/f").uid, home.at("/d/l").uid) == (7, 9)
    for bad in (-1, (1 << 32) - 1):
        home.refused(errno.EINVAL, lambda bad=bad: admit.chown(home.ns, ROOT, "/d/f", bad, None, 5))


def test_utimes(home) -> None:
    home.apply(admit.utimes(home.ns, ALICE, "/d/f", 123, 5))
    assert home.at("/d/f").mtime_ns == 123
    home.apply(admit.chmod(home.ns, ALICE, "/d/f", 0o666, 5))
    home.apply(admit.utimes(home.ns, BOB, "/d/f", None, 77))
    assert home.at("/d/f").mtime_ns == 77
    home.refused(errno.EPERM, lambda: admit.utimes(home.ns, BOB, "/d/f", 1, 5))
    home.refused(errno.EINVAL, lambda: admit.utimes(home.ns, ALICE, "/d/f", -1, 5))
    home.apply(admit.chmod(home.ns, ALICE, "/d/f", 0o400, 5))
    home.apply(admit.utimes(home.ns, ALICE, "/d/f", None, 88))
    assert home.at("/d/f").mtime_ns == 88


def _set(home, who: Identity, name: str, value: bytes = b"v", path: str = "/d/f") -> None:
    home.apply(admit.set_xattr(home.ns, who, path, name, value, home.now()))


def test_user_attributes(home) -> None:
    _set(home, ALICE, "user.a")
    home.refused(errno.EACCES, lambda: _set(home, BOB, "user.a"))
    assert admit.xattrs(home.ns, BOB, "/d/f") == {"user.a": b"v"}
    home.apply(admit.remove_xattr(home.ns, ALICE, "/d/f", "user.a", 5))
    home.refused(errno.EACCES, lambda: admit.remove_xattr(home.ns, BOB, "/d/f", "user.a", 5))
    assert admit.xattrs(home.ns, BOB, "/d/f") == {}
    home.apply(admit.chmod(home.ns, ALICE, "/d/f", 0o600, 5))
    home.refused(errno.EACCES, lambda: admit.xattrs(home.ns, BOB, "/d/f"))
    assert admit.xattrs(home.ns, BOB, "/d") == {}


def test_names_and_values_have_rules(home) -> None:
    for name, number in (
        ("user", errno.EINVAL),
        ("user.", errno.EINVAL),
        ("user.a\0", errno.EINVAL),
        ("trusted.a", errno.ENOTSUP),
        ("security.selinux", errno.ENOTSUP),
        ("user." + "x" * 250, errno.ERANGE),
    ):
        home.refused(number, lambda name=name: _set(home, ROOT, name))
    home.refused(errno.E2BIG, lambda: _set(home, ROOT, "user.a", bytes(65537)))
    op = admit.set_xattr(home.ns, ROOT, "/d/l", "user.a", b"", 5)
    home.apply(op)
    assert home.at("/d/f").xattrs == {"user.a": b""}


def test_system_attributes_are_for_administrators(home) -> None:
    home.refused(errno.EPERM, lambda: _set(home, ALICE, "sys.acl", b"u:2:r", "/d"))
    _set(home, ROOT, "sys.acl", b"u:1:rwxA,u:2:rX", "/d")
    _set(home, ALICE, "sys.acl", b"u:1:rwx", "/d")
    home.refused(errno.EPERM, lambda: _set(home, ALICE, "sys.mask", b"770", "/d"))
    home.refused(errno.EPERM, lambda: admit.remove_xattr(home.ns, ALICE, "/d", "sys.acl", 5))


def test_what_could_not_be_honoured_is_refused(home) -> None:
    for name, value in (
        ("sys.acl", b"u:1:z"),
        ("sys.acl", b"\xff"),
        ("user.acl", b"nonsense"),
        ("sys.mask", b"9"),
        ("sys.forced.nstripes", b"many"),
    ):
        home.refused(
            errno.EINVAL, lambda name=name, value=value: _set(home, ROOT, name, value, "/d")
        )


def test_user_acl_is_the_owners(home) -> None:
    _set(home, ALICE, "user.acl", b"u:2:rwx", "/d")
    home.xattr("/d", "sys.eval.useracl", b"1")
    _set(home, BOB, "user.note", b"I may write", "/d")
    home.refused(errno.EPERM, lambda: _set(home, BOB, "user.acl", b"z:rwx", "/d"))


def test_create_and_replace_are_in_the_op(home) -> None:
    op = admit.set_xattr(home.ns, ALICE, "/d/f", "user.a", b"", 5, replace=True)
    home.refused(errno.ENODATA, lambda: home.apply(op))
    op = admit.set_xattr(home.ns, ALICE, "/d/f", "user.a", b"", 5, create=True)
    home.apply(op)
    home.refused(errno.EEXIST, lambda: home.apply(op))
