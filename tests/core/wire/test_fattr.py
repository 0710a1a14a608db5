"""Attribute vectors, both directions, and the answers of native 5.5.3 byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import WireError, Xrd
from thesan.core.model.limits import FATTR_NAMES_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX
from thesan.core.wire.fattr import (
    FAttrResult,
    build_fattr,
    build_fattr_list,
    decode_fattr,
    encode_fattr,
    parse_fattr,
    parse_fattr_list,
)
from thesan.core.wire.numbers import FAttrCode, FAttrOption
from thesan.core.wire.requests import FAttr

SID = b"\0\7"
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
)
values = st.binary(max_size=60)


@given(st.lists(st.builds(FAttrResult, names, st.integers(0, 65535), values), max_size=16))
def test_answer_with_values_survives(results: list[FAttrResult]) -> None:
    assert parse_fattr(build_fattr(results, values=True), values=True) == results


@given(st.lists(st.builds(FAttrResult, names, st.integers(0, 65535)), max_size=16))
def test_answer_without_values_survives(results: list[FAttrResult]) -> None:
    assert parse_fattr(build_fattr(results)) == results


@given(st.lists(st.tuples(names, values), max_size=20))
def test_list_survives(pairs: list[tuple[str, bytes]]) -> None:
    assert parse_fattr_list(build_fattr_list(pairs, values=True), values=True) == pairs
    assert parse_fattr_list(build_fattr_list(pairs)) == [(name, b"") for name, _ in pairs]


@given(st.binary(max_size=200), st.booleans())
def test_random_answers_raise_wire_errors_only(body: bytes, with_values: bool) -> None:
    for parse in (parse_fattr, parse_fattr_list):
        try:
            parse(body, values=with_values)
        except WireError:
            pass


@given(st.lists(st.builds(FAttrResult, names, st.just(0), values), min_size=1, max_size=4))
def test_every_cut_of_an_answer_is_refused(results: list[FAttrResult]) -> None:
    body = build_fattr(results, values=True)
    for end in range(len(body)):
        with pytest.raises(WireError):
            parse_fattr(body[:end], values=True)


def test_answers_seen_from_native() -> None:
    got = bytes.fromhex("0001 0000") + b"user.a\0" + bytes.fromhex("00000001") + b"1"
    assert parse_fattr(got, values=True) == [FAttrResult("user.a", 0, b"1")]
    mixed = (
        b"\1\3\0\0user.a\0\x0b\xd3user.zz\0\0\0user.b\0"
        b"\0\0\0\0011\0\0\0\0\0\0\0\3xyz"
    )  # fmt: skip
    results = parse_fattr(mixed, values=True)
    assert results == [
        FAttrResult("user.a", 0, b"1"),
        FAttrResult("user.zz", Xrd.ATTR_NOT_FOUND),
        FAttrResult("user.b", 0, b"xyz"),
    ]
    assert build_fattr(results, values=True) == mixed
    listed = b"user.b\0\0\0\0\3xyzuser.a\0\0\0\0\0011"
    assert parse_fattr_list(listed, values=True) == [("user.b", b"xyz"), ("user.a", b"1")]


def request_refused(subcode: int, count: int, body: bytes) -> Xrd:
    params = bytes((0, 0, 0, 1, subcode, count, 0)) + bytes(9)
    with pytest.raises(WireError) as caught:
        decode_fattr(SID, params, body)
    return caught.value.code


def test_requests_refused() -> None:
    one = b"/f\0\0\0user.a\0"
    assert request_refused(4, 1, one) is Xrd.ARG_INVALID
    assert request_refused(FAttrCode.GET, 0, one) is Xrd.ARG_INVALID
    assert request_refused(FAttrCode.GET, FATTR_NAMES_MAX + 1, one) is Xrd.ARG_INVALID
    assert request_refused(FAttrCode.GET, 2, one) is Xrd.ARG_INVALID
    assert request_refused(FAttrCode.GET, 1, b"/f\0\0\0\0") is Xrd.ARG_MISSING
    assert request_refused(FAttrCode.GET, 1, b"/f") is Xrd.ARG_INVALID
    assert request_refused(FAttrCode.GET, 1, b"/f\0\0\0\xff\0") is Xrd.ARG_INVALID
    long = b"/f\0\0\0" + b"a" * (XATTR_NAME_BYTES_MAX + 1) + b"\0"
    assert request_refused(FAttrCode.GET, 1, long) is Xrd.ARG_TOO_LONG
    assert request_refused(FAttrCode.SET, 1, one) is Xrd.ARG_INVALID
    assert request_refused(FAttrCode.SET, 1, one + b"\0\0\0\2x") is Xrd.ARG_INVALID
    assert request_refused(FAttrCode.SET, 1, one + b"\xff\xff\xff\xff") is Xrd.ARG_INVALID
    size = (XATTR_VALUE_BYTES_MAX + 1).to_bytes(4, "big")
    assert request_refused(FAttrCode.SET, 1, one + size) is Xrd.ARG_TOO_LONG


def test_by_handle_and_list() -> None:
    request = FAttr(SID, FAttrCode.LIST, fh=9, options=FAttrOption.WITH_DATA)
    assert decode_fattr(SID, *encode_fattr(request)) == request
    empty = FAttr(SID, FAttrCode.LIST, fh=9)
    assert decode_fattr(SID, encode_fattr(empty)[0], b"") == empty
    cgi = FAttr(SID, FAttrCode.GET, "/f", "tried=x", 0, 0, ["a"])
    assert decode_fattr(SID, *encode_fattr(cgi)) == cgi
