"""Any sequence of calls on any ports.engine, beside the port's words in the plainest Python."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from thesan.core.model.errors import Corrupt, Fenced, Trimmed
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Engine, Owner

A = Owner("a", Epoch(1), "a:1094", 11)


async def everything(engine: Engine, start: int = 1) -> list[tuple[Seq, bytes]]:
    found: list[tuple[Seq, bytes]] = []
    while page := await engine.read(Seq(start + len(found)), 100):
        found += page
    return found


class Model:
    """Owner, entries, beats: nothing else."""

    def __init__(self) -> None:
        self.owner: Owner | None = None
        self.beats = 0
        self.first = 1
        self.entries: dict[int, bytes] = {}

    @property
    def last(self) -> int:
        return max(self.entries, default=0)

    def call(self, name: str, *args: object) -> object:
        return getattr(self, name)(*args)

    def take_over(self, seen: Owner | None, new: Owner) -> object:
        if new.epoch <= (seen.epoch if seen else 0):
            return ValueError
        if seen != self.owner:
            return False
        self.owner = new
        return True

    def append(self, owner: Owner, seq: int, data: bytes) -> object:
        if seq < 1:
            return ValueError
        if owner != self.owner:
            return Fenced
        if seq == self.last + 1:
            self.entries[seq] = data
            return None
        return None if self.entries.get(seq) == data else Corrupt

    def beat(self, owner: Owner) -> object:
        if owner != self.owner:
            return Fenced
        self.beats += 1
        return None

    def trim(self, owner: Owner, before: int) -> object:
        if owner != self.owner:
            return Fenced
        while self.first < min(before, self.last):
            del self.entries[self.first]
            self.first += 1
        return None

    def read(self, start: int, bytes_max: int) -> object:
        if start < 1:
            return ValueError
        if start < self.first:
            return Trimmed
        if start > self.last + 1:
            return Corrupt
        return [(seq, self.entries[seq]) for seq in range(start, self.last + 1)]


owners = st.builds(
    Owner, st.sampled_from(["a", "b"]), st.integers(0, 4), st.just("x:1"), st.integers(0, 1)
)
seqs = st.integers(0, 14)
calls = st.one_of(
    st.tuples(st.just("take_over"), st.one_of(st.none(), owners), owners),
    st.tuples(st.just("succeed"), owners),
    st.tuples(st.just("append"), owners, seqs, st.binary(max_size=8)),
    st.tuples(st.just("append_next"), st.binary(max_size=30)),
    st.tuples(st.just("append_next"), st.binary(max_size=30)),
    st.tuples(st.just("resend"), seqs),
    st.tuples(st.just("beat"), owners),
    st.tuples(st.just("trim"), owners, seqs),
    st.tuples(st.just("trim_mine"), seqs),
    st.tuples(st.just("read"), seqs, st.integers(0, 60)),
)


def concrete(model: Model, call: tuple[object, ...]) -> tuple[object, ...]:
    """Calls that mostly succeed, made from what the model holds now."""
    owner = model.owner or A
    match call:
        case ("succeed", Owner() as new):
            epoch = Epoch(1 if model.owner is None else model.owner.epoch + 1)
            return ("take_over", model.owner, Owner(new.node, epoch, new.address, new.since_ns))
        case ("append_next", data):
            return ("append", owner, model.last + 1, data)
        case ("resend", int(seq)):
            return ("append", owner, seq, model.entries.get(seq, b""))
        case ("trim_mine", before):
            return ("trim", owner, before)
        case _:
            return call


@settings(max_examples=40, deadline=None)
@given(script=st.lists(st.tuples(st.integers(0, 1), calls), max_size=40))
def test_any_sequence_of_calls_is_answered_as_by_the_model(engines, script):
    async def story() -> None:
        model = Model()
        async with engines() as open_one:
            nodes = [await open_one(), await open_one()]
            for node, call in script:
                name, *args = concrete(model, call)
                expected = model.call(str(name), *args)
                try:
                    got = await getattr(nodes[node], str(name))(*args)
                except (Fenced, Corrupt, Trimmed, ValueError) as error:
                    got = type(error)
                if name == "read" and isinstance(got, list) and isinstance(expected, list):
                    # The port leaves open where a page ends, but not that it moves on.
                    assert bool(got) == bool(expected)
                    assert sum(len(data) for _, data in got[:-1]) <= args[1]
                    expected = expected[: len(got)]
                assert got == expected, (name, args)
            for engine in nodes:
                status = await engine.status()
                assert (status.first, status.last) == (model.first, model.last)
                assert status.beats == model.beats
                assert await engine.owner() == model.owner
                assert dict(await everything(engine, model.first)) == model.entries

    asyncio.run(story())
