"""The prepared HMAC is the standard library's, for every length of key and message."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.authority.mac import MAC_BYTES, Mac


@given(key=st.binary(max_size=200), messages=st.lists(st.binary(max_size=300), max_size=4))
def test_it_is_hmac_sha256(key: bytes, messages: list[bytes]) -> None:
    mac = Mac(key)
    for message in messages:
        assert mac.digest(message) == hmac.digest(key, message, "sha256")


@pytest.mark.parametrize("key_bytes", [0, 1, 63, 64, 65, 128])
def test_the_block_border_of_the_key(key_bytes: int) -> None:
    key = bytes(range(key_bytes))
    code = Mac(key).digest(b"message")
    assert code == hmac.digest(key, b"message", "sha256")
    assert len(code) == MAC_BYTES


def test_a_known_answer() -> None:
    # RFC 4231, test case 2.
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert Mac(b"Jefe").digest(b"what do ya want for nothing?").hex() == expected
