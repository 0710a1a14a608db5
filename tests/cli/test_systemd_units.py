"""packaging/systemd: units that are read by nobody here, run as systemd would run them."""

import asyncio
import configparser
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thesan.cli import probe
from thesan.cli.keytab import create_keytab
from thesan.cli.serve import _parser

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))


def read(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path, encoding="utf-8")
    return unit


def test_there_is_one_for_each_role() -> None:
    assert [path.stem for path in SERVICES] == ["thesan-fst@", "thesan-mgm"]


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_the_command_line_is_one_of_ours(path: Path) -> None:
    unit = read(path)
    program, command, *words = shlex.split(unit["Service"]["ExecStart"].replace("%i", "1095"))
    assert (Path(program).name, command) == ("thesan", "daemon")
    options = _parser().parse_args(words)
    # sd_listen_fds(3): descriptors begin at SD_LISTEN_FDS_START, which is 3.
    assert options.listen_fd == 3
    assert unit["Unit"]["Requires"] == f"{path.stem.replace('@', '@%i')}.socket"
    assert path.with_suffix(".socket").exists()
    assert unit["Service"]["Restart"] == "always"


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_an_mgm_on_a_socket_of_systemd(tmp_path: Path) -> None:
    create_keytab(tmp_path / "keytab")
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        config = tmp_path / "mgm.toml"
        config.write_text(
            f'[mgm]\naddress = "{address}"\nkeytab = "keytab"\ndata = "."\nlog = "mgm.log"\n',
            encoding="utf-8",
        )
        command = read(UNITS / "thesan-mgm.service")["Service"]["ExecStart"]
        words = shlex.split(command.replace("/etc/thesan/mgm.toml", str(config)))[1:]
        number = listener.fileno()
        # As systemd does it: descriptor 3, whatever number it has here.
        hand_over = f"import os, sys; os.dup2({number}, 3); os.execv(sys.executable, sys.argv[1:])"
        argv = [sys.executable, "-c", hand_over, sys.executable, "-m", "thesan", *words]
        process = subprocess.Popen(argv, pass_fds=(number,), env={**os.environ})
        try:
            deadline = time.monotonic() + 30.0
            while True:
                (look,) = asyncio.run(probe.look_at_all([address]))
                if look.role == "master":
                    break
                assert time.monotonic() < deadline, look
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30.0) == 0
