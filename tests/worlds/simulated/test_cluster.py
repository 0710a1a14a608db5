"""An instance starts, is whole, loses daemons and gets them back with their old disks."""

import asyncio

import pytest

from thesan.core.namespace.state import Namespace
from thesan.worlds.simulated.cluster import DATA, Cluster, Shape
from thesan.worlds.simulated.contents import content_of


@pytest.fixture
def cluster(loop) -> Cluster:
    """Three FSTs with two filesystems each, one client, started."""
    cluster = Cluster(loop, Shape(client_count=1))
    loop.run_until_complete(cluster.start())
    return cluster


def _do(cluster, work):
    process = cluster.client_process("client1")
    return cluster.loop.run_until_complete(cluster.loop.start(process, work, "work"))


def test_two_replicas_on_two_nodes(cluster):
    calls = cluster.calls("client1")
    data = content_of("x.1.100000")
    _do(cluster, calls.put("/shared/a", data, exclusive=True))
    assert _do(cluster, calls.get("/shared/a")) == data
    holders = [
        platter.label.partition(":")[0]
        for platter in cluster.platters()
        for name in platter.names
        if not name.startswith(".thesan")
    ]
    assert len(holders) == 2
    assert holders[0] != holders[1]
    assert not cluster.loop.trace.failures


def test_everybody_dies_and_comes_back(cluster):
    calls = cluster.calls("client1")
    data = content_of("x.1.100000")
    _do(cluster, calls.put("/shared/a", data, exclusive=True))
    for name in ("mgm1", *cluster.fst_names):
        process = cluster.process_of(name)
        assert process is not None
        cluster.loop.network.power_off(name)
        cluster.crash_disks(name)
        assert cluster.process_of(name) is None
        cluster.loop.network.power_on(name)
    cluster.loop.run_until_complete(cluster.settle())
    assert _do(cluster, calls.get("/shared/a")) == data
    assert cluster.live_namespace() is not None


def test_restart_leaves_the_living_alone(cluster):
    process = cluster.process_of("fst1")
    cluster.loop.run_until_complete(cluster.restart("fst1"))
    assert cluster.process_of("fst1") is process


def test_a_client_that_restarts_is_told_of(cluster):
    told = []
    cluster.on_client_restart = told.append
    cluster.loop.network.kill(cluster.client_process("client1"))
    cluster.loop.run_until_complete(cluster.restart("client1"))
    assert told == ["client1"]
    assert cluster.client_process("client1").alive


def test_a_daemon_that_can_not_start_fails_the_run(cluster):
    cluster._run_mgm("mgm1")
    cluster.loop.run_until_complete(cluster.settle())
    cluster.loop.run_until_complete(asyncio.sleep(1))
    assert any("did not start" in text for text in cluster.loop.trace.failures)


def test_cuts_from_the_engine_count(cluster):
    engine = cluster._weather["mgm1"]
    cluster.cut_engine("mgm1", cut=True)
    cluster.cut_engine("mgm1", cut=True)
    cluster.cut_engine("mgm1", cut=False)
    assert not engine.up
    cluster.cut_engine("mgm1", cut=False)
    assert engine.up
    cluster.cut_engine("client1", cut=True)  # it never was connected


def test_a_trim_takes_what_is_durable_and_no_more(cluster):
    cluster.trim_journal()
    first = cluster.journal.first
    durable = cluster._shelves["mgm1"].current.as_after_crash()
    assert first <= max(1, Namespace(durable).applied_seq)
    assert len(cluster.journal.archive) == cluster.journal.last


def test_an_mgm_comes_back_with_the_store_of_an_hour_ago(cluster):
    cluster.age_store("mgm1", empty=False)
    calls = cluster.calls("client1")
    _do(cluster, calls.make_directory("/shared/new"))
    cluster.loop.network.kill(cluster.process_of("mgm1"))
    cluster.loop.run_until_complete(cluster.settle())
    assert _do(cluster, calls.list("/shared")) == ["m0", "m1", "m2", "new"]


@pytest.mark.parametrize("empty", [False, True])
def test_an_mgm_that_the_journal_has_left_behind_is_seeded_by_another(loop, empty):
    cluster = Cluster(loop, Shape(mgm_count=3, client_count=1))
    loop.run_until_complete(cluster.start())
    calls = cluster.calls("client1")
    cluster.age_store("mgm2", empty=empty)
    loop.network.kill(cluster.process_of("mgm2"))
    if empty:
        for path in list(cluster.machine("mgm2").platters["/data"].names):
            cluster.machine("mgm2").platters["/data"].unlink(path)
    for number in range(30):
        _do(cluster, calls.make_directory(f"/shared/d{number}"))
    loop.run_until_complete(asyncio.sleep(20))
    cluster.trim_journal()
    assert cluster.journal.first > 20
    loop.run_until_complete(cluster.settle())
    loop.run_until_complete(asyncio.sleep(10))
    masters = [mgm.desk.namespace for mgm in cluster.mgms.values()]
    assert len({(one.applied_seq, one.digest) for one in masters}) == 1
    assert not loop.trace.failures


def test_an_mgm_refuses_a_journal_that_went_back(loop):
    cluster = Cluster(loop, Shape(mgm_count=1, client_count=1))
    loop.run_until_complete(cluster.start())
    loop.run_until_complete(asyncio.sleep(10))
    loop.network.kill(cluster.process_of("mgm1"))
    for _ in range(5):
        cluster.journal._entries.pop()
    loop.run_until_complete(cluster.restart("mgm1"))
    loop.run_until_complete(asyncio.sleep(5))
    mgm = cluster.mgms["mgm1"]
    assert mgm.master is None
    assert f"the journal ends at entry {cluster.journal.last}," in mgm.process.why
    assert any("role ended" in text for text in loop.trace.failures)


def test_an_mgm_comes_back_on_another_machine_s_disk(cluster):
    calls = cluster.calls("client1")
    _do(cluster, calls.make_directory("/shared/new"))
    wiped = False
    for _ in range(6):
        name = cluster.master_name()
        disk = cluster.machine(name).platters[DATA]
        cluster.loop.network.kill(cluster.process_of(name))
        cluster.age_store(name, empty=True)
        wiped |= cluster.machine(name).platters[DATA] is not disk
        cluster.loop.run_until_complete(cluster.settle())
    assert wiped
    assert "new" in _do(cluster, calls.list("/shared"))
