"""Layouts and checksum kinds, with EOS' ids."""

from enum import IntEnum
from typing import Final


class LayoutKind(IntEnum):
    """How a file's bytes are spread; ids of EOS' common/LayoutId.hh."""

    PLAIN = 0
    REPLICA = 1


class ChecksumKind(IntEnum):
    """Checksum ids of EOS' common/LayoutId.hh."""

    NONE = 1
    ADLER = 2
    CRC32C = 6


CHECKSUM_NAMES: Final = {
    ChecksumKind.NONE: "none",
    ChecksumKind.ADLER: "adler32",
    ChecksumKind.CRC32C: "crc32c",
}
"""Names as XRootD's `cks.type` spells them."""

EOS_CHECKSUM_NAMES: Final = {
    ChecksumKind.NONE: "none",
    ChecksumKind.ADLER: "adler",
    ChecksumKind.CRC32C: "crc32c",
}
"""Names as EOS' attributes spell them (`sys.forced.checksum`)."""


def layout_id(kind: LayoutKind, replica_count: int, checksum: ChecksumKind) -> int:
    """Pack EOS' 32-bit layout id: checksum bits 0-3, kind 4-7, count-1 8-15, block 4k at 16-19."""
    return int(checksum) | int(kind) << 4 | (replica_count - 1) << 8


def replica_count_of(layout: int) -> int:
    """Number of replicas in a layout id."""
    return (layout >> 8 & 0xFF) + 1


def layout_kind_of(layout: int) -> LayoutKind:
    """Kind in a layout id. Raises ValueError for a kind that thesan does not have."""
    return LayoutKind(layout >> 4 & 0xF)


def checksum_kind_of(layout: int) -> ChecksumKind:
    """Checksum kind in a layout id. Raises ValueError for an unknown one."""
    return ChecksumKind(layout & 0xF)
