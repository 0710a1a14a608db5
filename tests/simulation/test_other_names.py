"""FSTs whose settings know the MGMs by other names than these call themselves."""

import asyncio

import pytest

from thesan.roles.fst.mgms import Mgms
from thesan.worlds.simulated import cluster as room
from thesan.worlds.simulated.cluster import Cluster, Shape
from thesan.worlds.simulated.loop import SimLoop


@pytest.fixture
def lost(monkeypatch):
    """Addresses of the links that FSTs have lost."""
    until_lost = Mgms._until_lost
    addresses = []

    async def noted(self, link):
        await until_lost(self, link)
        addresses.append(link.address)

    monkeypatch.setattr(Mgms, "_until_lost", noted)
    return addresses


def cluster_of(loop, monkeypatch, known):
    """FSTs are told only the first `known` MGMs, by their IP addresses."""
    cluster = Cluster(loop, Shape(fst_count=2, disk_count=1, client_count=1))
    config = room.FstConfig

    def by_number(**settings):
        numbers = [cluster.machine(name).address for name in cluster.mgm_names[:known]]
        return config(**settings | {"mgms": tuple(f"{one}:1094" for one in numbers)})

    monkeypatch.setattr(room, "FstConfig", by_number)
    return cluster


@pytest.mark.parametrize("known", [1, 3])
def test_each_mgm_has_one_link(monkeypatch, lost, known) -> None:
    loop = SimLoop(1)
    cluster = cluster_of(loop, monkeypatch, known)
    outside = loop.network.process("outside", "outside")

    async def body() -> None:
        # Before there is a master nobody knows for sure which names are the same MGM's.
        await cluster.start()
        await asyncio.sleep(2)
        lost.clear()
        writer = cluster.client_process("client1")
        for n in range(10):
            write = cluster.calls("client1").put(f"/f{n}", b"x" * 1000, exclusive=True)
            await loop.start(writer, write, "put")
        await asyncio.sleep(5)

    try:
        loop.run_until_complete(loop.start(outside, body(), "test"))
        names = [f"{name}:1094" for name in cluster.mgm_names]
        for fst in cluster.fsts.values():
            links = fst.parts.mgms.links
            assert sorted(links) == sorted(names)
            assert all(link.is_up for link in links.values())
    finally:
        loop.close()
    assert not lost
