"""Each kind of fault once, on hosts of their own: nobody sees an error, nothing is lost.

Times are no matter of these tests (`make failover-bench` measures them); that things end well by
themselves is.
"""

from collections.abc import Callable

import pytest
from benchmarks.failover.cases import CASES, cannot
from benchmarks.failover.cluster import Settings
from benchmarks.failover.runs import Result

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.xdist_group("machine")]

Play = Callable[[str], Result]


@pytest.fixture(scope="module")
def play(make_beds) -> Play:
    """`play(case)`: one run of it; what must never be is checked."""
    beds = make_beds(lambda root: Settings())

    def run(name: str) -> Result:
        case = CASES[name]
        if why := cannot(case):
            pytest.skip(why)
        result: Result = beds.run(case)
        assert not result.faults, "\n".join(result.faults)
        assert result.acknowledged > 0
        return result

    return run


def test_a_killed_master(play: Play) -> None:
    result = play("kill")
    assert result.new_master != result.master


def test_a_killed_host_with_all_its_daemons(play: Play) -> None:
    result = play("kill-daemons")
    assert result.new_master != result.master


def test_a_lost_host_with_master_engine_leader_and_fst(play: Play) -> None:
    result = play("hostgone")
    assert result.new_master != result.master


def test_a_hand_over(play: Play) -> None:
    result = play("handover")
    assert result.masters == [result.master, result.new_master]


def test_a_stopped_master_hands_over(play: Play) -> None:
    play("terminate")


def test_a_master_that_sleeps_3_s(play: Play) -> None:
    result = play("stop3")
    assert not result.stale_services


def test_the_engine_loses_its_leader(play: Play) -> None:
    play("engine-leader")


def test_the_engine_loses_its_majority(play: Play) -> None:
    play("engine-majority")


def test_a_master_cut_from_the_engine(play: Play) -> None:
    result = play("partition-engine")
    assert result.new_master != result.master


def test_a_master_cut_from_everybody(play: Play) -> None:
    result = play("partition-full")
    assert result.new_master != result.master


def test_a_master_that_can_only_send(play: Play) -> None:
    result = play("partition-asymmetric")
    assert result.new_master != result.master


def test_a_master_cut_from_clients(play: Play) -> None:
    play("partition-clients")


def test_a_master_cut_from_fsts(play: Play) -> None:
    play("partition-fsts")


def test_a_busy_master_with_a_crowd_at_its_door(play: Play) -> None:
    result = play("busy")
    assert len(result.masters) <= 2, "deposed again and again"
