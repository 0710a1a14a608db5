"""What a power cut keeps: everything synced, a prefix of the names, any of the bytes."""

import errno
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.core.model.errors import OperationError
from thesan.worlds.simulated.platter import SECTOR_BYTES, Inode, Platter


def _file(platter: Platter, path: str, data: bytes) -> Inode:
    inode = Inode()
    platter.link(path, inode)
    platter.write(inode, 0, data)
    return inode


@pytest.mark.parametrize("seed", range(50))
def test_what_was_synced_stays(seed):
    platter = Platter("d")
    inode = _file(platter, "a/b", b"one")
    platter.set_xattr("a/b", "fmd", b"meta")
    platter.sync(inode)
    platter.write(inode, 3, b"two" * 1000)
    platter.crash(random.Random(seed))
    found = platter.file("a/b")
    assert bytes(found.data[:3]) == b"one"
    assert found.xattrs == {"fmd": b"meta"}
    assert platter.used_bytes == len(found.data)


def test_unsynced_bytes_are_kept_torn_or_lost():
    sizes = set()
    for seed in range(60):
        platter = Platter("d")
        inode = _file(platter, "a", b"")
        platter.sync(inode)
        platter.write(inode, 0, b"x" * (4 * SECTOR_BYTES))
        platter.crash(random.Random(seed))
        sizes.add(len(platter.file("a").data))
    assert sizes == {0, SECTOR_BYTES, 2 * SECTOR_BYTES, 3 * SECTOR_BYTES, 4 * SECTOR_BYTES}


def test_names_survive_in_order():
    found = set()
    for seed in range(60):
        platter = Platter("d")
        for name in "abc":
            _file(platter, name, b"")
        platter.unlink("a")
        platter.crash(random.Random(seed))
        found.add("".join(platter.children("")[: len(platter.names)]))
    assert found == {"", "a", "ab", "abc", "bc"}


def test_any_sync_commits_all_names():
    platter = Platter("d")
    _file(platter, "a", b"")
    platter.sync(_file(platter, "b", b""))
    platter.unlink("a")
    platter.sync(None)
    platter.crash(random.Random(1))
    assert list(platter.names) == ["b"]


def test_a_rename_is_whole_or_not():
    seen = set()
    for seed in range(40):
        platter = Platter("d")
        platter.sync(_file(platter, "x", b"old"))
        platter.sync(_file(platter, "x.new", b"new"))
        platter.rename("x.new", "x")
        platter.crash(random.Random(seed))
        seen.add((bytes(platter.file("x").data), "x.new" in platter.names))
    assert seen == {(b"old", True), (b"new", False)}


def test_a_failed_sync_loses_the_bytes_for_good():
    platter = Platter("d")
    inode = _file(platter, "a", b"lost")
    platter.faults.sync_failures = 1
    with pytest.raises(OperationError) as caught:
        platter.sync(inode)
    assert caught.value.errno == errno.EIO
    platter.sync(inode)
    assert bytes(inode.data) == b"lost"
    platter.crash(random.Random(1))
    assert bytes(platter.file("a").data) == b""


def test_space_is_counted():
    platter = Platter("d", capacity_bytes=1000)
    inode = _file(platter, "a", b"x" * 900)
    with pytest.raises(OperationError) as caught:
        platter.write(inode, 900, b"y" * 101)
    assert caught.value.errno == errno.ENOSPC
    platter.truncate(inode, 100)
    assert platter.used_bytes == 100
    platter.write(inode, 100, b"y" * 900)
    platter.unlink("a")
    assert platter.used_bytes == 0


def test_rot_flips_one_bit_for_good():
    platter = Platter("d")
    inode = _file(platter, "a", bytes(100))
    platter.sync(inode)
    platter.rot("a", random.Random(3))
    assert sum(byte.bit_count() for byte in inode.data) == 1
    platter.crash(random.Random(3))
    assert sum(byte.bit_count() for byte in platter.file("a").data) == 1


def test_children_and_directories():
    platter = Platter("d")
    _file(platter, "p/q/r", b"")
    _file(platter, "p/s", b"")
    assert platter.children("") == ["p"]
    assert platter.children("p") == ["q", "s"]
    platter.unlink("p/s")
    assert platter.children("p") == ["q"]
    with pytest.raises(OperationError) as caught:
        platter.file("p/q")
    assert caught.value.errno == errno.EINVAL
    assert not platter.unlink("nothing")


_WRITES = st.lists(st.tuples(st.integers(0, 50), st.binary(max_size=40)), max_size=20)


@given(before=_WRITES, after=_WRITES, cut=st.integers(0, 60), seed=st.integers(0, 1000))
def test_contents_match_a_plain_model(before, after, cut, seed):
    model = bytearray()

    def put(offset: int, data: bytes) -> None:
        if offset > len(model):
            model.extend(bytes(offset - len(model)))
        model[offset : offset + len(data)] = data

    platter = Platter("d")
    inode = _file(platter, "a", b"")
    for offset, data in before:
        platter.write(inode, offset, data)
        put(offset, data)
    platter.truncate(inode, cut)
    del model[cut:]
    model.extend(bytes(cut - len(model)))
    assert inode.data == model
    platter.sync(inode)
    for offset, data in after:
        platter.write(inode, offset, data)
    touched = {place for offset, data in after for place in range(offset, offset + len(data))}
    platter.crash(random.Random(seed))
    survivor = platter.file("a").data
    assert len(survivor) >= len(model)
    assert all(survivor[at] == model[at] for at in range(len(model)) if at not in touched)
