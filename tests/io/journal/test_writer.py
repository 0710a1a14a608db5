"""The writer over every outcome that an append can have."""

import asyncio
import errno
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.model.errors import Fenced, JournalError, OperationError, Unavailable
from thesan.core.model.limits import PENDING_OPS_MAX
from thesan.io.journal.writer import JournalWriter
from thesan.worlds.simulated.loop import Failure, run
from thesan.worlds.simulated.memory_engine import Fault


def test_one_turn_of_the_loop_makes_one_batch(bench):
    async def story():
        writer = bench.writer()
        assert (writer.next_seq, writer.head, writer.committed) == (1, 0, 0)
        assert [bench.submit(writer, op) for op in (b"1", b"2", b"3")] == [1, 1, 1]
        assert (writer.head, writer.pending_ops) == (1, 3)
        await asyncio.sleep(0.0005)
        # The first batch is under way; these gather behind it.
        assert [bench.submit(writer, op) for op in (b"4", b"5")] == [2, 2]
        assert bench.journal.last == 0
        assert bench.notes == []
        assert await writer.flush() == 2
        assert (writer.committed, writer.pending_ops, writer.pending_bytes) == (2, 0, 0)
        assert await writer.flush() == 2
        await writer.close()

    run(story())
    assert bench.notes[:4] == [(b"1", 1), (b"2", 1), (b"3", 1), ("batch", 1)]
    assert bench.notes[4:] == [(b"4", 2), (b"5", 2), ("batch", 2)]
    assert [entry.ops for entry in bench.entries()] == [[b"1", b"2", b"3"], [b"4", b"5"]]


def test_an_answer_never_leaves_before_its_entry_is_durable(bench):
    async def story():
        writer = bench.writer()
        for number in range(200):
            writer.submit(b"%d" % number, lambda seq: seen.append((seq, bench.journal.last)))
            if number % 3 == 0:
                await asyncio.sleep(0.0007)
        await writer.flush()
        await writer.close()

    seen: list[tuple[int, int]] = []
    run(story())
    assert len(seen) == 200
    assert all(seq <= durable for seq, durable in seen)
    assert seen == sorted(seen, key=lambda pair: pair[0])


def test_the_next_append_is_under_way_while_callbacks_run(bench):
    async def story():
        writer = bench.writer()
        order: list[str] = []
        append = bench.engine.append

        async def spied(owner, seq, data):
            order.append(f"append {seq}")
            await append(owner, seq, data)

        bench.engine.append = spied
        writer.submit(b"1", lambda seq: order.append("answer 1"))
        await asyncio.sleep(0.0005)
        writer.submit(b"2", lambda seq: order.append("answer 2"))
        await writer.flush()
        assert order == ["append 1", "append 2", "answer 1", "answer 2"]
        await writer.close()

    run(story())


def test_expect_says_the_seq_of_an_op_before_it_is_applied(bench):
    async def story():
        writer = bench.writer()
        dice = Random(5)
        for _ in range(300):
            op = dice.randbytes(dice.choice((10, 60_000, 200_000)))
            try:
                seq = writer.expect(op)
            except OperationError:
                await writer.flush()
                continue
            promised.append((op, seq))
            assert writer.submit(op) == seq
        with pytest.raises(OperationError) as caught:
            writer.expect(bytes(1 << 18))
        assert caught.value.errno == errno.E2BIG
        await writer.flush()
        await writer.close()

    promised: list[tuple[bytes, int]] = []
    run(story())
    found = [(op, entry.seq) for entry in bench.entries() for op in entry.ops]
    assert found == promised


