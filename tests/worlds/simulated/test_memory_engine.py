"""The faults of the simulated engine do what their names say, and the same seed does the same."""

import asyncio
from random import Random

import pytest

from thesan.core.model.errors import Fenced, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Owner
from thesan.worlds.simulated.loop import run
from thesan.worlds.simulated.memory_engine import Fault, MemoryEngine, MemoryJournal, Weather

A = Owner("a", Epoch(1), "a:1094")
B = Owner("b", Epoch(2), "b:1094")


def a_journal() -> MemoryJournal:
    journal = MemoryJournal()
    journal.owner = A
    return journal


def test_a_lost_request_is_not_done_and_a_lost_answer_is():
    async def story():
        engine.planned.extend([Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.NONE])
        for seq, last in [(1, 0), (1, 1)]:
            with pytest.raises(Unavailable):
                await engine.append(A, Seq(seq), b"x")
            assert journal.last == last
        await engine.append(A, Seq(1), b"x")
        assert journal.last == 1

    journal = a_journal()
    engine = MemoryEngine(journal, Random(1))
    run(story())


def test_a_refusal_can_be_lost_too():
    async def story():
        engine.planned.append(Fault.LOST_ANSWER)
        with pytest.raises(Unavailable):
            await engine.append(B, Seq(1), b"x")
        with pytest.raises(Fenced):
            await engine.append(B, Seq(1), b"x")

    journal = a_journal()
    engine = MemoryEngine(journal, Random(1))
    run(story())


def test_a_late_request_comes_later_and_may_be_fenced_then():
    async def story():
        engine.planned.extend([Fault.LATE, Fault.LATE])
        with pytest.raises(Unavailable):
            await engine.append(A, Seq(1), b"x")
        assert journal.last == 0
        await asyncio.sleep(1.1)
        assert journal.last == 1
        with pytest.raises(Unavailable):
            await engine.append(A, Seq(2), b"y")
        journal.take_over(A, B)
        await asyncio.sleep(1.1)
        assert journal.last == 1

    journal = a_journal()
    engine = MemoryEngine(journal, Random(1), Weather(late_seconds=1.0))
    run(story())


def test_a_late_request_outlives_its_caller():
    async def story():
        engine.weather.silence_seconds = 100
        engine.planned.append(Fault.LATE)
        calling = asyncio.get_running_loop().create_task(engine.append(A, Seq(1), b"x"))
        await asyncio.sleep(0.1)
        calling.cancel()
        await asyncio.sleep(2)
        assert journal.last == 1

    journal = a_journal()
    engine = MemoryEngine(journal, Random(1))
    run(story())


@pytest.mark.parametrize("who", ["node", "journal"])
def test_without_a_line_or_a_leader_nobody_is_answered(who):
    async def story():
        loop = asyncio.get_running_loop()
        if who == "node":
            engine.weather.up = False
            assert await other.owner() == A
        else:
            journal.has_leader = False
            with pytest.raises(Unavailable):
                await other.owner()
        begun_at = loop.time()
        with pytest.raises(Unavailable):
            await engine.append(A, Seq(1), b"x")
        assert loop.time() == begun_at + 2.5
        assert journal.last == 0
        engine.weather.up = journal.has_leader = True
        await engine.append(A, Seq(1), b"x")

    journal = a_journal()
    engine = MemoryEngine(journal, Random(1), Weather(silence_seconds=2.5))
    other = MemoryEngine(journal, Random(2))
    run(story())


def test_cut_off_while_the_answer_travels_the_effect_stays():
    async def story():
        calling = asyncio.get_running_loop().create_task(engine.append(A, Seq(1), b"x"))
        await asyncio.sleep(1.5)
        assert journal.last == 1
        engine.weather.up = False
        with pytest.raises(Unavailable):
            await calling

    journal = a_journal()
    engine = MemoryEngine(
        journal, Random(1), Weather(latency_seconds_min=1.0, latency_seconds_max=1.0)
    )
    run(story())


