"""Several MGMs on one journal: who takes over, when, and what each answers meanwhile."""

import asyncio

import pytest

from thesan.core.control.messages import Admin, Watch
from thesan.core.model.errors import OperationError
from thesan.core.wire.bodies import parse_redirect
from thesan.core.wire.numbers import OpenFlag, Status
from thesan.core.wire.requests import DirList, Locate, Mkdir, Open, Stat
from thesan.io.journal.claim import claim
from thesan.roles.mgm import standby
from thesan.roles.mgm.process import Role

SID = b"\0\1"


def test_one_becomes_master_and_the_others_stand_by(trio) -> None:
    trio.start()
    master = trio.until_master()
    trio.sleep(2)
    roles = sorted(bench.mgm.role.value for bench in trio.benches)
    assert roles == ["master", "standby", "standby"]
    assert trio.journal.owner.epoch == master.mgm.master.epoch == 1
    master.ok(Mkdir(SID, "/a"))
    trio.sleep(0.1)
    for bench in trio.benches:
        assert bench.mgm.desk.namespace.digest == master.mgm.master.namespace.digest


def test_a_killed_master_is_replaced_within_the_short_silence(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    old.ok(Mkdir(SID, "/a"))
    killed_s = trio.loop.time()
    old.crash()
    new = trio.until_master(but=old)
    # The process died, its host lives: the connections between the MGMs were reset.
    assert trio.loop.time() - killed_s < 1.2
    assert new.mgm.master.epoch == 2
    new.stat("/a")
    old.start(wait=False)
    trio.sleep(3)
    assert old.mgm.role is Role.STANDBY, "a master that comes back does not take back"
    assert trio.journal.owner.epoch == 2
    status, body = old.ask(Stat(SID, "/a"))
    assert (status, parse_redirect(body).cgi) == (Status.REDIRECT, "mgm.epoch=2")


def test_a_vanished_host_is_replaced_after_the_silence(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    gone_s = trio.loop.time()
    trio.loop.network.power_off(old.name)
    new = trio.until_master(but=old)
    assert 1.0 < trio.loop.time() - gone_s < 1.6
    assert new.mgm.master.epoch == 2


def test_a_paused_master_answers_nothing_of_its_old_term(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    old.ok(Mkdir(SID, "/a"))
    trio.loop.network.pause(old.process)
    new = trio.until_master(but=old)
    new.ok(Mkdir(SID, "/b"))
    trio.sleep(30)
    reader, writer = trio.peer(), trio.peer()
    trio.loop.network.resume(old.process)
    # The first things that it does after the pause, before it can have learned anything.
    assert old.mgm.handle(reader, Stat(SID, "/a")) is None
    assert old.mgm.handle(writer, Mkdir(SID, "/c")) is None
    trio.sleep(2)
    assert (reader.sent, reader.is_closed) == ([], True)
    assert (writer.sent, writer.is_closed) == ([], True)
    assert old.mgm.role is Role.STANDBY
    with pytest.raises(AssertionError):
        new.stat("/c")


def test_a_beat_that_was_on_its_way_before_the_claim_wins(trio, monkeypatch) -> None:
    """A disk below the engine hangs: reads are answered, and the beat waits with the claim."""
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    claims = []

    async def behind_a_beat(engine, seen, new, still=None):
        claims.append(new.node)
        if len(claims) == 1:
            trio.journal.beat(seen)
            trio.loop.network.resume(old.process)
        return await claim(engine, seen, new, still)

    monkeypatch.setattr(standby, "claim", behind_a_beat)
    trio.loop.network.pause(old.process)
    trio.sleep(10)
    assert claims
    assert trio.journal.owner.epoch == 1
    assert old.mgm.role is Role.MASTER
    assert [bench.mgm.role for bench in trio.benches].count(Role.STANDBY) == 2


@pytest.mark.parametrize("silence_seconds", [0.0, 0.5])
def test_an_engine_that_is_away_makes_nobody_suspect_the_master(trio, silence_seconds) -> None:
    """Nobody's calls are answered, and each finds out at another moment that they are again."""
    trio.start()
    master = trio.until_master()
    trio.sleep(2)
    for seconds in (0.53, 1.31, 3.17, 10.09, 2.03, 4.41, 1.77, 6.29):
        for bench in trio.benches:
            bench.engine.weather.silence_seconds = silence_seconds
            bench.engine.weather.up = False
        trio.sleep(seconds)
        for bench in trio.benches:
            bench.engine.weather.up = True
        trio.sleep(3)
        assert trio.journal.owner.epoch == 1
        assert master.mgm.role is Role.MASTER


def test_strict_reads_wait_while_the_engine_is_away_and_others_go_on(trio) -> None:
    trio.start()
    master = trio.until_master()
    standby = next(bench for bench in trio.benches if bench is not master)
    master.ok(Mkdir(SID, "/a"))
    trio.sleep(2)
    trio.journal.has_leader = False
    trio.sleep(1)
    assert master.mgm.role is Role.MASTER
    peer = trio.peer()
    assert trio.send(master, peer, Stat(SID, "/a")) is None
    trio.sleep(2)
    assert peer.sent == []
    standby.ok(Stat(SID, "/a", cgi="thesan.any=1"))
    assert standby.ask(Stat(SID, "/a"))[0] == Status.WAIT
    trio.journal.has_leader = True
    trio.sleep(1)
    assert [frame[1] for frame in peer.frames] == [Status.OK]


def test_fsts_stay_online_while_the_engine_is_away(trio) -> None:
    trio.start()
    master = trio.until_master()
    master.beat(1)
    trio.sleep(1)
    trio.journal.has_leader = False
    trio.sleep(2)
    reply = master.beat_only(1)
    assert (reply.master, reply.deletions) == (False, [])
    assert reply.master_address == f"{master.name}:1094"
    trio.journal.has_leader = True
    trio.sleep(1)
    assert master.beat_only(1).master


def test_reads_by_any_are_served_by_a_standby(trio) -> None:
    trio.start()
    master = trio.until_master()
    standby = next(bench for bench in trio.benches if bench is not master)
    master.beat(1)
    standby.beat_only(1)
    master.store_file("/f")
    trio.sleep(0.5)
    cgi = "thesan.any=1"
    assert standby.ok(Stat(SID, "/f", cgi=cgi)) == master.ok(Stat(SID, "/f"))
    assert standby.ok(DirList(SID, "/", cgi=cgi)) == b"f\0"
    assert standby.ok(Locate(SID, "/f", cgi=cgi)) == master.ok(Locate(SID, "/f"))
    status, body = standby.ask(Open(SID, "/f", cgi=cgi))
    target = parse_redirect(body)
    assert (status, target.host, "cap=" in target.cgi) == (Status.REDIRECT, "fst1", True)
    for request in (
        Stat(SID, "/f"),
        Open(SID, "/f", cgi=cgi, options=int(OpenFlag.UPDATE)),
        Mkdir(SID, "/d", cgi=cgi),
        Stat(SID, "/unknown", cgi=cgi),
    ):
        status, body = standby.ask(request)
        assert (status, parse_redirect(body).host) == (Status.REDIRECT, master.name)


def test_a_read_that_has_seen_more_waits_for_it(trio) -> None:
    trio.start()
    master = trio.until_master()
    standby = next(bench for bench in trio.benches if bench is not master)
    trio.sleep(2)
    head = trio.journal.last
    peer = trio.peer()
    wanted = Stat(SID, "/a", cgi=f"thesan.any=1&thesan.seq={head + 1}")
    assert trio.send(standby, peer, wanted) is None
    master.ok(Mkdir(SID, "/a"))
    trio.sleep(0.2)
    assert [frame[1] for frame in peer.frames] == [Status.OK]
    far = Stat(SID, "/a", cgi=f"thesan.any=1&thesan.seq={head + 100}")
    assert standby.ask(far)[0] == Status.REDIRECT


def test_nobody_is_redirected_twice(trio) -> None:
    trio.start()
    master = trio.until_master()
    trio.sleep(1)
    standby = next(bench for bench in trio.benches if bench is not master)
    assert standby.ask(Stat(SID, "/", cgi="mgm.epoch=1"))[0] == Status.WAIT
    assert master.ask(Stat(SID, "/", cgi="mgm.epoch=1"))[0] == Status.OK


def test_who_was_sent_to_a_master_of_before_is_sent_to_the_present_one(trio) -> None:
    trio.start()
    master = trio.until_master()
    trio.sleep(1)
    standby = next(bench for bench in trio.benches if bench is not master)
    assert standby.ask(Stat(SID, "/", cgi="mgm.epoch=0"))[0] == Status.REDIRECT
    assert standby.ask(Stat(SID, "/", cgi="mgm.epoch=0&mgm.epoch=1"))[0] == Status.WAIT


def test_a_request_that_comes_in_between_is_answered_by_the_new_master(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    standbys = [bench for bench in trio.benches if bench is not old]
    old.crash()
    trio.sleep(0.5)
    peers = []
    for bench in standbys:
        peer = trio.peer()
        # Silent, but not for long: the redirect would lead to a dead one.
        answer = trio.send(bench, peer, Mkdir(SID, "/late", cgi="thesan.op=x"))
        peers.append((peer, answer))
    new = trio.until_master(but=old)
    trio.sleep(0.5)
    statuses = [peer.frames[0][1] for peer, answer in peers if answer is None]
    assert all(status in (Status.OK, Status.REDIRECT) for status in statuses)
    new.stat("/")


def test_watch_tells_of_the_new_master_at_once(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    watcher = next(bench for bench in trio.benches if bench is not old)
    leader = watcher.control(Watch())
    assert (leader.epoch, leader.master_address, leader.role) == (1, f"{old.name}:1094", "standby")
    assert leader.mgms == ["mgm1:1094", "mgm2:1094", "mgm3:1094"]
    asked = trio.loop.start(trio.outside, watcher.call(Watch(epoch=1, wait_ms=20_000)), "watch")
    trio.sleep(5)
    assert not asked.done()
    old.crash()
    new = trio.until_master(but=old)
    trio.sleep(0.2)
    leader = asked.result()
    assert (leader.epoch, leader.master_address) == (2, f"{new.name}:1094")
    # Nothing newer: what is known, when the time is over.
    begin_s = trio.loop.time()
    leader = watcher.control(Watch(epoch=2, wait_ms=3000))
    assert trio.loop.time() - begin_s == pytest.approx(3.0, abs=0.1)
    assert leader.epoch == 2


def test_admin_views_are_the_same_on_every_mgm(trio) -> None:
    trio.start()
    master = trio.until_master()
    master.beat(1, fs=2)
    master.admin("space", "define", space="default")
    master.admin("quota", "set", path="/", uid="1001", bytes="1G")
    for bench in trio.benches:
        if bench is not master:
            bench.beat_only(1, fs=2)
    trio.sleep(0.5)
    for noun in ("fs", "node", "group", "space", "quota"):
        expected = master.admin(noun, "ls")
        assert expected.age_ms == 0
        for bench in trio.benches:
            found = bench.admin(noun, "ls")
            assert strip(found.records) == strip(expected.records), (noun, bench.name)
            assert found.seq == expected.seq
            assert found.age_ms < 500
    with pytest.raises(OperationError):
        master.admin("fs", "nonsense")
    standby = next(bench for bench in trio.benches if bench is not master)
    assert standby.redirect_of(Admin("space", "define", args={"space": "x"})) == master.name
    assert standby.redirect_of(Admin("fs", "ls", args={"leader": True})) == master.name


def strip(records):
    """Without what says how long ago something was."""
    return [
        {key: value for key, value in record.items() if "uptime" not in key and "delta" not in key}
        for record in records
        if record.get("type") not in ("mgm", "engine")
    ]


def test_a_standby_whose_store_is_broken_is_not_eligible(trio) -> None:
    from thesan.core.model.errors import StoreError

    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    broken, other = [bench for bench in trio.benches if bench is not old]

    def write(changes):
        raise StoreError("the disk is full")

    broken.store.write = write
    old.ok(Mkdir(SID, "/a"))
    trio.sleep(1)
    old.crash()
    assert trio.until_master(but=old) is other
    trio.loop.trace.failures.clear()


def test_a_write_between_the_last_look_and_the_claim_makes_the_successor_wait(trio) -> None:
    """Where it may claim all the same, as of a process that seemed to be dead: what the old master
    answers until its lease ends must stay true."""
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    new = next(bench for bench in trio.benches if bench is not old)
    for bench in trio.benches:
        if bench not in (old, new):
            bench.crash()
    take_over = new.engine.take_over
    woken_s = []

    async def late(seen, owner, still):
        assert still == new.mgm.process.observer.seen, "silence alone is not enough for that"
        trio.loop.network.resume(old.process)
        await asyncio.sleep(0.05)
        woken_s.append(trio.loop.time())
        return await take_over(seen, owner)

    new.engine.take_over = late
    trio.loop.network.pause(old.process)
    trio.until_master(but=old)
    assert trio.loop.time() - woken_s[0] >= 0.6 - 0.01
