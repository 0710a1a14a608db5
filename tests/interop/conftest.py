"""One real instance (a demo: real processes on loopback) for all foreign clients."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from thesan.cli.demo import lifecycle

CLIENT_SECONDS_MAX = 120
"""Deadline of one foreign client call."""


@dataclass
class Instance:
    """A running instance and how to call clients against it."""

    url: str
    """root://host:port without a trailing slash."""
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    def call(
        self, *words: str, data: bytes | None = None, status: int | None = 0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a client; assert its exit status unless `status` is None."""
        done = subprocess.run(
            words,
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            timeout=CLIENT_SECONDS_MAX,
            env=self.environment,
            check=False,
        )
        if status is not None:
            assert done.returncode == status, (
                f"{words} gave {done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}"
            )
        return done

    def text(self, *words: str) -> str:
        """Standard output of a client that must succeed."""
        return self.call(*words).stdout.decode()

    def thesan(self, *words: str, status: int | None = 0) -> str:
        """Output of our own command line."""
        return self.call(sys.executable, "-m", "thesan", *words, status=status).stdout.decode()


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """1 MGM and 3 FSTs; stopped and removed at the end."""
    import asyncio

    directory = tmp_path_factory.mktemp("instance") / "demo"
    plan = lifecycle.start(directory, 1, 3)
    try:
        asyncio.run(lifecycle.wait_ready(plan))
        environment = {
            **os.environ,
            "THESAN_MGM_URL": plan.url,
            "XRD_LOGLEVEL": "Error",
            "XRD_CONNECTIONWINDOW": "5",
            "XRD_REQUESTTIMEOUT": "60",
        }
        yield Instance(plan.url.rstrip("/"), directory, environment)
    finally:
        lifecycle.stop(directory)
        for log in sorted(directory.glob("*.log")):
            text = log.read_text(encoding="utf-8", errors="replace")
            assert "Traceback" not in text, f"{log.name}:\n{text[-4000:]}"
        lifecycle.purge(directory)


@pytest.fixture(scope="session")
def xrdcp() -> str:
    """Path of Debian's xrdcp, or a skip that says how to get it."""
    path = shutil.which("xrdcp")
    if path is None:
        pytest.skip("xrdcp is not installed (apt-get install xrootd-client)")
    return path


@pytest.fixture(scope="session")
def xrdfs() -> str:
    """Path of Debian's xrdfs, or a skip that says how to get it."""
    path = shutil.which("xrdfs")
    if path is None:
        pytest.skip("xrdfs is not installed (apt-get install xrootd-client)")
    return path


@pytest.fixture
def area(instance: Instance, request: pytest.FixtureRequest) -> str:
    """An own empty directory in the namespace for each test."""
    name = "".join(char if char.isalnum() else "_" for char in request.node.name)[:120]
    path = f"/area/{name}"
    instance.thesan("mkdir", "-p", path)
    return path
