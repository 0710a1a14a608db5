"""How a real process runs: uvloop where it is installed, and a collector that keeps out of the way.

What lives long (namespace records, settings, modules) never becomes garbage, so it is frozen out of
the collector's sight; young garbage is collected rarely enough that no pause is seen.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

GC_THRESHOLDS: Final = (50_000, 20, 100)
"""Young collection each 50 000 net allocations (about 5 ms), full one practically never."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A uvloop loop, or asyncio's own where uvloop is not installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def freeze() -> None:
    """Take everything that exists now out of the collector's sight. Again after a boot load."""
    gc.collect()
    gc.freeze()


def run(
    main: Coroutine[Any, Any, _T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = new_event_loop,
) -> _T:
    """Run `main` to its end on a fresh loop; SIGINT cancels it."""
    gc.set_threshold(*GC_THRESHOLDS)
    freeze()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main)
