"""The stopwatch of a failover."""

import asyncio
from pathlib import Path

import pytest

from thesan.cli.demo import lifecycle
from thesan.cli.demo.command import timeline
from thesan.cli.demo.kill import Fall, strike
from thesan.cli.demo.plan import Plan
from thesan.cli.supervisor_channel import tell
from thesan.core.model.errors import OperationError


def plan_of(directory: Path, mgms: int) -> Plan:
    numbers = range(1, mgms + 1)
    return Plan(str(directory), [f"127.0.0.{n}:1" for n in numbers], ["127.0.0.11:1"])


def test_without_a_master_nobody_is_struck(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="demo status"):
        asyncio.run(strike(plan_of(tmp_path, 2)))


def test_a_timeline_says_what_comes_next(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, 3)
    fall = Fall("kill", ["mgm1"], "mgm1", 4, "mgm2", 5, 0.8, 0.9)
    lines = timeline(plan, fall, 0.0, 0.0)
    assert lines[0] == "  0.000 s  kill -9: mgm1 (mgm1 was master, epoch 4)"
    assert lines[1] == "  0.800 s  new master mgm2, epoch 5"
    assert lines[2] == "  0.900 s  first write acknowledged"
    assert lines[3] == "mgm1 is started again, as a standby"
    fall.how, fall.names = "host", ["mgm1", "fst1"]
    assert timeline(plan, fall, 0.0, 0.0)[3].endswith("until `thesan demo restart mgm1 fst1`")
    assert "down for 3 s" in timeline(plan, fall, 0.0, 3.0)[3]
    fall.how = "stop"
    assert "wakes after 5 s" in timeline(plan, fall, 5.0, 0.0)[3]
    assert "SIGSTOP for 5 s" in timeline(plan, fall, 5.0, 0.0)[0]
    fall.how = "kill"
    assert "only MGM" in timeline(plan_of(tmp_path, 1), fall, 0.0, 0.0)[3]


@pytest.mark.system
@pytest.mark.xdist_group("machine")
def test_a_lone_mgm_is_its_own_successor(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    try:
        plan = lifecycle.start(directory, 1, 1)
        asyncio.run(lifecycle.wait_ready(plan))
        fall = asyncio.run(strike(plan))
        assert (fall.old_master, fall.new_master, fall.names) == ("mgm1", "mgm1", ["mgm1"])
        assert fall.new_epoch == fall.old_epoch + 1
        assert fall.new_master_s > 0.0
        assert fall.first_write_s > 0.0
        again = asyncio.run(strike(plan, host=True, down_s=0.2))
        assert again.names == ["mgm1", "fst1"]
        assert again.new_epoch == fall.new_epoch + 1
    finally:
        lifecycle.stop(directory)


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.xdist_group("machine")
def test_another_mgm_takes_over_and_the_old_one_stands_by(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    try:
        plan = lifecycle.start(directory, 3, 2)
        asyncio.run(lifecycle.wait_ready(plan))
        epochs = []
        for how in ({}, {"stop_s": 3.0}, {"host": True}):
            fall = asyncio.run(strike(plan, **how))
            epochs.append((fall.old_epoch, fall.new_epoch))
            assert fall.new_master != fall.old_master
            if "host" not in how:
                # Killed or stopped: it comes back by itself, and is not master.
                asyncio.run(lifecycle.wait_ready(plan))
        assert all(new > old for old, new in epochs)
        rows = {row["name"]: row for row in lifecycle.status(directory)["mgms"]}
        assert rows[fall.old_master]["state"] == "held"
        assert rows[fall.old_master]["role"] == "unknown"
        assert rows[fall.new_master]["role"] == "master"
        tell(directory, "release", *fall.names)
        asyncio.run(lifecycle.wait_ready(plan))
        assert (
            lifecycle.status(directory)["mgms"][int(fall.old_master[3:]) - 1]["role"] == "standby"
        )
    finally:
        lifecycle.stop(directory)
    for log in directory.glob("*.log"):
        assert "Traceback" not in log.read_text(encoding="utf-8", errors="replace"), log.name
