"""One mastership as the process lives it; see also test_failover.py and test_mastership.py."""

import errno

import pytest

from thesan.core.model.errors import OperationError


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
