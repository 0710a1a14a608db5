"""Demos of real processes: start, status, stop, side by side."""

import asyncio
import os
from pathlib import Path

import pytest

from thesan.cli.demo import lifecycle
from thesan.cli.demo.plan import load_state
from thesan.core.model.errors import OperationError

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("machine")]


def test_two_demos_side_by_side(tmp_path: Path) -> None:
    directories = [tmp_path / "one", tmp_path / "two"]
    try:
        plans = [lifecycle.start(directory, 1, 2) for directory in directories]
        for plan in plans:
            records = asyncio.run(lifecycle.wait_ready(plan))
            assert {record["stat.active"] for record in records} == {"online"}
            assert len(records) == 4
        with pytest.raises(OperationError, match="runs in"):
            lifecycle.start(directories[0], 1, 1)
        with pytest.raises(OperationError, match="still runs"):
            lifecycle.purge(directories[0])
        state = lifecycle.status(directories[1])
        assert state["url"] == plans[1].url
        assert [row["role"] for row in state["mgms"]] == ["master"]
        assert [row["state"] for row in state["fsts"]] == ["running", "running"]
        pids = [row["pid"] for row in [*state["mgms"], *state["fsts"]]]
    finally:
        for directory in directories:
            lifecycle.stop(directory)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert load_state(directories[1])[0] == 0
    assert lifecycle.status(directories[1])["mgms"][0]["state"] == "stopped"
    for directory in directories:
        lifecycle.purge(directory)
        assert not directory.exists()


def test_a_demo_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    async def call(plan, verb: str, **args: object) -> list[dict[str, object]]:
        return await lifecycle.admin(plan, "space", verb, **args)

    directory = tmp_path / "demo"
    try:
        plan = lifecycle.start(directory, 1, 1)
        before = asyncio.run(lifecycle.wait_ready(plan))
        lifecycle.stop(directory)
        with pytest.raises(OperationError, match="has 1 MGMs, 1 FSTs and sqlite: remove it"):
            lifecycle.start(directory, 3, 1)
        again = lifecycle.start(directory)
        assert again == plan
        after = asyncio.run(lifecycle.wait_ready(again))
        assert [r["id"] for r in after] == [r["id"] for r in before]
        assert [r["uuid"] for r in after] == [r["uuid"] for r in before]
    finally:
        lifecycle.stop(directory)


def test_purge_removes_nothing_but_a_demo(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(OperationError, match="no demo"):
        lifecycle.purge(tmp_path)
    assert (tmp_path / "precious").exists()


def test_stop_of_nothing_is_fine(tmp_path: Path) -> None:
    lifecycle.stop(tmp_path)
