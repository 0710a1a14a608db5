"""Bytes to text and back."""

import pytest

from thesan.core.model.units import GIB, human_count, parse_byte_count


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.50 kB"),
        (12_500_000_000, "12.50 GB"),
        (-2000, "-2.00 kB"),
    ],
)
def test_human(count: int, text: str) -> None:
    assert human_count(count) == text
    assert human_count(5, "") == "5"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        ("64Ki", 65536),
        ("10G", 10**10),
        ("1.5T", 1_500_000_000_000),
        ("1 GiB", GIB),
    ],
)
def test_parse(text: str, count: int) -> None:
    assert parse_byte_count(text.replace(" ", "")) == count


@pytest.mark.parametrize("text", ["", "x", "-1", "1Q", "G", "1.2.3", "1e5"])
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="byte count"):
        parse_byte_count(text)
