"""Long polls: clients, FSTs and MGMs that want to hear of a newer master as soon as it is known."""

import asyncio
from collections.abc import Callable

from thesan.core.control.messages import Leader, Watch, encode_reply
from thesan.core.model.leadership_limits import WATCH_SECONDS_MAX
from thesan.core.wire import responses
from thesan.io.transport.server import ServerConnection


class Watchers:
    """One poll per connection; a second one of the same connection ends the first."""

    def __init__(self, leader: Callable[[], Leader]) -> None:
        """`leader` says what is known now."""
        self._leader = leader
        self._waiting: dict[ServerConnection, tuple[bytes, int, asyncio.TimerHandle]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def watch(self, connection: ServerConnection, sid: bytes, message: Watch) -> bytes | None:
        """Answer one Watch: now, or when there is something newer, or when its time is over."""
        self._end(connection)
        leader = self._leader()
        if message.wait_ms <= 0 or _is_news(leader, message.epoch):
            return responses.ok(sid, encode_reply(leader))
        seconds = min(message.wait_ms / 1000, WATCH_SECONDS_MAX)
        timer = asyncio.get_running_loop().call_later(seconds, self._end, connection)
        self._waiting[connection] = sid, message.epoch, timer
        connection.wait_then_answer(sid, int(seconds) + 1)
        return None

    def tell(self) -> None:
        """Something may have changed: answer those for whom it is news."""
        if not self._waiting:
            return
        leader = self._leader()
        for connection, (_, epoch, _) in list(self._waiting.items()):
            if _is_news(leader, epoch):
                self._end(connection)

    def closed(self, connection: ServerConnection) -> None:
        """Nobody is there to hear it."""
        waiting = self._waiting.pop(connection, None)
        if waiting is not None:
            waiting[2].cancel()

    def _end(self, connection: ServerConnection) -> None:
        waiting = self._waiting.pop(connection, None)
        if waiting is not None:
            waiting[2].cancel()
            connection.reply(responses.ok(waiting[0], encode_reply(self._leader())))

    def close(self) -> None:
        """The process ends: its connections do too."""
        for _, _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()


def _is_news(leader: Leader, epoch: int) -> bool:
    return bool(leader.master_address) and leader.epoch > epoch
