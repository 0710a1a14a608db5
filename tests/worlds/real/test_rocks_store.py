"""What RocksDB does beyond the contract: crash prefix, exclusive use, the Snapshot bug."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from thesan.core.model.errors import StoreError
from thesan.worlds.real.rocks_store import RocksStore

_WRITER = """
import sys
from thesan.worlds.real.rocks_store import RocksStore
store = RocksStore(sys.argv[1])
for number in range(1, 1_000_000):
    seq = b"%08d" % number
    store.write([(b"seq", seq), *((b"r%02d" % row, seq) for row in range(20))])
    if number % 500 == 0:
        store.flush()
    if number == 1234:
        print("ready", flush=True)
"""


def test_sigkill_leaves_a_whole_prefix(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, path], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait(timeout=30)
    store = RocksStore(path)
    seq = store.get(b"seq")
    assert seq is not None
    assert int(seq) >= 1000
    assert store.get_many([b"r%02d" % row for row in range(20)]) == [seq] * 20
    store.close()


def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    store = RocksStore(str(tmp_path / "db"))
    with pytest.raises(StoreError, match="can't open"):
        RocksStore(str(tmp_path / "db"))
    store.close()
    RocksStore(str(tmp_path / "db")).close()


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError):
        RocksStore(str(tmp_path / "file"))


def test_with_its_own_log_an_unclean_end_loses_nothing(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from thesan.worlds.real.rocks_store import RocksStore\n"
        "RocksStore(sys.argv[1], wal=True).write([(b'a', b'1')])\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "db")], check=True, timeout=60)
    store = RocksStore(str(tmp_path / "db"))
    assert store.get(b"a") == b"1"
    store.close()


def test_a_write_that_can_not_be_put_together_is_the_stores_failure(tmp_path: Path) -> None:
    store = RocksStore(str(tmp_path / "db"))
    with pytest.raises(StoreError, match="write failed"):
        store.write([(b"a", b"1"), ("b", b"2")])  # type: ignore[list-item]  # wrong on purpose
    assert store.get(b"a") is None
    store.close()


def test_rocksdict_snapshot_iterators_still_show_later_writes(tmp_path: Path) -> None:
    """Documents why nothing iterates a Snapshot. When this fails, the bug is mended upstream."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    database = Rdict(str(tmp_path / "db"), options)
    database[b"a"] = b"old"
    snapshot = database.snapshot()
    database[b"a"] = b"new"
    database[b"b"] = b"new"
    assert snapshot[b"a"] == b"old"
    assert dict(snapshot.items()) == {b"a": b"new", b"b": b"new"}
    del snapshot
    database.close()
