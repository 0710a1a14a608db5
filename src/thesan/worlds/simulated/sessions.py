"""Clients that read at any MGM: what a session has seen it never sees undone.

Each client owns a counter (the mtime of a directory of its own) that it alone advances, so that
every value tells how young it is. A session remembers the newest journal entry that it was shown
and names it with each read; the MGM that it asks must not show anything older.
"""

import random
from typing import Final

from thesan.core.model.errors import ThesanError
from thesan.worlds.simulated.calls import DEFINITE, Calls
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.shared import SHARED_DIRECTORY, Voice

COUNTERS: Final = f"{SHARED_DIRECTORY}/c-"
"""And the client's name."""


class Session:
    """One run of a client: it forgets when the client dies."""

    def __init__(self, loop: SimLoop, voice: Voice, dice: random.Random, started: int) -> None:
        """`started`: the counter's last value that the client before this one may have set."""
        self.value = started
        """Last value that was offered for the own counter."""
        self._loop = loop
        self._voice = voice
        self._dice = dice
        self._seq = 0
        self._seen: dict[str, int] = {}

    def path_of(self, name: str) -> str:
        """The counter of a client."""
        return COUNTERS + name

    async def step(self, calls: Calls, names: tuple[str, ...]) -> None:
        """Advance the own counter, or look at anybody's at any MGM."""
        if self._dice.random() < 0.3:
            await self._advance(calls)
        else:
            await self._look(calls, self._dice.choice(names))

    async def _advance(self, calls: Calls) -> None:
        voice = self._voice
        path = self.path_of(voice.name)
        self.value += 1
        value = self.value
        try:
            seq = await calls.advance(path, value)
        except ThesanError as error:
            voice.violate(f"{path} = {value} ended with errno {error.errno} ({error})")
            return
        voice.tally.acknowledged += 1
        voice.say(f"{path} = {value} at entry {seq}")
        self._seq = max(self._seq, seq)
        self._seen[path] = value

    async def _look(self, calls: Calls, name: str) -> None:
        voice, path = self._voice, self.path_of(name)
        mgm, wanted, before = self._dice.randrange(calls.mgm_count), self._seq, self._seen.get(path)
        try:
            value, seq = await calls.look(mgm, path, wanted)
        except ThesanError as error:
            # That MGM may be away; but what it says must be true.
            if error.errno in DEFINITE and before is not None:
                voice.violate(f"{path} was {before}, then errno {error.errno} ({error})")
            return
        voice.tally.acknowledged += 1
        voice.say(f"{path} is {value} at entry {seq}, by MGM {mgm}")
        if before is not None and value < before:
            voice.violate(f"{path} went back from {before} to {value} at MGM {mgm}")
        if seq < wanted:
            voice.violate(f"{path}: MGM {mgm} showed entry {seq}, {wanted} was seen before")
        self._seq = max(self._seq, seq)
        self._seen[path] = max(value, before or 0)