def test_too_much_pending_is_refused_and_passes_later(bench):
    async def story():
        writer = bench.writer()
        bench.engine.weather.up = False
        for _ in range(PENDING_OPS_MAX):
            writer.submit(b"x")
        with pytest.raises(OperationError) as caught:
            writer.submit(b"x")
        assert caught.value.errno == errno.EUSERS
        bench.engine.weather.up = True
        await writer.flush()
        writer.submit(b"y")
        await writer.flush()
        await writer.close()

    run(story())
    assert sum(len(entry.ops) for entry in bench.entries()) == PENDING_OPS_MAX + 1


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.LATE])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_lost_call_is_settled_by_reading_back(bench, fault, times):
    async def story():
        writer = bench.writer()
        await asyncio.sleep(0.05)
        bench.engine.planned.extend([fault] * times)
        bench.submit(writer, b"1")
        await asyncio.sleep(0.05)
        assert writer.unsettled_since == 1000.05
        bench.submit(writer, b"2")
        assert await writer.flush() == 2
        assert writer.unsettled_since is None
        await asyncio.sleep(5)
        await writer.close()

    run(story())
    assert bench.notes == [(b"1", 1), ("batch", 1), (b"2", 2), ("batch", 2)]
    assert [entry.ops for entry in bench.entries()] == [[b"1"], [b"2"]]


def test_an_engine_that_does_not_answer_at_all_meets_the_deadline(bench):
    async def story():
        writer = bench.writer(append_seconds_max=0.5)
        bench.engine.weather.silence_seconds = 1e6
        bench.engine.planned.extend([Fault.LOST_ANSWER, Fault.LOST_REQUEST, Fault.LOST_REQUEST])
        bench.submit(writer, b"1")
        await writer.flush()
        await writer.close()
        return asyncio.get_running_loop().time() - 1000

    assert 1.5 < run(story()) < 2
    assert bench.notes == [(b"1", 1), ("batch", 1)]


def test_without_a_leader_everything_waits_and_then_passes(bench):
    async def story():
        writer = bench.writer()
        bench.journal.has_leader = False
        bench.submit(writer, b"1")
        await asyncio.sleep(60)
        assert bench.notes == []
        assert writer.lost is None
        bench.journal.has_leader = True
        await writer.flush()
        await writer.close()

    run(story())
    assert bench.notes == [(b"1", 1), ("batch", 1)]


def test_a_fenced_append_ends_the_mastership(bench):
    async def story():
        writer = bench.writer()
        bench.submit(writer, b"1")
        await writer.flush()
        assert await bench.other_engine().take_over(bench.mine, bench.rival)
        bench.submit(writer, b"2")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.submit(writer, b"3")
        with pytest.raises(Fenced):
            await writer.flush()
        assert writer.lost == "the journal belongs to b (epoch 2)"
        for call in (writer.submit, writer.expect):
            with pytest.raises(Fenced):
                call(b"4")
        with pytest.raises(Fenced):
            await writer.flush()
        await writer.close()

    run(story())
    assert bench.notes == [
        (b"1", 1),
        ("batch", 1),
        (b"2", "Fenced"),
        (b"3", "Fenced"),
        ("lost", "the journal belongs to b (epoch 2)"),
    ]
    assert [entry.ops for entry in bench.entries()] == [[b"1"]]


def test_written_and_then_fenced_is_written(bench):
    """The answer of the append is lost, somebody takes over, and the entry is there."""

    async def story():
        writer = bench.writer()
        await asyncio.sleep(0.05)
        bench.engine.planned.extend([Fault.LOST_ANSWER])
        bench.submit(writer, b"1")
        await asyncio.sleep(0.01)
        bench.submit(writer, b"2")
        assert await bench.other_engine().take_over(bench.mine, bench.rival)
        await asyncio.sleep(1)
        await writer.close()

    run(story())
    assert bench.notes[:3] == [(b"1", 1), ("batch", 1), (b"2", "Fenced")]
    assert bench.notes[3][0] == "lost"


def test_a_late_append_of_a_deposed_master_is_not_written(bench):
    async def story():
        writer = bench.writer()
        await asyncio.sleep(0.05)
        bench.engine.weather.late_seconds = 3
        bench.engine.planned.extend([Fault.LATE])
        bench.submit(writer, b"1")
        await asyncio.sleep(0.01)
        assert await bench.other_engine().take_over(bench.mine, bench.rival)
        await asyncio.sleep(10)
        await writer.close()

    run(story())
    assert [note[1] for note in bench.notes] == ["Fenced", "the journal belongs to b (epoch 2) now"]
    assert bench.entries() == []


