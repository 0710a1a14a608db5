"""The first of several ways."""

import asyncio
import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.io.transport.race import first_made


def ways(log, *plans):
    """(seconds, result or error) each."""

    def attempt(number, seconds, result):
        async def go():
            log.append(number)
            await asyncio.sleep(seconds)
            if isinstance(result, Exception):
                raise result
            return result

        return go

    return [attempt(number, *plan) for number, plan in enumerate(plans)]


def refused(text):
    return OperationError(errno.ECONNREFUSED, text)


def race(*plans, stagger=3600.0):
    log, late = [], []
    result = asyncio.run(first_made(ways(log, *plans), stagger, late.append))
    return result, log, late


def test_the_first_is_enough():
    assert race((0.0, "a"), (0.0, "b")) == ("a", [0], [])


def test_after_a_failure_the_next_begins_at_once():
    assert race((0.0, refused("a")), (0.0, "b"))[:2] == ("b", [0, 1])


def test_a_silent_one_holds_nobody_up():
    assert race((3600.0, "a"), (0.0, "b"), stagger=0.01)[:2] == ("b", [0, 1])


def test_the_slower_one_may_still_win():
    assert race((0.05, "a"), (3600.0, "b"), stagger=0.01)[0] == "a"


def test_what_comes_too_late_is_discarded():
    async def main():
        gate, late = asyncio.Event(), []

        async def one():
            await gate.wait()
            return "one"

        async def two():
            gate.set()
            return "two"

        result = await first_made([one, two], 0.01, late.append)
        assert sorted([result, *late]) in (["one", "two"], ["two"])
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_all_fail():
    with pytest.raises(OperationError, match="b"):
        race((0.0, refused("a")), (0.0, refused("b")))


def test_a_fault_of_ours_is_no_failure_of_the_way():
    with pytest.raises(ValueError, match="x"):
        race((0.0, ValueError("x")), (0.0, "b"))
