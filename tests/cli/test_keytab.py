"""Creating and reading keytabs."""

import stat
from pathlib import Path

import pytest

from thesan.cli.context import Context
from thesan.cli.keytab import create_keytab, read_keytab, run
from thesan.core.model.errors import ConfigError


def test_create_makes_a_private_file_with_one_key(tmp_path: Path) -> None:
    path = tmp_path / "keytab"
    create_keytab(path, days=2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (key,) = read_keytab(path).keys
    assert len(key.secret) == 32
    assert key.expires_s - key.created_s == 2 * 86400


def test_create_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "keytab"
    create_keytab(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        create_keytab(path)
    assert path.read_bytes() == before


def test_a_keytab_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keytab"
    create_keytab(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match=str(path)):
        read_keytab(path)


def test_absent_and_damaged(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_keytab(tmp_path / "absent")
    path = tmp_path / "damaged"
    path.touch(0o600)
    path.write_text("what is this\n")
    with pytest.raises(ConfigError, match="damaged"):
        read_keytab(path)


def test_show_never_prints_a_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keytab"
    assert run(Context(), ["create", str(path)]) == 0
    assert run(Context(), ["show", str(path)]) == 0
    (key,) = read_keytab(path).keys
    out = capsys.readouterr().out
    assert str(key.number) in out
    assert key.secret.hex() not in out
