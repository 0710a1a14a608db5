"""The only unit conversions: bytes to text for people, nanoseconds to seconds."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
TIB: Final = 1024 * GIB

NS_PER_S: Final = 1_000_000_000

_SUFFIXES: Final = (("P", 10**15), ("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))
_FACTORS: Final = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "p": 10**15,
    "ki": KIB,
    "mi": MIB,
    "gi": GIB,
    "ti": TIB,
}


def human_count(count: int, unit: str = "B") -> str:
    """Render a count the way EOS tables do: decimal suffix, two decimals (`1.50 GB`)."""
    for suffix, factor in _SUFFIXES:
        if abs(count) >= factor:
            return f"{count / factor:.2f} {suffix}{unit}"
    return f"{count} {unit}".rstrip()


def parse_byte_count(text: str) -> int:
    """Parse `10G`, `64Ki`, `1.5T`, `4096` into bytes. Raises ValueError on anything else."""
    body = text.strip().rstrip("bB").lower()
    digits = body.rstrip("kmgtpi")
    suffix = body[len(digits) :]
    if suffix not in _FACTORS or not digits or not digits.replace(".", "", 1).isdigit():
        raise ValueError(f"not a byte count: {text!r} (write for instance 4096, 64Ki, 10G)")
    return int(float(digits) * _FACTORS[suffix])
