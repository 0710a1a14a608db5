"""Settings of one MGM process. What concerns the whole instance lives in the journal, not here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from thesan.core.journal.retention import Keep
from thesan.core.leadership.timing import TIMINGS
from thesan.core.model.addresses import is_address
from thesan.core.model.archive_limits import SEGMENTS_KEEP_BYTES, SEGMENTS_KEEP_SECONDS
from thesan.core.model.errors import ConfigError
from thesan.core.model.units import GIB

_DAY_SECONDS: Final = 86400.0
SECURITY_PROTOCOLS: Final = ("unix", "host", "thk")
"""What `kXR_login` may offer, in the order in which clients try them. `thk` comes last: XrdCl does
not have it and would log a failure before it went on."""


@dataclass(frozen=True)
class MgmConfig:
    """Field + docstring = the reference page."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 1094
    """TCP port of root://; 0 takes a free one."""
    advertise: str = ""
    """`host:port` that clients and FSTs are told; empty: the address listened on."""
    instance: str = "thesan"
    """Name of the instance, the same on all its MGMs."""
    mgms: tuple[str, ...] = ()
    """`host:port` of every MGM of the instance, read at the very first start; after it the journal
    says who is a member (`thesan mgm ls`). Empty: this one alone."""
    journal: str = ""
    """The engine, as `daemon run mgm --journal` takes it: for those that are invited to it."""
    failover: str = "normal"
    """How fast a lost master is noticed: fast, normal or slow; the same on all MGMs."""
    security: tuple[str, ...] = SECURITY_PROTOCOLS
    """Authentication protocols offered. Empty: nobody is asked, everybody is nobody."""
    keytab: str = field(default="", repr=False)
    """Text of the shared keytab: daemons prove themselves with it, tickets are signed from it."""
    trust_users: tuple[int, ...] = ()
    """Uids of this machine that become root of a fresh instance when they come by `unix` over
    loopback: written as vid rules at the very first start, changed with `thesan vid` after it."""
    geotag: str = ""
    """`::`-separated place of this MGM, for the log."""
    sitename: str = ""
    """Answer to `query config sitename`."""
    segment_days: int = round(SEGMENTS_KEEP_SECONDS / _DAY_SECONDS)
    """Days for which journal segments and checkpoints are kept: how far back a restore reaches."""
    segment_gib: int = SEGMENTS_KEEP_BYTES // GIB
    """GiB of journal segments kept; the oldest go first."""

    def __post_init__(self) -> None:
        faults = [
            *(
                f"security: unknown protocol {name!r}, there are {', '.join(SECURITY_PROTOCOLS)}"
                for name in self.security
                if name not in SECURITY_PROTOCOLS
            ),
            *(
                f"{key}: {address!r} is not host:port"
                for key, address in (
                    *([("advertise", self.advertise)] if self.advertise else []),
                    *(("mgms", address) for address in self.mgms),
                )
                if not is_address(address)
            ),
        ]
        if self.failover not in TIMINGS:
            faults.append(f"failover: {self.failover!r} is none of {', '.join(TIMINGS)}")
        faults += [
            f"{key}: {value} is below 1"
            for key, value in (
                ("segment_days", self.segment_days),
                ("segment_gib", self.segment_gib),
            )
            if value < 1
        ]
        if not 0 <= self.port <= 65535:
            faults.append(f"port: {self.port} is not a TCP port")
        if not self.instance or not self.instance.replace("-", "").replace("_", "").isalnum():
            faults.append(f"instance: {self.instance!r} has other characters than A-Za-z0-9_-")
        if not self.keytab.strip():
            faults.append("keytab: is empty; tickets can't be signed without a key")
        if faults:
            raise ConfigError("; ".join(faults))

    @property
    def keep(self) -> Keep:
        """How much of the journal stays on this MGM's disk."""
        return Keep(self.segment_days * _DAY_SECONDS, self.segment_gib * GIB)


_NUMBERS: Final = ("port", "segment_days", "segment_gib")
"""Settings that are integers."""
_LISTS: Final[dict[str, type]] = {"mgms": str, "security": str, "trust_users": int}
"""Settings that are lists, and of what."""


def parse_settings(values: Mapping[str, Any]) -> MgmConfig:
    """The `[mgm]` table of a settings file. Raises ConfigError that lists every fault."""
    faults: list[str] = []
    arguments: dict[str, Any] = {}
    kinds: dict[str, type] = {
        name: tuple if name in _LISTS else int if name in _NUMBERS else str
        for name in MgmConfig.__dataclass_fields__
    }
    for name, value in values.items():
        kind = kinds.get(name)
        if kind is None:
            faults.append(f"{name}: no such setting")
        elif kind is tuple:
            item = _LISTS[name]
            if isinstance(value, (list, tuple)) and all(type(one) is item for one in value):
                arguments[name] = tuple(value)
            else:
                faults.append(f"{name}: is not a list of {item.__name__}")
        elif not isinstance(value, kind) or isinstance(value, bool):
            faults.append(f"{name}: {value!r} is not of type {kind.__name__}")
        else:
            arguments[name] = value
    try:
        config = MgmConfig(**arguments)
    except ConfigError as error:
        raise ConfigError("; ".join([*faults, str(error)])) from error
    if faults:
        raise ConfigError("; ".join(faults))
    return config
