"""What a command learns from the global options."""

import asyncio
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


def test_a_silent_mgm_is_told_of(
    unused_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("thesan.cli.context.SILENCE_SECONDS", 0.0)

    async def work(fs: object) -> None:
        await asyncio.sleep(0.01)

    Context(mgm_url=f"root://127.0.0.1:{unused_port}").with_filesystem(work)
    assert "no MGM answers at root://127.0.0.1" in capsys.readouterr().err
