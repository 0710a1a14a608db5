"""Contents tell which value they are, and notice a single changed byte."""

import pytest

from thesan.worlds.simulated.contents import SIZES, content_of, value_of


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size):
    data = content_of(f"client1.7.{size}")
    assert len(data) == size
    if size > 50:
        assert value_of(data) == f"client1.7.{size}"
    else:
        assert value_of(data).startswith("?")


def test_damage_is_seen():
    data = bytearray(content_of("client1.7.4096"))
    data[4000] ^= 1
    assert value_of(bytes(data)).startswith("?")
    assert value_of(content_of("client1.7.4096")[:-1]).startswith("?")
    assert value_of(b"no number here\n" + bytes(100)).startswith("?")
    assert content_of("a.1.500") != content_of("a.2.500")
