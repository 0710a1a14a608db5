"""The name rules."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX
from thesan.core.model.paths import (
    check_name,
    components,
    join_cgi,
    normalise,
    parent_and_name,
    parse_cgi,
    split_cgi,
)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/a", "/a"),
        ("//a///b/", "/a/b"),
        ("/./a/.", "/a"),
        ("/with blank/ä/漢字", "/with blank/ä/漢字"),
        ("/..a/b..", "/..a/b.."),
        ("/" + "n" * 255, "/" + "n" * 255),
    ],
)
def test_normalise(raw: str, clean: str) -> None:
    assert normalise(raw) == clean
    assert normalise(clean) == clean


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        ("", errno.EINVAL),
        ("a", errno.EINVAL),
        ("/a/../b", errno.EINVAL),
        ("/..", errno.EINVAL),
        ("/a\0b", errno.EINVAL),
        ("/" + "n" * 256, errno.ENAMETOOLONG),
        ("/" + "ä" * 128, errno.ENAMETOOLONG),
        ("/a" * (PATH_DEPTH_MAX + 1), errno.ENAMETOOLONG),
        ("/" + "/".join(["n" * 200] * 21), errno.ENAMETOOLONG),
        ("/" + "\udc80" * 70, errno.EILSEQ),
        ("/caf\udce9", errno.EILSEQ),
    ],
)
def test_refused(raw: str, number: int) -> None:
    with pytest.raises(OperationError) as caught:
        normalise(raw)
    assert caught.value.errno == number


@given(st.text(max_size=300))
def test_what_passes_is_safe(raw: str) -> None:
    try:
        names = components(raw)
    except OperationError:
        return
    assert all(name not in ("", ".", "..") and "/" not in name for name in names)
    assert all("\0" not in name for name in names)
    assert sum(len(name.encode()) + 1 for name in names) <= PATH_BYTES_MAX


def test_names() -> None:
    check_name("n" * NAME_BYTES_MAX)
    for bad in ("", ".", "..", "a/b", "a\0", "a\nb", "n" * 256, "\udce9"):
        with pytest.raises(OperationError):
            check_name(bad)


def test_a_name_with_a_newline_that_is_there_can_be_said() -> None:
    """So that it can be removed or renamed."""
    assert normalise("/a\nb") == "/a\nb"


def test_parent_and_name() -> None:
    assert parent_and_name("/a/b/c") == ("/a/b", "c")
    assert parent_and_name("/a") == ("/", "a")
    with pytest.raises(OperationError) as caught:
        parent_and_name("/")
    assert caught.value.errno == errno.EBUSY


def test_cgi() -> None:
    assert split_cgi("/a?b=c?d") == ("/a", "b=c?d")
    assert split_cgi("/a") == ("/a", "")
    assert parse_cgi("a=1&b=&c&a=2&&d=x=y%20z") == {"a": "1", "b": "", "c": "", "d": "x=y%20z"}


@given(st.text("?%&=abF3251", min_size=1, max_size=20), st.sampled_from(["", "a=b", "tried=h"]))
def test_a_question_mark_in_a_name_survives(name: str, cgi: str) -> None:
    assert split_cgi(join_cgi("/" + name, cgi)) == ("/" + name, cgi)


def test_what_only_looks_quoted_is_left_alone() -> None:
    assert split_cgi("/a%3Fb?x=1") == ("/a%3Fb", "x=1")
    assert split_cgi("/a%3Fb?thesan.quoted=12") == ("/a%3Fb", "thesan.quoted=12")
