"""How an etcd is named on a command line: `etcd:HOST:PORT,HOST:PORT[/PREFIX][?cert=PATH&...]`."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from thesan.core.model.errors import ConfigError
from thesan.core.model.etcd_limits import ETCD_ENDPOINTS_MAX
from thesan.core.model.units import parse_byte_count

PREFIX_DEFAULT: Final = "/thesan"
_OPTIONS: Final = ("ca", "cert", "key", "user", "password_file", "quota")


@dataclass(frozen=True)
class EtcdSpec:
    """Where an etcd is and how to be let in."""

    endpoints: tuple[str, ...]
    """`host:port` of the members' client addresses."""
    prefix: str = PREFIX_DEFAULT
    """Begins every key: one per instance. No slash at its end."""
    ca: str = ""
    """PEM file of who signs the members' certificates. With it TLS is spoken, without it not."""
    cert: str = ""
    """PEM file of our own certificate, for mutual TLS."""
    key: str = ""
    """PEM file of its key."""
    user: str = ""
    """etcd user, when etcd's authentication is on and not by certificate."""
    password_file: str = ""
    """File whose first line is that user's password."""
    quota_bytes: int = 0
    """The members' --quota-backend-bytes; 0: ask them."""

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken."""
        return bool(self.ca)

    def __str__(self) -> str:
        """For messages: without options."""
        return f"etcd:{','.join(self.endpoints)}{self.prefix}"


def parse_spec(text: str) -> EtcdSpec:
    """Read `HOST:PORT[,HOST:PORT...][/PREFIX][?NAME=VALUE&...]`. Raises ConfigError.

    Options: ca, cert, key (PEM files), user, password_file, quota (a size).
    """
    place, _, query = text.partition("?")
    hosts, slash, prefix = place.partition("/")
    endpoints = tuple(hosts.split(","))
    if not 1 <= len(endpoints) <= ETCD_ENDPOINTS_MAX or len({*endpoints}) < len(endpoints):
        raise ConfigError(f"etcd: 1 to {ETCD_ENDPOINTS_MAX} different HOST:PORT, not {hosts!r}")
    for endpoint in endpoints:
        host, _, port = endpoint.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError(f"etcd: {endpoint!r} is not HOST:PORT")
    prefix = f"/{prefix.strip('/')}" if slash and prefix.strip("/") else PREFIX_DEFAULT
    options = _options(query)
    quota = options.pop("quota", "")
    try:
        quota_bytes = parse_byte_count(quota) if quota else 0
    except ValueError as error:
        raise ConfigError(f"etcd: quota={quota!r} is no size") from error
    spec = EtcdSpec(endpoints, prefix, quota_bytes=quota_bytes, **options)
    if bool(spec.cert) != bool(spec.key):
        raise ConfigError("etcd: cert= and key= belong together")
    if spec.cert and not spec.ca:
        raise ConfigError("etcd: cert= needs ca=: who signs the members' certificates")
    if bool(spec.user) != bool(spec.password_file):
        raise ConfigError("etcd: user= and password_file= belong together")
    return spec


def _options(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ConfigError(f"etcd: {query!r} is not NAME=VALUE&NAME=VALUE") from error
    options = dict(pairs)
    unknown = sorted(options.keys() - {*_OPTIONS})
    if unknown:
        raise ConfigError(f"etcd: unknown {', '.join(unknown)}; known: {', '.join(_OPTIONS)}")
    if len(options) < len(pairs):
        raise ConfigError(f"etcd: an option is given twice in {query!r}")
    return options
