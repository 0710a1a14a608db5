"""What `thesan mgm join` leaves on the new machine: a settings file and a keytab."""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from thesan.core.authority.invitation import Invitation
from thesan.core.authority.keytab import parse_keytab
from thesan.core.model.addresses import split_address
from thesan.core.model.errors import ConfigError


@dataclass(frozen=True)
class Files:
    """The MGM's directory: settings, keytab, and later its store."""

    directory: Path

    @property
    def config(self) -> Path:
        """Settings for `daemon run mgm --config`."""
        return self.directory / "mgm.toml"

    @property
    def keytab(self) -> Path:
        """Mode 0600."""
        return self.directory / "keytab"

    def check_absent(self) -> None:
        """Make the directory, mode 0700, and be sure that files can be made there: before a token
        is used up. Raises ConfigError; nothing that is there is ever replaced."""
        for path in (self.config, self.keytab):
            if path.exists():
                raise ConfigError(f"{path} exists: nothing was changed. Take another --data")
        trial = self.directory / ".thesan-join"
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            trial.touch(mode=0o600)
            trial.unlink()
        except OSError as error:
            raise ConfigError(f"{self.directory}: {error.strerror}: nothing was changed") from error


def write_files(files: Files, invitation: Invitation) -> None:
    """Write both, durably. Raises ConfigError; an unusable keytab is never written."""
    parse_keytab(invitation.keytab.encode())
    _write(files.keytab, invitation.keytab, 0o600)
    _write(files.config, settings_text(invitation), 0o640)
    descriptor = os.open(files.directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settings_text(invitation: Invitation) -> str:
    """The file's text: TOML, paths relative to it."""
    host, port = split_address(invitation.address)
    values: dict[str, object] = {
        "address": invitation.address,
        "instance": invitation.instance,
        "journal": invitation.journal,
        "mgms": list(invitation.mgms),
        "failover": invitation.failover,
        "geotag": invitation.geotag,
    }
    lines = [
        "# Written by `thesan mgm join`. Run: thesan daemon run mgm --config THIS",
        f'# It listens on {host}, port {port}; `host = "0.0.0.0"` after `address` would be all.',
        "[mgm]",
        'data = "."',
        'keytab = "keytab"',
        *(f"{key} = {_toml(value)}" for key, value in values.items() if value),
    ]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A text or list of texts: JSON's form is TOML's, but for the one character that TOML wants
    escaped and JSON does not."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IMODE(mode))
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
