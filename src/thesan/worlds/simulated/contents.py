"""Contents of files that name themselves: a reader knows what it reads without asking anybody."""

import random
from typing import Final

_HEAD_END: Final = b"\n"
SIZES: Final = (0, 1, 100, 4095, 4096, 4097, 20_000, 65_536, 150_001)
"""Around the page and slice borders, and nothing that takes a simulation long."""


def content_of(value: str) -> bytes:
    """The bytes of a value; `value` ends with its size: `client1.7.4096`."""
    size = int(value.rpartition(".")[2])
    dice = random.Random(value)
    head = value.encode() + _HEAD_END
    return (head + dice.randbytes(max(0, size - len(head))))[:size]


def value_of(data: bytes) -> str:
    """The value whose bytes these are; text that begins with `?` when they are nobody's.

    Contents shorter than their head are told by their size only.
    """
    head, end, _ = data[:64].partition(_HEAD_END)
    if not end:
        return f"?{len(data)} bytes {data[:24]!r}"
    value = head.decode("ascii", errors="replace")
    if not value.rpartition(".")[2].isdigit() or content_of(value) != data:
        return f"?{len(data)} bytes that begin as {value}"
    return value
