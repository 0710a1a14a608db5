"""Addresses that people type: `root://h1,h2:port//path?cgi`, `thesan://...`, and plain paths.

A URL may name several MGMs; each is tried. A port holds for every host before it that has none of
its own. `user@` is the login name, which separates connections but proves nothing (xrootd.md 1.11).
"""

import errno
from typing import Final

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import ENDPOINTS_MAX
from thesan.core.model.paths import split_cgi

PORT_DEFAULT: Final = 1094
"""Port of root:// by IANA's register (`rootd`)."""
SCHEMES: Final = ("root", "xroot", "thesan")
"""Schemes that are spoken in the clear. `roots` and `xroots` need TLS and are refused."""


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """Where a daemon listens."""

    host: str
    port: int = PORT_DEFAULT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Url(msgspec.Struct, frozen=True):
    """A parsed URL. `path` is absolute, or empty when the URL names only an instance."""

    endpoints: tuple[Endpoint, ...]
    path: str = ""
    cgi: str = ""
    user: str = ""

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        hosts = ",".join(str(endpoint) for endpoint in self.endpoints)
        cgi = f"?{self.cgi}" if self.cgi else ""
        path = f"/{self.path}" if self.path else ""
        return f"root://{user}{hosts}{path}{cgi}"


def is_url(text: str) -> bool:
    """Whether `text` names a remote place rather than a local path."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme in SCHEMES


def parse_url(text: str) -> Url:
    """Read a URL. Raises OperationError EINVAL, or EPROTONOSUPPORT for another scheme."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise OperationError(errno.EINVAL, f"not a URL: {text[:200]!r} (root://host:port//path)")
    if scheme not in SCHEMES:
        raise OperationError(errno.EPROTONOSUPPORT, f"scheme {scheme[:20]!r} is not spoken here")
    authority, slash, path = rest.partition("/")
    path, cgi = split_cgi(slash + path)
    user, at, hosts = authority.rpartition("@")
    if at and not user:
        raise OperationError(errno.EINVAL, f"empty user name in {text[:200]!r}")
    path = "/" + path.lstrip("/") if path.strip("/") or path.startswith("//") else ""
    return Url(parse_endpoints(hosts), path, cgi, user)


def parse_endpoints(text: str) -> tuple[Endpoint, ...]:
    """Read `h1,h2:port,[::1]:port`. Raises OperationError EINVAL.

    Hosts without a port take the next one to the right, or 1094.
    """
    names = text.split(",")
    if len(names) > ENDPOINTS_MAX:
        raise OperationError(errno.EINVAL, f"more than {ENDPOINTS_MAX} hosts in one URL")
    endpoints: list[Endpoint] = []
    port_after = PORT_DEFAULT
    for name in reversed(names):
        host, port = _split_port(name.strip())
        port_after = port or port_after
        endpoints.append(Endpoint(host, port_after))
    return tuple(reversed(endpoints))


def _split_port(text: str) -> tuple[str, int]:
    """`(host, port)`, port 0 when there is none."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise OperationError(errno.EINVAL, f"bad IPv6 address {text[:80]!r}")
        port_text = rest[1:]
        has_port = bool(rest)
    else:
        host, colon, port_text = text.partition(":")
        has_port = bool(colon)
    if not host or any(sign in host for sign in "/?#@ \t\n\0"):
        raise OperationError(errno.EINVAL, f"bad host name {text[:80]!r}")
    if not has_port:
        return host, 0
    if not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text[:6]) < 65536):
        raise OperationError(errno.EINVAL, f"bad port in {text[:80]!r}")
    return host, int(port_text)


def merge_cgi(own: str, given: str) -> str:
    """CGI after a redirect: the client's own keys, then those of the redirect, which win.

    A redirect's keys replace the client's (`tried=` and capabilities must not double); the order
    within each part is kept (xrootd.md 1.8).
    """
    if not given:
        return own
    if not own:
        return given
    given_keys = {part.partition("=")[0] for part in given.split("&")}
    kept = [part for part in own.split("&") if part and part.partition("=")[0] not in given_keys]
    return "&".join([*kept, given])


def set_cgi(cgi: str, key: str, value: str) -> str:
    """`cgi` with `key=value`, in place of an older value of that key."""
    return merge_cgi(cgi, f"{key}={value}")
