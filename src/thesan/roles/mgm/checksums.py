"""Checksums that the namespace knows, in XRootD's spelling."""

import errno
from typing import Final

from thesan.core.model.errors import OperationError
from thesan.core.model.layouts import CHECKSUM_NAMES, ChecksumKind
from thesan.core.namespace.inode import Inode

SERVED: Final = (ChecksumKind.ADLER, ChecksumKind.CRC32C)
"""Kinds that are computed for every file; the first is the default."""
_OF_NOTHING: Final = {ChecksumKind.ADLER: 1, ChecksumKind.CRC32C: 0}
"""Of zero bytes."""
_KIND_OF: Final = {CHECKSUM_NAMES[kind]: kind for kind in SERVED}


def kind_of(name: str) -> ChecksumKind:
    """The kind that `cks.type` asks for; the default for an empty name. OperationError ENOTSUP."""
    if not name:
        return SERVED[0]
    kind = _KIND_OF.get(name.lower())
    if kind is None:
        raise OperationError(
            errno.ENOTSUP, f"checksum {name[:40]!r} is not served, there are {', '.join(_KIND_OF)}"
        )
    return kind


def checksum_of(inode: Inode, kind: ChecksumKind) -> str | None:
    """Eight hexadecimal digits, or None when only an FST can tell."""
    value = inode.adler32 if kind is ChecksumKind.ADLER else inode.crc32c
    if value is None:
        if inode.size:
            return None
        value = _OF_NOTHING[kind]
    return f"{value:08x}"
