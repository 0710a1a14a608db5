"""What a directory's attributes force on the files placed in it: `sys.forced.*`, `user.forced.*`.

Source: EOS' attribute names. sys beats user; what is not set is None and the space decides.
"""

import errno

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.layouts import EOS_CHECKSUM_NAMES, ChecksumKind, LayoutKind
from thesan.core.model.limits import REPLICA_COUNT_MAX
from thesan.core.model.units import parse_byte_count
from thesan.core.namespace.inode import PERMISSION_BITS, Inode

_LAYOUTS = {"plain": LayoutKind.PLAIN, "replica": LayoutKind.REPLICA}
_CHECKSUMS = {name: kind for kind, name in EOS_CHECKSUM_NAMES.items()} | {
    "adler32": ChecksumKind.ADLER
}


class Policy(msgspec.Struct, frozen=True):
    """Placement wishes of a directory."""

    space: str | None = None
    group: str | None = None
    layout: LayoutKind | None = None
    replica_count: int | None = None
    checksum: ChecksumKind | None = None
    booking_bytes: int | None = None
    """Space to reserve per replica when an upload does not say its size."""
    size_min: int | None = None
    size_max: int | None = None


_NONE = Policy()
_FIELDS = {
    "space": "space",
    "group": "group",
    "layout": "layout",
    "nstripes": "replica_count",
    "checksum": "checksum",
    "bookingsize": "booking_bytes",
    "minsize": "size_min",
    "maxsize": "size_max",
}


def policy_of(directory: Inode) -> Policy:
    """Values that can't be read (set before they were checked) count as absent."""
    xattrs = directory.xattrs
    if xattrs is None:
        return _NONE
    values: dict[str, object] = {}
    for prefix in ("user.forced.", "sys.forced."):
        for word, field in _FIELDS.items():
            raw = xattrs.get(prefix + word)
            if raw is not None:
                try:
                    values[field] = _read(word, raw)
                except OperationError:
                    continue
    return msgspec.structs.replace(_NONE, **values) if values else _NONE


def check_attribute(name: str, value: bytes) -> None:
    """Refuse a forced value or a mask that could not be honoured: EINVAL."""
    prefix, _, word = name.rpartition(".")
    if prefix in ("sys.forced", "user.forced") and word in _FIELDS:
        _read(word, value)
    elif name == "sys.mask":
        _octal(value)


def mask_of(directory: Inode) -> int:
    """`sys.mask`: permission bits that new entries may have; all when not set."""
    value = directory.xattrs.get("sys.mask") if directory.xattrs is not None else None
    if value is None:
        return PERMISSION_BITS
    try:
        return _octal(value)
    except OperationError:
        return PERMISSION_BITS


def _octal(value: bytes) -> int:
    text = value.decode(errors="replace")
    if not 3 <= len(text) <= 4 or set(text) - set("01234567"):
        raise OperationError(errno.EINVAL, f"not an octal mode: {text[:40]!r}")
    return int(text, 8)


def _read(word: str, raw: bytes) -> object:
    text = raw.decode(errors="replace").strip()
    try:
        match word:
            case "layout":
                return _LAYOUTS[text]
            case "checksum":
                return _CHECKSUMS[text]
            case "nstripes":
                return _replica_count(text)
            case "bookingsize" | "minsize" | "maxsize":
                return parse_byte_count(text)
            case _:
                if not text or len(text) > 255:
                    raise ValueError(text)
                return text
    except (ValueError, KeyError) as error:
        raise OperationError(errno.EINVAL, f"forced {word} can't be {text[:40]!r}") from error


def _replica_count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= REPLICA_COUNT_MAX:
        raise ValueError(text)
    return count
