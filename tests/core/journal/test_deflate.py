"""Packed bytes come back; what is damaged, cut or longer than claimed does not pass for good."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.journal.deflate import deflate, inflate
from thesan.core.model.errors import Corrupt

PLAIN = b"the same again and again " * 100


@given(st.binary(max_size=5000))
def test_round_trip(plain) -> None:
    assert inflate(deflate(plain), len(plain), "x") == plain


def test_it_packs() -> None:
    assert len(deflate(PLAIN)) < len(PLAIN) // 10


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff" * 40, deflate(PLAIN)[:-1], deflate(PLAIN) + b"x"],
    ids=["empty", "no stream", "cut", "more behind"],
)
def test_what_is_no_whole_stream_is_corrupt(payload) -> None:
    with pytest.raises(Corrupt, match=r"^the place "):
        inflate(payload, len(PLAIN), "the place")


def test_a_bomb_is_never_unpacked() -> None:
    with pytest.raises(Corrupt):
        inflate(deflate(bytes(1 << 20)), 100, "x")
