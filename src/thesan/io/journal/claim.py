"""Becoming the owner of the journal, with an outcome that is always known."""

import asyncio

from thesan.core.model.errors import Unavailable
from thesan.core.model.limits import (
    APPEND_SECONDS_MAX,
    JOURNAL_RETRY_SECONDS,
    JOURNAL_RETRY_SECONDS_MAX,
)
from thesan.ports.engine import Engine, Observation, Owner


async def claim(
    engine: Engine, seen: Owner | None, new: Owner, still: Observation | None = None
) -> bool:
    """Take over from `seen`: True when `new` is the owner, False when somebody else was faster, or
    wrote something after `still`.

    Goes on until the engine says which; the caller bounds the time. `new` must be a value that
    nobody else proposes (its `since_ns` sees to that): finding it means that this call wrote it.
    """
    is_unsure = False
    pause = JOURNAL_RETRY_SECONDS
    while True:
        try:
            async with asyncio.timeout(APPEND_SECONDS_MAX):
                # A first try may land only after it was given up: then the second one finds that
                # the owner is not `seen` any more, since it is `new`.
                won = await engine.take_over(seen, new, still)
                return won or (is_unsure and await engine.owner() == new)
        except (Unavailable, TimeoutError):
            is_unsure = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, JOURNAL_RETRY_SECONDS_MAX)
