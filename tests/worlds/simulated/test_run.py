"""A run reports what it saw, bounded in time, and finds planted damage."""

import asyncio
from dataclasses import replace

import pytest

from thesan.core.model.errors import OperationError
from thesan.worlds.simulated.atlas import Fault, FaultKind
from thesan.worlds.simulated.cluster import Cluster, Shape
from thesan.worlds.simulated.run import Run, RunSettings, run

SMALL = RunSettings(seconds=3.0, shape=Shape(client_count=1), faults=False)


def test_a_calm_run():
    outcome = run(1, SMALL)
    assert outcome.ok, str(outcome)
    assert outcome.counts["acknowledged"] > 0
    assert outcome.plan == []
    assert outcome.story == []
    assert "seed 1: ok" in str(outcome)


def test_the_plan_can_be_given():
    fault = Fault(1.0, 0.5, FaultKind.FST_KILL, ("fst1",))
    outcome = run(1, RunSettings(seconds=3.0, plan=(fault,), story=True))
    assert outcome.plan == [str(fault)]
    assert any("kill fst@fst1" in line for line in outcome.story)


def test_a_killed_client_goes_on():
    plan = tuple(Fault(at, 0.3, FaultKind.CLIENT_KILL, ("client1",)) for at in (1.0, 2.0, 3.0))
    outcome = run(1, RunSettings(seconds=5.0, plan=plan, shape=Shape(client_count=1)))
    assert outcome.ok, str(outcome)


def test_damage_on_a_disk_is_found(monkeypatch):
    rest = Run._rest

    async def damage(self):
        platter = next(p for p in self.cluster.platters() if any("/" in n for n in p.names))
        path = next(name for name in platter.names if not name.startswith(".thesan"))
        platter.names[path].data += b"x"
        await rest(self)

    monkeypatch.setattr(Run, "_rest", damage)
    outcome = run(1, RunSettings(seconds=8.0, faults=False))
    assert not outcome.ok
    assert any("on disk" in text for text in outcome.violations)


def test_an_instance_that_does_not_start_is_red(monkeypatch):
    async def never(self):
        await asyncio.sleep(1e6)

    monkeypatch.setattr(Cluster, "start", never)
    outcome = run(1, SMALL)
    assert "not within 30 s: the instance starts" in outcome.violations[0]


def test_an_error_that_nothing_explains_is_red(monkeypatch):
    async def fail(self, path):
        raise OperationError(110, "no answer")

    monkeypatch.setattr("thesan.worlds.simulated.clients.LibraryCalls.get", fail)
    outcome = run(1, RunSettings(seconds=10.0, faults=False))
    assert any("no answer" in text for text in outcome.violations)


@pytest.mark.parametrize("word", ["1", "a word"])
def test_seeds_may_be_words(word):
    assert Run(word, SMALL).execute().seed == word


def test_a_run_in_which_nothing_is_done_is_red(monkeypatch):
    monkeypatch.setattr("thesan.worlds.simulated.run.FLOOR_SHARE", 10.0)
    outcome = run(1, SMALL)
    assert any("is the floor" in text for text in outcome.violations)


def test_a_goal_that_is_missed_is_red():
    outcome = run(1, replace(SMALL, seconds=8.0, goal_seconds=1e-6))
    assert any("the goal is" in text for text in outcome.violations)


def _rates(seed):
    run = Run(seed, RunSettings())
    rates = {machine.clock_rate for machine in run.loop.network.machines.values()}
    run.loop.close()
    return rates


def test_drawn_runs_have_clocks_that_drift_now_and_then():
    rates = [_rates(seed) for seed in range(20)]
    assert {1.0} in rates
    assert any(len(each) > 5 for each in rates)
