"""A few MGMs' data directories over one journal, without the roles that usually use them."""

import errno
from random import Random
from typing import Any

import pytest

from thesan.core.control.messages import (
    CheckpointPage,
    JournalPage,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from thesan.core.journal.entry import crc_of, encode
from thesan.core.journal.retention import Keep
from thesan.core.model.errors import OperationError
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace.ops import ConfigSet, MakeDirectory, ReserveFids, SetXattr, encode_op
from thesan.core.namespace.snapshot import SPANS, applied_of
from thesan.core.namespace.state import Namespace
from thesan.io.journal.archive import ArchiveSettings
from thesan.io.journal.replay import replay
from thesan.ports.engine import Owner
from thesan.roles.mgm.data import MgmData
from thesan.roles.mgm.replica import Replica
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal
from thesan.worlds.simulated.memory_home import MemoryHome, Shelf
from thesan.worlds.simulated.memory_store import MemoryStore
from thesan.worlds.simulated.world import SimWorld

MINE = Owner("a", Epoch(1), "a:1094", 1)
ARCHIVE = ArchiveSettings(
    segment_bytes=8000, segment_seconds=60.0, block_bytes=3000, block_seconds=0.2
)


class Node:
    """One MGM's data, over several lives of its process."""

    def __init__(self, plant: "Plant", name: str) -> None:
        self.plant = plant
        self.name = name
        self.shelf = Shelf()
        self.data: MgmData
        plant.loop.network.process(name, "mgm").machine.mount("/data")

    async def start(self) -> None:
        plant = self.plant
        process = plant.loop.network.process(self.name, "mgm")
        world = SimWorld(plant.loop, process)
        engine = MemoryEngine(plant.journal, Random(self.name))
        disk = world.disk("/data")
        self.data = MgmData(world, MemoryHome(self.shelf), disk, engine, ARCHIVE, plant.keep)
        self.data.seeds_from(
            lambda: [name for name in plant.nodes if name != self.name], plant.dial
        )
        await self.data.open()

    async def stop(self) -> None:
        await self.data.close()

    async def crash(self) -> None:
        """The power goes."""
        await self.data._tasks.close()
        await self.data.archive._tasks.close()
        self.shelf.crash(self.plant.dice)
        self.platter.crash(self.plant.dice)

    @property
    def platter(self) -> Any:
        return self.plant.loop.network.machine(self.name).platters["/data"]

    @property
    def namespace(self) -> Namespace:
        return Namespace(self.data.store)

    async def follow(self) -> None:
        """Apply everything up to the head."""
        replica = Replica(Namespace(self.data.store), self.data.store)
        await replay(self.data.engine, replica.position, replica.apply)

    def content(self) -> list[tuple[bytes, bytes]]:
        """All there is but the applied record."""
        store = self.data.store
        return [row for first, end in SPANS for row in store.scan(first, end, 10**7)]


class Plant:
    """The journal, its only writer, and the nodes."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.dice = Random(7)
        self.keep = Keep()
        self.journal = MemoryJournal()
        self.journal.owner = MINE
        self.nodes: dict[str, Node] = {}
        self.truth = Namespace(MemoryStore())
        """What the master has."""
        self.digests: dict[int, bytes] = {0: self.truth.digest}
        """State digest after each entry."""
        self.crc = 0
        self.fault_share = 0.0
        self.asked = 0
        self.made = 0
        """Ops so far."""
        self.names: list[str] = []

    def node(self, name: str) -> Node:
        made = self.nodes[name] = Node(self, name)
        return made

    def write(self, count: int) -> None:
        """Entries of some ops each."""
        for _ in range(count):
            ops = [self._op() for _ in range(self.dice.randint(1, 5))]
            for op in ops:
                self.truth.apply(op, self.truth.op_count + 1)
            seq = Seq(self.journal.last + 1)
            data = encode(Epoch(1), seq, self.crc, [*map(encode_op, ops)], self.truth.digest)
            self.journal.append(MINE, seq, data)
            self.crc = crc_of(data)
            changes = self.truth.take_changes(self.truth.op_count, seq, 1, self.crc)
            self.truth.tree.tables._source.write(changes)
            self.truth.settle(changes)
            self.digests[seq] = self.truth.digest

    def _op(self) -> Any:
        self.made += 1
        number = self.made
        if number == 1:
            return ReserveFids(1 << 40)
        drawn = self.dice.random()
        if drawn < 0.1:
            return ConfigSet("fs", f"{self.dice.randint(1, 9)}", self.dice.randbytes(300))
        if drawn < 0.3:
            return SetXattr(1, f"user.{self.dice.randint(1, 9)}", self.dice.randbytes(200), number)
        name = f"d{number}"
        self.names.append(name)
        return MakeDirectory(1, name, number, 0o755, 0, 0, number)

    async def dial(self, address: str) -> "DirectLink":
        return DirectLink(self, self.nodes[address])

    def trim(self, before: int) -> None:
        self.journal.trim(MINE, Seq(before))


class DirectLink:
    """A connection that carries real messages, and sometimes breaks."""

    def __init__(self, plant: Plant, node: Node) -> None:
        self._plant = plant
        self._node = node

    async def _ask(self, message: CheckpointPage | JournalPage) -> Any:
        plant = self._plant
        plant.asked += 1
        if plant.dice.random() < plant.fault_share:
            raise OperationError(errno.ECONNRESET, "it was closed")
        message = decode_request(encode_request(message))  # type: ignore[assignment]
        service = self._node.data.checkpoints
        if isinstance(message, CheckpointPage):
            reply: Any = await service.page(message)
        else:
            reply = await service.entries(message)
        if plant.dice.random() < plant.fault_share:
            raise OperationError(errno.ECONNRESET, "it was closed")
        return decode_reply(encode_reply(reply))

    async def page(self, message: CheckpointPage) -> Any:
        return await self._ask(message)

    async def entries(self, message: JournalPage) -> Any:
        return await self._ask(message)

    async def close(self) -> None:
        pass


def seq_of(node: Node) -> int:
    applied = applied_of(node.data.store)
    return applied.seq if applied is not None else 0


@pytest.fixture
def sim_loop():
    """A simulated loop whose log has no error at the end."""
    loop = SimLoop(1)
    yield loop
    assert not loop.trace.failures
    loop.close()


@pytest.fixture
def plant(sim_loop) -> Plant:
    return Plant(sim_loop)
