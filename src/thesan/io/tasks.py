"""Tasks with names, owners and ends. The only place in thesan that starts a task.

Every task belongs to a TaskOwner. A task that ends by an exception nobody awaits is reported at
once through `on_failure`: silent death of a background task is how clusters rot.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class TaskOwner:
    """Starts tasks, knows them all, ends them all."""

    def __init__(
        self, name: str, on_failure: Callable[[str, BaseException], None] | None = None
    ) -> None:
        self._name = name
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._on_failure = on_failure
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, name: str, work: Coroutine[Any, Any, _T]) -> "asyncio.Task[_T]":
        """Start `work` as task `owner.name`. After `close` it is dropped: RuntimeError."""
        if self._closed:
            work.close()
            raise RuntimeError(f"{self._name} is closed: {name} not started")
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}.{name}")
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self._on_failure is not None:
            self._on_failure(task.get_name(), error)

    async def close(self) -> None:
        """Cancel every task and wait until all have ended. Safe to call twice."""
        self._closed = True
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
