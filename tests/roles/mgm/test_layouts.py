"""Space, layout and size limits of a new file."""

import errno
from collections.abc import Mapping

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.layouts import (
    ChecksumKind,
    LayoutKind,
    checksum_kind_of,
    layout_kind_of,
    replica_count_of,
)
from thesan.core.namespace.inode import new_directory
from thesan.core.placement.records import SpaceRecord
from thesan.roles.mgm.layouts import NewFile, new_file


class View:
    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = dict(settings)

    def spaces(self) -> dict[str, SpaceRecord]:
        return {"default": SpaceRecord(settings=self._settings)}


def new(settings: Mapping[str, str] = {}, xattrs: Mapping[str, str] = {}, size: int = 0) -> NewFile:
    directory = new_directory(2, 1, "d", 0o755, 0, 0, 0)
    directory.xattrs = {key: value.encode() for key, value in xattrs.items()} or None
    return new_file(View(settings), directory, size)


def kind_and_count(found: NewFile) -> tuple[LayoutKind, int]:
    assert found.replica_count == replica_count_of(found.layout)
    return layout_kind_of(found.layout), found.replica_count


def test_one_plain_copy_where_nobody_says_anything() -> None:
    found = new()
    assert kind_and_count(found) == (LayoutKind.PLAIN, 1)
    assert (found.space, found.booking_bytes) == ("default", 0)
    assert checksum_kind_of(found.layout) is ChecksumKind.ADLER


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"policy.nstripes": "3"}, (LayoutKind.REPLICA, 3)),
        ({"policy.nstripes": "1"}, (LayoutKind.PLAIN, 1)),
        ({"policy.layout": "replica"}, (LayoutKind.REPLICA, 2)),
        ({"policy.layout": "replica", "policy.nstripes": "1"}, (LayoutKind.REPLICA, 1)),
        ({"policy.layout": "plain", "policy.nstripes": "3"}, (LayoutKind.PLAIN, 1)),
        ({"policy.nstripes": "many"}, (LayoutKind.PLAIN, 1)),
        ({"policy.nstripes": "9999"}, (LayoutKind.PLAIN, 1)),
        ({"policy.layout": "raid"}, (LayoutKind.PLAIN, 1)),
    ],
)
def test_the_space_says(settings: Mapping[str, str], expected: tuple[LayoutKind, int]) -> None:
    assert kind_and_count(new(settings)) == expected


def test_the_directory_is_stronger() -> None:
    found = new(
        {"policy.nstripes": "3"},
        {
            "sys.forced.layout": "replica",
            "sys.forced.nstripes": "2",
            "user.forced.nstripes": "4",
            "sys.forced.space": "archive",
            "sys.forced.checksum": "crc32c",
            "sys.forced.bookingsize": "5G",
        },
    )
    assert kind_and_count(found) == (LayoutKind.REPLICA, 2)
    assert (found.space, found.booking_bytes) == ("archive", 5 * 10**9)
    assert checksum_kind_of(found.layout) is ChecksumKind.CRC32C
    assert found.group == ""
    assert new({}, {"sys.forced.group": "default.3"}).group == "default.3"
    assert new({}, {"sys.forced.group": "3"}).group == "default.3"
    assert new({}, {"sys.forced.bookingsize": "5G"}, size=7).booking_bytes == 7


@pytest.mark.parametrize(("size", "number"), [(101, errno.EFBIG), (9, errno.EINVAL), (50, 0)])
def test_sizes_that_the_directory_forbids(size: int, number: int) -> None:
    xattrs = {"sys.forced.maxsize": "100", "sys.forced.minsize": "10"}
    if not number:
        assert new({}, xattrs, size).booking_bytes == size
        return
    with pytest.raises(OperationError) as caught:
        new({}, xattrs, size)
    assert caught.value.errno == number
