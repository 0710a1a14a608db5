"""Reading back: every entry once, in order, checked; a crash anywhere leads to the same state."""

import asyncio
import hashlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.journal.entry import START, Entry, Position, crc_of, decode_position, encode
from thesan.core.model.errors import Corrupt, Trimmed, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.io.journal.replay import Reader, replay
from thesan.worlds.simulated.loop import run
from thesan.worlds.simulated.memory_store import MemoryStore


def fill(bench, count: int, *, digests: bool = False) -> list[bytes]:
    """`count` entries of three ops each; all ops."""
    replica = Replica(MemoryStore())
    crc, ops = 0, []
    for seq in range(1, count + 1):
        batch = [b"op %d.%d" % (seq, number) for number in range(3)]
        digest = replica.digest_after(batch) if digests else b""
        data = encode(Epoch(1), Seq(seq), crc, batch, digest)
        bench.journal.append(bench.mine, Seq(seq), data)
        crc = crc_of(data)
        ops += batch
    return ops


class Replica:
    """A state machine whose state is a rolling digest, kept in a store with its position."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.position = START
        self.digest = bytes(16)
        self.ops: list[bytes] = []
        found = store.get(b"position")
        if found is not None:
            self.position = decode_position(found)
            self.digest = store.get(b"digest") or b""

    def digest_after(self, ops: list[bytes]) -> bytes:
        for op in ops:
            self.digest = hashlib.blake2b(self.digest + op, digest_size=16).digest()
        return self.digest

    def apply(self, entry: Entry) -> bytes:
        self.ops += entry.ops
        self.digest_after(entry.ops)
        self.position = entry.position
        self.store.write([(b"position", self.position.encode()), (b"digest", self.digest)])
        return self.digest


def test_replay_takes_everything_and_says_where_it_stands(bench):
    ops = fill(bench, 50, digests=True)
    replica = Replica(MemoryStore())
    end = run(replay(bench.engine, START, replica.apply))
    assert replica.ops == ops
    assert end == replica.position == bench.entries()[-1].position
    again = Replica(MemoryStore())
    assert run(replay(bench.engine, end, again.apply)) == end
    assert again.ops == []


def test_pages_do_not_show(bench):
    dice, crc = Random(1), 0
    for seq in range(1, 30):
        data = encode(Epoch(1), Seq(seq), crc, [dice.randbytes(200_000)])
        bench.journal.append(bench.mine, Seq(seq), data)
        crc = crc_of(data)
    replica = Replica(MemoryStore())
    run(replay(bench.engine, START, replica.apply))
    assert len(replica.ops) == 29


@pytest.mark.parametrize("at", [1, 2, 17, 50])
def test_a_bad_entry_stops_the_reading_before_it(bench, at):
    fill(bench, 50)
    data = bytearray(bench.journal._entries[at - 1])
    data[-1] ^= 1
    bench.journal._entries[at - 1] = bytes(data)
    reader = Reader(bench.engine, START, (replica := Replica(MemoryStore())).apply)
    with pytest.raises(Corrupt, match=f"entry {at}"):
        run(reader.catch_up())
    assert reader.position.seq == at - 1
    assert len(replica.ops) == 3 * (at - 1)


def test_an_entry_of_another_past_is_refused(bench):
    fill(bench, 5)
    with pytest.raises(Corrupt, match="does not chain"):
        run(replay(bench.engine, Position(Seq(3), Epoch(1), 1), lambda entry: b""))
    # Entries swapped inside the engine.
    bench.journal._entries[2], bench.journal._entries[3] = (
        bench.journal._entries[3],
        bench.journal._entries[2],
    )
    with pytest.raises(Corrupt, match="the engine's entry 3 says that it is entry 4"):
        run(replay(bench.engine, START, lambda entry: b""))


def test_a_journal_shorter_than_the_state_is_refused(bench):
    fill(bench, 5)
    with pytest.raises(Corrupt, match="ends at entry 5"):
        run(replay(bench.engine, Position(Seq(6), Epoch(1), 1), lambda entry: b""))


def test_a_trimmed_past_is_said(bench):
    fill(bench, 9)
    bench.journal.trim(bench.mine, Seq(5))
    with pytest.raises(Trimmed) as caught:
        run(replay(bench.engine, START, lambda entry: b""))
    assert caught.value.first == 5


def test_a_diverged_state_is_found_at_once(bench):
    fill(bench, 5, digests=True)
    replica = Replica(MemoryStore())
    replica.digest = b"x" * 16
    with pytest.raises(Corrupt, match="state after entry 1 differs"):
        run(replay(bench.engine, START, replica.apply))
    # Who has nothing to compare goes on.
    assert run(replay(bench.engine, START, lambda entry: b"")).seq == 5


def test_follow_goes_on_where_replay_ended(bench):
    async def story():
        fill(bench, 3)
        replica = Replica(MemoryStore())
        reader = Reader(bench.engine, START, replica.apply)
        await reader.catch_up()
        following = asyncio.get_running_loop().create_task(reader.follow())
        crc = reader.position.crc
        for seq in range(4, 30):
            data = encode(Epoch(1), Seq(seq), crc, [b"%d" % seq])
            bench.journal.append(bench.mine, Seq(seq), data)
            crc = crc_of(data)
            await asyncio.sleep(0.001 * (seq % 4))
            if seq == 15:
                bench.engine.weather.up = False
            if seq == 20:
                await asyncio.sleep(3)
                assert reader.position.seq <= 15
                bench.engine.weather.up = True
        await asyncio.sleep(3)
        assert reader.position == bench.entries()[-1].position
        assert replica.ops[9:] == [b"%d" % seq for seq in range(4, 30)]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    run(story())


def test_follow_tells_that_it_was_overtaken(bench):
    async def story():
        fill(bench, 3)
        reader = Reader(bench.engine, START, lambda entry: b"")
        bench.journal.trim(bench.mine, Seq(3))
        with pytest.raises(Trimmed):
            await reader.follow()

    run(story())


def test_replay_passes_on_that_the_engine_is_silent(bench):
    bench.engine.weather.up = False
    with pytest.raises(Unavailable):
        run(replay(bench.engine, START, lambda entry: b""))


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    crashes=st.lists(st.tuples(st.floats(0, 0.2), st.booleans()), max_size=6),
)
def test_a_crash_at_any_point_leads_to_the_same_state(make_bench, seed, crashes):
    """Store, reader and process die at any moment; writes since the last flush may be lost."""

    async def story() -> None:
        store = MemoryStore()
        durable: dict[bytes, bytes] = {}
        for lifetime, flushes in [*crashes, (1.0, True)]:
            replica = Replica(store)
            reader = Reader(engine, replica.position, replica.apply)
            life = asyncio.get_running_loop().create_task(reader.catch_up())
            await asyncio.sleep(lifetime)
            if not life.done():
                life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            if flushes:
                durable = dict(store.scan(b"", b"\xff", 9))
            # The crash: what was not flushed is gone, which leaves a clean prefix.
            store = MemoryStore()
            store.write(list(durable.items()))
        assert Replica(store).position == last
        assert Replica(store).digest == whole.digest

    bench = make_bench()
    engine = bench.other_engine(seed)
    ops = fill(bench, 60, digests=True)
    engine.weather.latency_seconds_max = 0.02
    last = bench.entries()[-1].position
    whole = Replica(MemoryStore())
    whole.digest_after(ops)
    run(story(), seed)
