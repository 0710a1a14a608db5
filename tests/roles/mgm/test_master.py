"""The few verbs that all requests of a mastership use."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import FST_RETURN_SECONDS_MAX
from thesan.core.namespace.ops import ConfigSet
from thesan.core.wire.numbers import Status
from thesan.core.wire.responses import HEAD

SID = b"\0\1"


def test_time(bench) -> None:
    master = bench.mgm.master
    before = master.now_ns(), master.now_unix(), master.now_s()
    bench.sleep(10)
    assert master.now_ns() - before[0] >= 10 * 10**9
    assert master.now_unix() - before[1] in (10, 11)
    assert master.now_s() - before[2] >= 10


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EUSERS])
def test_what_is_a_matter_of_time_is_a_wait(bench, number: int) -> None:
    peer = bench.peer()
    answer = bench.mgm.master.refuse(peer, SID, OperationError(number, "later"))
    assert HEAD.unpack_from(answer)[1] == Status.WAIT


def test_other_errors_are_errors(bench) -> None:
    answer = bench.mgm.master.refuse(bench.peer(), SID, OperationError(errno.EPERM, "no"))
    assert HEAD.unpack_from(answer)[1] == Status.ERROR


def test_a_change_of_configuration_is_seen_at_once(bench) -> None:
    master = bench.mgm.master
    bench.beat(1)
    number = master.config_number

    async def set_rule() -> None:
        master.submit(ConfigSet("vid", 'unix:"alice":uid', b"1001"))

    bench.run(set_rule())
    assert ("unix", "alice") in master.rules.users
    assert master.config_number == number, "no FST needs to know that"
    bench.admin("fs", "config", fs="1", key="configstatus", value="ro")
    assert master.config_number > number
    assert master.view.filesystem(1).record.configstatus == "ro"


def test_node_of(bench) -> None:
    bench.beat(1)
    assert bench.mgm.master.node_of(1) == "fst1:1095"
    with pytest.raises(OperationError) as caught:
        bench.mgm.master.node_of(2)
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_patience(bench) -> None:
    master = bench.mgm.master
    bench.sleep(10)
    assert not master.is_patient()
    bench.beat(1)
    bench.beat(2, boot="booting")
    assert not master.is_patient((1,))
    assert master.is_patient((2,)), "it boots"
    bench.sleep(10)
    assert master.is_patient((1,)), "it fell silent a moment ago"
    assert not master.is_patient((3,))
    bench.sleep(FST_RETURN_SECONDS_MAX)
    assert not master.is_patient()
