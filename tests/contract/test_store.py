"""One body of tests for every ports.store: memory (simulated) and RocksDB (real)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thesan.core.model.errors import StoreError
from thesan.ports.store import Store
from thesan.worlds.real.rocks_store import RocksStore
from thesan.worlds.simulated.memory_store import MemoryStore

Reopen = Callable[[Store], Store]


@pytest.fixture(params=["memory", "rocks"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if kind == "memory" else RocksStore(str(tmp_path / "db"))
    yield made
    made.close()


def test_get_of_what_was_written(store: Store) -> None:
    store.write([(b"a", b"1"), (b"b", b""), (b"c", b"3")])
    assert store.get(b"a") == b"1"
    assert store.get(b"b") == b""
    assert store.get(b"x") is None
    assert store.get_many([b"c", b"x", b"a"]) == [b"3", None, b"1"]
    assert store.get_many([]) == []


def test_none_deletes_and_the_last_change_of_a_key_wins(store: Store) -> None:
    store.write([(b"a", b"1"), (b"b", b"2")])
    store.write([(b"a", None), (b"absent", None), (b"b", b"3"), (b"b", None), (b"b", b"4")])
    assert store.get(b"a") is None
    assert store.scan(b"", b"z", 10) == [(b"b", b"4")]


def test_scan_is_ordered_half_open_and_limited(store: Store) -> None:
    names = [b"D%03d" % number for number in range(50)]
    store.write([(name, name) for name in reversed(names)])
    store.write([(b"E", b"next prefix"), (b"C\xff", b"before")])
    assert [key for key, _ in store.scan(b"D", b"E", 100)] == names
    assert [key for key, _ in store.scan(b"D010", b"D020", 100)] == names[10:20]
    assert [key for key, _ in store.scan(b"D", b"E", 7)] == names[:7]
    assert store.scan(b"D", b"E", 0) == []
    assert store.scan(b"x", b"y", 5) == []


def test_a_closed_store_says_so(store: Store) -> None:
    store.write([(b"a", b"1")])
    store.close()
    store.close()
    for call in (
        lambda: store.get(b"a"),
        lambda: store.get_many([b"a"]),
        lambda: store.scan(b"", b"z", 1),
        lambda: store.write([(b"a", b"2")]),
        store.flush,
    ):
        with pytest.raises(StoreError):
            call()


def test_clean_reopen_finds_everything(kind: str, tmp_path: Path) -> None:
    if kind == "memory":
        memory = MemoryStore()
        memory.write([(b"a", b"1")])
        again: Store = memory.reopen()
    else:
        rocks = RocksStore(str(tmp_path / "db"))
        rocks.write([(b"a", b"1")])
        rocks.close()
        again = RocksStore(str(tmp_path / "db"))
    assert again.get(b"a") == b"1"
    again.close()


def test_checkpoint_is_a_copy_of_that_moment(kind: str, store: Store, tmp_path: Path) -> None:
    path = str(tmp_path / "checkpoint")
    store.write([(b"a", b"1")])
    store.checkpoint(path)
    store.write([(b"a", b"2"), (b"b", b"2")])
    copy: Store
    if kind == "memory":
        assert isinstance(store, MemoryStore)
        copy = store.checkpoints[path]
    else:
        copy = RocksStore(path)
    assert copy.scan(b"", b"z", 10) == [(b"a", b"1")]
    copy.close()
    with pytest.raises(StoreError):
        store.checkpoint(path)


_keys = st.binary(min_size=1, max_size=3)
_writes = st.lists(st.lists(st.tuples(_keys, st.none() | st.binary(max_size=4)), max_size=6))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=_writes, start=_keys, end=_keys)
def test_it_behaves_as_a_sorted_dict(
    kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    writes: list[list[tuple[bytes, bytes | None]]],
    start: bytes,
    end: bytes,
) -> None:
    path = tmp_path_factory.mktemp("store") / "db"
    tried: Store = MemoryStore() if kind == "memory" else RocksStore(str(path))
    model: dict[bytes, bytes] = {}
    for changes in writes:
        tried.write(changes)
        for key, value in changes:
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
    assert dict(tried.scan(b"", b"\xff" * 4, 1000)) == model
    expected = [(key, model[key]) for key in sorted(model) if start <= key < end]
    assert tried.scan(start, end, 1000) == expected
    tried.close()
