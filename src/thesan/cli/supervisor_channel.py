"""How a running supervisor is told things: one line of JSON over a unix socket, one line back.

    {"verb": "hold", "names": ["mgm1", "fst1"], "seconds": 0}
    {"daemons": [...]}      or      {"error": "there is no daemon mgm9: ..."}

Verbs: `list`; `kill` (SIGKILL: it starts again by itself); `hold` (SIGKILL, and it stays down for
`seconds`; 0: until `release`); `pause` (SIGSTOP for `seconds`; 0: until `resume`); `resume`
(SIGCONT); `release` (start what is held); `stop` (SIGTERM, and it stays down). The socket lies
beside the state file with mode 0600: who may write there may do all this anyway.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.units import KIB
from thesan.io.tasks import TaskOwner

SOCKET_NAME: Final = "control.sock"
"""In the directory of the state file."""
REQUEST_BYTES_MAX: Final = 16 * KIB
"""One request: all names of the largest demo are 1 KiB."""
ANSWER_BYTES_MAX: Final = 256 * KIB
"""One answer: about 200 bytes for each daemon."""
CALL_SECONDS_MAX: Final = 5.0
"""Time for a request to be sent and answered, on either side; no verb waits for a daemon."""
SECONDS_MAX: Final = 86400.0
"""Longest pause or hold that ends by itself."""
CALLERS_MAX: Final = 8
"""Connections served at once; more are closed at once."""

VERBS: Final = ("list", "kill", "hold", "pause", "resume", "release", "stop")


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller wants."""

    verb: str
    names: list[str] = []
    seconds: float = 0.0


class DaemonState(msgspec.Struct):
    """One daemon, as the state file and the channel's answers show it."""

    name: str
    role: str
    """mgm, fst or etcd."""
    host: str
    port: int
    pid: int = 0
    restarts: int = 0
    state: str = "starting"
    """starting, running, waiting (to restart), paused, held or stopped."""
    since: float = 0.0
    """Wall-clock time at which this process was started."""


class Answer(msgspec.Struct, omit_defaults=True):
    """What the supervisor says."""

    daemons: list[DaemonState] = []
    error: str = ""


@contextlib.contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    """A path of the socket that fits sockaddr_un's 108 bytes, however deep the directory is."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)


class Channel:
    """The supervisor's end. `obey` gives the daemons after an order was carried out, or raises
    OperationError."""

    def __init__(self, directory: Path, obey: Callable[[Order], list[DaemonState]]) -> None:
        self._directory = directory
        self._obey = obey
        self._server: asyncio.Server | None = None
        self._tasks = TaskOwner("channel", lambda name, error: print(f"{name}: {error!r}"))

    async def open(self) -> None:
        """Listen. A socket that a killed supervisor left is replaced."""
        (self._directory / SOCKET_NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        old_mask = os.umask(0o177)
        try:
            with _short_path(self._directory) as path:
                listener.bind(path)
        finally:
            os.umask(old_mask)
        self._server = await asyncio.start_unix_server(
            self._called, sock=listener, limit=REQUEST_BYTES_MAX
        )

    async def close(self) -> None:
        """Take no more orders."""
        if self._server is not None:
            self._server.close()
            self._server = None
        (self._directory / SOCKET_NAME).unlink(missing_ok=True)
        await self._tasks.close()

    def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CALLERS_MAX:
            writer.close()
            return
        self._tasks.start("call", self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                line = await reader.readline()
                writer.write(msgspec.json.encode(self._answer(line)) + b"\n")
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # A caller that is slow, gone or too long gets no answer; it loses nothing.
        finally:
            writer.close()

    def _answer(self, line: bytes) -> Answer:
        try:
            order = msgspec.json.decode(line, type=Order)
        except (msgspec.DecodeError, RecursionError) as error:
            return Answer(error=f"unreadable order: {error}")
        if order.verb not in VERBS:
            return Answer(error=f"no verb {order.verb[:40]!r}: {', '.join(VERBS)}")
        if not 0 <= order.seconds <= SECONDS_MAX:
            return Answer(error=f"seconds: 0 to {SECONDS_MAX:.0f}")
        try:
            return Answer(daemons=self._obey(order))
        except OperationError as error:
            return Answer(error=error.text)


def tell(directory: Path, verb: str, *names: str, seconds: float = 0.0) -> list[DaemonState]:
    """Give the supervisor of `directory` an order; the daemons after it.

    Raises OperationError: ESRCH when no supervisor listens there, EINVAL when it refuses.
    """
    order = msgspec.json.encode(Order(verb, list(names), seconds)) + b"\n"
    try:
        with _short_path(directory) as path, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CALL_SECONDS_MAX)
            connection.connect(path)
            connection.sendall(order)
            data = b""
            while not data.endswith(b"\n") and len(data) <= ANSWER_BYTES_MAX:
                part = connection.recv(64 * KIB)
                if not part:
                    break
                data += part
    except OSError as error:
        raise OperationError(
            errno.ESRCH,
            f"no supervisor answers in {directory} ({error.strerror or error}): "
            "`thesan demo up` starts one",
        ) from error
    try:
        answer = msgspec.json.decode(data, type=Answer)
    except msgspec.DecodeError as error:
        text = f"the supervisor in {directory} did not answer: see supervisor.log there"
        raise OperationError(errno.EIO, text) from error
    if answer.error:
        raise OperationError(errno.EINVAL, answer.error)
    return answer.daemons
