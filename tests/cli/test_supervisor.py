"""The supervisor keeps daemons running and their sockets open."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from thesan.cli.context import Context
from thesan.cli.demo.plan import free_address
from thesan.cli.supervisor import DaemonSpec, run
from thesan.cli.supervisor_channel import tell
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import OperationError

pytestmark = pytest.mark.system

# A daemon that answers one byte per connection on the socket that it was given.
DAEMON = """
import socket, sys
listener = socket.socket(fileno=int(sys.argv[sys.argv.index("--listen-fd") + 1]))
while True:
    connection, _ = listener.accept()
    connection.sendall(b"!")
    connection.close()
"""
WAIT_SECONDS_MAX = 20.0


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[tuple[Path, tuple[str, int], subprocess.Popen[bytes]]]:
    address = split_address(free_address("127.0.0.1"))
    package = tmp_path / "fake" / "thesan"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(DAEMON)
    specs = [DaemonSpec("one", "mgm", *address, ["daemon"], str(tmp_path / "one.log"))]
    (tmp_path / "specs").write_bytes(msgspec.json.encode(specs))
    state = tmp_path / "state"
    program = (
        "import sys; from thesan.cli.supervisor import run; from thesan.cli.context import Context;"
        f"import os; os.environ['PYTHONPATH'] = {str(tmp_path / 'fake')!r};"
        "sys.exit(run(Context(), sys.argv[1:]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "specs"), str(state)])
    try:
        yield state, address, process
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS_MAX)


def wait_state(state: Path, wanted: str, other_than: int = -1) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    daemon: dict[str, Any] = {}
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            daemon = json.loads(state.read_text())["daemons"][0]
            if daemon["state"] == wanted and daemon["pid"] != other_than:
                return daemon
        time.sleep(0.02)
    raise AssertionError(f"never {wanted}: {daemon}")


def wait_process(pid: int, letter: str) -> None:
    """Until the process has that state in /proc (Z: also when it is gone altogether)."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            if f"\nState:\t{letter}" in Path(f"/proc/{pid}/status").read_text():
                return
        except (FileNotFoundError, ProcessLookupError):
            assert letter == "Z"
            return
    raise AssertionError(f"{pid} never became {letter}")


def ask(address: tuple[str, int]) -> bytes:
    with socket.create_connection(address, WAIT_SECONDS_MAX) as connection:
        return connection.recv(1)


def test_a_killed_daemon_is_restarted_and_refuses_nobody(supervised) -> None:
    state, address, _ = supervised
    first = wait_state(state, "running")["pid"]
    assert ask(address) == b"!"
    os.kill(first, signal.SIGKILL)
    wait_process(first, "Z")  # or it might still accept, and die before it answers
    # At once: nobody may accept now, but nobody is refused either.
    assert ask(address) == b"!"
    again = wait_state(state, "running", other_than=first)
    assert again["restarts"] == 1


def test_what_is_held_stays_down_until_it_is_released(supervised) -> None:
    state, address, _ = supervised
    first = wait_state(state, "running")["pid"]
    tell(state.parent, "hold", "one")
    wait_state(state, "held")
    with socket.create_connection(address, WAIT_SECONDS_MAX) as waiting:
        # Its address is silent, as that of a host that is gone: it refuses nobody.
        waiting.settimeout(WAIT_SECONDS_MAX)
        tell(state.parent, "release", "one")
        assert waiting.recv(1) == b"!"
    assert wait_state(state, "running", other_than=first)["restarts"] == 1


def test_a_hold_can_end_by_itself(supervised) -> None:
    state, address, _ = supervised
    first = wait_state(state, "running")["pid"]
    tell(state.parent, "hold", "one", seconds=0.2)
    assert ask(address) == b"!"
    wait_state(state, "running", other_than=first)


def test_pause_and_resume(supervised) -> None:
    state, address, _ = supervised
    pid = wait_state(state, "running")["pid"]
    assert tell(state.parent, "pause", "one")[0].state == "paused"
    wait_process(pid, "T")
    tell(state.parent, "resume", "one")
    assert ask(address) == b"!"
    tell(state.parent, "pause", "one", seconds=0.1)
    assert ask(address) == b"!"
    assert wait_state(state, "running")["pid"] == pid


def test_an_order_for_nobody_is_refused(supervised) -> None:
    state, _, _ = supervised
    pid = wait_state(state, "running")["pid"]
    with pytest.raises(OperationError, match="no daemon two: one"):
        tell(state.parent, "kill", "one", "two")
    assert wait_state(state, "running")["pid"] == pid


def test_a_foreign_program_is_kept_up_too(tmp_path: Path) -> None:
    spec = DaemonSpec("s", "etcd", "", 0, ["60"], str(tmp_path / "s.log"), "/bin/sleep")
    (tmp_path / "specs").write_bytes(msgspec.json.encode([spec]))
    words = ["supervise", str(tmp_path / "specs"), str(tmp_path / "state")]
    process = subprocess.Popen([sys.executable, "-m", "thesan", *words])
    try:
        pid = wait_state(tmp_path / "state", "running")["pid"]
        os.kill(pid, signal.SIGKILL)
        assert wait_state(tmp_path / "state", "running", other_than=pid)["restarts"] == 1
    finally:
        process.terminate()
        assert process.wait(WAIT_SECONDS_MAX) == 0


def test_stop_ends_the_daemons(supervised) -> None:
    state, address, process = supervised
    pid = wait_state(state, "running")["pid"]
    process.terminate()
    assert process.wait(WAIT_SECONDS_MAX) == 0
    assert wait_state(state, "stopped")["pid"] == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ConnectionRefusedError):
        ask(address)


def test_usage() -> None:
    assert run(Context(), ["one"]) == 2
