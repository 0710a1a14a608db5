"""Invitations: sealed, once, and no secret in what others may see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.authority.invitation import (
    SECRET_BYTES,
    TOKEN_PREFIX,
    Invitation,
    JoinRecord,
    decode_join,
    encode_join,
    fingerprint,
    format_token,
    parse_token,
    seal,
    unseal,
)
from thesan.core.model.errors import Corrupt, OperationError
from thesan.core.model.limits import JOIN_BOX_BYTES_MAX

SECRET = bytes(range(SECRET_BYTES))
GUEST = Invitation("demo", "m2:1094", "k:0123456789abcdef", "etcd:e1:2379/demo", ("m1:1094",))


def test_a_box_opens_with_its_secret() -> None:
    box = seal(GUEST, SECRET)
    assert unseal(box, SECRET) == GUEST
    assert b"0123456789abcdef" not in box
    with pytest.raises(OperationError, match="not sealed with this token"):
        unseal(box, SECRET[::-1])


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_bit_of_a_box_can_be_changed(place: int, bits: int) -> None:
    box = bytearray(seal(GUEST, SECRET))
    box[place % len(box)] ^= bits
    with pytest.raises(OperationError):
        unseal(bytes(box), SECRET)


@given(st.binary(max_size=200))
def test_what_is_no_box_is_refused(data: bytes) -> None:
    with pytest.raises(OperationError):
        unseal(data, SECRET)


def test_a_box_is_bounded() -> None:
    with pytest.raises(OperationError, match="too long"):
        seal(Invitation("demo", "m2:1", "k" * JOIN_BOX_BYTES_MAX), SECRET)


def test_a_token_there_and_back() -> None:
    text = format_token(SECRET, "m2:1094", 1234, ("m1:1094", "m3:1094"))
    token = parse_token(f"  {text}\n")
    assert (token.secret, token.address, token.expires_s) == (SECRET, "m2:1094", 1234)
    assert token.mgms == ("m1:1094", "m3:1094")
    assert fingerprint(SECRET) not in text


@given(st.text(max_size=80), st.booleans())
def test_what_is_no_token_is_refused_without_being_shown(text: str, prefixed: bool) -> None:
    whole = TOKEN_PREFIX + text if prefixed else text
    with pytest.raises(OperationError) as caught:
        parse_token(whole)
    assert len(text) < 12 or text not in str(caught.value)


def test_a_cut_token_is_refused() -> None:
    text = format_token(SECRET, "m2:1094", 1234, ("m1:1094",))
    for length in range(len(TOKEN_PREFIX), len(text)):
        with pytest.raises(OperationError):
            parse_token(text[:length])


def test_fingerprints_tell_secrets_apart() -> None:
    assert fingerprint(SECRET) != fingerprint(SECRET[::-1])
    assert len(fingerprint(SECRET)) == 32


def test_records() -> None:
    record = JoinRecord("m2:1094", 99, b"box", "root")
    assert decode_join(encode_join(record)) == record
    with pytest.raises(Corrupt):
        decode_join(b"\xc1")
