"""The watchman sees two masters of one epoch, and an FST that is lost for no reason."""

import asyncio

import pytest

from thesan.core.authority.capability import Capability
from thesan.worlds.simulated.cluster import Cluster, Shape
from thesan.worlds.simulated.contents import content_of
from thesan.worlds.simulated.watchman import EpochWitness, Reign, Watchman


class Town:
    """A cluster of answers."""

    def __init__(self, reigns, owners, calm=None, grounds=None, excused=()):
        self._reigns = reigns
        self._owners = owners
        self._calm = calm or {}
        self._grounds = grounds or {}
        self._excused = excused

    def owners(self):
        return list(self._owners.items())

    def excuses_takeover(self, master):
        return master in self._excused

    def ground_of(self, epoch):
        return self._grounds.get(epoch, "")

    def reigns(self):
        return self._reigns

    def owner_of(self, epoch):
        return self._owners.get(epoch, "")

    def calm_seconds(self, machine):
        return self._calm.get(machine, 100.0)


def _look(*args):
    watchman = Watchman(Town(*args))
    for _ in range(20):
        watchman.look()
    return watchman.violations


def test_an_old_master_beside_the_new_one_is_fine():
    reigns = [Reign("mgm1", 1, {}), Reign("mgm2", 2, {})]
    assert _look(reigns, {1: "mgm1", 2: "mgm2"}) == []


def test_two_of_one_epoch_are_not():
    reigns = [Reign("mgm1", 1, {}), Reign("mgm2", 1, {})]
    assert len(_look(reigns, {1: "mgm1"})) == 2


def test_a_master_of_nobody_s_epoch():
    assert _look([Reign("mgm1", 7, {})], {}) == ["mgm1 is master of epoch 7, which is 's"]


@pytest.mark.parametrize(
    ("calm", "count"), [({}, 1), ({"fst1": 0.0}, 0), ({"mgm1": 1.0}, 0), ({"mgm2": 0.0}, 1)]
)
def test_a_lost_fst(calm, count):
    reigns = [Reign("mgm1", 1, {"fst1": "it is offline"})]
    assert len(_look(reigns, {1: "mgm1"}, calm)) == count


@pytest.mark.parametrize(
    ("ground", "excused", "count"),
    [("silent", (), 1), ("process gone", (), 1), ("handed over", (), 0), ("silent", ("mgm1",), 0)],
)
def test_a_healthy_master_is_not_taken_for_dead(ground, excused, count):
    owners = {1: "mgm1"}
    watchman = Watchman(Town([], owners, {}, {2: ground}, excused))
    watchman.look()
    owners[2] = "mgm2"
    watchman.look()
    watchman.look()
    assert len(watchman.judge()) == count


def test_an_fst_that_is_told_of_in_time():
    reigns = [Reign("mgm1", 1, {"fst1": "fs 1 is not booted"})]
    watchman = Watchman(Town(reigns, {1: "mgm1"}))
    for number in range(40):
        reigns[0].dark.clear()
        if number % 8:
            reigns[0].dark["fst1"] = "fs 1 is not booted"
        watchman.look()
    assert watchman.violations == []


def test_it_goes_on_for_ever(loop):
    watchman = Watchman(Town([Reign("mgm1", 7, {})], {}))
    task = loop.create_task(watchman.watch())
    loop.run_until_complete(asyncio.sleep(10))
    task.cancel()
    assert len(watchman.violations) == 1


def _capability(epoch):
    return Capability(1, 2, "fst1:1095", 1, b"", 0, 0, 0, epoch, 0, 1, b"x" * 12)


def test_epochs_go_only_forward():
    witness = EpochWitness("fst1")
    witness.obeyed(_capability(1), 0)
    witness.obeyed(_capability(3), 1)
    witness.obeyed(_capability(3), 3)
    assert witness.violations == []
    witness.obeyed(_capability(2), 2)
    assert witness.violations == ["fst1 obeyed epoch 2 after epoch 3"]
    witness.obeyed(_capability(5), 6)
    assert len(witness.violations) == 2


def test_the_witness_stands_beside_a_real_gate(loop):
    cluster = Cluster(loop, Shape(client_count=1))
    loop.run_until_complete(cluster.start())
    calls = cluster.calls("client1")
    work = calls.put("/shared/a", content_of("x.1.100"), exclusive=True)
    loop.run_until_complete(loop.start(cluster.client_process("client1"), work, "put"))
    assert sum(witness._newest for witness in cluster.witnesses) > 0
    assert all(not witness.violations for witness in cluster.witnesses)
