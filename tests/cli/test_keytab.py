"""Creating and reading keytabs."""

import json
import os
import stat
from pathlib import Path

import pytest

from thesan.cli import keytab
from thesan.cli.context import Context, Output
from thesan.cli.keytab import create_keytab, extend_keytab, read_keytab, run
from thesan.core.model.errors import ConfigError

NOW = 1_800_000_000
HOUR = 3600


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A keytab with one key, made at NOW."""
    monkeypatch.setattr(keytab.time, "time", lambda: NOW + 0.5)
    create_keytab(tmp_path / "keytab")
    return tmp_path / "keytab"


def test_create_makes_a_private_file_with_one_key(tmp_path: Path) -> None:
    path = tmp_path / "keytab"
    create_keytab(path, days=2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (key,) = read_keytab(path).keys
    assert len(key.secret) == 32
    assert key.expires_s - key.created_s == 2 * 86400


@pytest.mark.parametrize("bit", [0, 1])
def test_every_id_that_may_be_drawn_has_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bit: int
) -> None:
    monkeypatch.setattr(keytab.secrets, "randbits", lambda bits: bit * (2**bits - 1))
    create_keytab(tmp_path / "keytab")
    extend_keytab(tmp_path / "keytab")
    assert len(read_keytab(tmp_path / "keytab").keys) == 2


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


def test_an_added_key_signs_in_an_hour(path: Path) -> None:
    (old,) = read_keytab(path).keys
    assert run(Context(), ["add", str(path)]) == 0
    new, kept = read_keytab(path).keys
    assert kept == old
    assert (new.number, new.created_s, new.expires_s) == (old.number + 1, NOW + HOUR, 0)
    assert len(new.secret) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = read_keytab(path)
    assert keys.newest(NOW + HOUR - 1) == old
    assert keys.newest(NOW + HOUR) == new
    assert [one.name for one in path.parent.iterdir()] == ["keytab"]


def test_when_it_begins_and_how_long_it_lives_can_be_said(path: Path) -> None:
    assert run(Context(), ["add", str(path), "--begin", "60", "--days", "2"]) == 0
    new = read_keytab(path).newest(NOW + 60)
    assert (new.created_s, new.expires_s) == (NOW + 60, NOW + 60 + 2 * 86400)


@pytest.mark.parametrize("words", [("--begin", "-1"), ("--days", "-1"), ("--begin", "99999999999")])
def test_times_that_are_slips_are_refused(path: Path, words: tuple[str, str]) -> None:
    before = path.read_bytes()
    with pytest.raises(SystemExit):
        run(Context(), ["add", str(path), *words])
    assert path.read_bytes() == before


def test_a_link_to_the_keytab_stays_one(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    extend_keytab(link)
    assert link.is_symlink()
    assert len(read_keytab(path).keys) == 2


def test_the_file_keeps_its_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        is_old = found.st_ino == inode
        return os.stat_result([*found[:4], found.st_uid + 7 * is_old, *found[5:10]])

    inode = path.stat().st_ino
    monkeypatch.setattr(keytab.os, "fstat", fstat)
    monkeypatch.setattr(keytab.os, "fchown", lambda _, uid, gid: given.append((uid, gid)))
    extend_keytab(path)
    assert given == [(os.geteuid() + 7, os.getegid())]


def test_nothing_is_added_to_a_bad_file_or_beside_another_add(path: Path) -> None:
    path.chmod(0o640)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="chmod 0600"):
        extend_keytab(path)
    path.chmod(0o600)
    other = path.with_name("keytab.new")
    other.touch()
    with pytest.raises(ConfigError, match="another"):
        extend_keytab(path)
    assert other.exists()
    other.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        extend_keytab(path.with_name("absent"))
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["keytab"]


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(keytab.os, "fsync", fail)
    with pytest.raises(ConfigError, match="No space left"):
        extend_keytab(path)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["keytab"]


def test_show_tells_which_key_signs_and_from_when_the_next_does(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    extend_keytab(path, HOUR, 1)

    def uses(now: int) -> list[str]:
        monkeypatch.setattr(keytab.time, "time", lambda: now)
        capsys.readouterr()
        assert run(Context(output=Output.JSON), ["show", str(path)]) == 0
        return [record["use"] for record in json.loads(capsys.readouterr().out)["result"]]

    assert uses(NOW) == ["verifies, signs from 2027-01-15T09:00:00Z", "signs"]
    assert uses(NOW + HOUR) == ["signs", "verifies"]
    assert uses(NOW + HOUR + 86400) == ["none: expired", "signs"]


def test_show_bears_years_that_no_calendar_has(path: Path) -> None:
    path.write_text(path.read_text().replace(f"c:{NOW}", f"c:{2**63 - 1}"))
    assert run(Context(), ["show", str(path)]) == 0
