"""Checksums while writing: right when valid, and known to be invalid otherwise."""

from google_crc32c import value as crc32c
from hypothesis import given
from hypothesis import strategies as st
from zlib_ng.zlib_ng import adler32

from thesan.roles.fst.sums import RunningSums


def add(sums, model, offset, data):
    """As an upload does."""
    if sums.continues(offset):
        whole = bytes(model[:offset]) + data
        sums.advance(len(data), (adler32(whole), crc32c(whole)))
    else:
        sums.spoil()
    model.extend(bytes(max(0, offset + len(data) - len(model))))
    model[offset : offset + len(data)] = data


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 20), st.binary(min_size=1, max_size=9)),
            st.tuples(st.just("next"), st.just(0), st.binary(min_size=1, max_size=9)),
            st.tuples(st.just("truncate"), st.integers(0, 20), st.just(b"")),
        ),
        max_size=12,
    )
)
def test_sums_are_right_or_absent(steps):
    sums, model = RunningSums(), bytearray()
    for kind, number, data in steps:
        if kind == "truncate":
            del model[number:]
            model.extend(bytes(number - len(model)))
            sums.truncated(number)
        else:
            add(sums, model, len(model) if kind == "next" else number, data)
        found = sums.of(len(model))
        assert found in (None, (adler32(bytes(model)), crc32c(bytes(model))))


def test_front_to_back_is_valid():
    sums, model = RunningSums(), bytearray()
    for part in (b"one", b"two", b""):
        add(sums, model, len(model), part)
    assert sums.of(6) == (adler32(b"onetwo"), crc32c(b"onetwo"))
    assert sums.of(5) is None


def test_empty_and_restarted():
    assert RunningSums().of(0) == (1, 0)
    assert RunningSums(is_valid=False).of(0) is None
    sums = RunningSums(is_valid=False)
    sums.truncated(0)
    assert sums.of(0) == (1, 0)


def test_a_truncate_to_where_it_is_changes_nothing():
    sums, model = RunningSums(), bytearray()
    add(sums, model, 0, b"abc")
    sums.truncated(3)
    assert sums.of(3) is not None
    sums.truncated(2)
    assert sums.of(2) is None
