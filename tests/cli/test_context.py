"""What a command learns from the global options."""

import errno

import pytest

from thesan.cli.context import Context, Output, user_name
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


def test_user_name_is_never_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_name()
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("no entry")))
    assert user_name().isdigit()
