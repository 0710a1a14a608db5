"""Settings of an FST: every fault is said at once."""

import pytest

from thesan.core.model.errors import ConfigError
from thesan.roles.fst.config import (
    FsSetting,
    FstConfig,
    parse_filesystem,
    parse_settings,
)

GOOD = {"mgms": ["mgm:1094"], "keytab": "0 u:daemon"}


def test_settings():
    config = parse_settings(
        {**GOOD, "port": 1, "filesystems": ["/a", "/b:fast"], "partial_seconds": 3}
    )
    assert config.mgms == ("mgm:1094",)
    assert config.filesystems == (FsSetting("/a"), FsSetting("/b", "fast"))
    assert (config.port, config.partial_seconds) == (1, 3)


def test_the_secret_is_not_shown():
    assert "u:daemon" not in repr(parse_settings(GOOD))


def test_every_fault_is_listed():
    with pytest.raises(ConfigError) as caught:
        parse_settings(
            {
                "port": 70000,
                "mgms": ["nowhere"],
                "advertise": "x",
                "nonsense": 1,
                "geotag": 5,
                "filesystems": ["relative", "/a", "/a"],
                "headroom_bytes": -1,
                "partial_seconds": -1,
                "sitename": True,
            }
        )
    for fault in (
        "port: 70000",
        "mgms: 'nowhere'",
        "advertise: 'x'",
        "nonsense: no such setting",
        "geotag: 5",
        "'relative' is not an absolute path",
        "twice",
        "headroom_bytes",
        "partial_seconds",
        "keytab: is empty",
        "sitename",
    ):
        assert fault in str(caught.value)
    with pytest.raises(ConfigError, match="no such setting"):
        parse_settings({**GOOD, "nonsense": 1})
    with pytest.raises(ConfigError, match="list of strings"):
        parse_settings({**GOOD, "mgms": [1]})
    with pytest.raises(ConfigError, match="names no MGM"):
        FstConfig(keytab="x")


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("/a/b", FsSetting("/a/b", "default")),
        ("/a/b:fast", FsSetting("/a/b", "fast")),
        ("/a:b/c", FsSetting("/a:b/c", "default")),
        ("/a:", FsSetting("/a", "default")),
    ],
)
def test_filesystems(text, setting):
    assert parse_filesystem(text) == setting
