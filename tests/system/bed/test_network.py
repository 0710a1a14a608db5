"""The bed's switch: what it cuts is cut, what it leaves is left. As rules, and for real as root."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from benchmarks.failover import network
from benchmarks.failover.network import Cut, Network, both_ways, isolated

needs_root = pytest.mark.skipif(bool(network.missing()), reason=network.missing() or "-")
ECHO = """
import socket
server = socket.create_server(("0.0.0.0", 7))
print("up", flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(b"!")
    connection.close()
"""


def test_rules_of_a_cut() -> None:
    assert Cut("a", "b").rules() == [
        'add rule bridge thesan faults iifname "a" oifname "b" counter drop'
    ]
    by_source, by_target = isolated("a", (1, 2))
    assert by_source.rules()[0].endswith('iifname "a" tcp dport { 1, 2 } counter drop')
    assert by_target.rules()[1].endswith('oifname "a" tcp sport { 1, 2 } counter drop')
    assert both_ways("a", "b") == [Cut("a", "b"), Cut("b", "a")]


@pytest.fixture
def two_hosts() -> Iterator[Network]:
    one = Network({"a": 1, "b": 2}, f"{network.PREFIX}{os.getpid()}_t")
    try:
        one.up()
        yield one
    finally:
        one.down()


def reach(bed: Network, source: str, target: str) -> bool:
    with (
        bed.inside(source),
        contextlib.suppress(OSError),
        socket.create_connection((bed.address(target), 7), timeout=0.3) as connection,
    ):
        return connection.recv(1) == b"!"
    return False


@contextlib.contextmanager
def echo(bed: Network, host: str) -> Iterator["subprocess.Popen[bytes]"]:
    argv = bed.argv(host, [sys.executable, "-c", ECHO])
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        try:
            yield process
        finally:
            process.kill()


@needs_root
@pytest.mark.system
def test_partitions_and_cables(two_hosts: Network) -> None:
    bed = two_hosts
    with echo(bed, "a"), echo(bed, "b"):
        assert reach(bed, "a", "b")
        assert reach(bed, "b", "a")
        bed.cut([Cut(target="a", ports=(9,))])
        assert reach(bed, "b", "a"), "other ports are left alone"
        bed.cut(both_ways("a", "b", (7,)))
        assert not reach(bed, "a", "b")
        assert bed.dropped() > 0
        bed.heal()
        assert reach(bed, "a", "b")
        bed.unplug("b")
        assert not reach(bed, "a", "b")
        bed.plug("b")
        assert reach(bed, "a", "b")


@needs_root
@pytest.mark.system
def test_a_host_dies_with_all_its_processes_and_nobody_elses(two_hosts: Network) -> None:
    bed = two_hosts
    with echo(bed, "a") as victim, echo(bed, "b") as other:
        assert bed.pids("a") == [victim.pid]
        bed.kill("a")
        assert bed.pids("a") == []
        assert victim.wait(5) == -signal.SIGKILL
        assert other.poll() is None


@needs_root
@pytest.mark.system
def test_two_beds_do_not_see_each_other(two_hosts: Network) -> None:
    second = Network({"a": 1, "b": 2}, f"{network.PREFIX}{os.getpid()}_u")
    try:
        second.up()
        with echo(two_hosts, "a"):
            assert reach(two_hosts, "b", "a")
            assert not reach(second, "b", "a")
    finally:
        second.down()


@needs_root
def test_beds_of_the_dead_are_removed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    forsaken = Network({"a": 1}, f"{network.PREFIX}{int(done.stdout)}")
    forsaken.up()
    assert network.remove_forsaken() == [forsaken.prefix]
    assert not list(network.NAMESPACES.glob(f"{forsaken.prefix}-*"))
