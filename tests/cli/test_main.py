"""Global options, errors and exit statuses of the command."""

import errno
import importlib

import pytest

from thesan.cli.context import Context, Output
from thesan.cli.main import COMMANDS, main, run_command
from thesan.core.model.errors import OperationError


def test_every_command_exists() -> None:
    for name, (_, where, _) in COMMANDS.items():
        module, _, function = where.partition(":")
        found = getattr(importlib.import_module(f"thesan.cli.{module}"), function)
        assert callable(found), name


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such"]) == 2
    assert main([]) == 2
    assert main(["--mgm"]) == 2
    assert main(["-r", "1"]) == 2
    assert main(["-r", "a", "b", "ns"]) == 2
    assert "no command 'no-such'" in capsys.readouterr().err


def test_errors_end_with_errc_as_eos_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    def command(context: Context, argv: list[str]) -> int:
        raise OperationError(errno.ENOENT, "no such file: /x")

    assert run_command(command, Context(), []) == errno.ENOENT
    assert capsys.readouterr().err.splitlines() == [
        "error: no such file: /x",
        "(errc=2) (No such file or directory)",
    ]


def test_no_mgm_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THESAN_MGM_URL", raising=False)
    assert main(["ls", "/"]) == errno.EINVAL
    assert "THESAN_MGM_URL" in capsys.readouterr().err


def test_globals_before_and_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Context, list[str]]] = []

    def command(context: Context, argv: list[str]) -> int:
        seen.append((context, argv))
        return 0

    monkeypatch.setattr("thesan.cli.main._load", lambda name: command)
    assert main(["-j", "--mgm", "root://h:1", "-r", "3", "4", "fs", "ls"]) == 0
    assert main(["fs", "ls", "-m", "-N"]) == 0
    assert main(["ls", "--", "-j"]) == 0
    first, second, third = (context for context, _ in seen)
    assert (first.output, first.mgm_url, first.act_as) == (Output.JSON, "root://h:1", (3, 4))
    assert (second.output, second.header) == (Output.MONITOR, False)
    assert third.output is Output.TABLE
    assert [argv for _, argv in seen] == [["ls"], ["ls"], ["--", "-j"]]


def test_interrupt_and_broken_pipe_have_their_statuses() -> None:
    def interrupted(context: Context, argv: list[str]) -> int:
        raise KeyboardInterrupt

    assert run_command(interrupted, Context(), []) == 130


def test_acting_as_somebody_else_is_refused_where_it_would_be_ignored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--mgm", "root://nowhere:1", "-r", "5", "5", "rm", "/x"]) == 2
    assert "-r does not work for rm" in capsys.readouterr().err
