"""URLs, endpoint lists and CGI merging."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import ENDPOINTS_MAX
from thesan.roles.client.url import (
    Endpoint,
    Url,
    is_url,
    merge_cgi,
    parse_endpoints,
    parse_url,
    set_cgi,
)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("root://a", Url((Endpoint("a", 1094),))),
        ("root://a/", Url((Endpoint("a", 1094),))),
        ("root://a//", Url((Endpoint("a", 1094),), "/")),
        ("root://a:99//x", Url((Endpoint("a", 99),), "/x")),
        ("thesan://a:99/x/y", Url((Endpoint("a", 99),), "/x/y")),
        ("xroot://me@a//x?k=v&l", Url((Endpoint("a", 1094),), "/x", "k=v&l", "me")),
        ("root://a,b:5//x", Url((Endpoint("a", 5), Endpoint("b", 5)), "/x")),
        ("root://a:4,b,c:6//x", Url((Endpoint("a", 4), Endpoint("b", 6), Endpoint("c", 6)), "/x")),
        ("root://[::1]:7//x", Url((Endpoint("::1", 7),), "/x")),
        ("root://[fe80::1],b//x", Url((Endpoint("fe80::1", 1094), Endpoint("b", 1094)), "/x")),
        ("root://a////x//y", Url((Endpoint("a", 1094),), "/x//y")),
    ],
)
def test_parse(text: str, url: Url) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "/local/path",
        "root://",
        "root:///path",
        "root://@a//x",
        "root://a:0//x",
        "root://a:65536//x",
        "root://a:x//x",
        "root://a://x",
        "root://a,,b//x",
        "root://[::1//x",
        "root://[::1]9//x",
        "root://a b//x",
        "root://" + ",".join(["h"] * (ENDPOINTS_MAX + 1)),
    ],
)
def test_refuse(text: str) -> None:
    with pytest.raises(OperationError) as caught:
        parse_url(text)
    assert caught.value.errno == errno.EINVAL


def test_scheme() -> None:
    assert is_url("root://h//x")
    assert is_url("thesan://h")
    assert not is_url("/tmp/root://h")
    assert not is_url("http://h")
    with pytest.raises(OperationError) as caught:
        parse_url("roots://h//x")
    assert caught.value.errno == errno.EPROTONOSUPPORT


hosts = st.from_regex(r"[a-z][a-z0-9.-]{0,20}|[0-9a-f]{1,4}:(:[0-9a-f]{1,4}){1,3}", fullmatch=True)
endpoints = st.builds(Endpoint, hosts, st.integers(1, 65535))


@given(
    st.builds(
        Url,
        st.lists(endpoints, min_size=1, max_size=ENDPOINTS_MAX).map(tuple),
        st.from_regex(r"(/[a-z ]{1,5}){0,4}", fullmatch=True),
        st.sampled_from(["", "a=b", "a=b&c"]),
        st.sampled_from(["", "me"]),
    )
)
def test_text_round_trip(url: Url) -> None:
    if not url.path:
        url = Url(url.endpoints, "", "", url.user)
    assert parse_url(str(url)) == url


@given(st.text(max_size=60))
def test_never_another_error(text: str) -> None:
    try:
        parse_url("root://" + text)
        parse_endpoints(text)
    except OperationError:
        pass


def test_merge_cgi() -> None:
    assert merge_cgi("", "") == ""
    assert merge_cgi("a=1", "") == "a=1"
    assert merge_cgi("", "b=2") == "b=2"
    assert merge_cgi("a=1&cap=old&z", "cap=new&b=2") == "a=1&z&cap=new&b=2"
    assert set_cgi("tried=x&a=1", "tried", "x,y") == "a=1&tried=x,y"
