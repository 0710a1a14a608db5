"""A session notices an MGM that shows it less than it has seen."""

import errno
import random

import pytest

from thesan.core.model.errors import OperationError
from thesan.worlds.simulated.sessions import Session
from thesan.worlds.simulated.shared import Tally


class Speaker:
    """An actor that only listens."""

    def __init__(self, name):
        self.name = name
        self.tally = Tally()
        self.strict = True

    def say(self, text):
        pass

    def violate(self, text):
        self.tally.violations.append(text)

    def next_value(self):
        raise NotImplementedError


class Mgms:
    """Three MGMs; `lag` entries are not yet applied at the second one, which says so or not."""

    mgm_count = 3

    def __init__(self, lag=0, *, honest=True, waits=True, error=None):
        self.log = []
        self.lag = lag
        self.honest = honest
        self.waits = waits
        self.error = error

    async def advance(self, path, value):
        self.log.append((path, value))
        return len(self.log)

    async def look(self, mgm, path, seq):
        if self.error is not None and mgm == 1:
            raise self.error
        applied = len(self.log) - (self.lag if mgm == 1 else 0)
        if self.waits:
            applied = max(applied, seq)
        values = [value for name, value in self.log[:applied] if name == path]
        return (values or [0])[-1], applied if self.honest else len(self.log)


def _run(loop, mgms, count=200):
    speakers = [Speaker("a"), Speaker("b")]
    dice = random.Random(1)
    sessions = [Session(loop, speaker, dice, 0) for speaker in speakers]

    async def main():
        for number in range(count):
            await sessions[number % 2].step(mgms, ("a", "b"))

    loop.run_until_complete(main())
    return [text for speaker in speakers for text in speaker.tally.violations]


@pytest.mark.parametrize("lag", [0, 5])
def test_mgms_that_wait_for_what_was_seen_pass(loop, lag):
    assert _run(loop, Mgms(lag)) == []


def test_one_that_shows_older_entries(loop):
    assert any("was seen before" in text for text in _run(loop, Mgms(5, waits=False)))


def test_one_that_lies(loop):
    faults = _run(loop, Mgms(5, honest=False, waits=False))
    assert any("went back" in text for text in faults)


def test_one_that_is_away(loop):
    assert _run(loop, Mgms(error=OperationError(errno.ETIMEDOUT, "no answer"))) == []


def test_one_that_has_lost_it(loop):
    faults = _run(loop, Mgms(error=OperationError(errno.ENOENT, "no such file")))
    assert any("then errno" in text for text in faults)


def test_a_write_that_fails(loop):
    class Full(Mgms):
        async def advance(self, path, value):
            raise OperationError(errno.ENOSPC, "full")

    assert any("full" in text for text in _run(loop, Full()))


def test_the_next_run_of_a_client_goes_on_counting(loop):
    session = Session(loop, Speaker("a"), random.Random(1), 7)
    mgms = Mgms()
    for _ in range(20):
        loop.run_until_complete(session.step(mgms, ("a",)))
    assert mgms.log[0] == ("/shared/c-a", 8)
