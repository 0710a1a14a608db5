"""With the journal engine away a master has nothing to say to its FSTs. They live all the same:
nobody may take them for dead, and the upload that waits is done when the engine is back."""

import asyncio

import pytest

from thesan.worlds.simulated.cluster import Cluster, Shape
from thesan.worlds.simulated.loop import SimLoop


@pytest.mark.parametrize("seconds", [6.0, 25.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_fst_is_taken_for_dead(seed, seconds):
    loop = SimLoop(seed)
    shape = Shape(fst_count=2, disk_count=1, client_count=1, failover="slow")
    cluster = Cluster(loop, shape)
    held = []

    async def main():
        await cluster.start()
        await asyncio.sleep(2.0)
        process, calls = cluster.client_process("client1"), cluster.calls("client1")
        cluster.journal.has_leader = False
        write = loop.start(process, calls.put("/f", b"data", exclusive=True), "put")
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(0.1)
            for mgm in cluster.mgms.values():
                view, now_s = mgm.desk.view, mgm.process.now_s()
                silent = [str(node.node) for node in view.nodes() if not node.online_at(now_s)]
                assert not silent, f"{mgm.process.address} has lost {silent}"
                held.append(mgm.desk.pipeline.pending_ops)
        cluster.journal.has_leader = True
        async with asyncio.timeout(10.0):
            await write

    try:
        loop.run_until_complete(loop.start(loop.network.process("desk", "desk"), main(), "main"))
        assert any(held), "nothing waited for the engine: this tests nothing"
        assert not loop.trace.failures, loop.trace.failures
    finally:
        loop.close()
