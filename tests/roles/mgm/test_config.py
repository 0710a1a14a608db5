"""Settings of an MGM: defaults, and all faults at once."""

import pytest

from thesan.core.model.errors import ConfigError
from thesan.roles.mgm.config import MgmConfig, parse_settings


def test_the_defaults_need_only_a_keytab() -> None:
    config = parse_settings({"keytab": "0 k:aa"})
    assert config == MgmConfig(keytab="0 k:aa")
    assert "aa" not in repr(config)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(
            {
                "port": "1094",
                "colour": "red",
                "security": ["unix", "gsi"],
                "advertise": "here",
                "mgms": ["a:1", "b"],
                "instance": "",
            }
        )
    text = str(caught.value)
    for fault in (
        "port: '1094'",
        "colour: no such",
        "'gsi'",
        "'here'",
        "'b'",
        "instance",
        "keytab",
    ):
        assert fault in text


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(ConfigError, match="port"):
        MgmConfig(keytab="x", port=port)
