"""etcd specs: what is read, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import ConfigError
from thesan.worlds.real.etcd.spec import EtcdSpec, parse_spec


def test_what_is_read():
    assert parse_spec("a:1") == EtcdSpec(("a:1",), "/thesan")
    assert parse_spec("a:1,[::1]:2379/") == EtcdSpec(("a:1", "[::1]:2379"), "/thesan")
    assert parse_spec("a:1/x/y/").prefix == "/x/y"
    spec = parse_spec("a:1/i?ca=/c&cert=/d&key=/e&user=u&password_file=/f&quota=8Gi")
    assert (spec.ca, spec.cert, spec.key) == ("/c", "/d", "/e")
    assert (spec.user, spec.password_file, spec.quota_bytes) == ("u", "/f", 8 << 30)
    assert spec.is_secure
    assert not parse_spec("a:1").is_secure
    assert str(spec) == "etcd:a:1/i"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        ":1",
        "a:x",
        "a:0",
        "a:65536",
        "a:1,",
        "a:1,a:1",
        ",".join(f"a:{n}" for n in range(1, 18)),
        "a:1?ca",
        "a:1?colour=red",
        "a:1?ca=/a&ca=/b",
        "a:1?cert=/a&key=/b",
        "a:1?ca=/a&cert=/b",
        "a:1?user=u",
        "a:1?password_file=/f",
        "a:1?quota=much",
    ],
)
def test_what_is_refused(text):
    with pytest.raises(ConfigError):
        parse_spec(text)


@given(st.text(max_size=60))
def test_no_other_error(text):
    try:
        spec = parse_spec(text)
    except ConfigError:
        return
    assert spec.endpoints
    assert spec.prefix.startswith("/")
    assert not spec.prefix.endswith("/")
