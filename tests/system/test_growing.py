"""A lone MGM on a file becomes three on etcd, by the commands of docs/how-to/plan-mgms.md."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thesan.cli import probe
from thesan.cli.demo.plan import free_address

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("machine"), pytest.mark.timeout(120)]
WAIT_SECONDS_MAX = 40.0


class Site:
    """Daemons and commands in one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.url = ""

    def run(self, *words: str, status: int = 0) -> str:
        """A command of `thesan` as it is typed."""
        done = subprocess.run(
            [sys.executable, "-m", "thesan", *words],
            env={**os.environ, "THESAN_MGM_URL": self.url},
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if status == 0 else done.stderr

    def start(self, name: str, *words: str) -> None:
        argv = [sys.executable, "-m", "thesan", "daemon", "run", "mgm", *words]
        argv += ["--log", str(self.root / f"{name}.log")]
        with (self.root / f"{name}.err").open("ab") as errors:
            self.daemons[name] = subprocess.Popen(argv, cwd=self.root, stderr=errors)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        process = self.daemons.pop(name)
        process.send_signal(number)
        process.wait(WAIT_SECONDS_MAX)

    def wait_roles(self, **wanted: str) -> None:
        """Until the MGM at each address is what is wanted; `address` with `_` for `:` and `.`."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while True:
            looks = asyncio.run(probe.look_at_all(list(wanted)))
            found = {one.address: one.role for one in looks}
            if found == wanted:
                return
            assert time.monotonic() < deadline, f"{found} instead of {wanted}: {looks}"
            time.sleep(0.05)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    for name in list(made.daemons):
        made.stop(name, signal.SIGKILL)


def test_from_one_on_a_file_to_three_on_etcd(site: Site, start_etcd: Callable[..., object]) -> None:
    m1, m2, m3 = (free_address(f"127.0.0.{number}") for number in (1, 2, 3))
    site.url = f"root://{m1}"
    journal = site.root / "m1" / "journal.db"
    settings = ["--address", m1, "--data", "m1", "--keytab", "keytab", "--instance", "grow"]
    site.run("keytab", "create", "keytab")
    site.start("m1", *settings, "--trust-user", str(os.getuid()))
    site.wait_roles(**{m1: "master"})
    site.run("touch", "/before")
    assert "engine migrate" in site.run("mgm", "add", "m9.example:1094", status=22)

    etcd = start_etcd(3)
    engine = f"{etcd.spec}/grow"  # type: ignore[attr-defined]
    site.stop("m1")
    site.run("engine", "migrate", f"sqlite:{journal}", engine)
    site.start("m1", *settings, "--journal", engine)
    site.wait_roles(**{m1: "master"})
    assert site.run("ls", "/") == "before\n"

    for name, address in (("m2", m2), ("m3", m3)):
        told = site.run("mgm", "add", address)
        (token,) = (word for word in told.split() if word.startswith("thesan-mgm-"))
        site.run("mgm", "join", token, "--data", name, "--address", address)
        site.start(name, "--config", f"{name}/mgm.toml")
        again = ("mgm", "join", token, "--data", f"{name}-again", "--address", address)
        assert "it was used" in site.run(*again, status=2)
    site.wait_roles(**{m1: "master", m2: "standby", m3: "standby"})
    assert (site.root / "m2" / "keytab").read_bytes() == (site.root / "keytab").read_bytes()
    assert all(address in site.run("mgm", "ls") for address in (m1, m2, m3))

    assert f"{m2} is master with epoch" in site.run("ns", "master", m2)
    site.run("touch", "/after")
    site.stop("m2", signal.SIGKILL)
    site.url = f"root://{m1},{m2},{m3}"
    assert site.run("ls", "/") == "after\nbefore\n"
    site.run("touch", "/last")
    assert m2 in site.run("ns", "master", "--history")
    site.run("mgm", "rm", m2)
    assert f"hostport={m2}" not in site.run("-m", "mgm", "ls")
