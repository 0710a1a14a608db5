"""What a command learns from the global options."""

import asyncio
import contextlib
import errno

import pytest

from thesan.cli.context import Context, Output
from thesan.core.model.errors import ConfigError
from thesan.roles.client.filesystem import Filesystem


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


def test_a_command_that_nobody_answers_says_so_and_why(
    unused_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("thesan.cli.waiting.PATIENCE_SECONDS", 0.05)
    seen = ""

    async def work(fs: Filesystem) -> None:
        nonlocal seen
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10.0):
                asking = asyncio.ensure_future(fs.stat("/"))
                while "trying on" not in seen:
                    await asyncio.sleep(0.01)
                    seen += capsys.readouterr().err
        asking.cancel()

    url = f"root://127.0.0.1:{unused_port}"
    Context(mgm_url=url).with_filesystem(work)
    assert seen.startswith(f"thesan: no MGM answers at {url}, trying on (Ctrl-C ends it): 127.0.0.")
    assert seen.count("\n") == 1
