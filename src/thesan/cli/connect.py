"""How a command reaches the instance: the client library over the real world."""

import contextlib
import grp
import os
from collections.abc import AsyncIterator

from thesan.cli.context import user_name
from thesan.core.model.limits import CLIENT_PATIENCE_SECONDS
from thesan.io.transport.client import LoginSettings
from thesan.io.transport.credentials import host, unix
from thesan.roles.client import filesystem
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.url import parse_url
from thesan.worlds.real.entropy import RealEntropy


@contextlib.asynccontextmanager
async def connect(
    url: str,
    *,
    patience_s: float = CLIENT_PATIENCE_SECONDS,
    act_as: tuple[int, int] | None = None,
) -> AsyncIterator[Filesystem]:
    """A Filesystem for the duration of one command."""
    user = user_name()
    login = LoginSettings(user=user, pid=os.getpid(), methods=(unix(user, group_name()), host()))
    config = ClientConfig(login=login, patience_seconds=patience_s)
    async with filesystem.connect(parse_url(url), config, RealEntropy(), act_as=act_as) as fs:
        yield fs


def group_name() -> str:
    """Primary group of the caller, for unix authentication."""
    try:
        return grp.getgrgid(os.getgid()).gr_name
    except KeyError:
        return str(os.getgid())
