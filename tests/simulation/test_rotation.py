"""The key of the instance is changed while it works: no order of restarts is wrong."""

import asyncio

import pytest

from thesan.core.authority.keytab import Key, make_keytab
from thesan.core.model.units import NS_PER_S
from thesan.worlds.simulated.clock import SimClock
from thesan.worlds.simulated.cluster import ADMIN, Cluster, Shape
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.shared import SHARED_DIRECTORY

BEGIN_SECONDS = 120
"""From the new file's coming to its key's beginning: simulated restarts are quick."""
STEP_SECONDS = 30.0
"""A daemon that is refused would be waited for without end."""
SKEW_NS = 25 * NS_PER_S
"""Difference of two hosts' clocks, within the 30 s that capabilities bear."""
FILES = 12
"""So many that every FST has some, as the head and as the other."""
DATA = b"all of it" * 1000


class Rotation:
    """The operator, and a client that writes and reads between any two of his steps."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.round = 0
        self.old = cluster.keys.keys[0]
        self.begin_s = self.now_s("mgm1") + BEGIN_SECONDS
        self.new = Key(self.old.number + 1, b"n" * 32, self.begin_s)

    @property
    def fs(self):
        """The client's library."""
        return self.cluster.calls("client1").filesystem

    def now_s(self, machine: str) -> int:
        """What time it is there."""
        cluster = self.cluster
        return SimClock(cluster.loop, cluster.machine(machine)).now_ns() // NS_PER_S

    def clocks(self) -> list[int]:
        """What time it is everywhere."""
        return [self.now_s(name) for name in (*self.cluster.mgm_names, *self.cluster.fst_names)]

    async def restart(self, machine: str) -> None:
        """With the file that is there now; an MGM is master then, and all see each other."""
        cluster = self.cluster
        async with asyncio.timeout(STEP_SECONDS):
            cluster.loop.network.kill(cluster.process_of(machine))
            await cluster.restart(machine)
            await cluster.settle()
            while machine in cluster.mgm_names and cluster.master_name() != machine:
                await asyncio.sleep(1.0)
                await cluster.hand_over(machine)
            while not await self.all_mgms_hear_each_other():
                await asyncio.sleep(1.0)

    async def all_mgms_hear_each_other(self) -> bool:
        """By what each of them says itself."""
        views = await self.cluster.views()
        records = [record for view in views.values() for record in view["node", "ls"]]
        return all(record["status"] == "online" for record in records)

    async def works(self) -> None:
        """New files can be written, they and the first ones read."""
        self.round += 1

        async def visit() -> None:
            for number in range(FILES):
                await self.write(f"{SHARED_DIRECTORY}/{self.round}-{number}")
                for age in (1, self.round):
                    async with await self.fs.open(f"{SHARED_DIRECTORY}/{age}-{number}") as file:
                        assert bytes(await file.read()) == DATA

        await self.as_client(visit())

    async def as_client(self, work) -> None:
        """Run it there."""
        cluster = self.cluster
        async with asyncio.timeout(STEP_SECONDS):
            await cluster.loop.start(cluster.client_process("client1"), work, "visit")

    async def write(self, path: str, pause_seconds: float = 0.0) -> None:
        """One upload."""
        async with await self.fs.open(path, "x") as file:
            await file.write(0, DATA[:1000])
            await asyncio.sleep(pause_seconds)
            await file.write(1000, DATA[1000:])


@pytest.mark.parametrize("first", ["fst", "mgm"])
def test_a_key_is_changed_in_any_order_of_restarts(first):
    loop = SimLoop(3)
    cluster = Cluster(loop, Shape(client_count=1))
    order = [*cluster.fst_names, *cluster.mgm_names]
    order.sort(key=lambda name: not name.startswith(first))
    for ahead in ("mgm2", "fst1"):
        cluster.machine(ahead).clock_offset_ns = SKEW_NS

    async def main():
        await cluster.start()
        rotation = Rotation(cluster)
        await rotation.works()
        cluster.keys = make_keytab([rotation.old, rotation.new])
        for name in order:
            await rotation.restart(name)
            await rotation.works()
        await rotation.restart(ADMIN)
        assert max(rotation.clocks()) < rotation.begin_s, "it was to be seen before the beginning"

        await asyncio.sleep(rotation.begin_s - max(rotation.clocks()) - 2)
        seconds = rotation.begin_s - min(rotation.clocks()) + 2
        slow = loop.create_task(
            rotation.as_client(rotation.write(f"{SHARED_DIRECTORY}/slow", seconds))
        )
        while min(rotation.clocks()) <= rotation.begin_s:
            await rotation.works()
            await asyncio.sleep(0.5)
        await slow

        cluster.keys = make_keytab([rotation.new])
        for name in (*reversed(order), ADMIN):
            await rotation.restart(name)
            await rotation.works()

    try:
        loop.run_until_complete(loop.create_task(main()))
        assert not loop.trace.failures, loop.trace.failures
    finally:
        loop.close()
