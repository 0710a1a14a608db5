"""Several ways to one thing, begun one after the other; the first that leads there is taken."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from thesan.core.model.errors import OperationError
from thesan.io.tasks import TaskOwner

_T = TypeVar("_T")


async def first_made(
    attempts: Sequence[Callable[[], Coroutine[Any, Any, _T]]],
    stagger_seconds: float,
    discard: Callable[[_T], None],
) -> _T:
    """Result of the first of `attempts` (at least one) that succeeds.

    One begins when those before it have failed, or were silent for `stagger_seconds`. What is made
    too late goes to `discard`. Raises OperationError: that of the last failure.
    """
    tasks = TaskOwner("race")
    left, running = list(attempts), list[asyncio.Task[_T]]()
    made: list[_T] = []
    failure: OperationError | None = None
    ended = asyncio.Event()
    try:
        while left or running:
            if left:
                running.append(tasks.start(f"attempt {len(attempts) - len(left)}", left.pop(0)()))
                running[-1].add_done_callback(lambda _: ended.set())
            try:
                async with asyncio.timeout(stagger_seconds if left else None):
                    await ended.wait()
            except TimeoutError:
                continue
            ended.clear()
            for task in [task for task in running if task.done()]:
                running.remove(task)
                try:
                    made.append(task.result())
                except OperationError as error:
                    failure = error
            if made:
                return made.pop(0)
    finally:
        await tasks.close()
        made += [task.result() for task in running if not task.cancelled() and not task.exception()]
        for late in made:
            discard(late)
    assert failure is not None, "no attempt was given"
    raise failure
