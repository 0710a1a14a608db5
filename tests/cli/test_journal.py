"""`thesan journal` on a real data directory: RocksDB, files, a journal in SQLite."""

import asyncio
import errno
import json
import time
from pathlib import Path

import pytest

from thesan.cli.context import Context, Output
from thesan.cli.journal import run
from thesan.cli.main import run_command
from thesan.core.journal.entry import crc_of, encode
from thesan.core.model.errors import ConfigError, OperationError, Rewound, StoreError, ThesanError
from thesan.core.model.ids import Epoch, Seq
from thesan.core.namespace.ops import ConfigSet, encode_op
from thesan.core.namespace.state import Namespace
from thesan.io.journal.replay import replay
from thesan.ports.engine import Owner
from thesan.roles.mgm.data import MgmData
from thesan.roles.mgm.replica import Replica
from thesan.worlds.real.engines import open_engine
from thesan.worlds.real.log import RealLog
from thesan.worlds.real.rocks_home import RocksHome
from thesan.worlds.real.world import RealWorld
from thesan.worlds.simulated.memory_store import MemoryStore

MINE = Owner("a:1", Epoch(3), "a:1", 1)


class Instance:
    """A data directory that was used by an MGM."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec = f"sqlite:{path}/journal.db"
        self.digests: list[bytes] = []
        path.mkdir()

    async def grow(self, count: int) -> None:
        truth, crc = Namespace(MemoryStore()), 0
        engine = await open_engine(self.spec)
        await engine.take_over(None, MINE)
        self.digests.append(truth.digest)
        for seq in range(1, count + 1):
            op = ConfigSet("space", f"s{seq}", b"%d" % seq)
            truth.apply(op, seq)
            data = encode(MINE.epoch, Seq(seq), crc, [encode_op(op)], truth.digest)
            await engine.append(MINE, Seq(seq), data)
            crc = crc_of(data)
            self.digests.append(truth.digest)
        await engine.close()

    async def follow(self) -> bytes:
        """Live for a moment: apply what the journal has; the digest then."""
        return (await self.follow_on())[0]

    async def follow_on(self) -> tuple[bytes, int]:
        """The digest then, and the limit of fids."""
        world = RealWorld(RealLog(path=f"{self.path}.log"))
        engine = await open_engine(self.spec)
        data = MgmData(world, RocksHome(self.path), world.disk(str(self.path)), engine)
        await data.open()
        try:
            await data.check()
            replica = Replica(Namespace(data.store), data.store)
            await replay(data.engine, replica.position, replica.apply)
            return replica.namespace.digest, replica.namespace.fid_limit
        finally:
            await data.close()
            await engine.close()
            world.shutdown()

    async def checkpoint(self) -> None:
        world = RealWorld(RealLog(path=f"{self.path}.log"))
        engine = await open_engine(self.spec)
        data = MgmData(world, RocksHome(self.path), world.disk(str(self.path)), engine)
        await data.open()
        await data.checkpoints.make()
        await data.archive.roll()
        await data.close()
        await engine.close()
        world.shutdown()


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    made = Instance(tmp_path / "data")
    asyncio.run(made.grow(40))
    assert asyncio.run(made.follow()) == made.digests[40]
    return made


def json_of(capsys, argv: list[str]) -> list[dict]:
    capsys.readouterr()
    assert run(Context(output=Output.JSON), argv) == 0
    return json.loads(capsys.readouterr().out)["result"]


def test_ls_and_verify(instance, capsys):
    data = str(instance.path)
    asyncio.run(instance.checkpoint())
    records = json_of(capsys, ["ls", "--data", data])
    assert [(one["kind"], one["last"], one["state"]) for one in records] == [
        ("segment", 40, "closed"),
        ("checkpoint", 40, "whole"),
    ]
    (found,) = json_of(capsys, ["verify", "--data", data])
    assert (found["first"], found["last"], found["damaged"]) == (1, 40, 0)
    assert run(Context(), ["ls", "--data", data]) == 0
    assert "checkpoint" in capsys.readouterr().out

    (segment,) = (instance.path / "segments").glob("*.seg")
    damaged = bytearray(segment.read_bytes())
    damaged[100] ^= 1
    segment.write_bytes(damaged)
    with pytest.raises(OperationError) as caught:
        run(Context(), ["verify", "--data", data])
    assert segment.name in caught.value.text
    assert run_command(run, Context(), ["verify", "--data", data]) == 5


@pytest.mark.parametrize("seq", [1, 17, 40])
def test_a_restored_directory_is_an_instance(instance, tmp_path, capsys, seq):
    into = tmp_path / "new"
    argv = ["restore", "--data", str(instance.path), "--into", str(into), "--to-seq", str(seq)]
    (found,) = json_of(capsys, argv)
    assert found["seq"] == seq
    assert found["digest"] == instance.digests[seq].hex()
    assert found["epoch"] > 1000
    restored = Instance.__new__(Instance)
    restored.path, restored.spec = into, f"sqlite:{into}/journal.db"
    digest, fid_limit = asyncio.run(restored.follow_on())
    assert digest != instance.digests[seq]
    assert fid_limit > 1 << 32
    with pytest.raises(ConfigError, match="exists"):
        run(Context(), argv)
    # The old one is what it was.
    assert asyncio.run(instance.follow()) == instance.digests[40]


def test_a_restore_that_fails_leaves_nothing_in_the_way(instance, tmp_path, capsys):
    into = tmp_path / "deep" / "new"
    argv = ["restore", "--data", str(instance.path), "--into", str(into)]
    with pytest.raises(StoreError, match="entry 999999 is in no segment"):
        run(Context(), [*argv, "--to-seq", "999999"])
    # Known before anything is made.
    assert not into.parent.exists()
    # A journal that is in use: found out when the store is whole.
    with pytest.raises(ThesanError):
        run(Context(), [*argv, "--journal", instance.spec])
    assert not into.exists()
    # Damage: found out on the way.
    asyncio.run(instance.checkpoint())
    (segment,) = (instance.path / "segments").glob("*.seg")
    damaged = bytearray(segment.read_bytes())
    damaged[100] ^= 1
    segment.write_bytes(damaged)
    with pytest.raises(ThesanError):
        run(Context(), [*argv, "--to-seq", "17"])
    assert not into.exists()


def test_a_directory_without_a_journal_is_not_called_sound(tmp_path):
    with pytest.raises(OperationError, match="no journal here") as caught:
        run(Context(), ["verify", "--data", str(tmp_path)])
    assert caught.value.errno == errno.ENOENT


def test_to_a_time(instance, tmp_path, capsys):
    into = str(tmp_path / "new")
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 3600))
    argv = ["restore", "--data", str(instance.path), "--into", into, "--to-time"]
    with pytest.raises(OperationError, match="not a time"):
        run(Context(), [*argv, "yesterday"])
    with pytest.raises(StoreError):
        run(Context(), [*argv, "2020-01-01T00:00:00+01:00"])
    assert not Path(into).exists()
    (found,) = json_of(capsys, [*argv, moment])
    assert found["seq"] == 40


def test_adopting_makes_a_lost_journal_anew(instance, tmp_path, capsys):
    data = str(instance.path)
    lost = instance.spec
    instance.spec = f"sqlite:{tmp_path}/other.db"
    with pytest.raises(Rewound):
        asyncio.run(instance.follow())
    (tmp_path / "other.db").unlink()
    (found,) = json_of(capsys, ["adopt", "--data", data, "--journal", instance.spec])
    assert (found["seq"], found["digest"]) == (40, instance.digests[40].hex())
    assert asyncio.run(instance.follow_on())[1] > 1 << 32
    assert lost != instance.spec


def test_what_is_no_directory(tmp_path):
    with pytest.raises(ConfigError):
        run(Context(), ["ls", "--data", str(tmp_path / "nowhere")])
