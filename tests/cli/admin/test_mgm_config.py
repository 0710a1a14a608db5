"""The files of a new MGM."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.cli.admin.mgm_config import Files, settings_text, write_files
from thesan.core.authority.invitation import Invitation
from thesan.core.model.errors import ConfigError

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=40)


@given(TEXT, TEXT, st.lists(TEXT, max_size=4))
def test_whatever_is_said_is_read_back(journal: str, geotag: str, mgms: list[str]) -> None:
    text = settings_text(Invitation("i", "h:1", journal=journal, geotag=geotag, mgms=tuple(mgms)))
    settings = tomllib.loads(text)["mgm"]
    assert (settings["journal"], settings["geotag"]) == (journal, geotag)
    assert settings.get("mgms", []) == mgms


def test_an_unusable_keytab_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write_files(Files(tmp_path), Invitation("i", "h:1", keytab="rubbish"))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.check_absent()
    files.config.touch()
    with pytest.raises(ConfigError, match="exists"):
        files.check_absent()
