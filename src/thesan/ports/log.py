"""Structured log: one event per call, key=value fields. A level ERROR fails a simulation run."""

from typing import Protocol


class Log(Protocol):
    """Where roles say what happened. `event` is a short sentence without values in it."""

    def debug(self, event: str, **fields: object) -> None: ...

    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...

    def error(self, event: str, **fields: object) -> None: ...
