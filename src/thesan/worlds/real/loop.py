"""How a real process runs: uvloop where it is installed, and a collector that keeps out of the way.

What lives long (namespace records, settings, modules) never becomes garbage, so it is frozen out of
the collector's sight; young garbage is collected rarely enough that no pause is seen. The buffers
of large requests are kept by the allocator: giving each back to the system and zeroing new pages
for the next costs a tenth of an upload's processor time (measured: 65 000 page faults per GiB).
"""

import asyncio
import ctypes
import gc
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from thesan.core.model.limits import ALLOCATOR_BUFFER_BYTES_MAX, ALLOCATOR_KEPT_BYTES_MAX

_T = TypeVar("_T")

GC_THRESHOLDS: Final = (50_000, 20, 100)
"""Young collection each 50 000 net allocations (about 5 ms), full one practically never."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Parameters of mallopt(3)."""


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


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to reuse large buffers; False where there is another allocator."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, ALLOCATOR_BUFFER_BYTES_MAX)
        and mallopt(_M_TRIM_THRESHOLD, ALLOCATOR_KEPT_BYTES_MAX)
    )


def run(
    main: Coroutine[Any, Any, _T],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = new_event_loop,
) -> _T:
    """Run `main` to its end on a fresh loop; SIGINT cancels it."""
    keep_freed_memory()
    gc.set_threshold(*GC_THRESHOLDS)
    freeze()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main)
