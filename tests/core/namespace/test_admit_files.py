"""Requests on content: reads, uploads, updates, quota."""

import errno

import pytest

from thesan.core.model.identity import ROOT, Identity
from thesan.core.namespace import admit
from thesan.core.namespace.ops import CreateFile, QuotaSet, SetAttributes

ALICE = Identity(1, 1, (1, 50), "alice", "unix")
BOB = Identity(2, 2, (2,), "bob", "unix")


@pytest.fixture
def home(instance):
    instance.mkdir("/home", 0o755)
    instance.mkdir("/home/alice", 0o755, 1, 50)
    instance.commit("/home/alice/f", size=100, uid=1, gid=1, mode=0o640)
    return instance


def _upload(home, who: Identity, path: str, booking: int = 0, exclusive: bool = False):
    return admit.upload(home.ns, who, path, 0o4666, booking, 2, exclusive)


def test_a_new_file(home) -> None:
    upload = _upload(home, ALICE, "/home/alice/new")
    assert (upload.parent.name, upload.name, upload.existing) == ("alice", "new", None)
    assert (upload.uid, upload.gid, upload.mode) == (1, 1, 0o666)
    home.refused(errno.EACCES, lambda: _upload(home, BOB, "/home/alice/new"))
    home.refused(errno.ENOENT, lambda: _upload(home, ALICE, "/home/alice/x/new"))
    home.refused(errno.EISDIR, lambda: _upload(home, ALICE, "/home/alice"))


def test_a_directory_hands_down_group_mask_and_owner(home) -> None:
    home.apply(SetAttributes(home.at("/home/alice").fid, 5, mode=0o2777))
    home.xattr("/home/alice", "sys.mask", b"640")
    upload = _upload(home, BOB, "/home/alice/new")
    assert (upload.uid, upload.gid, upload.mode) == (2, 50, 0o640)
    home.xattr("/home/alice", "sys.owner.auth", b"*")
    upload = _upload(home, BOB, "/home/alice/new")
    assert (upload.uid, upload.gid) == (1, 50)


def test_an_existing_file(home) -> None:
    fid = home.at("/home/alice/f").fid
    upload = _upload(home, ALICE, "/home/alice/f")
    assert upload.existing.fid == fid
    assert (upload.uid, upload.gid, upload.mode) == (1, 1, 0o640)
    home.refused(errno.EEXIST, lambda: _upload(home, ALICE, "/home/alice/f", exclusive=True))
    home.refused(errno.EACCES, lambda: _upload(home, BOB, "/home/alice/f"))


def test_write_once(home) -> None:
    home.xattr("/home/alice", "sys.acl", b"u:2:rwox")
    assert _upload(home, BOB, "/home/alice/new").uid == 2
    home.refused(errno.EEXIST, lambda: _upload(home, BOB, "/home/alice/f"))
    assert _upload(home, ALICE, "/home/alice/f").existing is not None


def test_links_are_followed_to_where_the_file_is_or_will_be(home) -> None:
    home.symlink("f", "/home/alice/rel")
    home.symlink("/home/alice/new", "/home/abs")
    home.symlink("../alice/./new2", "/home/alice/up")
    home.symlink("loop", "/home/loop")
    assert _upload(home, ALICE, "/home/alice/rel").existing is home.at("/home/alice/f")
    for path, name in (("/home/abs", "new"), ("/home/alice/up", "new2")):
        upload = _upload(home, ALICE, path)
        assert (upload.parent.name, upload.name) == ("alice", name)
    home.refused(errno.ELOOP, lambda: _upload(home, ALICE, "/home/loop"))


def test_read_and_update(home) -> None:
    fid = home.at("/home/alice/f").fid
    assert admit.read(home.ns, ALICE, "/home/alice/f").fid == fid
    assert admit.update(home.ns, ALICE, "/home/alice/f").fid == fid
    for call in (admit.read, admit.update):
        home.refused(errno.EACCES, lambda call=call: call(home.ns, BOB, "/home/alice/f"))
        home.refused(errno.EISDIR, lambda call=call: call(home.ns, ROOT, "/home"))
        home.refused(errno.ENOENT, lambda call=call: call(home.ns, ROOT, "/home/x"))
    home.xattr("/home/alice", "sys.acl", b"u:2:r")
    assert admit.read(home.ns, BOB, "/home/alice/f").fid == fid
    home.refused(errno.EACCES, lambda: admit.update(home.ns, BOB, "/home/alice/f"))


def test_touch(home) -> None:
    (op,) = admit.touch(home.ns, ALICE, "/home/alice/new", 0o644, 5, home.fid, 0x112)
    assert isinstance(op, CreateFile)
    home.apply(op)
    (op,) = admit.touch(home.ns, ALICE, "/home/alice/new", 0o644, 77, home.fid, 0x112)
    home.apply(op)
    assert home.at("/home/alice/new").mtime_ns == 77
    home.refused(
        errno.EACCES, lambda: admit.touch(home.ns, BOB, "/home/alice/x", 0o644, 5, home.fid, 0)
    )
    home.refused(
        errno.EPERM, lambda: admit.touch(home.ns, BOB, "/home/alice/f", 0o644, 5, home.fid, 0)
    )
    (op,) = admit.touch(home.ns, ALICE, "/home/alice", 0o644, 88, home.fid, 0)
    home.apply(op)
    assert home.at("/home/alice").mtime_ns == 88


def test_quota_is_enforced_for_user_group_and_project(home) -> None:
    node = home.at("/home/alice").fid
    assert _upload(home, ALICE, "/home/alice/new", 10**15).name == "new"
    for kind, number in (("u", 1), ("g", 1), ("p", 0)):
        home.apply(QuotaSet(node, kind, number, 300, None))
        assert _upload(home, ALICE, "/home/alice/new", 50).name == "new"
        home.refused(errno.EDQUOT, lambda: _upload(home, ALICE, "/home/alice/new", 51))
        home.apply(QuotaSet(node, kind, number, None, 1))
        home.refused(errno.EDQUOT, lambda: _upload(home, ALICE, "/home/alice/new", 0))
        assert _upload(home, ALICE, "/home/alice/f", 10**6).existing is not None
        home.refused(
            errno.EDQUOT,
            lambda: admit.touch(home.ns, ALICE, "/home/alice/x", 0o644, 5, home.fid, 0),
        )
        home.apply(QuotaSet(node, kind, number, None, None))
    home.apply(QuotaSet(node, "u", 2, 0, 0))
    assert _upload(home, ALICE, "/home/alice/new", 10**15).name == "new", "another account"


def test_an_overwrite_is_charged_for_what_it_adds(home) -> None:
    home.apply(QuotaSet(home.at("/home/alice").fid, "u", 1, 300, None))
    assert _upload(home, ALICE, "/home/alice/f", 150).existing is not None
    home.refused(errno.EDQUOT, lambda: _upload(home, ALICE, "/home/alice/f", 151))
    assert admit.update(home.ns, ALICE, "/home/alice/f", 50).size == 100
    home.refused(errno.EDQUOT, lambda: admit.update(home.ns, ALICE, "/home/alice/f", 51))
