"""Records of inodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import StoreError
from thesan.core.namespace.inode import (
    S_IFLNK,
    S_IFREG,
    Directory,
    Inode,
    Symlink,
    decode_record,
    decode_xattrs,
    encode_record,
    encode_xattrs,
    new_directory,
    new_inode,
    pack_checksums,
    share_int,
    share_locations,
)

_numbers = st.integers(0, 2**63 - 1)
_sums = st.none() | st.integers(0, 2**32 - 1)
_inodes = st.builds(
    Inode,
    mode=st.sampled_from([0o100644, 0o104755]),
    parent=_numbers,
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    uid=st.integers(0, 2**32),
    gid=st.integers(0, 2**32),
    nlink=st.integers(1, 65000),
    size=_numbers,
    mtime_ns=st.integers(-(2**62), 2**62),
    ctime_ns=_numbers,
    birth_ns=_numbers,
    flags=st.integers(0, 3),
    layout=st.integers(0, 2**32),
    locations=st.lists(st.integers(1, 65534), max_size=4).map(tuple),
    body=st.builds(pack_checksums, _sums, _sums),
    fid=_numbers,
)


@given(_sums, _sums)
def test_checksums_are_known_one_by_one(adler32: int | None, crc32c: int | None) -> None:
    inode = new_inode(S_IFREG, 1, "f", 0, 0, 1, 0, 0, 0, 0, 0, 0, (), adler32, crc32c)
    assert (inode.adler32, inode.crc32c, inode.target) == (adler32, crc32c, None)


def test_what_is_no_checksum_is_unknown() -> None:
    assert pack_checksums(-1, 1 << 32) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9))
def test_a_symbolic_link_has_a_target(target: str) -> None:
    link = new_inode(S_IFLNK | 0o777, 1, "l", 0, 0, 1, 3, 0, 0, 0, 0, 0, (), target=target, fid=9)
    again = decode_record(9, encode_record(link))
    assert isinstance(again, Symlink)
    assert again.target == target
    assert (again.adler32, again.crc32c) == (None, None)


@given(_inodes)
def test_round_trip(inode: Inode) -> None:
    record = encode_record(inode)
    again = decode_record(inode.fid, record)
    assert again == inode
    assert type(again) is Inode
    assert encode_record(again) == record


def test_a_directory_comes_back_as_one() -> None:
    directory = new_directory(7, 1, "d", 0o2775, 10, 20, 5)
    again = decode_record(7, encode_record(directory))
    assert isinstance(again, Directory)
    assert (again.fid, again.mode, again.nlink, again.size) == (7, 0o042775, 2, 0)
    assert again.children == {}
    assert again.is_dir
    assert not again.is_file
    assert not again.is_symlink


def test_what_lives_in_memory_only_is_not_in_the_record() -> None:
    inode = decode_record(5, encode_record(new_directory(5, 1, "d", 0o755, 0, 0, 0)))
    before = encode_record(inode)
    inode.seq, inode.text = 9, b"text"
    assert encode_record(inode) == before


@pytest.mark.parametrize("record", [b"", b"\xc1", b"\x90", b"\x93\x01\x02\x03", b"plain text"])
def test_damaged_records_are_told(record: bytes) -> None:
    with pytest.raises(StoreError):
        decode_record(5, record)
    with pytest.raises(StoreError):
        decode_xattrs(5, record)


def test_attributes_are_the_same_bytes_in_any_order() -> None:
    one = encode_xattrs({"user.a": b"1", "sys.b": b"2"})
    two = encode_xattrs({"sys.b": b"2", "user.a": b"1"})
    assert one == two
    assert decode_xattrs(1, one) == {"user.a": b"1", "sys.b": b"2"}


def test_open_x_needs_every_x_bit_and_no_acl() -> None:
    directory = new_directory(7, 1, "d", 0o755, 10, 20, 5)
    assert directory.open_x
    for mode, xattrs, wanted in (
        (0o040701, None, False),
        (0o040711, None, True),
        (0o040755, {"user.note": b""}, True),
        (0o040755, {"sys.acl": b"u:1:!x"}, False),
    ):
        directory.mode, directory.xattrs = mode, xattrs
        directory.set_open()
        assert directory.open_x == wanted


def test_common_values_are_one_object() -> None:
    assert share_int(int("123456")) is share_int(int("123456"))
    assert share_locations(tuple(range(3))) is share_locations(tuple(range(3)))
