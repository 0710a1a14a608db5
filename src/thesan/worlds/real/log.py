"""`ports.log` of a real process: one line per event, to stderr or a file, in one of three formats.

eos      `YYMMDD HH:MM:SS t=EPOCH.MICRO f=FUNCTION l=LEVEL tid=N s=FILE:LINE EVENT key=value ...`,
         which the log rules of EOS sites parse
logfmt   `ts=... level=... event="..." key=value ...`
json     one object a line

A line is written with one call, so that lines of several processes in one file do not mix. A log
that can't be written is dropped: a full disk below the log must not stop a daemon.
"""

import json
import os
import sys
import threading
import time
from enum import Enum, IntEnum
from types import FrameType
from typing import Final

from thesan.core.model.errors import ConfigError
from thesan.core.model.limits import LOG_LINE_BYTES_MAX


class Level(IntEnum):
    """Severity, by its number in syslog: smaller is worse."""

    ERROR = 3
    WARNING = 4
    INFO = 6
    DEBUG = 7


class Format(Enum):
    """How a line looks."""

    EOS = "eos"
    LOGFMT = "logfmt"
    JSON = "json"


_EOS_LEVELS: Final = {
    Level.ERROR: "ERROR",
    Level.WARNING: "WARN",
    Level.INFO: "INFO",
    Level.DEBUG: "DEBUG",
}


class RealLog:
    """Writes to `path`, or to stderr when it is empty."""

    def __init__(
        self, path: str = "", form: Format = Format.EOS, level: Level = Level.INFO
    ) -> None:
        self._path = path
        self._form = form
        self._level = level
        self._fd = self._open()

    def _open(self) -> int:
        if not self._path:
            return sys.stderr.fileno()
        how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            return os.open(self._path, how, 0o640)
        except OSError as error:
            raise ConfigError(f"log file {self._path}: {error.strerror}") from error

    def reopen(self) -> None:
        """Go on in a new file of the same name: for SIGHUP after a rotation."""
        if self._path:
            old, self._fd = self._fd, self._open()
            os.close(old)

    def close(self) -> None:
        """Later events are dropped."""
        if self._path:
            os.close(self._fd)
        self._fd = -1

    def debug(self, event: str, **fields: object) -> None:
        """What a developer wants to see."""
        if self._level >= Level.DEBUG:
            self._write(Level.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """What happened."""
        if self._level >= Level.INFO:
            self._write(Level.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """What an operator should know; thesan copes."""
        if self._level >= Level.WARNING:
            self._write(Level.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """What somebody must look at."""
        self._write(Level.ERROR, event, fields)

    def _write(self, level: Level, event: str, fields: dict[str, object]) -> None:
        now_ns = time.time_ns()
        match self._form:
            case Format.EOS:
                line = _eos_line(now_ns, level, event, fields, sys._getframe(2))
            case Format.LOGFMT:
                line = _logfmt_line(now_ns, level, event, fields)
            case Format.JSON:
                line = _json_line(now_ns, level, event, fields)
        data = line.encode(errors="replace")[:LOG_LINE_BYTES_MAX] + b"\n"
        try:
            os.write(self._fd, data)
        except OSError:
            pass  # see the charter: the daemon goes on without a log


def _eos_line(
    now_ns: int, level: Level, event: str, fields: dict[str, object], caller: FrameType
) -> str:
    seconds, rest_ns = divmod(now_ns, 1_000_000_000)
    stamp = time.strftime("%y%m%d %H:%M:%S", time.localtime(seconds))
    code = caller.f_code
    source = f"{code.co_filename.rpartition('/')[2]}:{caller.f_lineno}"
    line = (
        f"{stamp} t={seconds}.{rest_ns // 1000:06d} f={code.co_name} l={_EOS_LEVELS[level]} "
        f"tid={threading.get_native_id()} s={source} {_plain(event)}"
    )
    return line + "".join([f" {key}={_quoted(value)}" for key, value in fields.items()])


def _logfmt_line(now_ns: int, level: Level, event: str, fields: dict[str, object]) -> str:
    line = f"ts={_iso(now_ns)} level={level.name.lower()} event={_quoted(event)}"
    return line + "".join([f" {key}={_quoted(value)}" for key, value in fields.items()])


def _json_line(now_ns: int, level: Level, event: str, fields: dict[str, object]) -> str:
    record = {"ts": _iso(now_ns), "level": level.name.lower(), "event": event, **fields}
    return json.dumps(record, default=str, ensure_ascii=False)


def _iso(now_ns: int) -> str:
    seconds, rest_ns = divmod(now_ns, 1_000_000_000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{stamp}.{rest_ns // 1000:06d}Z"


def _plain(text: str) -> str:
    """One line, whatever a client put into a name."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _quoted(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(sign in text for sign in ' "='):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
