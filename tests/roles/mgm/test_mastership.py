"""Terms of mastership: what a new one finds, and that it is the only one."""

import asyncio
from random import Random

import pytest

from thesan.core.leadership.records import MEMBER_SECTION
from thesan.core.model.errors import Corrupt, StoreError
from thesan.core.model.limits import CHECKPOINT_SECONDS, FID_RANGE
from thesan.core.namespace import queries
from thesan.core.wire.bodies import parse_redirect
from thesan.core.wire.numbers import OpenFlag, Status
from thesan.core.wire.requests import Chmod, FAttr, Mkdir, Mv, Open, Rm, Stat
from thesan.io.journal.checkpoint import Checkpointer
from thesan.roles.mgm import pipeline
from thesan.roles.mgm.service import Role
from thesan.worlds.simulated.memory_engine import Fault, MemoryJournal
from thesan.worlds.simulated.memory_store import MemoryStore

SID = b"\0\1"
NEW = int(OpenFlag.UPDATE | OpenFlag.NEW)


def test_each_term_has_a_higher_epoch_and_fresh_fids(bench) -> None:
    assert bench.mgm.master.epoch == 1
    bench.ok(Mkdir(SID, "/a"))
    first = bench.stat("/a").id
    bench.crash()
    bench.start()
    assert bench.mgm.master.epoch == 2
    bench.ok(Mkdir(SID, "/b"))
    assert bench.stat("/b").id == first + FID_RANGE
    assert bench.journal.owner.epoch == 2


def test_a_fid_that_left_in_a_capability_is_never_given_out_again(cluster) -> None:
    fids = set()
    for _ in range(3):
        for number in range(2):
            ticket = cluster.capability(Open(SID, f"/f{number}", options=NEW))
            assert ticket.fid not in fids
            fids.add(ticket.fid)
        cluster.crash()
        cluster.start()
        cluster.beat(1)
        cluster.beat(2)


def test_a_lone_mgm_is_master_under_a_new_address_however_long_its_history_is(
    cold, monkeypatch
) -> None:
    cold.start()
    for number in range(30):
        cold.ok(Mkdir(SID, f"/d{number}"))
    cold.stop()
    monkeypatch.setattr(pipeline, "BATCH_OPS_MAX", 25)
    cold.settings["advertise"] = "moved:1094"
    cold.start()
    assert cold.mgm.master.epoch == 2
    assert list(queries.config(cold.mgm.master.namespace, MEMBER_SECTION)) == ["moved:1094"]
    cold.stop()


def random_change(bench, dice: Random, names: list[str]) -> None:
    one, other = dice.choice(names), dice.choice(names)
    request = dice.choice(
        [
            Mkdir(SID, f"/{one}"),
            Mkdir(SID, f"/{one}/{other}"),
            Mv(SID, f"/{one}", f"/{other}"),
            Chmod(SID, f"/{one}", mode=dice.randrange(0o1000)),
            Rm(SID, f"/{one}"),
            FAttr(SID, 3, f"/{one}", names=["a"], values=[dice.randbytes(5)]),
        ]
    )
    bench.ask(request)


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_at_any_point_loses_nothing_that_was_acknowledged(cold, seed: int) -> None:
    """The store may have lost any number of its last writes: the journal fills them in."""
    dice = Random(seed)
    cold.start()
    names = [f"n{number}" for number in range(6)]
    for _ in range(4):
        for _ in range(dice.randrange(1, 25)):
            random_change(cold, dice, names)
        if dice.random() < 0.5:
            cold.sleep(6)  # a checkpoint
        namespace = cold.mgm.master.namespace
        before = namespace.digest, namespace.op_count
        cold.crash(keep_writes=dice.randrange(0, cold.store.unflushed_count + 1))
        cold.start(wait=False)
        cold.run(asyncio.wait_for(cold.mgm.until_master(), 30))
        namespace = cold.mgm.master.namespace
        # Two more ops since: the new term's range of file ids, and its story.
        assert namespace.op_count == before[1] + 2
        assert namespace.digest != before[0]
    cold.stop()


def test_a_stop_finishes_what_was_begun(cold) -> None:
    cold.start()
    peer = cold.peer()
    assert cold.send(peer, Mkdir(SID, "/a")) is None
    cold.stop()
    assert peer.frames[0][1] == Status.OK
    cold.start()
    cold.stat("/a")
    cold.stop()


def test_the_journal_is_trimmed_behind_a_durable_store(bench, monkeypatch) -> None:
    from thesan.core.journal import trim

    monkeypatch.setattr(trim.trim_before, "__kwdefaults__", {"keep_entries": 5, "trim_entries": 5})
    for number in range(40):
        bench.ok(Mkdir(SID, f"/d{number}"))
    bench.sleep(12)
    assert bench.journal.first > 30
    bench.crash()
    bench.start()
    bench.stat("/d39")


def test_who_is_fenced_stands_by_and_says_wait(bench) -> None:
    from thesan.ports.engine import Owner

    bench.ok(Mkdir(SID, "/a"))
    other = Owner("other:1094", 7, "other:1094", 1)
    bench.journal.owner = other
    peer = bench.peer()
    assert bench.send(peer, Mkdir(SID, "/b")) is None
    for _ in range(50):
        bench.journal.beats += 1
        bench.sleep(0.2)
    assert (peer.sent, peer.is_closed) == ([], True)
    assert bench.mgm.role is Role.STANDBY
    status, body = bench.ask(Stat(SID, "/a"))
    target = parse_redirect(body)
    assert (status, target.host, target.port) == (Status.REDIRECT, "other", 1094)
    assert target.cgi == "mgm.epoch=7"
    assert bench.journal.owner == other, "nobody takes from a living master"
    bench.sleep(3)
    assert bench.mgm.master.epoch == 8, "and nobody leaves the journal to a dead one"


