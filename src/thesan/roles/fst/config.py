"""Settings of one FST process. What concerns the whole instance comes from the MGMs, in beats."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from thesan.core.model.addresses import is_address
from thesan.core.model.errors import ConfigError
from thesan.core.model.limits import FS_HEADROOM_BYTES, PARTIAL_FILE_SECONDS_MAX

SPACE_DEFAULT: Final = "default"


class FsSetting(msgspec.Struct, frozen=True):
    """A directory that this node offers as a filesystem."""

    path: str
    space: str = SPACE_DEFAULT
    """Space that it joins when it registers for the first time."""


@dataclass(frozen=True)
class FstConfig:
    """Field + docstring = the reference page."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 1095
    """TCP port of root://; 0 takes a free one."""
    advertise: str = ""
    """`host:port` that clients are sent to, also the node's name; empty: the address listened on.
    Each FST needs a host name or address of its own: clients exclude failed servers by host."""
    mgms: tuple[str, ...] = ()
    """`host:port` of at least one MGM; the others are learned from it."""
    keytab: str = field(default="", repr=False)
    """Text of the shared keytab."""
    filesystems: tuple[FsSetting, ...] = ()
    """Directories that register themselves. Filesystems added by `fs add` need no setting."""
    geotag: str = ""
    """`::`-separated place of this node, for instance `site::room::rack`."""
    sitename: str = ""
    """Answer to `query config sitename`."""
    headroom_bytes: int = FS_HEADROOM_BYTES
    """A filesystem with less free space takes no new replica, whatever the MGM configured."""
    partial_seconds: float = PARTIAL_FILE_SECONDS_MAX
    """How long an upload whose client vanished is kept for it to come back."""

    def __post_init__(self) -> None:
        faults = [
            f"{key}: {address!r} is not host:port"
            for key, address in (
                *([("advertise", self.advertise)] if self.advertise else []),
                *(("mgms", address) for address in self.mgms),
            )
            if not is_address(address)
        ]
        if not self.mgms:
            faults.append("mgms: names no MGM")
        if not 0 <= self.port <= 65535:
            faults.append(f"port: {self.port} is not a TCP port")
        if not self.keytab.strip():
            faults.append("keytab: is empty; no MGM can be trusted without a key")
        if self.headroom_bytes < 0:
            faults.append("headroom_bytes: is negative")
        if self.partial_seconds < 0:
            faults.append("partial_seconds: is negative")
        paths = [setting.path for setting in self.filesystems]
        faults += [
            f"filesystems: {path!r} is not an absolute path"
            for path in paths
            if not path.startswith("/")
        ]
        if len(dict.fromkeys(paths)) < len(paths):
            faults.append("filesystems: a path is there twice")
        if faults:
            raise ConfigError("; ".join(faults))


def parse_filesystem(text: str) -> FsSetting:
    """`PATH[:SPACE]`, as the command line has it."""
    path, colon, space = text.rpartition(":")
    if not colon or "/" in space:
        return FsSetting(text)
    return FsSetting(path, space or SPACE_DEFAULT)


_KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "port": int,
    "headroom_bytes": int,
    "partial_seconds": (int, float),
    "mgms": (list, tuple),
    "filesystems": (list, tuple),
}


def parse_settings(values: Mapping[str, Any]) -> FstConfig:
    """The `[fst]` table of a settings file; filesystems as `PATH[:SPACE]`.

    Raises ConfigError that lists every fault.
    """
    faults: list[str] = []
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        kind = _KINDS.get(name, str)
        if name not in FstConfig.__dataclass_fields__:
            faults.append(f"{name}: no such setting")
        elif not isinstance(value, kind) or isinstance(value, bool):
            faults.append(f"{name}: {value!r} is of the wrong type")
        elif not isinstance(value, list | tuple):
            arguments[name] = value
        elif not all(isinstance(one, str) for one in value):
            faults.append(f"{name}: is not a list of strings")
        elif name == "filesystems":
            arguments[name] = tuple([parse_filesystem(one) for one in value])
        else:
            arguments[name] = tuple(value)
    try:
        config = FstConfig(**arguments)
    except ConfigError as error:
        raise ConfigError("; ".join([*faults, str(error)])) from error
    if faults:
        raise ConfigError("; ".join(faults))
    return config
