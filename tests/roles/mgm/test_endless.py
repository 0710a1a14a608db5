"""Round after round, whatever goes wrong."""

import asyncio
from itertools import pairwise

import pytest

from thesan.core.model.limits import JOURNAL_RETRY_SECONDS, ROLE_RETRY_SECONDS_MAX
from thesan.roles.mgm.endless import for_ever
from thesan.worlds.simulated.loop import run


class Panic(BaseException):
    """As a binding raises it."""


def test_every_end_is_told_and_none_is_the_last() -> None:
    ends = [ValueError("x"), None, Panic("y"), OSError("z")]
    told: list[BaseException | None] = []

    async def work() -> None:
        if len(told) == len(ends):
            raise asyncio.CancelledError
        if (end := ends[len(told)]) is not None:
            raise end

    with pytest.raises(asyncio.CancelledError):
        run(for_ever(work, told.append))
    assert told == ends


def test_the_pause_grows_up_to_its_bound_and_a_long_round_makes_it_short_again() -> None:
    began: list[float] = []

    async def work() -> None:
        clock = asyncio.get_running_loop().time
        began.append(clock())
        if len(began) == 13:
            await asyncio.sleep(2 * ROLE_RETRY_SECONDS_MAX)
            began[-1] = clock()
        if len(began) == 14:
            raise asyncio.CancelledError
        raise OSError

    with pytest.raises(asyncio.CancelledError):
        run(for_ever(work, lambda failure: None))
    pauses = [later - earlier for earlier, later in pairwise(began)]
    assert pauses[0] == pytest.approx(JOURNAL_RETRY_SECONDS)
    assert pauses[1] == pytest.approx(2 * JOURNAL_RETRY_SECONDS)
    assert pauses[10] == pytest.approx(ROLE_RETRY_SECONDS_MAX)
    assert pauses[12] == pytest.approx(JOURNAL_RETRY_SECONDS)
