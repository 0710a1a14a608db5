"""`ports.log` into the trace of the run. An ERROR fails the run, unless a fault explains it."""

from collections.abc import Callable

from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.process import SimProcess


class SimLog:
    """The log of one process."""

    def __init__(
        self,
        loop: SimLoop,
        process: SimProcess,
        excused: Callable[[str, dict[str, object]], bool] | None = None,
    ) -> None:
        self._loop = loop
        self._process = process
        self._excused = excused

    def debug(self, event: str, **fields: object) -> None:
        """What a developer wants to see."""
        self._record("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """What happened."""
        self._record("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """What an operator should know; thesan copes."""
        self._record("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """What somebody must look at: in a simulated run nobody may have to."""
        text = self._record("error", event, fields)
        if self._process.alive and not (self._excused and self._excused(event, fields)):
            self._loop.trace.failure(self._loop.now, self._process, text)

    def _record(self, level: str, event: str, fields: dict[str, object]) -> str:
        text = f"{level} {event}" + "".join(f" {key}={value}" for key, value in fields.items())
        self._loop.trace.event(self._loop.now, repr(self._process), text)
        return text