def test_an_idle_master_notices_that_it_is_fenced(bench) -> None:
    from thesan.ports.engine import Owner

    bench.journal.owner = Owner("other:1094", 7, "other:1094", 1)
    bench.sleep(1)
    assert bench.mgm.role is Role.STANDBY


def test_an_engine_that_is_away_is_waited_for(cold) -> None:
    cold.journal.has_leader = False
    cold.start(wait=False)
    cold.sleep(20)
    assert cold.mgm.role is Role.STARTING
    assert cold.ask(Stat(SID, "/"))[0] == Status.WAIT
    cold.journal.has_leader = True
    cold.sleep(10)
    assert cold.mgm.role is Role.MASTER
    cold.stop()
    cold.loop.trace.failures.clear()


@pytest.mark.parametrize("fault", list(Fault))
def test_an_unknown_claim_is_settled(cold, fault: Fault) -> None:
    cold.start()
    cold.crash()
    cold.start(wait=False)
    cold.engine.planned.extend([Fault.NONE, Fault.NONE, fault])
    cold.run(asyncio.wait_for(cold.mgm.until_master(), 30))
    cold.ok(Mkdir(SID, "/a"))
    cold.stop()
    cold.loop.trace.failures.clear()


def test_the_store_of_another_history_does_not_serve(loop, bench) -> None:
    """Its chain does not fit the journal: nobody may be master on it."""
    for number in range(5):
        bench.ok(Mkdir(SID, f"/d{number}"))
    bench.crash()
    mine = bench.store, bench.journal
    bench.store, bench.journal = MemoryStore(), MemoryJournal()
    bench.start()
    for number in range(2):
        bench.ok(Mkdir(SID, f"/other{number}"))
    bench.sleep(6)
    bench.crash()
    mine, bench.journal = mine[0], mine[1]
    bench.start(wait=False)
    bench.sleep(20)
    assert bench.mgm.role is Role.STARTING
    assert bench.ask(Stat(SID, "/"))[0] == Status.WAIT
    bench.crash()
    bench.store = mine
    bench.start()
    bench.stat("/d4")
    loop.trace.failures.clear()


def test_a_store_that_fails_for_a_while_ends_terms_and_not_the_mgm(bench) -> None:
    """In the first batch of a new term, too: nothing is to be replayed, so nothing fails before."""
    bench.ok(Mkdir(SID, "/a"))

    def fails(changes):
        raise StoreError("the disk says no")

    bench.store.write = fails
    bench.run(_break_off(bench.mgm.master.pipeline))
    bench.sleep(20)
    assert bench.mgm.master is None
    assert "the disk says no" in bench.mgm.process.why
    del bench.store.write
    bench.run(asyncio.wait_for(bench.mgm.until_master(), 30))
    bench.ok(Mkdir(SID, "/b"))
    assert bench.stat("/a").id


@pytest.mark.parametrize("error", [StoreError("can't flush"), Corrupt("not this journal")])
def test_a_checkpoint_that_fails_ends_the_mastership(bench, monkeypatch, error) -> None:
    """By the store, where it was that: its MGM had better not be the next master."""

    async def fails(self) -> int:
        raise error

    ended = bench.mgm.master.pipeline
    monkeypatch.setattr(Checkpointer, "step", fails)
    bench.sleep(CHECKPOINT_SECONDS + 1)
    monkeypatch.undo()
    assert bench.mgm.master is None or bench.mgm.master.pipeline is not ended
    assert bool(ended.store_failure) is isinstance(error, StoreError)
    bench.loop.trace.failures.clear()


@pytest.mark.parametrize(
    ("name", "error", "is_over", "failure"),
    [
        ("master.watch", ValueError("x"), True, ""),
        ("master.watch", StoreError("x"), True, "x"),
        ("master.dirlist /", ValueError("x"), False, ""),
        ("master.dirlist /", StoreError("x"), True, "x"),
    ],
)
def test_a_task_that_fails_ends_the_mastership(trio, name, error, is_over, failure) -> None:
    """A listing is one client's: it ends one only for a store that another MGM has whole."""
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    tasks, ended = master.mgm.master.tasks, master.mgm.master.pipeline

    async def fails() -> None:
        tasks._on_failure(name, error)

    master.run(fails())
    assert ((master.mgm.master is None), ended.store_failure) == (is_over, failure)
    trio.loop.trace.failures.clear()


async def _break_off(pipeline) -> None:
    pipeline.broken("a flush failed")


def test_an_epoch_that_was_proposed_is_not_proposed_again(trio) -> None:
    """The others have heard of it, and that it was given up."""
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    others = [bench for bench in trio.benches if bench is not old]
    others[0].mgm.process.highest_epoch = 7
    others[1].mgm.process.proposed_epoch = 7
    old.crash()
    trio.sleep(5)
    trio.until_master(but=old)
    assert trio.journal.owner.epoch == 8
