"""Command lines against a recorder, and against one real instance."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from thesan.cli.context import Context
from thesan.cli.demo import lifecycle
from thesan.cli.main import main
from thesan.core.control.messages import Admin, AdminReply


class Recorder:
    """Stands for a Filesystem: remembers admin commands and answers what the test says."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.leader_only: list[bool] = []
        """Of each call: only the master was to answer."""
        self.records: list[dict[str, Any]] = []
        self.text = ""

    async def admin(self, noun: str, verb: str, **args: Any) -> AdminReply:
        self.leader_only.append(args.pop("leader", False))
        self.calls.append((noun, verb, args))
        return AdminReply(records=self.records, text=self.text)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Commands go to it instead of to an MGM."""
    fake = Recorder()

    def with_filesystem(_: Context, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            return await work(fake)

        return asyncio.run(run())

    def ask_whoever(_: Context, message: Admin) -> AdminReply:
        return asyncio.run(fake.admin(message.noun, message.verb, **message.args))

    monkeypatch.setattr(Context, "with_filesystem", with_filesystem)
    monkeypatch.setattr(Context, "ask_whoever", ask_whoever)
    monkeypatch.setenv("THESAN_MGM_URL", "root://nowhere:1")
    return fake


@pytest.fixture
def sent(recorder: Recorder) -> Callable[..., tuple[str, str, dict[str, Any]]]:
    """The one admin command that a command line becomes."""

    def send(*words: str) -> tuple[str, str, dict[str, Any]]:
        recorder.calls.clear()
        assert main(list(words)) == 0
        (call,) = recorder.calls
        return call

    return send


@pytest.fixture
def unused_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def instance_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """1 MGM and 2 FSTs, real processes; stopped and removed at the end."""
    directory = tmp_path_factory.mktemp("cli") / "demo"
    plan = lifecycle.start(directory, 1, 2)
    try:
        asyncio.run(lifecycle.wait_ready(plan))
        yield plan.url
    finally:
        lifecycle.stop(directory)
        for log in sorted(directory.glob("*.log")):
            text = log.read_text(encoding="utf-8", errors="replace")
            assert "Traceback" not in text, f"{log.name}:\n{text[-4000:]}"
        lifecycle.purge(directory)


class Shell:
    """Runs commands in this process against the instance."""

    def __init__(self, url: str, capture: pytest.CaptureFixture[str]) -> None:
        self.url = url.rstrip("/")
        self._capture = capture
        self.errors = ""
        """Standard error of the last command."""

    def call(self, *words: str) -> int:
        """Exit status of a command whose output goes where it goes."""
        return main(list(words))

    def refused(self, because: str, *words: str) -> None:
        """Run a command that must fail, with `because` in its error."""
        self._capture.readouterr()
        assert main(list(words)) != 0
        self.errors = self._capture.readouterr().err
        assert because in self.errors

    def __call__(self, *words: str, status: int = 0) -> str:
        """Standard output of a command that must end with `status`."""
        self._capture.readouterr()
        found = main(list(words))
        out, self.errors = self._capture.readouterr()
        assert found == status, f"{words} gave {found}\n{out}\n{self.errors}"
        return out


@pytest.fixture
def thesan(
    instance_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """`thesan("ls", "/")` gives what the command prints."""
    monkeypatch.setenv("THESAN_MGM_URL", instance_url)
    return Shell(instance_url, capsys)


@pytest.fixture
def area(thesan: Shell, request: pytest.FixtureRequest) -> str:
    """An own empty directory in the namespace for each test."""
    name = "".join(char if char.isalnum() else "_" for char in request.node.nodeid)[-120:]
    path = f"/area/{name}"
    thesan("mkdir", "-p", path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small local tree: two levels, a link, an empty file and one of 5 MB."""
    top = tmp_path / "tree"
    (top / "sub" / "empty").mkdir(parents=True)
    (top / "one").write_text("1\n", encoding="utf-8")
    (top / "sub" / "big").write_bytes(os.urandom(5_000_000))
    (top / "sub" / "nothing").touch()
    (top / "sub" / "link").symlink_to("nothing")
    return top
