"""Paths in bodies: NUL and CGI cut off, text and lengths checked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import WireError, Xrd
from thesan.core.model.limits import CGI_BYTES_MAX, PATH_BYTES_MAX, PREPARE_PATHS_MAX
from thesan.core.wire.request_paths import cut_path, cut_paths, cut_text, join_path, refuse


@given(st.binary(max_size=300))
def test_any_bytes_give_a_clean_path_or_wire_error(body: bytes) -> None:
    try:
        path, cgi = cut_path(body)
    except WireError:
        return
    assert path
    assert "?" not in path
    assert "\0" not in path + cgi
    assert join_path(path, cgi).rstrip(b"?") == body.rstrip(b"\0").rstrip(b"?")


@pytest.mark.parametrize(
    ("body", "path", "cgi"),
    [
        (b"/a", "/a", ""),
        (b"/a\0", "/a", ""),
        (b"/a\0\0\0", "/a", ""),
        (b"/a?", "/a", ""),
        (b"/a?b=c?d", "/a", "b=c?d"),
        (b"//x///y/", "//x///y/", ""),
        ("/\u00e9 \u6771".encode(), "/\u00e9 \u6771", ""),
        (b"/" + b"a" * (PATH_BYTES_MAX - 1), "/" + "a" * (PATH_BYTES_MAX - 1), ""),
        (b"/a?" + b"c" * CGI_BYTES_MAX, "/a", "c" * CGI_BYTES_MAX),
    ],
)
def test_forgiven(body: bytes, path: str, cgi: str) -> None:
    assert cut_path(body) == (path, cgi)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", Xrd.ARG_MISSING),
        (b"\0", Xrd.ARG_MISSING),
        (b"?a=b", Xrd.ARG_MISSING),
        (b"/a\0b", Xrd.ARG_INVALID),
        (b"/a?\0b", Xrd.ARG_INVALID),
        (b"/\xc3", Xrd.ARG_INVALID),
        (b"/" + b"a" * PATH_BYTES_MAX, Xrd.ARG_TOO_LONG),
        (("/" + "\u00e9" * (PATH_BYTES_MAX // 2)).encode(), Xrd.ARG_TOO_LONG),
        (b"/a?" + b"c" * (CGI_BYTES_MAX + 1), Xrd.ARG_TOO_LONG),
    ],
)
def test_refused(body: bytes, code: Xrd) -> None:
    with pytest.raises(WireError) as caught:
        cut_path(body)
    assert caught.value.code is code
    assert not caught.value.fatal


def test_lists() -> None:
    assert cut_paths(b"/a\n/b?x=y\n\0") == ["/a", "/b?x=y"]
    assert len(cut_paths(b"/a\n" * PREPARE_PATHS_MAX)) == PREPARE_PATHS_MAX
    for body in (b"/a\n" * (PREPARE_PATHS_MAX + 1), b"/" + b"a" * PATH_BYTES_MAX):
        with pytest.raises(WireError) as caught:
            cut_paths(body)
        assert caught.value.code is Xrd.ARG_TOO_LONG


def test_text_and_refuse() -> None:
    assert cut_text(bytearray(b"abc\0")) == "abc"
    with pytest.raises(WireError, match="no good") as caught:
        refuse("no good")
    assert caught.value.code is Xrd.ARG_INVALID
