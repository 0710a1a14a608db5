"""Each permission question, asked by owner, group, others and root."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ADM_GID, ADM_UID, ROOT, Identity
from thesan.core.namespace import access
from thesan.core.namespace.inode import S_IFREG, Directory, Inode, new_directory, new_inode

OWNER = Identity(9, 9, (9,), "owner", "unix")
ALICE = Identity(1, 1, (1,), "alice", "unix")


def _directory(mode: int = 0o755, **xattrs: bytes) -> Directory:
    directory = new_directory(5, 1, "d", mode, 9, 9, 0)
    directory.xattrs = {name.replace("_", "."): value for name, value in xattrs.items()} or None
    directory.set_open()
    return directory


def _file(mode: int = 0o644, uid: int = 9) -> Inode:
    return new_inode(S_IFREG | mode, 5, "f", uid, 9, 1, 0, 0, 0, 0, 0, 0, (), fid=6)


def _asks(number: int, call, *args: object) -> None:
    """errno `number`, or no refusal when 0."""
    try:
        call(*args)
    except OperationError as error:
        found = error.errno
    else:
        found = 0
    assert errno.errorcode.get(found, "passed") == errno.errorcode.get(number, "passed")


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_search_and_list(mode: int) -> None:
    directory = _directory(mode)
    for who in (ROOT, OWNER):
        _asks(0, access.check_search, directory, who)
        _asks(0, access.check_list, directory, who)
    wanted = 0 if mode == 0o755 else errno.EACCES
    _asks(wanted, access.check_search, directory, ALICE)
    _asks(wanted, access.check_list, directory, ALICE)


def test_create() -> None:
    _asks(errno.EACCES, access.check_create, _directory(), ALICE)
    _asks(0, access.check_create, _directory(), OWNER)
    _asks(errno.EACCES, access.check_create, _directory(0o602), ALICE)
    _asks(0, access.check_create, _directory(0o703), ALICE)
    _asks(0, access.check_create, _directory(sys_acl=b"u:1:wo"), ALICE)
    _asks(errno.EACCES, access.check_create, _directory(0o777, sys_acl=b"u:1:!w"), ALICE)
    immutable = _directory(0o777, sys_acl=b"z:i")
    _asks(errno.EPERM, access.check_create, immutable, ALICE)
    _asks(0, access.check_create, immutable, ROOT)


def test_remove() -> None:
    mine, other = _file(uid=1), _file(uid=9)
    _asks(errno.EACCES, access.check_remove, _directory(), mine, ALICE)
    _asks(0, access.check_remove, _directory(0o777), other, ALICE)
    _asks(errno.EPERM, access.check_remove, _directory(0o1777), other, ALICE)
    _asks(0, access.check_remove, _directory(0o1777), mine, ALICE)
    _asks(0, access.check_remove, _directory(0o1777), mine, OWNER)
    _asks(errno.EPERM, access.check_remove, _directory(0o777, sys_acl=b"u:1:rwx!d"), mine, ALICE)
    _asks(0, access.check_remove, _directory(sys_acl=b"z:!d,u:1:rwx+d"), mine, ALICE)
    _asks(errno.EACCES, access.check_remove, _directory(sys_acl=b"u:1:rwox"), mine, ALICE)
    _asks(errno.EACCES, access.check_remove, _directory(0o777, sys_acl=b"u:1:!w"), mine, ALICE)
    _asks(errno.EPERM, access.check_remove, _directory(0o777, sys_acl=b"z:i"), mine, ALICE)
    _asks(0, access.check_remove, _directory(0o1700, sys_acl=b"z:i!d"), other, ROOT)


def test_read_and_write() -> None:
    directory = _directory()
    _asks(0, access.check_read, directory, _file(0o644), ALICE)
    _asks(errno.EACCES, access.check_read, directory, _file(0o640), ALICE)
    _asks(0, access.check_read, _directory(sys_acl=b"u:1:r"), _file(0o600), ALICE)
    _asks(errno.EACCES, access.check_write, directory, _file(0o644), ALICE)
    _asks(0, access.check_write, directory, _file(0o666), ALICE)
    _asks(errno.EPERM, access.check_write, _directory(sys_acl=b"z:!u"), _file(0o666), ALICE)
    _asks(errno.EPERM, access.check_write, _directory(sys_acl=b"z:i"), _file(0o666), ALICE)
    _asks(0, access.check_write, _directory(sys_acl=b"z:i!u"), _file(0o600), ROOT)
    _asks(0, access.check_write, directory, directory, OWNER)
    _asks(errno.EACCES, access.check_write, directory, directory, ALICE)


def test_chmod() -> None:
    directory, file = _directory(), _file()
    _asks(0, access.check_chmod, directory, file, OWNER)
    _asks(errno.EPERM, access.check_chmod, directory, file, ALICE)
    _asks(0, access.check_chmod, _directory(sys_acl=b"u:1:m"), file, ALICE)
    denied = _directory(sys_acl=b"z:!m")
    _asks(errno.EPERM, access.check_chmod, denied, denied, OWNER)
    _asks(0, access.check_chmod, denied, denied, ROOT)


def test_chown() -> None:
    file = _file()
    _asks(0, access.check_chown, file, ROOT, 5, 5)
    _asks(errno.EPERM, access.check_chown, file, OWNER, 5, None)
    _asks(0, access.check_chown, file, OWNER, 9, 9)
    _asks(0, access.check_chown, file, Identity(9, 9, (9, 7)), None, 7)
    _asks(errno.EPERM, access.check_chown, file, OWNER, None, 7)
    _asks(errno.EPERM, access.check_chown, file, ALICE, None, 1)
    _asks(0, access.check_chown, _directory(sys_acl=b"u:1:c"), ALICE, 5, 5)
    _asks(errno.EPERM, access.check_chown, _directory(user_acl=b"u:1:c"), ALICE, 5, 5)


def test_owner() -> None:
    _asks(0, access.check_owner, _file(), OWNER, "x")
    _asks(0, access.check_owner, _file(), ROOT, "x")
    _asks(errno.EPERM, access.check_owner, _file(), ALICE, "x")


def test_system_attributes() -> None:
    directory = _directory()
    admin = Identity(ADM_UID, 5, (5,))
    for who in (ROOT, admin, Identity(7, 7, (7, ADM_GID)), Identity(7, 7, (7,), sudoer=True)):
        _asks(0, access.check_sys_xattr, directory, who, "sys.acl")
    _asks(errno.EPERM, access.check_sys_xattr, directory, OWNER, "sys.acl")
    grants = _directory(sys_acl=b"u:1:A,u:9:X")
    _asks(0, access.check_sys_xattr, grants, ALICE, "sys.acl")
    _asks(errno.EPERM, access.check_sys_xattr, grants, ALICE, "sys.mask")
    _asks(0, access.check_sys_xattr, grants, OWNER, "sys.mask")
    _asks(errno.EPERM, access.check_sys_xattr, grants, OWNER, "sys.acl")


def test_acting_as_the_owner() -> None:
    assert access.acting(_directory(), ALICE) == (ALICE, False)
    assert access.acting(_directory(sys_owner_auth=b"*"), ALICE) == (ALICE, True)
    listed = _directory(sys_owner_auth=b"krb5:x|unix:alice,host:y")
    actor, owned = access.acting(listed, ALICE)
    assert (actor.uid, actor.gid, actor.gids, actor.name, owned) == (9, 9, (9,), "alice", False)
    other = Identity(1, 1, (1,), "alice", "host")
    assert access.acting(listed, other) == (other, False)
    assert access.acting(listed, ROOT) == (ROOT, False)
