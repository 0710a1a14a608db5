"""The client library on this machine: what `thesan.connect` and `thesan.open` are.

    async with thesan.connect("root://mgm1,mgm2//") as fs:
        await fs.mkdir("/data", parents=True)

    async with await thesan.open("root://mgm//data/f", "w") as file:
        await file.write(0, b"hello")

Who says no URL gets that of the environment; who says no name, the login name.
"""

import getpass
import grp
import os
from collections.abc import Mapping
from typing import Final

from thesan.core.authority.keytab import Keytab, check_keytab_mode, parse_keytab
from thesan.core.model.errors import ConfigError
from thesan.core.model.limits import CLIENT_PATIENCE_SECONDS, KEYTAB_BYTES_MAX
from thesan.io.transport import credentials
from thesan.io.transport.client import LoginSettings
from thesan.roles.client import filesystem
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.file import File
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.url import Url, parse_url
from thesan.worlds.real.clock import RealClock
from thesan.worlds.real.entropy import RealEntropy

URL_VARIABLES: Final = ("THESAN_MGM_URL", "THESAN_URL", "THESAN_MGM")
"""Environment variables that name the MGMs, in this order: a URL, or `host:port,host:port`."""
KEYTAB_VARIABLE: Final = "THESAN_KEYTAB"
"""Path of a keytab: its holder logs in as an administrator."""
_ADMIN_ROLE: Final = "admin"

__all__ = ["File", "Filesystem", "connect", "open_file"]


def connect(
    url: str = "",
    *,
    user: str = "",
    keytab: str = "",
    patience_seconds: float = CLIENT_PATIENCE_SECONDS,
    page_checksums: bool = True,
    act_as: tuple[int, int] | None = None,
    any_mgm: bool = False,
) -> Filesystem:
    """A Filesystem at the MGMs of `url`; call it inside a running event loop. `any_mgm`: names and
    files may be looked up at a standby.

    Nothing is connected yet: that an MGM is not there is found out by the first call, after
    `patience_seconds`. Raises ConfigError (no URL, unusable keytab) and OperationError (bad URL).
    """
    place = url_of(url, os.environ)
    config = ClientConfig(
        login=login_settings(user or place.user, keytab or os.environ.get(KEYTAB_VARIABLE, "")),
        patience_seconds=patience_seconds,
        page_checksums=page_checksums,
        any_mgm=any_mgm,
    )
    return filesystem.connect(place, config, RealEntropy(), act_as=act_as)


async def open_file(url: str, mode: str = "r", *, user: str = "", keytab: str = "") -> File:
    """Open one file by its URL; closing it closes its connections too. See Filesystem.open."""
    fs = connect(url, user=user, keytab=keytab)
    try:
        place = parse_url(url)
        file = await fs.open(place.path, mode, cgi=place.cgi)
    except BaseException:
        await fs.close()
        raise
    file.after_close = fs.close
    return file


def url_of(text: str, environment: Mapping[str, str]) -> Url:
    """The URL that is meant: `text`, else the environment's. ConfigError when nobody says one."""
    for candidate in (text, *(environment.get(name, "") for name in URL_VARIABLES)):
        if candidate:
            return parse_url(candidate if "://" in candidate else f"root://{candidate}")
    raise ConfigError(f"no MGM given: set {URL_VARIABLES[0]}=root://HOST:PORT")


def login_settings(user: str = "", keytab: str = "") -> LoginSettings:
    """Name and proofs of this process. `keytab` is the path of one; its mode is checked."""
    name = user or user_name()
    methods = [credentials.unix(name, group_name()), credentials.host()]
    if keytab:
        keys = read_keytab(keytab)
        clock, entropy = RealClock(), RealEntropy()
        proof = credentials.keytab(keys, _ADMIN_ROLE, name, entropy=entropy, clock=clock)
        methods.insert(0, proof)
    return LoginSettings(user=name, pid=os.getpid(), methods=tuple(methods))


def read_keytab(path: str) -> Keytab:
    """A keytab file that only its owner may read. Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            check_keytab_mode(os.fstat(file.fileno()).st_mode)
            return parse_keytab(file.read(KEYTAB_BYTES_MAX + 1))
    except OSError as error:
        raise ConfigError(f"keytab {path}: {error.strerror}") from error


def user_name() -> str:
    """Login name of this process, or its uid as text."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def group_name() -> str:
    """Main group of this process, or its gid as text."""
    try:
        return grp.getgrgid(os.getgid()).gr_name
    except KeyError:
        return str(os.getgid())
