"""Ops survive the journal, and nothing else does."""

import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import Corrupt
from thesan.core.namespace.ops import Op, Unlink, decode_op, encode_op

_VALUES: dict[object, st.SearchStrategy[object]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    str: st.text(max_size=20),
    bytes: st.binary(max_size=20),
    type(None): st.none(),
    tuple[int, ...]: st.lists(st.integers(0, 2**40), max_size=5).map(tuple),
    tuple[tuple[int, int], ...]: st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4
    ).map(tuple),
}


def _value(hint: object) -> st.SearchStrategy[object]:
    if hint in _VALUES:
        return _VALUES[hint]
    return st.one_of([_value(part) for part in typing.get_args(hint)])


def _ops() -> st.SearchStrategy[Op]:
    kinds = typing.get_args(Op)
    return st.one_of(
        [
            st.builds(
                kind,
                **{
                    name: _value(hint)
                    for name, hint in typing.get_type_hints(kind).items()
                    if name in kind.__struct_fields__
                },
            )
            for kind in kinds
        ]
    )


@given(_ops())
def test_round_trip(op: Op) -> None:
    data = encode_op(op)
    assert decode_op(data) == op
    assert encode_op(decode_op(data)) == data


def test_tags_are_never_reused() -> None:
    tags = {kind.__name__: kind.__struct_config__.tag for kind in typing.get_args(Op)}
    assert len(set(tags.values())) == len(tags)
    assert tags["MakeDirectory"] == 1, "a tag once written is for ever"
    assert tags["RememberResult"] == 21


@given(_ops(), st.data())
def test_a_cut_or_longer_op_is_corrupt(op: Op, data: st.DataObject) -> None:
    encoded = encode_op(op)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(Corrupt):
        decode_op(encoded[:cut])
    with pytest.raises(Corrupt):
        decode_op(encoded + b"\0")
    fields = msgspec.msgpack.decode(encoded)
    with pytest.raises(Corrupt):
        decode_op(msgspec.msgpack.encode([*fields, "a field of a later version"]))


def test_an_unknown_op_is_corrupt_not_skipped() -> None:
    with pytest.raises(Corrupt, match="99"):
        decode_op(msgspec.msgpack.encode([99, 1, "x"]))


@given(st.binary(max_size=60))
def test_random_bytes_never_do_anything_else(data: bytes) -> None:
    try:
        op = decode_op(data)
    except Corrupt:
        return
    assert isinstance(op, typing.get_args(Op))


def test_fields_that_were_added_later_may_be_missing() -> None:
    op = Unlink(1, "a", 5, b"id")
    assert decode_op(msgspec.msgpack.encode([5, 1, "a", 5])) == Unlink(1, "a", 5)
    assert decode_op(encode_op(op)) == op
