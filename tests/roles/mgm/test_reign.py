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


def test_late_confirmations_are_troubles_once_each(bench) -> None:
    reign = bench.mgm._reigning
    bench.engine.weather.up = False
    bench.sleep(2)
    bench.engine.weather.up = True
    bench.sleep(1)
    assert len(reign._troubles._recent) == 1

    async def look() -> str:
        return reign.look()

    assert bench.run(look()) == ""
    for _ in range(2):
        bench.engine.weather.up = False
        bench.sleep(2)
        bench.engine.weather.up = True
        bench.sleep(1)
    # It is alone: nobody can take over, so nothing happens but that they are forgotten.
    assert bench.mgm.master is not None
    assert not reign._troubles._recent
