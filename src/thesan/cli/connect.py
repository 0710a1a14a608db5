"""How a command reaches the instance: the client library over the real world."""

import contextlib
from collections.abc import AsyncIterator

from thesan.roles.client.filesystem import Filesystem

PATIENCE_SECONDS = 120.0
"""How long a command goes on trying while no MGM answers: longer than any planned restart."""


@contextlib.asynccontextmanager
async def connect(
    url: str, user: str, patience_s: float = PATIENCE_SECONDS
) -> AsyncIterator[Filesystem]:
    """A Filesystem for the duration of one command."""
    raise NotImplementedError
    yield
