"""Settings refuse what can't work."""

import pytest

from thesan.core.model.errors import ConfigError
from thesan.roles.client.config import ClientConfig


def test_defaults_are_good():
    config = ClientConfig()
    assert config.chunk_bytes % 4096 == 0
    assert config.page_checksums


@pytest.mark.parametrize(
    "settings",
    [
        {"patience_seconds": 0},
        {"dial_seconds_max": -1.0},
        {"silence_seconds_max": 0},
        {"chunk_bytes": 5000},
        {"chunk_bytes": 1 << 30},
        {"chunks_in_flight": 0},
        {"chunks_in_flight": 65},
    ],
)
def test_each_fault_is_named(settings):
    (name,) = settings
    with pytest.raises(ConfigError, match=name):
        ClientConfig(**settings)


def test_all_faults_at_once():
    with pytest.raises(ConfigError, match=r"patience_seconds.*chunks_in_flight"):
        ClientConfig(patience_seconds=0, chunks_in_flight=0)
