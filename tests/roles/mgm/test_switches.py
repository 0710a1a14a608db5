"""Switches on purpose: by order, by the master's own decision, before its end; members; views."""

import errno

import pytest

from thesan.core.control.messages import Admin
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ROOT
from thesan.core.wire.bodies import parse_redirect
from thesan.core.wire.numbers import Status
from thesan.core.wire.requests import Mkdir
from thesan.roles.mgm.process import Role

SID = b"\0\1"


def test_an_order_to_hand_over_is_obeyed_at_once(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    new = next(bench for bench in trio.benches if bench is not old)
    begin_s = trio.loop.time()
    reply = old.admin("ns", "master", to=new.name)
    assert trio.loop.time() - begin_s < 0.5
    assert reply.records[0]["master"] == f"{new.name}:1094"
    assert reply.records[0]["ground"] == "handed over"
    assert "epoch 2" in reply.text
    assert new.mgm.master.epoch == 2
    assert old.mgm.role is not Role.MASTER
    # Nothing that the old one knew of the FSTs, nobody's second term, nothing by itself.
    trio.sleep(5)
    assert trio.journal.owner.epoch == 2
    history = old.admin("ns", "master", history=True).records
    assert [record["epoch"] for record in history] == [2, 1]
    assert old.admin("ns", "master").records[0]["master"] == f"{new.name}:1094"
    assert new.admin("ns", "master", to=f"{new.name}:1094").records[0]["epoch"] == 2
    assert old.redirect_of(Admin("ns", "master", args={"to": old.name})) == new.name


def test_requests_that_come_during_a_hand_over_are_sent_on(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    new = next(bench for bench in trio.benches if bench is not old)
    message = Admin("ns", "master", {"to": new.name})
    order = trio.loop.start(trio.outside, old.call(message, ROOT), "order")
    trio.sleep(0.001)
    assert old.mgm.master is None
    peer = trio.peer()
    assert trio.send(old, peer, Mkdir(SID, "/a")) is None
    trio.sleep(1)
    assert order.done()
    assert [frame[1] for frame in peer.frames] == [Status.REDIRECT]
    assert parse_redirect(peer.frames[0][2]).host == new.name


def test_a_successor_that_does_not_claim_is_not_waited_for(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    new = next(bench for bench in trio.benches if bench is not old)
    trio.loop.network.pause(new.process)
    with pytest.raises(OperationError) as caught:
        old.admin("ns", "master", to=new.name)
    assert caught.value.errno == errno.ETIMEDOUT
    assert old.mgm.role is Role.MASTER
    old.ok(Mkdir(SID, "/a"))
    trio.loop.network.resume(new.process)
    trio.sleep(5)
    assert trio.journal.owner.epoch == 1, "the word was taken back"


@pytest.mark.parametrize(
    ("wanted", "number"), [("nowhere", errno.ENOENT), ("mgm9:1094", errno.ENOENT)]
)
def test_only_another_mgm_that_can_be_master_gets_it(trio, alice, wanted, number) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    with pytest.raises(OperationError) as caught:
        old.admin("ns", "master", to=wanted)
    assert caught.value.errno == number
    dead = next(bench for bench in trio.benches if bench is not old)
    dead.crash()
    trio.sleep(0.5)
    with pytest.raises(OperationError, match="not heard"):
        old.admin("ns", "master", to=dead.name)
    with pytest.raises(OperationError) as caught:
        old.admin("ns", "master", alice, to=dead.name)
    assert caught.value.errno in (errno.EPERM, errno.EACCES)
    assert old.mgm.role is Role.MASTER


def test_a_master_that_is_stopped_hands_over_first(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    begin_s = trio.loop.time()
    old.stop()
    new = trio.until_master(but=old)
    assert trio.loop.time() - begin_s < 0.5
    trio.sleep(0.5)
    history = new.admin("ns", "master", history=True).records
    assert history[0]["ground"] == "handed over"


def test_a_master_that_is_stopped_with_the_engine_away_ends_all_the_same(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    for bench in trio.benches:
        bench.engine.weather.up = False
    begin_s = trio.loop.time()
    old.stop()
    assert trio.loop.time() - begin_s < 15
    assert old.mgm.role is Role.STOPPED


def test_a_master_whose_store_is_full_resigns_and_is_replaced_at_once(trio) -> None:
    from thesan.core.model.errors import StoreError

    trio.start()
    old = trio.until_master()
    trio.sleep(3)

    def write(changes):
        raise StoreError("no space left on device")

    old.store.write = write
    peer = trio.peer()
    begin_s = trio.loop.time()
    assert trio.send(old, peer, Mkdir(SID, "/a", cgi="thesan.op=1")) is None
    new = trio.until_master(but=old)
    assert trio.loop.time() - begin_s < 0.5
    assert peer.is_closed
    new.stat("/a")
    assert new.admin("ns", "master").records[0]["ground"] == "resigned"
    trio.loop.trace.failures.clear()


def test_a_master_in_trouble_hands_over_by_itself(trio) -> None:
    trio.start()
    old = trio.until_master()
    trio.sleep(3)

    async def stand_still() -> None:
        for _ in range(3):
            old.mgm._reigning.blocked(1.5)

    trio.run(stand_still())
    trio.sleep(1)
    new = trio.until_master(but=old)
    story = new.admin("ns", "master").records[0]
    assert story["ground"] == "handed over"
    assert "not eligible" in old.mgm.process.why
    trio.sleep(40)
    assert old.mgm.process.is_eligible


def test_a_master_that_hears_of_a_later_one_steps_down(trio) -> None:
    """It is cut off from the engine, but not from the other MGMs."""
    trio.start()
    old = trio.until_master()
    trio.sleep(3)
    old.engine.weather.up = False
    old.engine.weather.silence_seconds = 0.5
    new = trio.until_master(but=old)
    trio.sleep(1.2)
    assert old.mgm.master is None
    assert old.mgm.process.highest_epoch == 2
    old.engine.weather.up = True
    trio.sleep(2)
    assert old.mgm.role is Role.STANDBY
    assert old.redirect_of(Admin("ns", "master", args={"to": "x"})) == new.name


def test_two_mgms_and_one_of_them_removed(make_trio) -> None:
    pair = make_trio(2)
    pair.start()
    master = pair.until_master()
    other = next(bench for bench in pair.benches if bench is not master)
    pair.sleep(3)
    master.admin("mgm", "rm", mgm=f"{other.name}:1094")
    pair.sleep(1)
    master.crash()
    pair.sleep(10)
    assert other.mgm.role is Role.STANDBY
    assert "no member" in other.mgm.process.why
    master.start()
    master.admin("mgm", "add", mgm=f"{other.name}:1094")
    pair.sleep(2)
    states = {record["hostport"]: record for record in master.admin("mgm", "ls").records}
    assert states[f"{other.name}:1094"]["role"] == "standby"
    assert states[f"{other.name}:1094"]["eligible"]
    assert states[f"{master.name}:1094"]["role"] == "master"
    master.crash()
    assert pair.until_master(but=master) is other


def test_node_ls_shows_mgms_and_the_engine(trio) -> None:
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    for bench in trio.benches:
        records = bench.admin("node", "ls").records
        assert [
            (one["type"], one["hostport"], one["status"], one["cfg.status"]) for one in records
        ] == [
            *(
                ("mgm", f"{one.name}:1094", "online", "master" if one is master else "standby")
                for one in trio.benches
            ),
            ("engine", "memory", "online", "on"),
        ]


class NearlyFull:
    """In the place of MgmData: a disk."""

    def __init__(self) -> None:
        self.free = 1 << 40
        self.error: OperationError | None = None

    async def free_bytes(self) -> int:
        if self.error is not None:
            raise self.error
        return self.free

    def closed_through(self) -> int:
        return 1 << 40


def test_a_master_whose_disk_is_nearly_full_hands_over(trio) -> None:
    trio.start()
    disks = {bench.name: NearlyFull() for bench in trio.benches}
    for bench in trio.benches:
        bench.mgm.process.data = disks[bench.name]
    old = trio.until_master()
    trio.sleep(3)
    disks[old.name].free = 1 << 20
    trio.sleep(6)
    new = trio.until_master(but=old)
    assert new.admin("ns", "master").records[0]["ground"] == "handed over"
    assert "1 MiB left" in old.mgm.process.fault
    # While it is so, it is nobody's successor; when there is room again, it is.
    disks[new.name].error = OperationError(errno.EIO, "dead")
    trio.sleep(6)
    third = trio.until_master(but=new)
    assert third is not old
    disks[old.name].free = 1 << 40
    trio.sleep(30)
    assert old.mgm.process.fault == ""
    assert old.mgm.process.is_eligible
