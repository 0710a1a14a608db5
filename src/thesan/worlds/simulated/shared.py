"""What all clients use at once: a few files and attributes, judged by the order of their history.

Attributes are registers that only the MGMs hold: cheap, and a read of one shows at once an MGM that
believes to be master and is not.
"""

import errno
import random
import traceback
from dataclasses import dataclass, field
from typing import Final, Protocol

from thesan.core.model.errors import OperationError, ThesanError
from thesan.worlds.simulated.calls import DEFINITE, OVERTAKEN, Calls
from thesan.worlds.simulated.contents import content_of, value_of
from thesan.worlds.simulated.history import History, Verb
from thesan.worlds.simulated.loop import SimLoop

SHARED_DIRECTORY: Final = "/shared"
SHARED_NAMES: Final = tuple(f"{SHARED_DIRECTORY}/s{number}" for number in range(3))
"""Few, so that actors meet."""
SHARED_MARKS: Final = tuple(f"{SHARED_DIRECTORY}/m{number}" for number in range(3))
"""Directories that are there from the start; their attribute MARK is a register each."""
SHARED_SIZE: Final = 3000
"""Long enough for a content to carry its name."""


@dataclass(slots=True)
class Tally:
    """What became of an actor's calls."""

    acknowledged: int = 0
    refused: int = 0
    """Errors that were the right answer."""
    unknown: int = 0
    killed: int = 0
    """Calls that the client's own death ended."""
    violations: list[str] = field(default_factory=list)
    unknown_texts: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0
    """Longest call that only the MGMs had to answer."""


class Voice(Protocol):
    """The actor that these calls are part of."""

    name: str
    tally: Tally
    strict: bool

    def say(self, text: str) -> None: ...

    def violate(self, text: str) -> None: ...

    def next_value(self) -> str:
        """Unique in the run."""
        ...


class SharedNames:
    """One client's calls on what is everybody's."""

    def __init__(self, loop: SimLoop, voice: Voice, dice: random.Random, history: History) -> None:
        self._loop = loop
        self._voice = voice
        self._dice = dice
        self._history = history

    async def file(self, calls: Calls) -> None:
        """One call for a shared file."""
        key = self._dice.choice(SHARED_NAMES)
        kind = self._dice.random()
        try:
            if kind < 0.4:
                await self._put(calls, key)
            elif kind < 0.85:
                await self._get(calls, key)
            else:
                await self._remove(calls, key)
        except Exception as error:  # the library promises nothing but ThesanError
            self._raised(key, error)

    async def mark(self, calls: Calls) -> None:
        """One call for a shared attribute."""
        key = self._dice.choice(SHARED_MARKS)
        begun = self._loop.now
        try:
            if self._dice.random() < 0.4:
                await self._set_mark(calls, key)
            else:
                await self._get_mark(calls, key)
        except Exception as error:  # likewise
            self._raised(key, error)
        tally = self._voice.tally
        tally.longest_seconds = max(tally.longest_seconds, self._loop.now - begun)

    def _raised(self, key: str, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))
        self._voice.violate(f"a call for {key} raised {text}")

    # -- files -----------------------------------------------------------------------------------
    async def _put(self, calls: Calls, key: str) -> None:
        voice = self._voice
        value = f"{voice.next_value()}.{SHARED_SIZE}"
        voice.say(f"put {key} {value}")
        operation = self._history.call(voice.name, Verb.PUT, key, value, self._loop.now)
        try:
            await calls.put(key, content_of(value), exclusive=False)
        except ThesanError as error:
            if error.errno in OVERTAKEN:
                # Not withdrawn from the history: an earlier try of the same put may have been done.
                voice.say(f"put {key} {value}: overtaken: {error}")
                voice.tally.refused += 1
            else:
                self._failed(f"put {key}", error)
            return
        operation.end = self._loop.now
        voice.tally.acknowledged += 1
        voice.say(f"put {key} {value}: done")

    async def _get(self, calls: Calls, key: str) -> None:
        voice = self._voice
        operation = self._history.call(voice.name, Verb.GET, key, None, self._loop.now)
        try:
            operation.value = value_of(await calls.get(key))
        except OperationError as error:
            if error.errno == errno.ESTALE:
                voice.say(f"get {key}: overtaken: {error}")
                voice.tally.refused += 1
                return
            if error.errno != errno.ENOENT:
                self._failed(f"get {key}", error)
                return
        operation.end = self._loop.now
        voice.tally.acknowledged += 1
        voice.say(f"get {key}: {operation.value}")
        if operation.value is not None and operation.value.startswith("?"):
            voice.violate(f"{key} holds {operation.value}, which nobody put there")

    async def _remove(self, calls: Calls, key: str) -> None:
        voice = self._voice
        voice.say(f"rm {key}")
        operation = self._history.call(voice.name, Verb.REMOVE, key, "", self._loop.now)
        try:
            await calls.remove(key)
        except OperationError as error:
            if error.errno != errno.ENOENT:
                self._failed(f"rm {key}", error)
                return
            operation.value = None
        operation.end = self._loop.now
        voice.tally.acknowledged += 1
        voice.say(f"rm {key}: {'found nothing' if operation.value is None else 'done'}")

    # -- attributes ------------------------------------------------------------------------------
    async def _set_mark(self, calls: Calls, key: str) -> None:
        voice = self._voice
        value = voice.next_value()
        voice.say(f"attr set {key} {value}")
        operation = self._history.call(voice.name, Verb.PUT, key, value, self._loop.now)
        try:
            await calls.set_mark(key, value)
        except ThesanError as error:
            self._failed(f"attr set {key}", error)
            return
        operation.end = self._loop.now
        voice.tally.acknowledged += 1
        voice.say(f"attr set {key} {value}: done")

    async def _get_mark(self, calls: Calls, key: str) -> None:
        voice = self._voice
        operation = self._history.call(voice.name, Verb.GET, key, None, self._loop.now)
        try:
            operation.value = await calls.get_mark(key)
        except OperationError as error:
            if error.errno != errno.ENODATA:
                self._failed(f"attr get {key}", error)
                return
        operation.end = self._loop.now
        voice.tally.acknowledged += 1
        voice.say(f"attr get {key}: {operation.value}")

    def _failed(self, what: str, error: ThesanError) -> None:
        voice = self._voice
        voice.say(f"{what}: {error}")
        if voice.strict or error.errno in DEFINITE:
            voice.violate(f"{what} ended with errno {error.errno} ({error})")
        else:
            voice.tally.unknown += 1
