"""An engine whose writes hang answers reads: standbys take the master for silent, and their claims
wait behind its beat. Then the beat wins, and nobody is the worse for it."""

import asyncio

import pytest

from thesan.worlds.simulated.cluster import Cluster, Shape
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.memory_engine import MemoryEngine

HANGS = 8
"""More of them in a short time are a reason for the master to hand over by itself."""


class Gate:
    """Writes to the journal engine wait here while it is closed, and are done in their order then,
    also those that nobody waits for any more."""

    def __init__(self, monkeypatch) -> None:
        self._is_closed = False
        self._waiting = []
        for name in ("beat", "append", "take_over"):
            monkeypatch.setattr(MemoryEngine, name, self._guard(getattr(MemoryEngine, name), name))

    def _guard(self, call, name):
        async def guarded(engine, *args):
            if not self._is_closed:
                return await call(engine, *args)
            answer = asyncio.get_running_loop().create_future()
            self._waiting.append((answer, getattr(engine._journal, name), args))
            return await answer

        return guarded

    async def hang(self, seconds: float) -> None:
        self._is_closed = True
        await asyncio.sleep(seconds)
        self._is_closed = False
        waiting, self._waiting = self._waiting, []
        for answer, do, args in waiting:
            try:
                result, failure = do(*args), None
            except Exception as error:
                result, failure = None, error
            if not answer.done():
                answer.set_exception(failure) if failure else answer.set_result(result)


@pytest.mark.parametrize("seconds", [1.45, 1.7])
def test_nobody_is_deposed_and_nobody_is_fenced(seconds, monkeypatch):
    gate = Gate(monkeypatch)
    loop = SimLoop(1)
    cluster = Cluster(loop, Shape(fst_count=2, disk_count=1, client_count=1))

    async def main():
        await cluster.start()
        name, epoch = cluster.master_name(), cluster.journal.owner.epoch
        for number in range(HANGS):
            await asyncio.sleep(3.0 + 0.037 * number)
            await gate.hang(seconds)
            await asyncio.sleep(2.0)
            assert (cluster.master_name(), cluster.journal.owner.epoch) == (name, epoch)
            assert {fst.parts.mgms.epoch for fst in cluster.fsts.values()} == {epoch}
        proposed = [mgm.process.proposed_epoch for mgm in cluster.mgms.values()]
        assert max(proposed) > epoch, "no standby ever claimed: this tests nothing"
        process, calls = cluster.client_process("client1"), cluster.calls("client1")
        async with asyncio.timeout(5.0):
            await loop.start(process, calls.put("/f", b"data", exclusive=True), "put")

    try:
        loop.run_until_complete(loop.start(loop.network.process("desk", "desk"), main(), "main"))
        assert not loop.trace.failures, loop.trace.failures
    finally:
        loop.close()
