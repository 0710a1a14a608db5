"""The real world hands out what it is made of."""

import asyncio
import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.ports.world import World
from thesan.worlds.real.world import RealWorld


def test_world_keeps_the_promise(tmp_path):
    world: World = RealWorld()
    assert world.clock.now_ns() > 0
    assert world.entropy.token(4)
    assert world.host.name()
    disk = world.disk(str(tmp_path))
    assert world.disk(str(tmp_path)) is disk
    assert asyncio.run(disk.list("")) == []
    world.shutdown()


def test_a_disk_that_is_not_there(tmp_path):
    world = RealWorld()
    with pytest.raises(OperationError) as caught:
        world.disk(str(tmp_path / "absent"))
    assert caught.value.errno == errno.ENOENT


def test_another_directory_at_the_path_is_another_disk(tmp_path):
    """A disk that is mounted after its mount point was looked at."""
    place, moved = tmp_path / "fs", tmp_path / "moved"
    place.mkdir()
    world = RealWorld()
    first = world.disk(str(place))
    asyncio.run(first.write_file("here", b"1"))
    place.rename(moved)
    with pytest.raises(OperationError) as caught:
        world.disk(str(place))
    assert caught.value.errno == errno.ENOENT
    place.mkdir()
    second = world.disk(str(place))
    assert second is not first
    assert asyncio.run(second.list("")) == []
    place.rmdir()
    moved.rename(place)
    assert asyncio.run(world.disk(str(place)).list("")) == ["here"]
    world.shutdown()
