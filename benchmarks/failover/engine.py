"""etcd members on the hosts of a bed: started, killed and asked by this process.

Asked through etcd's own JSON gateway with the standard library, so that what watches the engine
shares no line with thesan's client of it.
"""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.failover.network import BedError, Network

CLIENT_PORT = 2379
PEER_PORT = 2380
PORTS = (CLIENT_PORT, PEER_PORT)
ASK_SECONDS_MAX = 1.0
START_SECONDS_MAX = 30.0
POLL_SECONDS = 0.05
FLAGS = (
    *("--heartbeat-interval", "50", "--election-timeout", "500", "--pre-vote"),
    *("--snapshot-count", "1000", "--experimental-initial-corrupt-check"),
    *("--grpc-keepalive-min-time", "500ms", "--log-level", "warn", "--logger", "zap"),
)
"""As the best practice for three MGMs says: election 0.5-1 s, not 1-2 s."""


def missing() -> str:
    """Why there is no etcd here; empty when there is one."""
    return "" if shutil.which("etcd") else "etcd is not installed (apt: etcd-server)"


class EtcdCluster:
    """One member on each of some hosts; data in `root`/<host>/etcd/data."""

    def __init__(self, network: Network, hosts: list[str], root: Path, operator: str) -> None:
        self.hosts = hosts
        self._network = network
        self._root = root
        self._operator = operator
        self._members: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def spec(self) -> str:
        """As thesan's `--journal` takes it."""
        return "etcd:" + ",".join(f"{self._network.address(h)}:{CLIENT_PORT}" for h in self.hosts)

    def directory(self, host: str) -> Path:
        """Data of a member."""
        return self._root / host / "etcd" / "data"

    def start(self, host: str) -> None:
        """Start a member with the data that it has."""
        self.reap(host)
        address = self._network.address(host)
        cluster = ",".join(f"{h}=http://{self._network.address(h)}:{PEER_PORT}" for h in self.hosts)
        argv = [
            *("etcd", "--name", host, "--data-dir", str(self.directory(host))),
            *("--listen-peer-urls", f"http://{address}:{PEER_PORT}"),
            *("--initial-advertise-peer-urls", f"http://{address}:{PEER_PORT}"),
            *("--listen-client-urls", f"http://{address}:{CLIENT_PORT}"),
            *("--advertise-client-urls", f"http://{address}:{CLIENT_PORT}"),
            *("--initial-cluster", cluster, "--initial-cluster-token", self._network.prefix),
            *("--initial-cluster-state", "new", *FLAGS),
        ]
        self.directory(host).mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._root / host / "etcd.log").open("ab") as log:
            self._members[host] = subprocess.Popen(
                self._network.argv(host, argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def pid(self, host: str) -> int:
        """Process of a member, 0 while it is down."""
        member = self._members.get(host)
        return member.pid if member is not None and member.poll() is None else 0

    def kill(self, host: str) -> None:
        """kill -9 of the member alone."""
        if member := self._members.get(host):
            member.kill()
            member.wait()

    def reap(self, host: str) -> None:
        """Take the exit status of a member whose host was killed."""
        if member := self._members.pop(host, None):
            member.wait(START_SECONDS_MAX)

    def leader(self) -> str:
        """Host of the leader that a majority names; empty when there is none."""
        named: dict[str, int] = {}
        for host in self.hosts:
            status = self._status(host)
            if status is not None and int(status.get("leader", 0)):
                leader = str(status["leader"])
                named[leader] = named.get(leader, 0) + 1
                if status["header"]["member_id"] == leader:
                    named[f"host of {leader}"] = self.hosts.index(host)
        for leader, count in named.items():
            if not leader.startswith("host of") and count > len(self.hosts) // 2:
                at = named.get(f"host of {leader}")
                return self.hosts[at] if at is not None else ""
        return ""

    def wait_healthy(self, seconds_max: float = START_SECONDS_MAX) -> str:
        """Wait until every member answers and one leads; its host."""
        deadline = time.monotonic() + seconds_max
        while True:
            statuses = [self._status(host) for host in self.hosts]
            if all(s is not None and int(s.get("leader", 0)) for s in statuses) and (
                leader := self.leader()
            ):
                return leader
            if time.monotonic() > deadline:
                down = [h for h, s in zip(self.hosts, statuses, strict=True) if s is None]
                raise BedError(f"etcd is not whole after {seconds_max} s; silent: {down}")
            time.sleep(POLL_SECONDS)

    def move_leader(self, host: str) -> None:
        """Make the member of `host` the leader."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while (leader := self.leader()) != host:
            status = self._status(host)
            if leader and status is not None:
                target = {"targetID": status["header"]["member_id"]}
                self._ask(leader, "/v3/maintenance/transfer-leadership", target)
            if time.monotonic() > deadline:
                raise BedError(f"etcd's leader does not move to {host}")
            time.sleep(POLL_SECONDS)

    def _status(self, host: str) -> dict[str, Any] | None:
        return self._ask(host, "/v3/maintenance/status", {})

    def _ask(self, host: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        url = f"http://{self._network.address(host)}:{CLIENT_PORT}{path}"
        request = urllib.request.Request(url, json.dumps(body).encode())
        try:
            with (
                self._network.inside(self._operator),
                urllib.request.urlopen(request, timeout=ASK_SECONDS_MAX) as answer,
            ):
                return dict(json.loads(answer.read()))
        except (OSError, urllib.error.URLError, ValueError):
            return None
