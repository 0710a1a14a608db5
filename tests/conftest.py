"""For all tests: how fast an example is checked says something of the machine only; a real etcd."""

import contextlib
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from thesan.cli.demo.plan import ETCD_FLAGS, free_address

settings.register_profile("thesan", deadline=None)
settings.load_profile("thesan")

ETCD_READY_SECONDS_MAX = 30.0


class EtcdCluster:
    """A real etcd: members 0, 1, 2 that can be killed, stopped, continued and started again.

    `hosts` are their addresses, 127.0.0.1 for all by default; `prefix(index)` is what a member's
    command line is put behind, such as `ip netns exec NAME`; `more` are further flags.
    """

    def __init__(
        self,
        folder: Path,
        count: int = 3,
        *,
        hosts: Sequence[str] = (),
        prefix: Callable[[int], list[str]] = lambda _: [],
        more: Sequence[str] = (),
        scheme: str = "http",
    ) -> None:
        self.folder = folder
        self._prefix = prefix
        self._more = list(more)
        self._scheme = scheme
        if hosts:
            self.clients = [f"{host}:2379" for host in hosts]
            self.peers = [f"{host}:2380" for host in hosts]
        else:
            self.clients = [free_address("127.0.0.1") for _ in range(count)]
            self.peers = [free_address("127.0.0.1") for _ in range(count)]
        self.figures = self.clients
        """host:port of /health and /metrics without TLS."""
        if scheme == "https":
            self.figures = [free_address("127.0.0.1") for _ in range(count)]
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * len(self.clients)

    @property
    def spec(self) -> str:
        """`etcd:...` of all members."""
        return f"etcd:{','.join(self.clients)}"

    def command(self, index: int) -> list[str]:
        """A member's argv, the same at every start."""
        client, peer = f"{self._scheme}://{self.clients[index]}", f"http://{self.peers[index]}"
        figures: list[str] = []
        if self._scheme == "https":
            figures = ["--listen-metrics-urls", f"http://{self.figures[index]}"]
        peers = ",".join(f"etcd{n}=http://{peer}" for n, peer in enumerate(self.peers, 1))
        return [
            *("etcd", "--name", f"etcd{index + 1}"),
            *("--data-dir", str(self.folder / f"etcd{index + 1}")),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", peers, "--initial-cluster-state", "new"),
            *ETCD_FLAGS,
            *self._more,
            *figures,
        ]

    def start(self, index: int) -> None:
        """Start a member that does not run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"etcd{index + 1}.log").open("ab") as log:
            self.processes[index] = subprocess.Popen(
                [*self._prefix(index), *self.command(index)], stdout=log, stderr=log
            )

    def start_all(self) -> None:
        """Start every member and wait until they serve."""
        for index in range(len(self.processes)):
            self.start(index)
        self.wait_ready()

    def is_healthy(self, index: int) -> bool:
        """Whether a member serves with a leader, as seen from this network."""
        url = f"http://{self.figures[index]}/health"
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return b'"true"' in answer.read()
        except (OSError, urllib.error.URLError):
            return False

    def wait_ready(self) -> None:
        """Until every running member serves."""
        give_up_at = time.monotonic() + ETCD_READY_SECONDS_MAX
        for index, process in enumerate(self.processes):
            while process is not None and not self.is_healthy(index):
                if process.poll() is not None:
                    log = (self.folder / f"etcd{index + 1}.log").read_text(errors="replace")
                    raise RuntimeError(f"etcd ended:\n{log[-3000:]}")
                if time.monotonic() > give_up_at:
                    raise TimeoutError(f"etcd member {index} is not healthy")
                time.sleep(0.05)

    def leader(self) -> int:
        """Index of the leader, by the members' metrics."""
        give_up_at = time.monotonic() + ETCD_READY_SECONDS_MAX
        while time.monotonic() < give_up_at:
            for index, process in enumerate(self.processes):
                if process is None:
                    continue
                url = f"http://{self.figures[index]}/metrics"
                with (
                    contextlib.suppress(OSError, urllib.error.URLError),
                    urllib.request.urlopen(url, timeout=1) as answer,
                ):
                    if b"\netcd_server_is_leader 1\n" in answer.read():
                        return index
            time.sleep(0.05)
        raise TimeoutError("no leader")

    def signal(self, index: int, number: signal.Signals) -> None:
        """Send a member a signal: SIGSTOP hangs it, SIGCONT lets it go on."""
        process = self.processes[index]
        assert process is not None
        process.send_signal(number)

    def kill(self, index: int) -> None:
        """SIGKILL, and wait for the end."""
        process = self.processes[index]
        if process is not None:
            process.kill()
            process.wait()
            self.processes[index] = None

    def close(self) -> None:
        """Kill all and remove their data."""
        for index in range(len(self.processes)):
            self.kill(index)
            shutil.rmtree(self.folder / f"etcd{index + 1}", ignore_errors=True)


@pytest.fixture(scope="session")
def start_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., EtcdCluster]]:
    """`start_etcd(count=3, **options)`: a fresh running etcd, gone at the end of the session.

    Close it yourself when it is not needed any more: three members take 100 MiB.
    """
    if shutil.which("etcd") is None:
        pytest.skip("etcd is not installed (Debian: apt-get install etcd-server)")
    started: list[EtcdCluster] = []

    def start(count: int = 3, **options: object) -> EtcdCluster:
        cluster = EtcdCluster(tmp_path_factory.mktemp("etcd"), count, **options)
        started.append(cluster)
        cluster.start_all()
        return cluster

    yield start
    for cluster in started:
        cluster.close()


@pytest.fixture(scope="session")
def etcd(start_etcd: Callable[..., EtcdCluster]) -> EtcdCluster:
    """Three members for tests that do them no harm; give each test a prefix of its own."""
    return start_etcd()


@pytest.fixture
def hurt_etcd(start_etcd: Callable[..., EtcdCluster]) -> Iterator[EtcdCluster]:
    """Three members of one test's own, to be killed and stopped."""
    cluster = start_etcd()
    yield cluster
    cluster.close()
