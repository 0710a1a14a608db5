"""Forced values of a directory."""

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.layouts import ChecksumKind, LayoutKind
from thesan.core.namespace.inode import new_directory
from thesan.core.namespace.policy import Policy, check_attribute, mask_of, policy_of


def _directory(xattrs: dict[str, bytes] | None):
    directory = new_directory(5, 1, "d", 0o755, 9, 9, 0)
    directory.xattrs = xattrs
    return directory


def test_nothing_is_forced_by_default() -> None:
    assert policy_of(_directory(None)) == Policy()
    assert policy_of(_directory({"user.note": b"x", "sys.forced.iotype": b"direct"})) == Policy()


def test_every_word() -> None:
    values = {
        "sys.forced.space": b"ssd",
        "sys.forced.group": b"default.3",
        "sys.forced.layout": b"replica",
        "sys.forced.nstripes": b"3",
        "sys.forced.checksum": b"crc32c",
        "sys.forced.bookingsize": b"5G",
        "sys.forced.minsize": b"1",
        "sys.forced.maxsize": b"64Ki",
    }
    assert policy_of(_directory(values)) == Policy(
        "ssd", "default.3", LayoutKind.REPLICA, 3, ChecksumKind.CRC32C, 5 * 10**9, 1, 65536
    )
    for name, value in values.items():
        check_attribute(name, value)


def test_sys_beats_user() -> None:
    both = {"user.forced.nstripes": b"2", "sys.forced.nstripes": b"3", "user.forced.space": b"a"}
    assert policy_of(_directory(both)) == Policy(space="a", replica_count=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sys.forced.layout", b"raid9"),
        ("user.forced.nstripes", b"0"),
        ("sys.forced.nstripes", b"17"),
        ("sys.forced.nstripes", b"two"),
        ("sys.forced.checksum", b"md4"),
        ("sys.forced.maxsize", b"much"),
        ("sys.forced.space", b""),
        ("sys.forced.space", b"x" * 256),
        ("sys.mask", b"abc"),
        ("sys.mask", b"7"),
        ("sys.mask", b"\xff\xff\xff"),
    ],
)
def test_what_can_not_be_honoured_is_refused_and_ignored(name: str, value: bytes) -> None:
    with pytest.raises(OperationError):
        check_attribute(name, value)
    assert policy_of(_directory({name: value})) == Policy()
    assert mask_of(_directory({name: value})) == 0o7777


def test_mask() -> None:
    assert mask_of(_directory(None)) == 0o7777
    assert mask_of(_directory({"sys.mask": b"770"})) == 0o770
    assert mask_of(_directory({"sys.mask": b"0750"})) == 0o750
    check_attribute("sys.mask", b"770")
    check_attribute("user.anything", b"\xff")
