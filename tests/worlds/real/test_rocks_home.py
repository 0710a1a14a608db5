"""The directories of a RocksDB home: a kill between any two steps leaves one whole store."""

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thesan.core.journal.entry import crc_of, encode
from thesan.core.model.errors import StoreDamaged, StoreError
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace.ops import ConfigSet, encode_op
from thesan.core.namespace.state import Namespace
from thesan.ports.engine import Owner
from thesan.worlds.real.engines import open_engine
from thesan.worlds.real.rocks_home import RocksHome
from thesan.worlds.real.rocks_store import RocksStore
from thesan.worlds.simulated.memory_store import MemoryStore


def put(path: Path, value: bytes) -> None:
    store = RocksStore(str(path))
    store.write([(b"a", value)])
    store.close()


async def opened(root: Path) -> bytes | None:
    home = RocksHome(root)
    store = await home.open()
    found = store.get(b"a")
    await home.release(store)
    return found


def test_a_kill_before_the_pointer_leaves_the_old_store(tmp_path):
    put(tmp_path / "namespace", b"old")
    put(tmp_path / "namespace.2", b"renamed, and then the process was killed")
    (tmp_path / ".CURRENT.new").write_text("namespace.2\n")
    assert asyncio.run(opened(tmp_path)) == b"old"
    assert not (tmp_path / "namespace.2").exists()


def test_a_kill_after_the_pointer_leaves_the_new_store(tmp_path):
    put(tmp_path / "namespace", b"old, not yet removed")
    put(tmp_path / "namespace.2", b"new")
    put(tmp_path / "namespace.fresh", b"another one begun")
    (tmp_path / "CURRENT").write_text("namespace.2\n")
    (tmp_path / "checkpoints").mkdir()
    put(tmp_path / "checkpoints" / ".making.1", b"half")
    assert asyncio.run(opened(tmp_path)) == b"new"
    assert not (tmp_path / "namespace").exists()
    assert (tmp_path / "namespace.fresh").exists()
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("name", ["namespace.7", "../elsewhere", ""])
def test_a_pointer_to_nothing_is_said(tmp_path, name):
    (tmp_path / "CURRENT").write_text(name)
    with pytest.raises(StoreError):
        asyncio.run(opened(tmp_path))


def truncated(path: Path, pattern: str, byte_count: int) -> None:
    for file in path.glob(pattern):
        file.write_bytes(file.read_bytes()[:byte_count])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: truncated(path, "MANIFEST-*", 0),
        lambda path: truncated(path, "*.sst", 40),
        lambda path: truncated(path, "CURRENT", 3),
        lambda path: next(path.glob("*.sst")).unlink(),
        lambda path: next(path.glob("MANIFEST-*")).unlink(),
        lambda path: (path / "CURRENT").unlink(),
    ],
)
@pytest.mark.parametrize("name", ["namespace", "namespace.3"])
def test_damage_is_told_from_other_trouble(tmp_path, damage, name):
    """What is set aside stays over later starts, and is in nobody's way."""
    put(tmp_path / name, b"value")
    if name != "namespace":
        (tmp_path / "CURRENT").write_text(f"{name}\n")
    damage(tmp_path / name)
    with pytest.raises(StoreDamaged, match="can't open the store"):
        asyncio.run(opened(tmp_path))
    kept_as = Path(asyncio.run(RocksHome(tmp_path).set_aside()))
    assert asyncio.run(opened(tmp_path)) is None
    assert asyncio.run(opened(tmp_path)) is None
    assert kept_as.is_dir()
    assert (tmp_path / name / "CURRENT").exists()


def test_a_store_in_use_is_not_damaged(tmp_path):
    store = RocksStore(str(tmp_path / "namespace"))
    with pytest.raises(StoreError) as caught:
        asyncio.run(opened(tmp_path))
    assert not isinstance(caught.value, StoreDamaged)
    store.close()


def test_a_copy_that_is_damaged_begins_anew(tmp_path):
    async def main():
        home = RocksHome(tmp_path)
        fresh = await home.fresh(resume=True)
        assert fresh.get(b"a") is None
        await home.release(fresh)

    put(tmp_path / "namespace.fresh", b"half")
    truncated(tmp_path / "namespace.fresh", "MANIFEST-*", 0)
    asyncio.run(main())


def test_many_switches(tmp_path):
    async def main():
        home = RocksHome(tmp_path)
        store = await home.open()
        for number in range(4):
            fresh = await home.fresh(resume=False)
            fresh.write([(b"a", b"%d" % number)])
            store = await home.switch(store, fresh)
            assert store.get(b"a") == b"%d" % number
        await home.release(store)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["CURRENT", "namespace.5"]

    asyncio.run(main())


_FOLLOWER = """
import asyncio, sys
from thesan.core.namespace.state import Namespace
from thesan.io.journal.archive import ArchiveSettings
from thesan.io.journal.replay import Reader
from thesan.roles.mgm.data import MgmData
from thesan.roles.mgm.replica import Replica
from thesan.worlds.real.engines import open_engine
from thesan.worlds.real.log import RealLog
from thesan.worlds.real.rocks_home import RocksHome
from thesan.worlds.real.world import RealWorld

async def main(path, spec, say):
    world = RealWorld(RealLog(path=path + ".log"))
    engine = await open_engine(spec)
    settings = ArchiveSettings(segment_bytes=20000, block_seconds=0.01)
    data = MgmData(world, RocksHome(path), world.disk(path), engine, settings)
    await data.open()
    await data.check()
    replica = Replica(Namespace(data.store), data.store)
    print(say, replica.position.seq, flush=True)
    reader = Reader(data.engine, replica.position, replica.apply)
    position = await reader.catch_up()
    await data.archive.written()
    print("end", position.seq, replica.namespace.digest.hex(), data.archive.first, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def _journal(path: str, entries: int) -> bytes:
    """A journal of that many entries; the state digest at its end."""
    engine = await open_engine(f"sqlite:{path}")
    owner = Owner("a:1", Epoch(1), "a:1", 1)
    await engine.take_over(None, owner)
    truth, crc, number = Namespace(MemoryStore()), 0, 0
    for seq in range(1, entries + 1):
        ops = []
        for _ in range(20):
            number += 1
            ops.append(ConfigSet("space", f"s{number % 500}", b"%d" % number))
            truth.apply(ops[-1], number)
        data = encode(owner.epoch, Seq(seq), crc, [encode_op(op) for op in ops], truth.digest)
        await engine.append(owner, Seq(seq), data)
        crc = crc_of(data)
        truth.settle(truth.take_changes(number, seq, 1, crc))
    await engine.close()
    return truth.digest


def test_killed_without_a_log_it_replays_to_the_same_digest(tmp_path):
    """The store's own log is off: a SIGKILL loses what was not flushed, and the journal has it."""
    digest = asyncio.run(_journal(str(tmp_path / "journal.db"), 300))
    data = tmp_path / "data"
    data.mkdir()
    argv = [sys.executable, "-c", _FOLLOWER, str(data), f"sqlite:{tmp_path}/journal.db"]
    dice = random.Random(1)
    for number in range(4):
        with subprocess.Popen([*argv, "begun"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("begun")
            if number % 2:
                time.sleep(dice.random() * 0.2)
            process.kill()
    done = subprocess.run([*argv, "last"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == f"end 300 {digest.hex()} 1"
