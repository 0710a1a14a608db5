"""Which connection of an FST counts: the one that it made last.

What an FST sent into a dead line reaches the MGM when the line is well again, though the FST has
long made another connection and sent it again there. TCP keeps the order of one connection only: a
commit that comes late in that way would bring back a file that was removed meanwhile. So with the
first word on a later connection the earlier ones are over, unread or not.
"""

import errno

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import NODE_COUNT_MAX
from thesan.io.transport.server import ServerConnection
from thesan.ports.log import Log
from thesan.roles.mgm.sessions import Session


class FstLinks:
    """The last connection of each FST, in whatever role; for the life of the process."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last: dict[str, tuple[int, ServerConnection]] = {}
        """By node: number of its login and the connection, which may be gone."""

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
