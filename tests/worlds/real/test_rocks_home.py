"""The directories of a RocksDB home: a kill between any two steps leaves one whole store."""

import asyncio
from pathlib import Path

import pytest

from thesan.core.model.errors import StoreError
from thesan.worlds.real.rocks_home import RocksHome
from thesan.worlds.real.rocks_store import RocksStore


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
