"""kill -9 at random points under load: what was acknowledged stays, and nothing else is there."""

import asyncio
import contextlib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from thesan.core.model.limits import COMMIT_SETTLE_SECONDS

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.xdist_group("machine")]

KILLS = int(os.environ.get("THESAN_KILLS", "8"))
SEED = int(os.environ.get("THESAN_KILLS_SEED", "1"))
LANES = 6
CALLS_MIN = 20
SETTLE_SECONDS = 40.0
"""Time for the beats, deletions and commits after the last start."""


@dataclass
class Verdict:
    """What was found when all was at rest."""

    files: int = 0
    lost: list[str] = field(default_factory=list)
    """Acknowledged and gone, or with other bytes."""
    strangers: list[str] = field(default_factory=list)
    """Names that nobody made."""
    orphans: list[str] = field(default_factory=list)
    """Data on a disk that the namespace does not know, and markers that nobody resolved."""
    unequal: list[str] = field(default_factory=list)
    """Registered replicas that are missing or differ."""

    @property
    def faults(self) -> list[str]:
        return [
            f"{kind}: {text}"
            for kind in ("lost", "strangers", "orphans", "unequal")
            for text in getattr(self, kind)
        ]


async def judge(
    instance: Any, lanes: list[Any], digest: Callable[[bytes], str], until: Any
) -> Verdict:
    """Read everything back, kill the FSTs a last time, compare the disks with the namespace."""
    verdict = Verdict()
    allowed = {path: held for lane in lanes for path, held in lane.allowed.items()}
    directories = {"/storm", *(path for lane in lanes for path in lane.directories)}
    async with instance.client() as fs:
        found = [entry async for entry in fs.find("/")]
        present = {entry.path for entry in found if not entry.is_dir}
        made = {entry.path for entry in found if entry.is_dir}
        verdict.strangers = sorted((present - set(allowed)) | (made - directories))
        verdict.lost += [f"{path}: the directory" for path in sorted(directories - made)]
        for path, held in sorted(allowed.items()):
            if path not in present:
                if None not in held:
                    verdict.lost.append(f"{path}: not there")
                continue
            verdict.files += 1
            async with await fs.open(path) as file:
                data = bytes(await file.read())
            if digest(data) not in held:
                (verdict.lost if held != {None} else verdict.strangers).append(
                    f"{path}: {len(data)} bytes that it may not hold"
                )
        # Once more, all at once: what their death leaves behind is cleared up too.
        pids = {name: instance.pid(name) for name in instance.names[1:]}
        for name, pid in pids.items():
            assert instance.kill(name)
            await instance.until_back(name, pid)
        await instance.ready()
        registered = await _registered(fs, sorted(present))
    with contextlib.suppress(AssertionError):
        await until(
            lambda: not instance.markers() and set(instance.data_files()) <= set(registered),
            "no orphans",
            # A sealed replica waits so long for its head's commit before it counts as nobody's.
            COMMIT_SETTLE_SECONDS + SETTLE_SECONDS,
        )
    on_disk = instance.data_files()
    verdict.orphans = [str(path) for key, path in on_disk.items() if key not in registered]
    verdict.orphans += [str(path) for path in instance.markers()]
    for key, (path, size, adler32) in registered.items():
        data = on_disk[key].read_bytes() if key in on_disk else None
        if data is None or (len(data), f"{zlib.adler32(data):08x}") != (size, adler32):
            verdict.unequal.append(f"{path}: replica {key}")
    return verdict


async def _registered(fs: Any, paths: list[str]) -> dict[tuple[str, int], tuple[str, int, str]]:
    """(path of the fs, fid) of every replica in the namespace -> name, size, adler32."""
    replicas = {}
    for path in paths:
        (record,) = (await fs.admin("file", "info", path=path)).records
        for replica in record["replicas"]:
            key = replica["path"], record["fid"]
            replicas[key] = path, record["size"], record["adler32"]
    return replicas


@pytest.mark.timeout(240 + 12 * KILLS)
def test_acknowledged_files_survive_kills(
    start_instance: Any, make_storm: Any, make_lane: Any, digest: Any, until_true: Any
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
        verdict = await judge(instance, lanes, digest, until_true)
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
