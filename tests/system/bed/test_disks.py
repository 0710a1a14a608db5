"""Disks that lose their power, and get it back."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.failover import disks, network

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(disks.missing()), reason=disks.missing()),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]


@contextlib.contextmanager
def a_copy_of_the_mounts(seconds: float) -> Iterator[None]:
    """In a mount namespace of its own, for so long or until the block is left."""
    words = ["unshare", "--mount", "sh", "-c", f"echo; exec sleep {seconds}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            yield
        finally:
            other.kill()


def test_a_disk_has_what_was_synced(tmp_path: Path) -> None:
    with disks.ext4(tmp_path / "image", tmp_path / "disk", 32) as disk:
        synced = tmp_path / "disk" / "synced"
        with synced.open("wb") as file:
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
        (tmp_path / "disk" / "not-synced").write_bytes(b"lost")
        disk.cut_power()
        with pytest.raises(OSError, match="Input/output error"):
            (tmp_path / "disk" / "later").write_bytes(b"no")
        disk.power_on()
        assert synced.read_bytes() == b"kept"
        assert not (tmp_path / "disk" / "not-synced").exists()


def test_a_copy_of_the_mount_does_not_keep_a_dead_disk(tmp_path: Path) -> None:
    """An xrdcp that begins at that moment has one in its own mount namespace for a while."""
    with disks.ext4(tmp_path / "image", tmp_path / "disk", 32) as disk:
        disk.cut_power()
        with a_copy_of_the_mounts(0.5):
            disk.power_on()
            (tmp_path / "disk" / "alive").write_bytes(b"yes")


def test_a_disk_that_stays_dead_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "POWER_ON_SECONDS_MAX", 0.1)
    with disks.ext4(tmp_path / "image", tmp_path / "disk", 32) as disk:
        disk.cut_power()
        with a_copy_of_the_mounts(60), pytest.raises(network.BedError, match="is dead"):
            disk.power_on()
