"""Checksums that the namespace knows, and their names on the wire."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.layouts import ChecksumKind
from thesan.core.namespace.inode import S_IFREG, Inode, new_inode
from thesan.roles.mgm.checksums import checksum_of, kind_of

ADLER, CRC = ChecksumKind.ADLER, ChecksumKind.CRC32C


def inode(size: int, adler32: int | None, crc32c: int | None) -> Inode:
    return new_inode(S_IFREG, 1, "f", 0, 0, 1, size, 0, 0, 0, 0, 0, (), adler32, crc32c, None)


def test_kinds() -> None:
    assert kind_of("") is ADLER
    assert kind_of("adler32") is kind_of("ADLER32") is ADLER
    assert kind_of("crc32c") is CRC
    with pytest.raises(OperationError) as caught:
        kind_of("md5")
    assert caught.value.errno == errno.ENOTSUP


def test_values() -> None:
    assert checksum_of(inode(5, 0xAB, 0xCD), ADLER) == "000000ab"
    assert checksum_of(inode(5, 0xAB, 0xCD), CRC) == "000000cd"
    assert checksum_of(inode(5, None, None), ADLER) is None
    assert checksum_of(inode(0, None, None), ADLER) == "00000001"
    assert checksum_of(inode(0, None, None), CRC) == "00000000"
