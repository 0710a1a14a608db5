"""The master's pulse: beats into the journal that nothing in the MGM's event loop can delay.

worlds.real beats from a thread of its own with an engine connection of its own; the simulated world
from a task, since its loop is never busy.
"""

from collections.abc import Callable
from typing import Protocol

from thesan.ports.engine import Owner


class Pacemaker(Protocol):
    """One per MGM process. Beats for one owner at a time. Called from the MGM's loop only."""

    def start(
        self,
        owner: Owner,
        beat_s: float,
        on_confirmed: Callable[[float], None],
        on_fenced: Callable[[str], None],
    ) -> None:
        """Beat for `owner` every `beat_s` seconds, from now on.

        Both callbacks run in the caller's loop: `on_confirmed(sent_s)` when a beat that was sent at
        `sent_s` (boot seconds) is in the journal; `on_fenced(why)` once, when another owner has it:
        no further beat is sent then.
        """
        ...

    def written(self, sent_s: float) -> None:
        """An append that was sent at `sent_s` is in the journal: as good as a beat then."""
        ...

    def turned(self) -> None:
        """The loop turns. When this is not said for LOOP_STALL_SECONDS_MAX, beats stop until it is
        said again: others may take over from a hung process, never from a busy one."""
        ...

    def stop(self) -> None:
        """Send no further beat; no callback comes any more."""
        ...

    async def close(self) -> None:
        """Stop, and release what is held."""
        ...
