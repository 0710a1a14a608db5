"""One mastership as the process lives it; see also test_failover.py and test_mastership.py."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.roles.mgm import handover
from thesan.roles.mgm import reign as module


def test_only_one_hand_over_at_a_time(trio) -> None:
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    reign = master.mgm._reigning
    reign._is_handing_over = True
    with pytest.raises(OperationError, match="under way") as caught:
        master.run(reign.hand_over("", "test"))
    assert caught.value.errno == errno.EBUSY
    reign._is_handing_over = False
    done = master.run(reign.hand_over("", "test"))
    assert (done.epoch, done.successor != f"{master.name}:1094") == (1, True)
    with pytest.raises(OperationError) as caught:
        master.run(reign.hand_over("", "test"))
    assert caught.value.errno == errno.EAGAIN


def test_an_engine_that_answers_nobody_is_nobodys_fault(trio) -> None:
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    for _ in range(4):
        for bench in trio.benches:
            bench.engine.weather.up = False
        trio.sleep(4)
        for bench in trio.benches:
            bench.engine.weather.up = True
        trio.sleep(2)
    assert not master.mgm._reigning._troubles._recent
    assert trio.journal.owner.epoch == 1


def test_beats_that_are_confirmed_too_late_make_a_master_hand_over(trio) -> None:
    """They arrive, so that nobody sees silence; but the answers come after the lease has ended."""
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    weather = master.engine.weather
    for _ in range(3):
        weather.latency_seconds_min = weather.latency_seconds_max = 0.45
        trio.sleep(6)
        assert trio.journal.owner.epoch == 1
        weather.latency_seconds_min = weather.latency_seconds_max = 0.0
        trio.sleep(2)
    new = trio.until_master(but=master)
    story = new.admin("ns", "master").records[0]
    assert (story["epoch"], story["ground"]) == (2, "handed over")
    assert "too late" in master.mgm.process.fault


def test_a_mastership_that_ends_during_its_hand_over_is_not_shown_again(trio, monkeypatch) -> None:
    """As when the store fails while the last batch is waited for."""

    async def ends(process, term, successor, why):
        term.master.pipeline.broken("the store failed")
        return False

    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    monkeypatch.setattr(module, "hand_over", ends)
    with pytest.raises(OperationError) as caught:
        master.run(master.mgm._reigning.hand_over("", "test"))
    assert caught.value.errno == errno.EAGAIN
    assert master.mgm.master is None
    trio.sleep(6)
    assert trio.until_master().mgm.master.epoch == 2


def test_a_hand_over_that_fails_by_a_fault_ends_the_mastership(trio, monkeypatch) -> None:
    """It is frozen by then: a master that beats and answers nobody would stay one for ever."""

    async def fails(process, term, successor, why):
        raise ZeroDivisionError

    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    monkeypatch.setattr(module, "hand_over", fails)
    with pytest.raises(ZeroDivisionError):
        master.run(master.mgm._reigning.hand_over("", "test"))
    trio.sleep(6)
    assert trio.until_master().mgm.master.epoch == 2


def test_who_can_not_unname_its_successor_ends_its_mastership(trio, monkeypatch) -> None:
    trio.start()
    master = trio.until_master()
    trio.sleep(3)

    async def nobody_claims(process, term):
        submit = term.master.submit

        def full(op):
            term.master.submit = submit
            raise OperationError(errno.EUSERS, "the engine is full")

        term.master.submit = full
        raise TimeoutError

    monkeypatch.setattr(handover, "_until_claimed", nobody_claims)
    with pytest.raises(OperationError, match="can't be taken back"):
        master.run(master.mgm._reigning.hand_over("", "test"))
    assert master.mgm.master is None
    monkeypatch.undo()
    trio.sleep(6)
    assert trio.until_master().mgm.master.epoch == 2
