"""Arguments of admin verbs: checked, bounded, none left over."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError
from thesan.roles.mgm.admin.arguments import COUNT_MAX, Arguments, parse_bytes


def test_what_is_typed_and_what_is_text():
    arguments = Arguments(
        {
            "a": "x",
            "b": 7,
            "c": "7",
            "d": "10G",
            "e": 5,
            "f": "on",
            "g": False,
            "h": "1,2",
            "i": [3],
        }
    )
    assert arguments.text("a") == "x"
    assert arguments.number("b") == 7
    assert arguments.number("c") == 7
    assert arguments.byte_count("d") == 10**10
    assert arguments.byte_count("e") == 5
    assert arguments.flag("f") is True
    assert arguments.flag("g", True) is False
    assert arguments.numbers("h") == [1, 2]
    assert arguments.numbers("i") == [3]
    arguments.done()


def test_defaults_and_what_is_missing():
    arguments = Arguments({"none": None})
    assert arguments.text("a", "x") == "x"
    assert arguments.number("a", 3) == 3
    assert arguments.flag("a") is False
    assert arguments.numbers("a") == []
    assert not arguments.has("none")
    with pytest.raises(OperationError, match="'a' is missing"):
        arguments.text("a")
    arguments.done()


def test_what_nobody_took_is_refused():
    arguments = Arguments({"a": 1, "bogus": 2})
    assert arguments.has("a")
    arguments.number("a")
    with pytest.raises(OperationError, match="unknown argument: 'bogus'") as caught:
        arguments.done()
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 1.5),
        ("text", ["x"]),
        ("text", "a\nb"),
        ("text", "x" * 10_000),
        ("text", True),
        ("number", "-1"),
        ("number", -1),
        ("number", "1e3"),
        ("number", "²"),
        ("number", True),
        ("number", 2**63),
        ("number", "9" * 30),
        ("byte_count", "ten"),
        ("byte_count", -5),
        ("byte_count", "99999999999T"),
        ("byte_count", 1.5),
        ("flag", "perhaps"),
        ("flag", 1),
        ("numbers", "1,x"),
        ("numbers", 5),
    ],
)
def test_what_is_of_another_kind(kind, value):
    with pytest.raises(OperationError):
        getattr(Arguments({"a": value}), kind)("a")


def test_choices():
    assert Arguments({"a": "on"}).choice("a", ("on", "off")) == "on"
    with pytest.raises(OperationError, match="a is 'maybe', but may be on, off"):
        Arguments({"a": "maybe"}).choice("a", ("on", "off"))


@given(st.text(max_size=30))
def test_byte_counts_are_bounded(text):
    try:
        count = parse_bytes(text)
    except OperationError as error:
        number = error.errno
    else:
        number = 0
        assert 0 <= count <= COUNT_MAX
    assert number in (0, errno.EINVAL)