def test_the_same_seed_gives_the_same_moments():
    def moments(seed: int) -> list[float]:
        async def story() -> list[float]:
            engine = MemoryEngine(
                a_journal(),
                Random(seed),
                Weather(latency_seconds_min=0.001, latency_seconds_max=0.01, fault_chance=0.3),
            )
            found = []
            for seq in range(1, 30):
                try:
                    await engine.append(A, Seq(seq), b"x")
                except Exception as error:
                    found.append(float(len(str(error))))
                found.append(asyncio.get_running_loop().time())
            return found

        return run(story())

    assert moments(5) == moments(5)
    assert moments(5) != moments(6)


def test_a_request_done_twice_is_answered_once():
    async def story():
        engine.planned.append(Fault.TWICE)
        await engine.append(A, Seq(1), b"x")
        journal.take_over(A, B)
        await asyncio.sleep(2)
        assert journal.last == 1
        engine.planned.append(Fault.TWICE)
        await engine.beat(B)
        assert journal.beats == 1
        await asyncio.sleep(2)
        assert journal.beats == 2

    journal = a_journal()
    engine = MemoryEngine(journal, Random(1), Weather(late_seconds=1.0))
    run(story())


def test_calls_hang_during_an_election_and_are_carried_out_once():
    async def story():
        journal.lose_leader()
        journal.lose_leader()
        calls = [
            asyncio.get_running_loop().create_task(engine.beat(A)) for engine in engines.values()
        ]
        await asyncio.sleep(0.5)
        journal.elect()
        await asyncio.sleep(0.2)
        assert journal.beats == 0
        journal.elect()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        unsure = [answer for answer in answers if isinstance(answer, Unavailable)]
        assert 0 < len(unsure) < len(calls)
        # Of those without an answer some were done, and none of them twice.
        assert len(calls) - len(unsure) < journal.beats < len(calls)

    journal = a_journal()
    weather = Weather(silence_seconds=1.5)
    engines = {seed: MemoryEngine(journal, Random(seed), weather) for seed in range(20)}
    run(story())


def test_a_request_given_up_without_a_leader_may_be_done_later():
    async def story():
        journal.lose_leader()
        for engine in engines:
            with pytest.raises(Unavailable):
                await engine.beat(A)
        assert journal.beats == 0
        journal.elect()
        await asyncio.sleep(0.1)
        assert 0 < journal.beats < len(engines)

    journal = a_journal()
    engines = [MemoryEngine(journal, Random(seed), Weather()) for seed in range(20)]
    run(story())


def test_everything_is_kept_for_the_checkers():
    journal = a_journal()
    for seq in range(1, 6):
        journal.append(A, Seq(seq), b"%d" % seq)
    journal.trim(A, Seq(4))
    journal.take_over(A, B)
    assert journal.first == 4
    assert [data for _, data in journal.archive] == [b"1", b"2", b"3", b"4", b"5"]
    assert journal.owners == [B]
    whole = journal.untrimmed()
    assert (whole.first, whole.last) == (1, 5)


def test_a_slow_engine():
    async def story():
        begun_at = asyncio.get_running_loop().time()
        await engine.owner()
        assert asyncio.get_running_loop().time() == pytest.approx(begun_at + 2 * 100 * 0.001)

    weather = Weather(latency_seconds_min=0.001, latency_seconds_max=0.001, slow_factor=100.0)
    engine = MemoryEngine(a_journal(), Random(1), weather)
    run(story())


def test_a_silent_member_is_left_for_the_next_one():
    async def story():
        loop = asyncio.get_running_loop()
        engine.planned.extend([Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.NONE])
        begun_at = loop.time()
        await engine.append(A, Seq(1), b"x")
        assert loop.time() == pytest.approx(begun_at + 1.0)
        assert journal.last == 1
        engine.planned.extend([Fault.LOST_REQUEST] * 3)
        with pytest.raises(Unavailable):
            await engine.beat(A)
        engine.planned.extend([Fault.LOST_ANSWER])
        with pytest.raises(Unavailable):
            await engine.take_over(A, B)
        assert journal.owner == B

    journal = a_journal()
    weather = Weather(silence_seconds=1.5, member_seconds=0.5)
    engine = MemoryEngine(journal, Random(1), weather)
    run(story())
