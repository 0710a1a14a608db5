"""What the clients of a simulated instance do, and what they expect of every answer.

An actor works in a directory of its own, where it knows exactly what each call must answer, and on
a few names that all actors share, where the order checker judges in the end.
"""

import asyncio
import errno
import random
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from thesan.core.model.errors import OperationError, ThesanError
from thesan.worlds.simulated.calls import DEFINITE, SAME_ON_THE_WIRE, Calls
from thesan.worlds.simulated.contents import SIZES, content_of, value_of
from thesan.worlds.simulated.expectation import Expectation
from thesan.worlds.simulated.history import History
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.sessions import Session
from thesan.worlds.simulated.shared import SharedNames, Tally

NAMES_MAX: Final = 12
"""Files an actor keeps; above it removes more than it puts."""


class Actor:
    """One client."""

    def __init__(
        self,
        loop: SimLoop,
        name: str,
        calls: Calls,
        dice: random.Random,
        history: History,
        *,
        strict: bool = True,
        names: tuple[str, ...] = (),
        has_files: bool = True,
        churn: bool = False,
    ) -> None:
        """`names`: all actors that have a counter. Without files only what MGMs alone hold is used.

        `strict`: a call without a definite answer is a violation: the library has to hide every
        fault within the atlas.
        """
        self.name = name
        self.tally = Tally()
        self.expectation = Expectation(f"/{name}")
        self._loop = loop
        self._calls = calls
        self._dice = dice
        self.strict = strict
        self._count = 0
        self._shared = SharedNames(loop, self, dice, history)
        self._names = names
        self._has_files = has_files
        self._churns = churn
        self._session = Session(loop, self, dice, 0)
        self._in_flight: tuple[str, ...] = ()
        """Paths that the call under way may change."""
        self._edited: dict[str, bytes] = {}
        """Contents of values that an update in place made."""
        self._mixed: dict[str, None] = {}
        """Paths where an update ended without an answer: any mixture may be there."""

    # -- the run -------------------------------------------------------------------------------
    async def begin(self) -> None:
        """Make the actor's own directory, and its counter."""
        await self._calls.make_directory(self.expectation.top)
        if self._names:
            await self._calls.make_directory(self._session.path_of(self.name))

    def reborn(self, calls: Calls) -> None:
        """The client was killed in the middle of a call, and is back."""
        self._calls = calls
        self._session = Session(self._loop, self, self._dice, self._session.value)
        for path in self._in_flight:
            self.expectation.taint(path)
            self._mixed[path] = None
        if self._in_flight:
            self.tally.killed += 1
            self._in_flight = ()

    async def work(self, until: float, pause_mean: float) -> None:
        """Call after call, with a pause between them, until the time is up."""
        while self._loop.now < until:
            await self.step()
            await asyncio.sleep(self._dice.expovariate(1.0 / pause_mean))

    async def step(self) -> None:
        """One call."""
        if not self._has_files:
            await self._dice.choice([self._shared_mark, self._shared_mark, self._counter])()
            return
        kinds = [self._put] * 5 + [self._get] * 4 + [self._rename] * 2 + [self._shared_file] * 5
        kinds += [self._shared_mark] * 6
        kinds += [self._counter] * (6 if self._names else 0)
        kinds += [self._remove] * (6 if len(self.expectation.files) > NAMES_MAX else 1)
        kinds += [self._make_directory, self._remove_directory, self._list]
        kinds += [self._update, self._set_mark, self._get_mark, self._put_pieces]
        kinds += [self._symlink, self._read_link]
        kinds += [self._churn] * (60 if self._churns else 0)
        await self._dice.choice(kinds)()

    async def _shared_file(self) -> None:
        await self._shared.file(self._calls)

    async def _shared_mark(self) -> None:
        await self._shared.mark(self._calls)

    async def _counter(self) -> None:
        await self._session.step(self._calls, self._names)

    def next_value(self) -> str:
        """Unique in the run."""
        self._count += 1
        return f"{self.name}.{self._count}"

    def say(self, text: str) -> None:
        """Into the story of the run."""
        self._loop.trace.event(self._loop.now, self.name, text)

    def violate(self, text: str) -> None:
        """A promise was broken: the run is red."""
        self.say(f"VIOLATION {text}")
        self.tally.violations.append(f"at {self._loop.now:.6f} {self.name}: {text}")

    async def _attempt(
        self,
        what: str,
        wanted: int,
        paths: tuple[str, ...],
        work: Callable[[], Awaitable[None]],
        *,
        may_break: bool = False,
    ) -> bool:
        """Make a call that must end with `wanted`; True when it succeeded.

        `may_break`: it depends on one FST, whose death it does not survive.
        """
        self.say(what)
        self._in_flight = paths
        try:
            await work()
        except ThesanError as error:
            self._in_flight = ()
            self.say(f"{what}: {errno.errorcode.get(error.errno, error.errno)} {error}")
            if error.errno == wanted or (wanted, error.errno) in SAME_ON_THE_WIRE:
                self.tally.refused += 1
                return False
            for path in paths:
                self.expectation.taint(path)
            if error.errno in DEFINITE or (self.strict and not may_break):
                name = errno.errorcode.get(wanted, "success")
                self.violate(f"{what} ended with errno {error.errno} ({error}), expected {name}")
            else:
                self.tally.unknown += 1
                self.tally.unknown_texts.append(f"{what}: {error}")
            return False
        except Exception as error:  # the library promises nothing but ThesanError
            self._in_flight = ()
            for path in paths:
                self.expectation.taint(path)
            self.violate(f"{what} raised {''.join(traceback.format_exception(error))}")
            return False
        self._in_flight = ()
        self.say(f"{what}: done")
        if wanted:
            self.violate(f"{what} succeeded, expected {errno.errorcode[wanted]}")
            for path in paths:
                self.expectation.taint(path)
            return False
        self.tally.acknowledged += 1
        return True

    # -- one's own directory ---------------------------------------------------------------------
    def _new_path(self) -> str:
        self._count += 1
        directory = self._dice.choice(list(self.expectation.directories))
        return f"{directory}/n{self._count}"

    def _some_path(self) -> str:
        """Mostly something that is there."""
        known = [*self.expectation.files, *list(self.expectation.directories)[1:]]
        if not known or self._dice.random() < 0.15:
            return self._new_path()
        return self._dice.choice(known)

    async def _put(self) -> None:
        path = self._some_path() if self._dice.random() < 0.4 else self._new_path()
        await self._store(path, exclusive=self._dice.random() < 0.3)

    async def _churn(self) -> None:
        """Store something, and remove it at once: it must not come back, whoever held it."""
        path = self._new_path()
        await self._store(path, exclusive=self._dice.random() < 0.5)
        await self._take_away(path)

    async def _store(self, path: str, *, exclusive: bool) -> None:
        self._count += 1
        value = f"{self.name}.{self._count}.{self._dice.choice(SIZES)}"
        wanted = self.expectation.of_put(path, exclusive=exclusive)
        self.expectation.put_ever[value] = None
        data = content_of(value)
        if await self._attempt(
            f"put {path} {value}{' exclusive' * exclusive}",
            wanted,
            (path,),
            lambda: self._calls.put(path, data, exclusive=exclusive),
        ):
            self.expectation.put(path, value)

    async def _put_pieces(self) -> None:
        """Write a new content back to front, or in any other order."""
        path = self._new_path()
        self._count += 1
        value = f"{self.name}.{self._count}.{self._dice.choice((100, 20_000, 65_536))}"
        self.expectation.put_ever[value] = None
        data = content_of(value)
        starts = [0, *self._dice.sample(range(1, len(data)), 3)]
        self._dice.shuffle(starts)
        if await self._attempt(
            f"put {path} {value} in pieces {starts}",
            self.expectation.of_put(path, exclusive=False),
            (path,),
            lambda: self._calls.put_pieces(path, data, starts),
        ):
            self.expectation.put(path, value)

    def _link_path(self) -> str:
        """A name for a symbolic link: mostly new."""
        if self.expectation.symlinks and self._dice.random() < 0.5:
            return self._dice.choice(list(self.expectation.symlinks))
        self._count += 1
        return f"{self._dice.choice(list(self.expectation.directories))}/l{self._count}"

    async def _symlink(self) -> None:
        path, target = self._link_path(), f"target of {self._count}"
        if await self._attempt(
            f"ln -s {path}",
            self.expectation.of_symlink(path),
            (path,),
            lambda: self._calls.symlink(target, path),
        ):
            self.expectation.symlinks[path] = target

    async def _read_link(self) -> None:
        path = self._link_path()
        wanted = self.expectation.of_read_link(path)
        await self._attempt(f"readlink {path}", wanted, (), lambda: self._compare_link(path))

    async def _compare_link(self, path: str) -> None:
        found, wanted = await self._calls.read_link(path), self.expectation.symlinks.get(path)
        if wanted is not None and found != wanted:
            self.violate(f"{path} leads to {found!r}, expected {wanted!r}")

    async def _get(self) -> None:
        path = self._some_path()
        await self._attempt(
            f"get {path}", self.expectation.of_get(path), (), lambda: self._compare(path)
        )

    async def _compare(self, path: str) -> None:
        data = await self._calls.get(path)
        value = self.expectation.files.get(path)
        if value is not None and data != self._content(value):
            self.violate(f"{path} holds {value_of(data)}, expected {value}")

    def _content(self, value: str) -> bytes:
        edited = self._edited.get(value)
        return content_of(value) if edited is None else edited

    async def _update(self) -> None:
        """Change a file in place: not atomic, so a failure leaves a mixture."""
        path = self._some_path()
        value = self.expectation.files.get(path)
        before = self._content(value) if value is not None else b""
        offset = self._dice.randint(0, len(before))
        self._count += 1
        patch = content_of(f"{self.name}.{self._count}.{self._dice.choice((1, 100, 5000))}")
        after = before[:offset] + patch + before[offset + len(patch) :]
        self._mixed[path] = None
        if await self._attempt(
            f"update {path} at {offset} with {len(patch)} bytes",
            self.expectation.of_get(path),
            (path,),
            lambda: self._calls.update(path, offset, patch),
            may_break=True,
        ):
            edited = f"{self.name}.{self._count}.edited.{len(after)}"
            self._edited[edited] = after
            self.expectation.put(path, edited)
        if not self.expectation.is_tainted(path):
            del self._mixed[path]

    async def _set_mark(self) -> None:
        path = self._some_path()
        self._count += 1
        mark = f"mark {self._count}"
        if await self._attempt(
            f"attr set {path} {mark}",
            self.expectation.of_mark(path),
            (path,),
            lambda: self._calls.set_mark(path, mark),
        ):
            self.expectation.marks[path] = mark

    async def _get_mark(self) -> None:
        path = self._some_path()
        wanted = self.expectation.of_mark(path)
        if not wanted and path not in self.expectation.marks:
            wanted = errno.ENODATA
        await self._attempt(f"attr get {path}", wanted, (), lambda: self._compare_mark(path))

    async def _compare_mark(self, path: str) -> None:
        found = await self._calls.get_mark(path)
        wanted = self.expectation.marks.get(path)
        if wanted is not None and found != wanted:
            self.violate(f"{path} is marked {found!r}, expected {wanted!r}")

    async def _remove(self) -> None:
        path = self._some_path()
        if path not in self.expectation.directories:
            await self._take_away(path)

    async def _take_away(self, path: str) -> None:
        if await self._attempt(
            f"rm {path}",
            self.expectation.of_remove(path),
            (path,),
            lambda: self._calls.remove(path),
        ):
            self.expectation.remove(path)

    async def _make_directory(self) -> None:
        path = self._new_path() if self._dice.random() < 0.7 else self._some_path()
        if await self._attempt(
            f"mkdir {path}",
            self.expectation.of_make_directory(path),
            (path,),
            lambda: self._calls.make_directory(path),
        ):
            self.expectation.make_directory(path)

    async def _remove_directory(self) -> None:
        path = self._dice.choice(list(self.expectation.directories))
        if path == self.expectation.top or self._holds_tainted(path):
            return
        if await self._attempt(
            f"rmdir {path}",
            self.expectation.of_remove_directory(path),
            (path,),
            lambda: self._calls.remove_directory(path),
        ):
            self.expectation.remove_directory(path)

    async def _rename(self) -> None:
        old = self._some_path()
        new = self._some_path() if self._dice.random() < 0.3 else self._new_path()
        if (old.startswith(f"{new}/") or new.startswith(f"{old}/")) and new != old:
            return  # an ancestor or a descendant: which errno comes first is not POSIX's matter
        if self._holds_tainted(new) or self._holds_tainted(old):
            return
        if await self._attempt(
            f"mv {old} {new}",
            self.expectation.of_rename(old, new),
            (old, new),
            lambda: self._calls.rename(old, new),
        ):
            self.expectation.rename(old, new)

    def _holds_tainted(self, path: str) -> bool:
        """Whether something unknown may be in a directory: its emptiness is unknown then."""
        return any(root.startswith(f"{path}/") for root in self.expectation.tainted)

    async def _list(self) -> None:
        path = self._dice.choice(list(self.expectation.directories))
        await self._attempt(f"ls {path}", 0, (), lambda: self._compare_names(path))

    async def _compare_names(self, path: str) -> None:
        found = {
            name
            for name in await self._calls.list(path)
            if not self.expectation.is_tainted(f"{path}/{name}")
        }
        wanted = set(self.expectation.children(path))
        if found != wanted:
            self.violate(
                f"{path}: missing {sorted(wanted - found)}, not expected {sorted(found - wanted)}"
            )

    # -- the end ---------------------------------------------------------------------------------
    async def verify(self) -> None:
        """Faults are over: everything that is known must be there, and nothing else."""
        before = len(self.tally.unknown_texts)
        for path in list(self.expectation.files):
            await self._attempt(f"verify {path}", 0, (), partial(self._compare, path))
        for path in list(self.expectation.directories):
            await self._attempt(f"ls {path}", 0, (), partial(self._compare_names, path))
        for path in list(self.expectation.tainted):
            await self._attempt(f"judge {path}", 0, (), partial(self._judge, path))
        for text in self.tally.unknown_texts[before:]:
            self.violate(f"after all faults were over: {text}")

    async def _judge(self, path: str) -> None:
        """A tainted path holds nothing, or a whole value that was offered once."""
        try:
            data = await self._calls.get(path)
        except OperationError as error:
            if error.errno == errno.ENOENT:
                return
            if error.errno in (errno.EISDIR, errno.ENOTDIR):
                return
            raise
        if path in self._mixed:
            return
        ever = (*self.expectation.put_ever, *self._edited)
        if not any(data == self._content(value) for value in ever):
            self.violate(f"{path} holds {value_of(data)}, which was never put")
