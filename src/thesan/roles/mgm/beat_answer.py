"""The answer to an FST's beat, which does not wait for the journal as long as others do.

What a master has to say to an FST shows what is in its memory, so it is held until that is durable.
The FST beats again when it is answered: with the engine away it would say nothing meanwhile, and be
taken for dead. So after a while it gets what a standby would say, and nothing to obey. It then says
again what it reported, and the next answer has what this one had.
"""

import asyncio
from collections.abc import Callable

from thesan.core.model.limits import BEAT_ANSWER_SECONDS_MAX
from thesan.roles.mgm.held import Receiver


class BeatAnswer:
    """In the place of the connection for one held answer."""

    def __init__(self, receiver: Receiver, without_news: Callable[[], bytes]) -> None:
        """`without_news` makes the frame to send when the journal takes too long."""
        self._receiver = receiver
        self._without_news = without_news
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def limit(self) -> None:
        """It is held: for BEAT_ANSWER_SECONDS_MAX, no longer."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(BEAT_ANSWER_SECONDS_MAX, self._give_up)

    def reply(self, data: bytes) -> None:
        """What it shows is durable."""
        if self._ends():
            self._receiver.reply(data)

    def close(self) -> None:
        """The mastership ends, and what it shows may never be so."""
        if self._ends():
            self._receiver.close()

    def _give_up(self) -> None:
        if self._ends():
            self._receiver.reply(self._without_news())

    def _ends(self) -> bool:
        """False when it was over before."""
        if self._is_over:
            return False
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        return True
