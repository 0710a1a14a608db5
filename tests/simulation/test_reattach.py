"""The master dies under load: no client sees an error, and none waits for a timeout.

What counts is the time from the new master's being up until every operation that was pending, or
came meanwhile, is done.
"""

import asyncio

import pytest

from thesan.worlds.simulated.cluster import Cluster, Shape
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.shared import SHARED_DIRECTORY

REACTION_SECONDS = 0.2
LIVED_SECONDS = {"old clients": 7.0, "young clients": 1.0}
"""Older ones watch all MGMs already when it happens."""
DATA = bytes(range(256)) * 200


class Load:
    """What one client does all the time, and when each operation began and ended."""

    def __init__(self, loop, fs) -> None:
        self.loop = loop
        self.fs = fs
        self.spans = []
        self.is_over = False

    async def again(self, what, work) -> None:
        n = 0
        while not self.is_over:
            began = self.loop.time()
            await work(f"{SHARED_DIRECTORY}/{what}{n}")
            self.spans.append((began, self.loop.time(), what))
            n += 1
            await asyncio.sleep(0.05)

    async def make(self, path) -> None:
        await self.fs.mkdir(path)
        await self.fs.mv(path, path + "-")
        await self.fs.rmdir(path + "-")

    async def upload(self, path) -> None:
        async with await self.fs.open(path, "x") as file:
            await file.write(0, DATA[:100])
            await asyncio.sleep(0.1)
            await file.write(100, DATA[100:])
        async with await self.fs.open(path) as file:
            assert bytes(await file.read()) == DATA

    async def look(self, path) -> None:
        await self.fs.stat("/")

    async def run(self) -> None:
        await asyncio.gather(
            self.again("make", self.make),
            self.again("look", self.look),
            *[self.again(f"upload{n}-", self.upload) for n in range(2)],
        )


def takeover(cluster, before):
    """Whether somebody is master of a later epoch."""
    masters = [mgm.master for mgm in cluster.mgms.values() if mgm.master is not None]
    return any(master.epoch > before for master in masters)


@pytest.mark.parametrize("end", ["killed", "dark", "stopped"])
@pytest.mark.parametrize("lived", LIVED_SECONDS)
def test_a_change_of_master_is_a_pause(end, lived):
    loop = SimLoop(7)
    cluster = Cluster(loop, Shape(client_count=2))
    loads = []

    async def main():
        await cluster.start()
        running = []
        await asyncio.sleep(2.0)
        for name in cluster.client_names:
            process = cluster.client_process(name)
            loads.append(Load(loop, cluster.calls(name).filesystem))
            loads[-1].again = prefixed(loads[-1].again, name)
            running.append(loop.start(process, loads[-1].run(), "load"))
        await asyncio.sleep(LIVED_SECONDS[lived])
        name = cluster.master_name()
        epoch = cluster.journal.owner.epoch
        if end == "killed":
            loop.network.kill(cluster.process_of(name))
        elif end == "dark":
            loop.network.power_off(name)
        else:
            loop.network.pause(cluster.process_of(name))
        while not takeover(cluster, epoch):
            await asyncio.sleep(0.002)
        up_at = loop.time()
        await asyncio.sleep(1.0)
        for load in loads:
            load.is_over = True
        await asyncio.gather(*running)
        return up_at

    try:
        up_at = loop.run_until_complete(loop.create_task(main()))
        assert not loop.trace.failures, loop.trace.failures
    finally:
        loop.close()
    late = [
        (what, done - up_at)
        for load in loads
        for began, done, what in load.spans
        if began < up_at < done - REACTION_SECONDS
    ]
    assert not late
    assert sum(len(load.spans) for load in loads) > 100


def prefixed(again, name):
    """Each client has names of its own."""

    async def run(what, work):
        await again(f"{name}-{what}", work)

    return run
