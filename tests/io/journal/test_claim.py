"""Claiming the journal: one winner, and a winner that knows it."""

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.model.ids import Epoch
from thesan.io.journal.claim import claim
from thesan.ports.engine import Owner
from thesan.worlds.simulated.loop import run
from thesan.worlds.simulated.memory_engine import Fault


def test_first_claim_and_a_claim_on_an_old_view(bench):
    async def story():
        bench.journal.owner = None
        assert await claim(bench.engine, None, bench.mine)
        assert not await claim(bench.engine, None, bench.rival)
        assert await claim(bench.engine, bench.mine, bench.rival)
        with pytest.raises(ValueError):
            await claim(bench.engine, bench.rival, bench.mine)

    run(story())
    assert bench.journal.owner == bench.rival


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.LATE])
def test_a_lost_call_is_settled(bench, fault):
    async def story():
        bench.engine.planned.extend([fault] * 3)
        won = await claim(bench.engine, bench.mine, bench.rival)
        await asyncio.sleep(5)
        return won

    assert run(story())
    assert bench.journal.owner == bench.rival


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 0.6]))
def test_of_many_contenders_exactly_one_wins(make_bench, seed, chance):
    async def contend(number: int) -> bool:
        engine = bench.other_engine(seed + number)
        engine.weather.fault_chance = chance
        engine.weather.late_seconds = 0.3
        await asyncio.sleep(Random(seed + number).random() * 0.01)
        return await claim(engine, bench.mine, Owner(f"n{number}", Epoch(2), "", number))

    async def story() -> list[bool]:
        return list(await asyncio.gather(*(contend(number) for number in range(4))))

    bench = make_bench()
    won = run(story(), seed)
    assert sum(won) == 1
    assert bench.journal.owner.node == f"n{won.index(True)}"
