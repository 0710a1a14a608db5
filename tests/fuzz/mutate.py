"""Mutations: deterministic damage to a corpus of good inputs. All randomness is the caller's."""

from collections.abc import Callable, Sequence
from random import Random

_INTERESTING = (
    b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"?", b"&", b"=", b"/", b" ", b"\n", b".",
    b"\0\0", b"\0\1", b"\x7f\xff", b"\x80\0", b"\xff\xff", b"\x0b\xb8", b"\x0f\xa0", b"..",
    b"\0\0\0\0", b"\0\0\0\1", b"\0\0\x10\0", b"\0\1\0\0", b"\0\x10\0\0", b"\0\x10\0\1",
    b"\4\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\xfe",
    b"\x7f" + b"\xff" * 7, b"\x80" + b"\0" * 7, b"\xff" * 8, b"\0" * 8,
    b"\xdd\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"\xdf\0\1\0\0",
)  # fmt: skip
"""Values at borders: zero, signs, limits, protocol numbers, msgpack lengths."""
_INPUT_BYTES_MAX = 256 * 1024


def _flip(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.getrandbits(3)


def _set(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> None:
    value = rng.choice(_INTERESTING)
    at = rng.randrange(len(data) + 1)
    data[at : at + len(value)] = value


def _set_aligned(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> None:
    """Fields sit at multiples of four: hit them more often than chance would."""
    value = rng.choice(_INTERESTING)
    at = rng.randrange(len(data) // 4 + 1) * 4
    data[at : at + len(value)] = value


def _insert(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.randrange(1, 16))


def _delete(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    del data[at : at + rng.randrange(1, 16)]


def _repeat(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    part = data[at : at + rng.randrange(1, 64)]
    data[at:at] = part * rng.randrange(1, 8)


def _cut(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _join(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> None:
    data += rng.choice(corpus)


def _splice(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> None:
    other = rng.choice(corpus)
    at = rng.randrange(len(data) + 1)
    start = rng.randrange(len(other) + 1)
    data[at:] = other[start:]


def _noise(data: bytearray, rng: Random, corpus: Sequence[bytes]) -> None:
    data[:] = rng.randbytes(rng.randrange(64))


_Mutation = Callable[[bytearray, Random, Sequence[bytes]], None]
_MUTATIONS: tuple[_Mutation, ...] = (
    (_flip, _set, _set_aligned, _set_aligned, _insert, _delete, _repeat, _cut, _join, _splice) * 3
    + (_noise,)
)  # fmt: skip


def mutate(rng: Random, corpus: Sequence[bytes]) -> bytes:
    """One damaged input; one in sixteen is left whole, so that good ways are walked too."""
    data = bytearray(rng.choice(corpus))
    if rng.getrandbits(4) == 0:
        return bytes(data)
    for _ in range(1 + (rng.getrandbits(3) & rng.getrandbits(3))):
        rng.choice(_MUTATIONS)(data, rng, corpus)
    return bytes(data[:_INPUT_BYTES_MAX])
