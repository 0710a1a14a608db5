"""`thesan mgm`: members, and a token that brings one more."""

import errno
import json
import os
import stat
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thesan.cli.keytab import create_keytab
from thesan.cli.main import main
from thesan.core.authority.invitation import (
    SECRET_BYTES,
    Invitation,
    fingerprint,
    format_token,
    seal,
)

SECRET = bytes(range(SECRET_BYTES))
NEW = "m2:1094"


@pytest.fixture
def token() -> Callable[..., str]:
    def make(expires_s: float | None = None) -> str:
        at = time.time() + 60 if expires_s is None else expires_s
        return format_token(SECRET, NEW, int(at), ("m1:1094",))

    return make


@pytest.fixture
def invited(recorder: Any, tmp_path: Path) -> Any:
    create_keytab(tmp_path / "old-keytab")
    text = (tmp_path / "old-keytab").read_text()
    invitation = Invitation(
        "eos-dev", NEW, text, "etcd:e1:2379/x", ("m1:1094", NEW), "fast", "a::b"
    )
    recorder.records = [{"hostport": NEW, "box": seal(invitation, SECRET).hex()}]
    recorder.text = f"{NEW} is a member of eos-dev"
    return recorder


def test_what_is_asked(sent: Any) -> None:
    assert sent("mgm") == ("mgm", "ls", {})
    assert sent("mgm", "rm", NEW) == ("mgm", "rm", {"mgm": NEW})
    assert sent("mgm", "add", "--no-token", NEW) == ("mgm", "add", {"mgm": NEW})


def test_add_prints_what_to_type_elsewhere(recorder: Any, capsys: Any, token: Any) -> None:
    recorder.records = [{"hostport": NEW, "expires": 1, "token": token()}]
    assert main(["mgm", "add", NEW, "--geotag", "x", "--expires", "7200"]) == 0
    assert recorder.calls == [("mgm", "invite", {"mgm": NEW, "expires": 7200, "geotag": "x"})]
    out = capsys.readouterr().out
    assert f"thesan mgm join {token()}" in out
    assert "On m2, within 2 hours" in out
    assert main(["mgm", "add", NEW, "-j"]) == 0
    assert json.loads(capsys.readouterr().out)["result"][0]["token"]


def test_join_writes_what_the_daemon_reads(
    invited: Any, token: Any, tmp_path: Path, capsys: Any
) -> None:
    data = tmp_path / "new" / "mgm"
    assert main(["mgm", "join", token(), "--data", str(data), "--address", NEW]) == 0
    assert invited.calls == [("mgm", "join", {"id": fingerprint(SECRET), "mgm": NEW})]
    assert stat.S_IMODE((data / "keytab").stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert (data / "keytab").read_text() == (tmp_path / "old-keytab").read_text()
    settings = tomllib.loads((data / "mgm.toml").read_text())["mgm"]
    assert settings == {
        "address": NEW,
        "data": ".",
        "keytab": "keytab",
        "instance": "eos-dev",
        "journal": "etcd:e1:2379/x",
        "mgms": ["m1:1094", NEW],
        "failover": "fast",
        "geotag": "a::b",
    }
    out = capsys.readouterr().out
    assert f"thesan daemon run mgm --config {data}/mgm.toml" in out
    assert SECRET.hex() not in out


def test_a_token_is_not_used_up_by_what_can_be_seen_before(
    invited: Any, token: Any, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    data = str(tmp_path / "data")
    words = ["mgm", "join", token(), "--data", data]
    assert main([*words, "--address", "m3:1094"]) == errno.EINVAL
    assert "is for m2:1094, not for m3:1094" in capsys.readouterr().err
    assert main(["mgm", "join", token(1), "--data", data]) == errno.ESTALE
    assert main(["mgm", "join", token()[:-3], "--data", data]) == errno.EINVAL
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "keytab").touch()
    assert main(words) == errno.EINVAL
    assert "exists: nothing was changed" in capsys.readouterr().err
    assert main(["mgm", "join", token(), "--data", "/proc/nowhere"]) == errno.EINVAL
    assert invited.calls == []


def test_the_token_can_be_kept_from_ps(
    invited: Any, token: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("THESAN_JOIN_TOKEN", token())
    assert main(["mgm", "join", "-", "--data", str(tmp_path / "d")]) == 0


def test_a_box_of_another_token_leaves_nothing(invited: Any, tmp_path: Path, capsys: Any) -> None:
    other = format_token(SECRET[::-1], NEW, int(time.time()) + 60, ("m1:1094",))
    assert main(["mgm", "join", other, "--data", str(tmp_path / "d")]) == errno.EBADMSG
    assert os.listdir(tmp_path / "d") == []
