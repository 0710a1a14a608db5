"""Raw deflate, without zlib's header and trailer: the crc is the caller's, over packed bytes."""

from typing import Final

from zlib_ng import zlib_ng

from thesan.core.model.errors import Corrupt

_LEVEL: Final = 1
_RAW: Final = -15
"""zlib's window argument for a stream without header and trailer."""
_ERROR: Final[type[Exception]] = zlib_ng.error  # type: ignore[assignment] # wrong stub


def deflate(plain: bytes) -> bytes:
    """The packed bytes; perhaps more of them than before."""
    packed: bytes = zlib_ng.compress(plain, _LEVEL, _RAW)
    return packed


def inflate(payload: bytes, plain_bytes: int, where: str) -> bytes:
    """The plain bytes, one more than `plain_bytes` at most: the caller compares the length.

    Raises Corrupt with `where` for what is no deflate stream, or does not end with the payload.
    """
    stream = zlib_ng.decompressobj(_RAW)
    try:
        # One byte of room more than claimed: the stream's end is read, and a longer one is seen.
        plain: bytes = stream.decompress(payload, plain_bytes + 1)
    except _ERROR as error:
        raise Corrupt(f"{where} can't be inflated: {error}") from error
    if not stream.eof or stream.unused_data:
        raise Corrupt(f"{where} does not end where it should")
    return plain
