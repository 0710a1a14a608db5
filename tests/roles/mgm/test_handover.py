"""Finding a successor; the switch itself is in test_failover.py."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.roles.mgm.handover import find_successor


@pytest.fixture
def master(trio):
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    return master


async def find(master, wanted: str) -> str:
    return find_successor(master.mgm.process, wanted)


def test_by_address_by_host_or_the_best(master, trio) -> None:
    others = [f"{bench.name}:1094" for bench in trio.benches if bench is not master]
    assert master.run(find(master, others[0])) == others[0]
    assert master.run(find(master, others[1].partition(":")[0])) == others[1]
    assert master.run(find(master, "")) == others[0]


def test_what_the_others_say_counts(master, trio) -> None:
    for bench in trio.benches:
        if bench is not master:
            bench.crash()
    trio.sleep(0.3)
    for wanted, number in (("", errno.EBUSY), ("mgm", errno.ENOENT)):
        with pytest.raises(OperationError) as caught:
            master.run(find(master, wanted))
        assert caught.value.errno == number
