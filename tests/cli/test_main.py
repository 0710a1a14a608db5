"""Global options, errors and exit statuses of the command."""

import errno
import importlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thesan.cli.context import Context, Output
from thesan.cli.main import COMMANDS, _take_globals, main, run_command
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


def test_ctrl_c_while_a_command_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(name: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("thesan.cli.main._load", load)
    assert main(["version"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/a/b"), errno.ENOTDIR,
         "/a/b: Not a directory"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), errno.EIO,
         "Name or service not known"),
        (TimeoutError(), errno.EIO, "TimeoutError"),
    ],
)  # fmt: skip
def test_an_error_of_this_machine_is_a_sentence(
    capsys: pytest.CaptureFixture[str], error: OSError, status: int, text: str
) -> None:
    def command(context: Context, argv: list[str]) -> int:
        raise error

    assert run_command(command, Context(), []) == status
    assert capsys.readouterr().err.splitlines() == [
        f"error: {text}",
        f"(errc={status}) ({os.strerror(status)})",
    ]


def run_into(out: Any, *argv: str) -> subprocess.CompletedProcess[str]:
    """Python as a process: what it says at its exit counts too."""
    # Buffered, as people have it: what is printed fails late.
    environment = {**os.environ, "PYTHONUNBUFFERED": "", "THESAN_MGM_URL": ""}
    return subprocess.run(
        [sys.executable, *argv],
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.parametrize("words", [["help"], ["-h"], ["cp", "--help"], ["version"]])
def test_a_reader_that_went_away_is_no_news(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        done = run_into(out, "-m", "thesan", *words)
    assert (done.returncode, done.stderr) == (errno.EPIPE, "")


@pytest.mark.parametrize("words", [["help"], ["cp", "--help"], ["version"]])
def test_a_full_disk_below_the_output_is_a_sentence(words: list[str]) -> None:
    with Path("/dev/full").open("wb") as out:
        done = run_into(out, "-m", "thesan", *words)
    assert done.returncode == errno.ENOSPC
    assert done.stderr.splitlines() == [
        "error: No space left on device",
        "(errc=28) (No space left on device)",
    ]


def test_a_failure_is_told_although_the_output_is_full() -> None:
    command = (
        "import sys\n"
        "from thesan.cli.main import run_command\n"
        "from thesan.core.model.errors import OperationError\n"
        "def command(context, argv):\n"
        "    print('a line')\n"
        "    raise OperationError(2, 'no such file: /x')\n"
        "sys.exit(run_command(command, None, []))\n"
    )
    with Path("/dev/full").open("wb") as out:
        done = run_into(out, "-c", command)
    assert done.returncode == errno.ENOENT
    assert done.stderr.splitlines()[0] == "error: no such file: /x"


def test_help_tells_which_options_work_behind_a_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["help"])
    behind, _, front = capsys.readouterr().out.partition("options in front of the command:\n")
    for line in (line.strip() for line in front.splitlines() if line.startswith("  -")):
        context = Context()
        _take_globals(context, ["ls", *line.split("  ")[0].split()])
        assert context == Context(), f"{line} works behind the command"
    assert "--any" in behind
    assert "--mgm" in front


def test_acting_as_somebody_else_is_refused_where_it_would_be_ignored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--mgm", "root://nowhere:1", "-r", "5", "5", "rm", "/x"]) == 2
    assert "-r does not work for rm" in capsys.readouterr().err