def test_a_late_append_that_lands_before_the_takeover_counts(bench):
    """It is found absent and sent again; it lands, somebody takes over, the resend is fenced.

    0 sent, 0.10 given up, 0.11 found absent, 0.115 landed, 0.12 taken over, 0.13 resend fenced.
    """

    async def story():
        writer = bench.writer()
        await asyncio.sleep(0.05)
        bench.engine.weather.late_seconds = 0.115
        bench.engine.planned.append(Fault.LATE)
        bench.submit(writer, b"1")
        await asyncio.sleep(0.12)
        assert bench.journal.last == 1
        assert bench.notes == []
        assert bench.journal.take_over(bench.mine, bench.rival)
        assert await writer.flush() == 1
        bench.submit(writer, b"2")
        await asyncio.sleep(1)
        await writer.close()

    run(story())
    assert bench.notes[:3] == [(b"1", 1), ("batch", 1), (b"2", "Fenced")]


def test_a_late_append_that_lands_while_it_is_read_back_counts(bench):
    """The owner is read before the entry: between the two the late append and a takeover happen."""

    async def story():
        writer = bench.writer()
        await asyncio.sleep(0.05)
        weather = bench.engine.weather
        weather.latency_seconds_min = weather.latency_seconds_max = 0.01
        weather.late_seconds = 0.115
        bench.engine.planned.append(Fault.LATE)
        bench.submit(writer, b"1")
        # Given up at 0.11; the first question is answered as of 0.12, the second as of 0.14.
        await asyncio.sleep(0.13)
        assert bench.journal.last == 1
        assert bench.journal.take_over(bench.mine, bench.rival)
        await writer.flush()
        await writer.close()

    run(story())
    assert bench.notes == [(b"1", 1), ("batch", 1)]


def test_a_loss_right_behind_a_commit_does_not_overtake_it(bench):
    async def story():
        writer = bench.writer()
        await asyncio.sleep(0.05)
        append = bench.engine.append

        async def fenced_at_2(owner, seq, data):
            if seq == 2:
                raise Fenced("at once, without a turn of the loop")
            await append(owner, seq, data)

        bench.engine.append = fenced_at_2
        bench.submit(writer, b"1")
        await asyncio.sleep(0.0005)
        bench.submit(writer, b"2")
        await asyncio.sleep(1)
        await writer.close()

    run(story())
    assert bench.notes[:3] == [(b"1", 1), ("batch", 1), (b"2", "Fenced")]
    assert [note[0] for note in bench.notes[3:]] == ["lost"]


def test_trimmed_by_the_next_master_means_unknown(bench):
    async def story():
        writer = bench.writer()
        await asyncio.sleep(0.05)
        bench.engine.planned.extend([Fault.LOST_ANSWER, Fault.LOST_REQUEST])
        bench.submit(writer, b"1")
        await asyncio.sleep(0.01)
        bench.submit(writer, b"2")
        bench.journal.take_over(bench.mine, bench.rival)
        bench.journal.append(bench.rival, 2, b"theirs")
        bench.journal.trim(bench.rival, 2)
        await asyncio.sleep(1)
        await writer.close()

    run(story())
    # The first may be in the journal's past; the second was never sent.
    assert bench.notes[:2] == [(b"1", "Unavailable"), (b"2", "Fenced")]
    assert [note[0] for note in bench.notes[2:]] == ["lost"]


def test_foreign_bytes_at_my_seq_are_not_mine(bench):
    async def story():
        writer = bench.writer()
        await asyncio.sleep(0.05)
        bench.journal.append(bench.mine, 1, b"another process under the same name")
        bench.submit(writer, b"1")
        await asyncio.sleep(1)
        await writer.close()

    run(story())
    assert bench.notes[0] == (b"1", "Unavailable")
    assert bench.notes[1] == ("lost", "entry 1 exists with other bytes")


def test_close_fails_what_is_pending_and_tells_what_is_known(bench):
    async def story():
        writer = bench.writer()
        await asyncio.sleep(0.05)
        bench.submit(writer, b"1")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.submit(writer, b"2")
        flush = asyncio.get_running_loop().create_task(writer.flush())
        await asyncio.sleep(0)
        await writer.close()
        with pytest.raises(Unavailable):
            await flush
        with pytest.raises(Fenced):
            bench.submit(writer, b"3")
        await writer.close()

    run(story())
    assert bench.notes == [(b"1", "Unavailable"), (b"2", "Fenced")]


