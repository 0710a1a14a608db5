"""Threads for the blocking calls of one disk, at little cost for the event loop.

An executor passes each call through two futures, a semaphore and half a dozen callbacks, most of
them Python in the loop's thread, which finds nothing in the processor's cache between two blocks of
8 MiB (measured: half of the loop's share of a large read). Here a call is one entry of a queue and
its end one callback of the loop.
"""

import asyncio
import threading
import weakref
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")

_Call = tuple[
    list[Callable[[], Any]],
    Callable[[], None] | None,
    "asyncio.Future[Any]",
    Callable[["asyncio.Future[Any]", Any, BaseException | None], None],
]
"""([work], after, future, settle): whoever takes the work out of its list does it."""


class Workers:
    """At most `count_max` threads, started as they are needed. For one event loop at a time."""

    def __init__(self, count_max: int, name: str) -> None:
        self._count_max = count_max
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._open = 0
        """Calls that have not been settled; only the loop's thread counts."""
        self._is_shut = False
        # Whoever forgets to shut down leaves no threads behind.
        self._finalizer = weakref.finalize(self, _dismiss, self._calls, self._threads)

    def start(
        self, work: Callable[[], _T], after: Callable[[], None] | None = None
    ) -> "asyncio.Future[_T]":
        """Do `work` in a thread; its result or exception is the future's.

        `after` runs in that thread at the end of the work, also when nobody waits any more. A
        future that is cancelled before its turn comes is not worked on; `after` runs at once then,
        or in the thread. RuntimeError after `shutdown`.
        """
        if self._is_shut:
            raise RuntimeError(f"{self._name}: no calls are taken after shutdown")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._open += 1
        if self._open > len(self._threads) < self._count_max:
            name = f"{self._name}_{len(self._threads)}"
            thread = threading.Thread(target=_serve, args=(self._calls,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        turn = [work]
        if after is not None:
            future.add_done_callback(partial(_cancelled, turn, after))
        self._calls.put((turn, after, future, self._settle))
        return future

    def _settle(
        self, future: "asyncio.Future[Any]", result: Any, error: BaseException | None
    ) -> None:
        self._open -= 1
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def shutdown(self, wait: bool = True) -> None:
        """Take no more calls; with `wait` return when all that were taken have ended."""
        self._is_shut = True
        self._finalizer()
        if wait:
            for thread in self._threads:
                thread.join()


def _dismiss(calls: "SimpleQueue[_Call | None]", threads: list[threading.Thread]) -> None:
    for _ in threads:
        calls.put(None)


def _cancelled(
    turn: list[Callable[[], Any]], after: Callable[[], None], future: "asyncio.Future[Any]"
) -> None:
    """A thread may never come to this call, if the disk hangs: let go here what it would hold."""
    if future.cancelled() and _take(turn) is not None:
        after()


def _take(turn: list[Callable[[], Any]]) -> Callable[[], Any] | None:
    """The work, for the first who asks: list.pop is atomic."""
    try:
        return turn.pop()
    except IndexError:
        return None


def _serve(calls: "SimpleQueue[_Call | None]") -> None:
    while (call := calls.get()) is not None:
        _do(*call)
        del call  # what it holds must not live until the next one comes


def _do(
    turn: list[Callable[[], Any]],
    after: Callable[[], None] | None,
    future: "asyncio.Future[Any]",
    settle: Callable[["asyncio.Future[Any]", Any, BaseException | None], None],
) -> None:
    result, failure = None, None
    work = _take(turn)
    try:
        if work is not None and not future.cancelled():
            result = work()
    except BaseException as error:
        failure = error
    if work is not None and after is not None:
        after()
    try:
        future.get_loop().call_soon_threadsafe(settle, future, result, failure)
    except RuntimeError:
        pass  # the loop is closed: nobody waits
    finally:
        failure = None  # else the exception and this frame would hold each other
