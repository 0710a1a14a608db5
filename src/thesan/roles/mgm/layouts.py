"""Which space and layout a new file gets: what its directory forces, else what its space says.

Precedence as in EOS: `sys.forced.*` of the directory, then `user.forced.*`, then the space's
`policy.*` settings, then one plain copy in the space `default`.
"""

import errno
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.layouts import ChecksumKind, LayoutKind, layout_id
from thesan.core.model.limits import REPLICA_COUNT_MAX
from thesan.core.namespace.inode import Inode
from thesan.core.namespace.policy import Policy, policy_of
from thesan.core.placement.records import SpaceRecord

DEFAULT_SPACE: Final = "default"
_KINDS: Final = {"plain": LayoutKind.PLAIN, "replica": LayoutKind.REPLICA}
_NO_SPACE: Final = SpaceRecord()
_REPLICA_COUNT_DEFAULT: Final = 2
"""Of the layout `replica` without a number, as EOS."""


class NewFile(msgspec.Struct, frozen=True, gc=False):
    """How a new file is to be stored."""

    space: str
    layout: int
    """Layout id."""
    replica_count: int
    booking_bytes: int
    """Bytes to find room for on each filesystem."""
    group: str = ""
    """Full name of the group that must take it (`sys.forced.group`); empty for any."""


class Spaces(Protocol):
    """Where the records of spaces come from: the cluster view, or a cache of it."""

    def spaces(self) -> Mapping[str, SpaceRecord]: ...


def new_file(source: Spaces, directory: Inode, size: int) -> NewFile:
    """For a file in `directory` whose client announced `size` bytes (0: it did not say).

    Raises OperationError: EFBIG or EINVAL for a size that the directory forbids.
    """
    policy = policy_of(directory)
    if size:
        check_size(policy, size)
    space = policy.space or DEFAULT_SPACE
    settings = source.spaces().get(space, _NO_SPACE).settings
    count = policy.replica_count or _count_of(settings)
    kind = policy.layout
    if kind is None:
        name = settings.get("policy.layout", "replica" if count and count > 1 else "plain")
        kind = _KINDS.get(name, LayoutKind.PLAIN)
    if kind is LayoutKind.PLAIN:
        count = 1
    count = count or _REPLICA_COUNT_DEFAULT
    layout = layout_id(kind, count, policy.checksum or ChecksumKind.ADLER)
    group = policy.group or ""
    if group.isdecimal():
        group = f"{space}.{group}"
    return NewFile(space, layout, count, size or policy.booking_bytes or 0, group)


def check_size(policy: Policy, size: int) -> None:
    """Refuse a size outside `forced.minsize` and `forced.maxsize`: EINVAL, EFBIG."""
    if policy.size_max is not None and size > policy.size_max:
        raise OperationError(
            errno.EFBIG, f"files in this directory have at most {policy.size_max} bytes"
        )
    if policy.size_min is not None and size < policy.size_min:
        raise OperationError(
            errno.EINVAL, f"files in this directory have at least {policy.size_min} bytes"
        )


def _count_of(settings: Mapping[str, str]) -> int | None:
    """`policy.nstripes` of a space; what can't be used counts as not set."""
    text = settings.get("policy.nstripes", "")
    if not text.isascii() or not text.isdecimal() or len(text) > 3:
        return None
    count = int(text)
    return count if 1 <= count <= REPLICA_COUNT_MAX else None
