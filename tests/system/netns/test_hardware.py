"""Bad hardware below a whole cluster: disks without power, slow or full, clocks that jump."""

from collections.abc import Callable

import pytest
from benchmarks.failover import disks, hardware
from benchmarks.failover.runs import Result

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.xdist_group("machine")]

Play = Callable[[str], Result]

CAP = "capability"
"""While master and FSTs disagree by an hour, FSTs refuse its capabilities, and say so."""


@pytest.fixture(scope="module")
def play(make_beds) -> Play:
    """`play(case)`: one run of it; what must never be is checked."""
    if why := disks.missing():
        pytest.skip(why)
    on_disks = make_beds(lambda root: hardware.settings("", root))
    under_clocks = make_beds(lambda root: hardware.settings(hardware.CLOCKS[0], root))

    def run(name: str) -> Result:
        beds, other = on_disks, under_clocks
        if name in hardware.CLOCKS:
            beds, other = other, beds
        other.close()
        result: Result = beds.run(hardware.HARDWARE[name])
        faults = result.faults
        if name in hardware.CLOCKS:
            faults = [text for text in faults if not text.startswith("xrdcp:") and CAP not in text]
        assert not faults, "\n".join(faults)
        assert result.acknowledged > 0
        return result

    return run


def test_power_loss_of_the_engine(play: Play) -> None:
    play("power-engine")


def test_power_loss_of_the_masters_host(play: Play) -> None:
    result = play("power-host")
    assert result.new_master != result.master


def test_power_loss_of_an_fst(play: Play) -> None:
    play("power-fst")


def test_a_slow_disk_below_the_engine(play: Play) -> None:
    if not disks.has_blkio():
        pytest.skip("no cgroup v1 blkio controller")
    play("slow-disk")


def test_a_full_disk_below_the_engine(play: Play) -> None:
    play("full-disk")


def test_a_killed_fst(play: Play) -> None:
    play("kill-fst")


def test_an_fst_that_sleeps(play: Play) -> None:
    play("stop-fst")


@pytest.mark.parametrize("name", hardware.CLOCKS)
def test_a_wall_clock_that_jumps(play: Play, name: str) -> None:
    if why := hardware.missing_faketime():
        pytest.skip(why)
    result = play(name)
    assert result.masters == [result.master], "time of day decides nothing"
