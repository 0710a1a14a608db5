"""How a command reaches the instance: the client library over the real world."""

import contextlib
from collections.abc import AsyncIterator

from thesan.core.model.limits import CLIENT_PATIENCE_SECONDS
from thesan.roles.client.filesystem import Filesystem
from thesan.worlds.real import library


@contextlib.asynccontextmanager
async def connect(
    url: str,
    *,
    patience_s: float = CLIENT_PATIENCE_SECONDS,
    act_as: tuple[int, int] | None = None,
    any_mgm: bool = False,
) -> AsyncIterator[Filesystem]:
    """A Filesystem for the duration of one command."""
    async with library.connect(
        url, patience_seconds=patience_s, act_as=act_as, any_mgm=any_mgm
    ) as fs:
        yield fs
