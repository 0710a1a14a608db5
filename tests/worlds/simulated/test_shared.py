"""Shared names: a correct service passes the history's judge, an MGM of yesterday does not."""

import errno
import random

import pytest

from thesan.core.model.errors import OperationError
from thesan.worlds.simulated.history import History
from thesan.worlds.simulated.shared import SHARED_SIZE, SharedNames, Tally


class Speaker:
    """An actor that only listens."""

    def __init__(self, name):
        self.name = name
        self.tally = Tally()
        self.strict = True
        self.told = []
        self._count = 0

    def say(self, text):
        self.told.append(text)

    def violate(self, text):
        self.tally.violations.append(text)

    def next_value(self):
        self._count += 1
        return f"{self.name}.{self._count}"


class Registers:
    """Files and attributes, done at once; `lag` reads see what was before the last write."""

    def __init__(self, loop, *, lag=False, error=None):
        self.loop = loop
        self.lag = lag
        self.error = error
        self.values = {}
        self.before = {}

    def _write(self, key, value):
        if self.error is not None:
            raise self.error
        self.before[key] = self.values.get(key)
        self.values[key] = value

    def _read(self, key, number):
        value = (self.before if self.lag else self.values).get(key)
        if value is None:
            raise OperationError(number, "nothing")
        return value

    async def put(self, path, data, *, exclusive):
        self._write(path, data)

    async def get(self, path):
        return self._read(path, errno.ENOENT)

    async def remove(self, path):
        self._read(path, errno.ENOENT)
        self._write(path, None)

    async def set_mark(self, path, value):
        self._write((path, "mark"), value)

    async def get_mark(self, path):
        return self._read((path, "mark"), errno.ENODATA)


def _run(loop, calls, step="mark", count=60):
    history = History()
    speakers = [Speaker("a"), Speaker("b")]
    dice = random.Random(1)

    async def main():
        for number in range(count):
            shared = SharedNames(loop, speakers[number % 2], dice, history)
            await getattr(shared, step)(calls)
            loop.now += 0.01

    loop.run_until_complete(main())
    tallies = [speaker.tally for speaker in speakers]
    return tallies, history.check() + [text for tally in tallies for text in tally.violations]


@pytest.mark.parametrize("step", ["file", "mark"])
def test_a_correct_service_passes(loop, step):
    tallies, faults = _run(loop, Registers(loop), step)
    assert faults == []
    assert sum(tally.acknowledged for tally in tallies) == 60


@pytest.mark.parametrize("step", ["file", "mark"])
def test_reads_of_yesterday_are_noticed(loop, step):
    _, faults = _run(loop, Registers(loop, lag=True), step)
    assert any("no order" in fault for fault in faults)


@pytest.mark.parametrize("step", ["file", "mark"])
def test_errors_are_violations(loop, step):
    error = OperationError(errno.ETIMEDOUT, "no answer")
    _, faults = _run(loop, Registers(loop, error=error), step)
    assert any("no answer" in fault for fault in faults)


def test_a_content_that_nobody_wrote_is_noticed(loop):
    calls = Registers(loop)
    for number in range(3):
        calls.values[f"/shared/s{number}"] = b"x" * SHARED_SIZE
    _, faults = _run(loop, calls, "file")
    assert any("nobody put there" in fault for fault in faults)


def test_a_library_that_breaks_is_a_violation(loop):
    _, faults = _run(loop, Registers(loop, error=KeyError("oops")))
    assert any("KeyError" in fault for fault in faults)