def test_a_cancelled_flush_disturbs_nobody(bench):
    async def story():
        writer = bench.writer()
        bench.submit(writer, b"1")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.0001):
                await writer.flush()
        await writer.flush()
        await writer.close()

    run(story())
    assert bench.notes == [(b"1", 1), ("batch", 1)]


def test_what_was_confirmed_is_told_with_the_time_of_its_sending(bench):
    async def story():
        loop = asyncio.get_running_loop()
        bench.engine.weather.latency_seconds_min = 0.1
        bench.engine.weather.latency_seconds_max = 0.1
        writer = bench.writer(on_confirmed=confirmed.append, clock=lambda: loop.time() + 500)
        begin = loop.time() + 500
        writer.submit(b"1")
        await writer.flush()
        assert [round(sent - begin, 3) for sent in confirmed] == [0.0]
        bench.engine.planned.extend([Fault.LOST_ANSWER])
        writer.submit(b"2")
        await writer.flush()
        assert len(confirmed) == 1, "an entry that was read back proves nothing about now"
        await writer.close()

    confirmed: list[float] = []
    run(story())


def test_a_callback_that_raises_is_reported_and_the_rest_is_answered(bench):
    async def story():
        writer = bench.writer()
        writer.submit(b"1", lambda seq: 1 / 0)
        bench.submit(writer, b"2")
        await writer.flush()
        await writer.close()

    with pytest.raises(Failure, match="ZeroDivisionError"):
        run(story())
    assert bench.notes == [(b"2", 1), ("batch", 1)]


def test_a_fault_of_the_program_is_told_as_unknown(bench):
    async def story():
        async def broken(owner, seq, data):
            raise RuntimeError("engine bug")

        bench.engine.append = broken
        writer = bench.writer()
        bench.submit(writer, b"1")
        await asyncio.sleep(1)
        await writer.close()

    with pytest.raises(Failure, match="engine bug"):
        run(story())
    assert bench.notes[0] == (b"1", "Unavailable")
    assert bench.notes[1] == ("lost", "journal.write ended by RuntimeError: engine bug")


def test_the_digest_travels_with_the_last_op(bench):
    async def story():
        writer = bench.writer()
        writer.submit(b"1", digest=b"1" * 16)
        writer.submit(b"2", digest=b"2" * 16)
        await writer.flush()
        await writer.close()

    run(story())
    assert [entry.digest for entry in bench.entries()] == [b"2" * 16]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), chance=st.sampled_from([0.05, 0.3, 0.6]), rivals=st.booleans())
def test_whatever_the_network_does_nobody_is_told_a_lie(make_bench, seed, chance, rivals):
    """Success means in the journal, Fenced means not there; each op is there once, in order."""

    async def story() -> None:
        dice = Random(seed)
        bench.engine.weather.fault_chance = chance
        bench.engine.weather.late_seconds = 0.5
        writer: JournalWriter = bench.writer()
        try:
            for number in range(40):
                bench.submit(writer, b"%d" % number)
                if dice.random() < 0.5:
                    await asyncio.sleep(dice.random() * 0.02)
            if rivals:
                await asyncio.sleep(dice.random())
                bench.journal.take_over(bench.mine, bench.rival)
            await writer.flush()
        except JournalError:
            pass
        bench.journal.take_over(bench.mine, bench.rival)
        await asyncio.sleep(5)
        await writer.close()

    bench = make_bench()
    run(story(), seed)
    there = [op for entry in bench.entries() for op in entry.ops]
    answers = {note[0]: note[1] for note in bench.notes if isinstance(note[0], bytes)}
    committed = [op for op, answer in answers.items() if isinstance(answer, int)]
    assert there[: len(committed)] == committed
    assert not {op for op, answer in answers.items() if answer == "Fenced"} & set(there)
    assert len(set(there)) == len(there)
    if not rivals:
        assert len(committed) == 40
