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
import tomllib
from pathlib import Path

import pytest

from thesan.cli import probe
from thesan.cli.keytab import create_keytab
from thesan.cli.serve import _parser

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
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


def code_of(page: str) -> list[str]:
    """The indented lines of a how-to."""
    lines = (HOW_TO / page).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.startswith("    ")]


def mgm_of_the_how_to() -> dict[str, str]:
    lines = code_of("systemd.md")
    begin = lines.index("[mgm]")
    end = next(n for n in range(begin + 1, len(lines)) if " = " not in lines[n])
    table: dict[str, str] = tomllib.loads("\n".join(lines[begin:end]))["mgm"]
    return table


def test_the_unit_makes_the_directories_of_the_how_to() -> None:
    made = read(UNITS / "thesan-mgm.service")["Service"]["StateDirectory"].split()
    said = mgm_of_the_how_to()
    for path in (Path(said["data"]), Path(said["journal"].removeprefix("sqlite:")).parent):
        # systemd.exec(5): StateDirectory= is below /var/lib.
        assert str(path.relative_to("/var/lib")) in made


def test_the_how_tos_make_what_they_name() -> None:
    lines = code_of("systemd.md")
    made = {word for line in lines if line.startswith("install -d") for word in line.split()}
    places = " ".join(line for line in lines if line.startswith("filesystems ="))
    disks = [word.split(":")[0] for word in places.split('"') if word.startswith("/")]
    assert len(disks) == 2
    assert made.issuperset({"/etc/thesan", "/var/lib/thesan", *disks})


def test_the_journal_that_is_migrated_is_the_one_of_the_unit() -> None:
    lines = code_of("plan-mgms.md")
    assert any(f"migrate {mgm_of_the_how_to()['journal']} " in line for line in lines)
    # A socket that is left on starts the MGM in the middle of it.
    orders = [line for line in lines if line.startswith("systemctl")]
    assert [set(line.split()[2:]) for line in orders] == [{"thesan-mgm.socket",
                                                           "thesan-mgm.service"}] * 2  # fmt: skip


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
