"""kill -9 at random points under load: what was acknowledged stays, and nothing else is there."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.xdist_group("system")]

KILLS = int(os.environ.get("THESAN_KILLS", "8"))
SEED = int(os.environ.get("THESAN_KILLS_SEED", "1"))
LANES = 6
CALLS_MIN = 20


@pytest.mark.timeout(120 + 12 * KILLS)
def test_acknowledged_files_survive_kills(
    start_instance: Any, make_storm: Any, make_lane: Any, judge: Any
) -> None:
    instance = start_instance(partial_seconds=1.0)
    storm = make_storm(instance, KILLS, SEED)

    async def scenario() -> None:
        lanes = []

        async def run(number: int) -> None:
            async with instance.client() as fs:
                lanes.append(make_lane(number, fs, storm, SEED))
                await lanes[-1].run(CALLS_MIN)

        await asyncio.gather(*[run(number) for number in range(LANES)])
        await instance.ready()
        verdict = await judge(instance, lanes)
        acknowledged = sum(lane.acknowledged for lane in lanes)
        unknown = [text for lane in lanes for text in lane.unknown]
        print(
            f"\nseed {SEED}: {len(storm.done)} kills ({storm.done.count('mgm1')} of the MGM), "
            f"{acknowledged} operations acknowledged, {len(unknown)} of unknown outcome, "
            f"{verdict.files} files read back, {len(verdict.lost)} lost, "
            f"{len(verdict.orphans)} orphans"
        )
        for text in unknown:
            print("unknown:", text)
        assert [fault for lane in lanes for fault in lane.faults] == []
        assert verdict.faults == []
        assert len(storm.done) == KILLS
        assert acknowledged >= LANES * CALLS_MIN // 2

    asyncio.run(scenario())


def test_an_upload_cut_off_by_its_client_leaves_nothing(
    start_instance: Any, until_true: Any
) -> None:
    instance = start_instance(fsts=1, partial_seconds=0.5)

    async def scenario() -> None:
        async with instance.client() as fs:
            await fs.mkdir("/d")
            file = await fs.open("/d/partial", "x")
            await file.write(0, os.urandom(1_000_000))
            assert instance.data_files(), "the FST has begun to store it"
            assert await fs.ls("/d") == [], "but nobody sees it"
            await file.discard()
            await until_true(
                lambda: not instance.data_files() and not instance.markers(), "no trace of it"
            )
            assert await fs.ls("/d") == []

    asyncio.run(scenario())


def test_a_daemon_killed_while_idle_refuses_nobody(start_instance: Any) -> None:
    instance = start_instance(fsts=1)

    async def scenario() -> None:
        async with instance.client() as fs:
            async with await fs.open("/f", "x") as file:
                await file.write(0, b"before")
            for name in instance.names:
                assert instance.kill(name)
            async with await fs.open("/f") as file:
                assert bytes(await file.read()) == b"before"

    asyncio.run(scenario())


def test_data_files_have_the_names_that_the_namespace_gives(start_instance: Any) -> None:
    instance = start_instance(fsts=1)

    async def scenario() -> None:
        async with instance.client() as fs:
            async with await fs.open("/f", "x") as file:
                await file.write(0, b"some bytes")
            reply = await fs.admin("file", "info", path="/f")
        (replica,) = reply.records[0]["replicas"]
        assert Path(replica["file"]).read_bytes() == b"some bytes"
        assert list(instance.data_files().values()) == [Path(replica["file"])]

    asyncio.run(scenario())
