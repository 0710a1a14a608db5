"""Actors are content with a correct file system and notice each way of breaking one."""

import asyncio
import errno
import random

import pytest

from thesan.core.model.errors import OperationError
from thesan.worlds.simulated.expectation import Expectation
from thesan.worlds.simulated.history import History
from thesan.worlds.simulated.shared import SHARED_DIRECTORY, SHARED_MARKS
from thesan.worlds.simulated.workload import Actor


class PerfectCalls:
    """A file system in memory; every call takes a moment."""

    def __init__(self, dice):
        self.dice = dice
        self.tree = Expectation("/")
        self.data = {}
        self.entry = 0
        for path in (SHARED_DIRECTORY, *SHARED_MARKS):
            self.tree.make_directory(path)

    mgm_count = 3

    async def advance(self, path, value):
        await self._pause()
        self._check(self.tree.of_mark(path))
        self.data[path] = value
        self.entry += 1
        return self.entry

    async def look(self, mgm, path, seq):
        await self._pause()
        self._check(self.tree.of_mark(path))
        return self.data.get(path, 0), self.entry

    async def _pause(self):
        await asyncio.sleep(self.dice.expovariate(100))

    def _check(self, number):
        if number:
            raise OperationError(number, errno.errorcode[number])

    async def put(self, path, data, *, exclusive):
        await self._pause()
        self._check(self.tree.of_put(path, exclusive=exclusive))
        self.store(path, data)
        await self._pause()

    async def put_pieces(self, path, data, starts):
        assert sorted(starts)[0] == 0
        await self.put(path, data, exclusive=False)

    async def symlink(self, target, path):
        await self._pause()
        self._check(self.tree.of_symlink(path))
        self.tree.symlinks[path] = target

    async def read_link(self, path):
        await self._pause()
        self._check(self.tree.of_read_link(path))
        return self.tree.symlinks[path]

    def store(self, path, data):
        self.tree.put(path, path)
        self.data[path] = data

    async def get(self, path):
        await self._pause()
        self._check(self.tree.of_get(path))
        data = self.data[path]
        await self._pause()
        return data

    async def update(self, path, offset, data):
        await self._pause()
        self._check(self.tree.of_get(path))
        before = self.data[path]
        self.data[path] = before[:offset] + data + before[offset + len(data) :]
        await self._pause()

    async def set_mark(self, path, value):
        await self._pause()
        self._check(self.tree.of_mark(path))
        self.tree.marks[path] = value
        await self._pause()

    async def get_mark(self, path):
        await self._pause()
        self._check(self.tree.of_mark(path) or (path not in self.tree.marks and errno.ENODATA))
        return self.tree.marks[path]

    async def remove(self, path):
        await self._pause()
        self._check(self.tree.of_remove(path))
        self.tree.remove(path)
        await self._pause()

    async def make_directory(self, path):
        await self._pause()
        self._check(self.tree.of_make_directory(path))
        self.tree.make_directory(path)

    async def remove_directory(self, path):
        await self._pause()
        self._check(self.tree.of_remove_directory(path))
        self.tree.remove_directory(path)

    async def rename(self, old, new):
        await self._pause()
        self._check(self.tree.of_rename(old, new))
        self.tree.rename(old, new)
        moved = {
            path: self.data.pop(path)
            for path in list(self.data)
            if f"{path}/".startswith(f"{old}/")
        }
        for path, data in moved.items():
            self.data[new + path[len(old) :]] = data

    async def list(self, path):
        await self._pause()
        return list(self.tree.children(path))


class Unreliable(PerfectCalls):
    """Sometimes the answer, sometimes the request is lost; the outcome is unknown."""

    async def _pause(self):
        await super()._pause()
        if self.dice.random() < 0.03:
            raise OperationError(errno.ETIMEDOUT, "no answer")


class Forgetful(PerfectCalls):
    """Acknowledges a put and forgets it."""

    def store(self, path, data):
        if self.dice.random() < 0.95:
            super().store(path, data)


