"""Certificates and passwords for etcd: read from files, and read again when these change."""

import os
from typing import Any

import grpc

from thesan.core.model.errors import ConfigError
from thesan.core.model.etcd_limits import ETCD_FILE_BYTES_MAX
from thesan.worlds.real.etcd.spec import EtcdSpec

_Signature = tuple[tuple[int, int, int], ...]


class Credentials:
    """What a spec's files hold now."""

    def __init__(self, spec: EtcdSpec) -> None:
        """Raises ConfigError when a file can't be used."""
        self._spec = spec
        self._seen = self._signature()
        self.channel = self._load()
        """grpc.ChannelCredentials; None without TLS."""

    def has_changed(self) -> bool:
        """Look at the files: True when they are others than before and `channel` is new.

        While a renewal is under way, the files may not fit together: then the old ones stay.
        """
        if not self._spec.is_secure:
            return False
        try:
            now = self._signature()
            if now == self._seen:
                return False
            self.channel = self._load()
        except ConfigError:
            return False
        self._seen = now
        return True

    def password(self) -> str:
        """First line of the password file, read each time. Raises ConfigError."""
        text = _read(self._spec.password_file).decode("utf-8", errors="replace")
        return text.split("\n", 1)[0].strip()

    def _load(self) -> Any:
        spec = self._spec
        if not spec.is_secure:
            return None
        return grpc.ssl_channel_credentials(
            _read(spec.ca),
            _read(spec.key) if spec.key else None,
            _read(spec.cert) if spec.cert else None,
        )

    def _signature(self) -> _Signature:
        found = []
        for path in filter(None, (self._spec.ca, self._spec.cert, self._spec.key)):
            try:
                state = os.stat(path)
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror}") from error
            found.append((state.st_mtime_ns, state.st_size, state.st_ino))
        return tuple(found)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(ETCD_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if not data or len(data) > ETCD_FILE_BYTES_MAX:
        raise ConfigError(f"{path}: empty, or too long")
    return data
