"""What a process knows over all its roles."""

import pytest

from thesan.core.control.messages import Beat, NodeReport
from thesan.core.model import limits
from thesan.core.model.ids import Epoch
from thesan.roles.mgm.peers import CLAIMING


@pytest.mark.parametrize(
    ("configured", "journaled", "is_alone", "is_member"),
    [
        ((), (), True, True),
        (("mgm:1094",), (), True, True),
        (("mgm:1094", "b:1"), (), False, True),
        ((), ("mgm:1094", "b:1"), False, True),
        ((), ("mgm:1094",), True, True),
        ((), ("old:1",), True, True),
        (("mgm:1094", "old:1"), ("old:1",), False, False),
        ((), ("a:1", "b:1"), False, False),
    ],
)
def test_members(make_bench, configured, journaled, is_alone, is_member) -> None:
    bench = make_bench(mgms=())
    process = bench.mgm.process
    bench.stop()
    object.__setattr__(process.config, "mgms", configured)
    process.members_changed(dict.fromkeys(journaled, b""))
    assert (process.is_alone, process.is_member) == (is_alone, is_member)


def test_a_fault_passes_and_means_nothing_to_who_is_alone(bench) -> None:
    process = bench.mgm.process

    async def fault(text: str = "") -> str:
        if text:
            process.set_fault(text, 5.0)
        return process.fault

    assert bench.run(fault("its disk is full")) == ""
    process.members_changed({"mgm:1094": b"", "b:1": b""})
    assert bench.run(fault("its disk is full")) == "its disk is full"
    bench.sleep(6)
    assert bench.run(fault()) == ""


def test_beats_are_bounded(bench, monkeypatch) -> None:
    from thesan.roles.mgm import process as module

    monkeypatch.setattr(module, "NODE_COUNT_MAX", 2)
    process = bench.mgm.process
    for name in ("a:1", "b:1", "c:1", "a:1"):
        process.note_beat(Beat(name, "b", NodeReport(), []), 7.0)
    assert sorted(process.beats) == ["a:1", "b:1"]
    assert limits.NODE_COUNT_MAX > 2


def test_a_new_master_knows_the_fsts_from_its_time_as_standby(trio) -> None:
    trio.start()
    old = trio.until_master()
    old.beat(1)
    new = next(bench for bench in trio.benches if bench is not old)
    trio.sleep(0.5)
    new.beat_only(1)
    for bench in trio.benches:
        if bench not in (old, new):
            bench.crash()
    old.crash()
    trio.until_master(but=old)
    master = new.mgm.master
    assert not new.run(is_patient(master)), "nobody has to be waited for"
    assert [fs.online for fs in new.run(filesystems(master))] == [True]


async def is_patient(master) -> bool:
    return master.view.warming(master.now_s())


async def filesystems(master):
    return list(master.topology().filesystems.values())


def test_an_epoch_that_was_only_proposed_is_told_to_nobody(trio) -> None:
    """FSTs and clients obey nothing below what they heard: they would be lost to the master."""
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    standby = next(bench for bench in trio.benches if bench is not master)
    process = standby.mgm.process
    process.highest_epoch = 99
    process.observer.living_owner = lambda: None
    assert (process.leader().epoch, process.leader().master_address) == (1, "")
    assert process.standby_reply(Beat("a:1", "b", NodeReport(), [])).epoch == 1


def test_who_only_asks_for_the_journal_is_no_master_yet(bench) -> None:
    process = bench.mgm.process
    process.resign()
    process.propose(Epoch(7))
    said = process._myself()
    assert (said.role, said.epoch, process.seen_epoch) == (CLAIMING, 7, 1)
    process.claimed()
    said = process._myself()
    assert (said.role, said.epoch, process.seen_epoch) == ("master", 7, 7)


def test_a_master_whom_an_fst_obeys_no_more_claims_anew_above_it(bench) -> None:
    bench.beat(1)
    bench.control(Beat("fst1:1095", "b", NodeReport(), [], epoch=9))
    bench.sleep(10)
    assert bench.mgm.master is not None
    assert bench.mgm.master.epoch == 10
