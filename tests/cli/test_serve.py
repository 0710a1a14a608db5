"""Settings of a daemon: from its file, then from the command line. Running one: tests/system."""

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thesan.cli.context import Context
from thesan.cli.demo.plan import free_address
from thesan.cli.keytab import create_keytab
from thesan.cli.main import main
from thesan.cli.serve import _parser, _settings, daemon
from thesan.core.model.errors import ConfigError


@pytest.fixture
def keytab(tmp_path):
    path = tmp_path / "keytab"
    create_keytab(path)
    return str(path)


@pytest.fixture
def settings(keytab, tmp_path):
    def parse(role, *words):
        data = ("--data", str(tmp_path / "data")) if role == "mgm" else ()
        options = _parser().parse_args(["run", role, "--keytab", keytab, *data, *words])
        found = _settings(options)
        assert found.pop("keytab")
        journal = found.pop("journal", None)
        assert journal == (f"sqlite:{tmp_path}/data/journal.db" if role == "mgm" else None)
        return found

    return parse


def test_an_mgm(settings):
    assert settings("mgm") == {}
    assert settings("mgm", "--failover", "fast") == {"failover": "fast"}
    assert settings(
        *("mgm", "--address", "[::1]:1094", "--members", "a:1,b:2", "--instance", "eos"),
        *("--trust-user", "5", "--trust-user", "6", "--geotag", "a::b"),
    ) == {
        "host": "::1",
        "port": 1094,
        "advertise": "[::1]:1094",
        "geotag": "a::b",
        "instance": "eos",
        "mgms": ["a:1", "b:2"],
        "trust_users": [5, 6],
    }


def test_a_data_directory_that_can_not_be_is_a_sentence(keytab, tmp_path):
    (tmp_path / "file").touch()
    data = str(tmp_path / "file" / "data")
    words = ["--address", "127.0.0.1:1", "--keytab", keytab, "--data", data]
    argv = [sys.executable, "-m", "thesan", "daemon", "run", "mgm", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == errno.EINVAL
    assert done.stderr.startswith(f"error: data directory {data}: Not a directory\n")


def test_an_fst(settings):
    assert settings("fst", "--mgm", "root://a,b:5", "--fs", "/d1", "--fs", "/d2:ssd") == {
        "mgms": ["a:5", "b:5"],
        "filesystems": ["/d1", "/d2:ssd"],
    }


def test_the_command_line_wins_over_the_file(settings, tmp_path):
    path = tmp_path / "thesan.toml"
    path.write_text('[mgm]\ninstance = "a"\ngeotag = "x"\n[fst]\ngeotag = "y"\n', encoding="utf-8")
    assert settings("mgm", "--config", str(path), "--geotag", "z") == {
        "instance": "a",
        "geotag": "z",
    }
    assert settings("fst", "--config", str(path)) == {"geotag": "y"}


def test_a_file_says_where_everything_is(keytab, tmp_path):
    path = tmp_path / "mgm.toml"
    path.write_text(
        '[mgm]\naddress = "m1:1094"\nkeytab = "keytab"\ndata = "."\nlog = "mgm.log"\n'
        'journal = "sqlite:journal.db"\nmgms = ["m1:1094"]\n',
        encoding="utf-8",
    )
    options = _parser().parse_args(["run", "mgm", "--config", str(path)])
    found = _settings(options)
    assert found.pop("keytab")
    assert found == {
        "host": "m1",
        "port": 1094,
        "advertise": "m1:1094",
        "journal": f"sqlite:{tmp_path}/journal.db",
        "mgms": ["m1:1094"],
    }
    assert (options.data, options.log) == (tmp_path, str(tmp_path / "mgm.log"))
    # The command line wins here too; what is no path stays as it is.
    words = ["run", "mgm", "--config", str(path), "--journal", "etcd:e:2379", "--data", "/d"]
    options = _parser().parse_args(words)
    assert _settings(options)["journal"] == "etcd:e:2379"
    assert str(options.data) == "/d"
    path.write_text("[mgm]\ndata = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="data is not a text"):
        _settings(_parser().parse_args(["run", "mgm", "--config", str(path)]))


@pytest.mark.parametrize("text", ["[mgm", "mgm = 1", None])
def test_an_unusable_file_is_named(settings, tmp_path, text):
    path = tmp_path / "thesan.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=str(path)):
        settings("mgm", "--config", str(path))


@pytest.mark.parametrize("address", ["nowhere", ":5", "h:x"])
def test_an_address_has_a_host_and_a_port(settings, address):
    with pytest.raises(ConfigError, match="is not host:port"):
        settings("fst", "--address", address)


def test_a_keytab_is_needed_and_must_be_closed_to_others(keytab, tmp_path, capsys):
    with pytest.raises(ConfigError, match="say --keytab"):
        daemon(Context(), ["run", "fst"])
    with pytest.raises(ConfigError, match="say --data"):
        daemon(Context(), ["run", "mgm", "--keytab", keytab])
    (tmp_path / "keytab").chmod(0o644)
    assert main(["daemon", "run", "fst", "--keytab", keytab]) == errno.EINVAL
    assert f"keytab {keytab}" in capsys.readouterr().err


def test_only_a_journal_that_we_know(keytab, tmp_path, capsys):
    words = ("--keytab", keytab, "--data", str(tmp_path / "data"), "--address", "127.0.0.1:1")
    words += ("--journal", "etcd:somewhere", "--log", str(tmp_path / "log"))
    assert main(["daemon", "run", "mgm", *words]) == errno.EINVAL
    assert "is not HOST:PORT" in capsys.readouterr().err


@pytest.mark.system
def test_a_daemon_says_where_its_threads_are(keytab, tmp_path):
    log = tmp_path / "log"
    words = ["daemon", "run", "mgm", "--address", free_address("127.0.0.1"), "--keytab", keytab]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "thesan", *words, "--data", str(tmp_path / "data")], stderr=file
        )
    try:
        _until(log, "role=master")
        process.send_signal(signal.SIGUSR1)
        _until(log, "most recent call first")
        _until(log, "in run_until_complete")
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(20) == 0


def _until(log: Path, text: str) -> None:
    deadline = time.monotonic() + 20.0
    while text not in log.read_text():
        assert time.monotonic() < deadline, f"no {text!r} in {log.read_text()}"
        time.sleep(0.05)
