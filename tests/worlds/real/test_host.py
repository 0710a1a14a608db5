"""Figures and names of this machine."""

import os
import pwd

from thesan.worlds.real import host as room
from thesan.worlds.real.host import RealHost


def test_load_is_plausible():
    host = RealHost()
    first = host.load()
    assert first.net_in_bytes_per_s == 0.0
    assert first.process_rss_bytes > 1_000_000
    assert first.process_vsize_bytes >= first.process_rss_bytes
    assert first.thread_count >= 1
    assert first.kernel == os.uname().release
    assert first.boot_ns > 0
    assert first.machine_boot_id == RealHost().load().machine_boot_id != ""
    second = host.load()
    assert second.net_in_bytes_per_s >= 0.0
    assert 0.0 <= second.cpu_load <= 1.0


def test_open_descriptors_are_counted():
    before = RealHost().load().socket_count
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(10)]
    try:
        assert RealHost().load().socket_count == before + 10
    finally:
        for fd in fds:
            os.close(fd)


def test_disk_load(monkeypatch):
    moments = iter([10.0, 12.0, 12.0])
    counters = iter([(0, 0, 0), (4 << 20, 8 << 20, 1000), (4 << 20, 8 << 20, 1000)])
    host = RealHost()
    monkeypatch.setattr(room, "_device_of", lambda path: "sda")
    monkeypatch.setattr(room, "_disk_counters", lambda device: next(counters))
    monkeypatch.setattr(room.time, "monotonic", lambda: next(moments))
    assert host.disk_load("/x") == (0.0, 0.0, 0.0)
    assert host.disk_load("/x") == (0.5, 2.0, 4.0)
    assert host.disk_load("/x") == (0.0, 0.0, 0.0)


def test_disk_load_of_the_devices_here(tmp_path):
    host = RealHost()
    for path in ("/", "/dev/shm", str(tmp_path), "/absent"):
        host.disk_load(path)
        busy, read, written = host.disk_load(path)
        assert 0.0 <= busy <= 1.0
        assert read >= 0.0
        assert written >= 0.0


def test_accounts():
    host = RealHost()
    root = pwd.getpwuid(0)
    found = host.account(root.pw_name)
    assert found is not None
    uid, gid, gids = found
    assert (uid, gid) == (0, root.pw_gid)
    assert gid in gids
    assert host.account("no-such-user") is None
    assert host.account("nul\0inside") is None
    assert host.user_name(0) == root.pw_name
    assert host.user_name(3_999_999_999) == "3999999999"
    assert host.group_name(3_999_999_999) == "3999999999"
    assert host.group_name(0)
    assert host.name() == os.uname().nodename
