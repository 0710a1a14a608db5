"""Work that ends only when it is cancelled: what goes wrong ends one round of it, never all.

An MGM without one of its tasks would live on and look well, and nobody would start it anew.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from thesan.core.model.limits import JOURNAL_RETRY_SECONDS, ROLE_RETRY_SECONDS_MAX

ENDS: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)
"""What ends a task, its loop or the process on purpose: it is no fault, and goes on to whoever
waits."""


async def for_ever(
    work: Callable[[], Awaitable[None]], ended: Callable[[BaseException | None], None]
) -> None:
    """Round after round of `work`; `ended` is told how each one ended (None: by itself).

    The pause after a round doubles up to ROLE_RETRY_SECONDS_MAX, and is short again after one that
    lasted longer than that. Raises what `ended` raises, and ENDS.
    """
    clock = asyncio.get_running_loop().time
    pause = JOURNAL_RETRY_SECONDS
    while True:
        began_s = clock()
        failure: BaseException | None = None
        try:
            await work()
        except ENDS:
            raise
        except BaseException as error:  # A panic of a binding is no Exception.
            failure = error
        ended(failure)
        if clock() - began_s > ROLE_RETRY_SECONDS_MAX:
            pause = JOURNAL_RETRY_SECONDS
        await asyncio.sleep(pause)
        pause = min(2 * pause, ROLE_RETRY_SECONDS_MAX)
