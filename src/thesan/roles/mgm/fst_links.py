"""Which connection of an FST counts: the one that it made last.

What an FST sent into a dead line reaches the MGM when the line is well again, though the FST has
long made another connection and sent it again there. TCP keeps the order of one connection only: a
commit that comes late in that way would bring back a file that was removed meanwhile. So with the
first word on a later connection the earlier ones are over, unread or not.

Two FSTs that run under one name by mistake end each other's connections so, for ever: that is said.
"""

import asyncio
import errno

import msgspec

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import NODE_COUNT_MAX, TWIN_WARNING_SECONDS
from thesan.io.transport.server import ServerConnection
from thesan.ports.log import Log
from thesan.roles.mgm.sessions import Session


class _Processes(msgspec.Struct):
    """The last process of one node, by its boot id and the host that it spoke from."""

    boot_id: str
    host: str
    boot_id_before: str = ""
    """Of the one before it."""
    warning_due_s: float = 0.0


class FstLinks:
    """The last connection of each FST, in whatever role; for the life of the process."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last: dict[str, tuple[int, ServerConnection]] = {}
        """By node: number of its login and the connection, which may be gone."""
        self._processes: dict[str, _Processes] = {}

    def check(self, node: str, connection: ServerConnection) -> None:
        """`node` has said something on this connection. Raises OperationError EAGAIN, and drops
        the connection, when it logged in again since."""
        session: Session = connection.state
        last = self._last.get(node)
        if last is None:
            if len(self._last) < NODE_COUNT_MAX:
                self._last[node] = session.number, connection
            return
        number, other = last
        if other is connection:
            return
        if session.number < number:
            self._log.info("late message of an FST dropped", node=node)
            connection.abort()
            raise OperationError(errno.EAGAIN, f"{node} has another connection since")
        self._last[node] = session.number, connection
        if not other.is_closed:
            self._log.info("older connection of an FST dropped", node=node)
            other.abort()

    def note_process(self, node: str, boot_id: str, connection: ServerConnection) -> None:
        """A beat of this process came. A restart changes the boot id once and for all: when it
        changes back, two processes use one name, of which at most one can be served."""
        host = connection.peer_host
        known = self._processes.get(node)
        if known is None:
            if len(self._processes) < NODE_COUNT_MAX:
                self._processes[node] = _Processes(boot_id, host)
            return
        if boot_id == known.boot_id:
            return
        now_s = asyncio.get_running_loop().time()
        if boot_id == known.boot_id_before and now_s >= known.warning_due_s:
            known.warning_due_s = now_s + TWIN_WARNING_SECONDS
            self._log.warning("two FSTs use one name", node=node, host=host, other=known.host)
        known.boot_id_before = known.boot_id
        known.boot_id, known.host = boot_id, host