class Torn(PerfectCalls):
    """Loses the end of a file."""

    def store(self, path, data):
        super().store(path, data[:-1] if self.dice.random() < 0.1 else data)


class Stale(PerfectCalls):
    """An overwrite sometimes leaves the old content."""

    def store(self, path, data):
        if path not in self.data or self.dice.random() < 0.8:
            super().store(path, data)


class Smudged(PerfectCalls):
    """An update in place lands one byte too far."""

    async def update(self, path, offset, data):
        await super().update(path, offset + (self.dice.random() < 0.3), data)


class Unmarked(PerfectCalls):
    """An extended attribute is lost in a rename."""

    async def rename(self, old, new):
        await super().rename(old, new)
        self.tree.marks.pop(new, None)


class Crooked(PerfectCalls):
    """Symbolic links lead elsewhere."""

    async def read_link(self, path):
        return await super().read_link(path) + "!"


class Failing(PerfectCalls):
    """The library breaks."""

    async def get(self, path):
        raise KeyError(path)


class Undead(PerfectCalls):
    """A removed file comes back."""

    async def remove(self, path):
        await self._pause()
        self._check(self.tree.of_remove(path))
        if self.dice.random() < 0.7:
            self.tree.remove(path)


def _run(loop, calls_class, seed, actors=3):
    dice = random.Random(seed)
    calls = calls_class(dice)
    history = History()
    crew = [
        Actor(
            loop,
            f"client{number}",
            calls,
            random.Random(f"{seed}{number}"),
            history,
            strict=calls_class is not Unreliable,
        )
        for number in range(actors)
    ]

    async def main():
        for actor in crew:
            calls.tree.make_directory(actor.expectation.top)
        until = loop.time() + 60.0
        await asyncio.gather(*[actor.work(until, 0.2) for actor in crew])
        calls.dice = random.Random(1) if calls_class is not Unreliable else calls.dice
        if calls_class is Unreliable:
            calls.__class__ = PerfectCalls
        for actor in crew:
            await actor.verify()

    loop.run_until_complete(main())
    violations = [text for actor in crew for text in actor.tally.violations] + history.check()
    return crew, violations


@pytest.mark.parametrize("seed", range(5))
def test_a_correct_file_system_passes(loop, seed):
    crew, violations = _run(loop, PerfectCalls, seed)
    assert violations == []
    assert all(actor.tally.acknowledged > 100 for actor in crew)
    assert sum(actor.tally.unknown for actor in crew) == 0
    assert sum(actor.tally.refused for actor in crew) > 10


@pytest.mark.parametrize("seed", range(5))
def test_unknown_outcomes_are_no_violation(loop, seed):
    crew, violations = _run(loop, Unreliable, seed)
    assert violations == []
    assert sum(actor.tally.unknown for actor in crew) > 10


@pytest.mark.parametrize(
    "broken", [Forgetful, Torn, Stale, Smudged, Unmarked, Crooked, Failing, Undead]
)
def test_broken_ones_are_noticed(loop, broken):
    _, violations = _run(loop, broken, 1)
    assert violations


def test_a_killed_client_knows_less(loop):
    calls = PerfectCalls(random.Random(1))
    actor = Actor(loop, "client1", calls, random.Random(1), History())
    calls.tree.make_directory("/client1")
    actor.expectation.put("/client1/a", "x.1.1")
    actor._in_flight = ("/client1/a",)
    actor.reborn(calls)
    assert actor.tally.killed == 1
    assert actor.expectation.is_tainted("/client1/a")
    actor.reborn(calls)
    assert actor.tally.killed == 1


def test_it_begins_with_its_own_directory(loop):
    calls = PerfectCalls(random.Random(1))
    actor = Actor(loop, "client1", calls, random.Random(1), History())
    loop.run_until_complete(actor.begin())
    assert "/client1" in calls.tree.directories
