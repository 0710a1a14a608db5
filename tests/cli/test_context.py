"""What a command learns from the global options."""

import errno

import pytest

from thesan.cli.context import Context, Output
from thesan.core.model.errors import ConfigError


def test_defaults() -> None:
    context = Context()
    assert context.output is Output.TABLE
    assert context.header
    assert context.act_as is None


def test_url_is_required() -> None:
    with pytest.raises(ConfigError, match="THESAN_MGM_URL") as caught:
        Context().url()
    assert caught.value.exit_status == errno.EINVAL
    assert Context(mgm_url="root://h").url() == "root://h"
