"""thesan on the hosts of a bed: h1 h2 h3 with MGM, etcd member and FST, h4 with an FST alone.

c1 is where clients run, o1 is the operator's desk, which no fault ever touches. Each host has a
`thesan supervise` that keeps its daemons up, as in production; the bed starts supervisors and etcd
members when a host is switched on, and nothing else: what a daemon needs beyond that it must do by
itself.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.failover import disks
from benchmarks.failover.engine import EtcdCluster
from benchmarks.failover.network import BedError, Network
from thesan.cli.demo.plan import is_alive
from thesan.cli.keytab import create_keytab
from thesan.cli.supervisor import DaemonSpec
from thesan.cli.supervisor_channel import DaemonState

MGM_HOSTS = ("h1", "h2", "h3")
FST_HOSTS = ("h1", "h2", "h3", "h4")
HOSTS = {"h1": 11, "h2": 12, "h3": 13, "h4": 14, "c1": 31, "o1": 41}
MGM_PORT = 1094
FST_PORT = 1095
FS_PER_FST = 2
STOP_SECONDS_MAX = 10.0
DISK_MIB = 400
"""etcd allocates its log in pieces of 64 MiB."""
POLL_SECONDS = 0.02
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Settings:
    """What a bed is made of."""

    engine: str = "etcd"
    """etcd, or sqlite: one MGM on h1, for what needs no second host."""
    fsts: tuple[str, ...] = FST_HOSTS
    extra_mgm: tuple[str, ...] = ()
    """More arguments for every MGM."""
    environment: dict[str, dict[str, str]] = field(default_factory=dict)
    """host -> variables of its daemons."""
    disks: tuple[str, ...] = ()
    """`host/directory`, such as `h1/etcd`, `h1/mgm`, `h4/fs1`: on an ext4 of its own, which may be
    slowed down, filled up, or lose its power."""


class Cluster:
    """The hosts with all that runs on them."""

    def __init__(self, root: Path, settings: Settings, prefix: str = "") -> None:
        self.root = root
        self.settings = settings
        self.network = Network(HOSTS, prefix)
        self.mgms = list(MGM_HOSTS) if settings.engine == "etcd" else ["h1"]
        self.fsts = list(settings.fsts)
        self.etcd = (
            EtcdCluster(self.network, list(MGM_HOSTS), root, "o1")
            if settings.engine == "etcd"
            else None
        )
        self.keytab = root / "keytab"
        self._supervisors: dict[str, subprocess.Popen[bytes]] = {}
        self.disks: dict[str, disks.Disk] = {}
        self._mounts = contextlib.ExitStack()

    # -- names -----------------------------------------------------------------------------------
    @property
    def hosts(self) -> list[str]:
        """Hosts with daemons."""
        return sorted({*self.mgms, *self.fsts})

    def mgm_address(self, host: str) -> str:
        """`host:port` of an MGM."""
        return f"{self.network.address(host)}:{MGM_PORT}"

    def fst_address(self, host: str) -> str:
        """`host:port` of an FST."""
        return f"{self.network.address(host)}:{FST_PORT}"

    def host_of(self, address: str) -> str:
        """Host of a `host:port`; empty for one that is not ours."""
        ip = address.rpartition(":")[0]
        return next((h for h in HOSTS if self.network.address(h) == ip), "")

    @property
    def url(self) -> str:
        """What clients connect to."""
        return "root://" + ",".join(self.mgm_address(host) for host in self.mgms) + "/"

    def directory(self, host: str) -> Path:
        """All that a host has on its disks."""
        return self.root / host

    # -- life ------------------------------------------------------------------------------------
    def start(self) -> None:
        """Everything on. Returns when the engine is whole; daemons come up meanwhile."""
        self.root.mkdir(parents=True, exist_ok=True)
        create_keytab(self.keytab)
        self.network.up()
        for place in self.settings.disks:
            image = self.root / f"{place.replace('/', '-')}.ext4"
            disk = disks.ext4(image, self.root / place, DISK_MIB)
            self.disks[place] = self._mounts.enter_context(disk)
        for host in self.hosts:
            self._furnish(host)
        if self.etcd is not None:
            for host in self.etcd.hosts:
                self.etcd.start(host)
            self.etcd.wait_healthy()
        for host in self.hosts:
            self._start_supervisor(host)

    def stop(self) -> None:
        """Kill everything, remove the namespaces. The directory stays."""
        self.network.down()
        for host in list(self._supervisors):
            self._supervisors.pop(host).wait(STOP_SECONDS_MAX)
        if self.etcd is not None:
            for host in self.etcd.hosts:
                self.etcd.reap(host)
        self._mounts.close()
        if self.settings.environment:
            _sweep_faketime()

    def destroy(self) -> None:
        """Stop, and remove the directory."""
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def switch_on(self, host: str) -> None:
        """Power for a host that was killed: cable in, and what its init system starts."""
        self.network.plug(host)
        if self.etcd is not None and host in self.etcd.hosts:
            self.etcd.start(host)
        if supervisor := self._supervisors.pop(host, None):
            supervisor.wait(STOP_SECONDS_MAX)
        self._start_supervisor(host)

    def _furnish(self, host: str) -> None:
        directory = self.directory(host)
        directory.mkdir(parents=True, exist_ok=True)
        specs = self._specs(host)
        (directory / "daemons.json").write_bytes(msgspec.json.encode(specs))
        for number in range(1, FS_PER_FST + 1):
            (directory / f"fs{number}").mkdir(exist_ok=True)

    def _specs(self, host: str) -> list[DaemonSpec]:
        directory, address = self.directory(host), self.network.address(host)
        specs = []
        if host in self.mgms:
            journal = self.etcd.spec if self.etcd else f"sqlite:{directory}/journal.db"
            members = ",".join(self.mgm_address(one) for one in self.mgms)
            argv = [
                *("daemon", "run", "mgm", "--address", self.mgm_address(host)),
                *("--data", str(directory / "mgm"), "--journal", journal),
                *("--keytab", str(self.keytab), "--instance", "bed", "--members", members),
                *self.settings.extra_mgm,
            ]
            log = str(directory / "mgm.log")
            specs.append(DaemonSpec("mgm", "mgm", address, MGM_PORT, argv, log))
        if host in self.fsts:
            argv = [
                *("daemon", "run", "fst", "--address", self.fst_address(host), "--mgm", self.url),
                *("--keytab", str(self.keytab), "--geotag", f"bed::{host}"),
            ]
            for number in range(1, FS_PER_FST + 1):
                argv += ["--fs", f"{directory}/fs{number}:default"]
            log = str(directory / "fst.log")
            specs.append(DaemonSpec("fst", "fst", address, FST_PORT, argv, log))
        return specs

    def _start_supervisor(self, host: str) -> None:
        directory = self.directory(host)
        (directory / "state.json").unlink(missing_ok=True)
        words = [sys.executable, "-m", "thesan", "supervise"]
        words += [str(directory / "daemons.json"), str(directory / "state.json")]
        with (directory / "supervisor.log").open("ab") as log:
            self._supervisors[host] = subprocess.Popen(
                self.network.argv(host, words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.settings.environment.get(host, {})},
                start_new_session=True,
            )

    # -- daemons ---------------------------------------------------------------------------------
    def state(self, host: str, role: str) -> DaemonState | None:
        """What the host's supervisor says of its MGM or FST."""
        try:
            text = (self.directory(host) / "state.json").read_text(encoding="utf-8")
            states = msgspec.convert(json.loads(text)["daemons"], type=list[DaemonState])
        except (OSError, ValueError):
            return None
        return next((state for state in states if state.role == role), None)

    def pid(self, host: str, role: str) -> int:
        """Process of a daemon, 0 while it is down."""
        state = self.state(host, role)
        return state.pid if state is not None and is_alive(state.pid) else 0

    def restarts(self) -> dict[str, int]:
        """Restarts of every daemon under its present supervisor, by `host role`."""
        found = {}
        for host in self.hosts:
            for role in ("mgm", "fst"):
                if state := self.state(host, role):
                    found[f"{host} {role}"] = state.restarts
        return found

    def signal(self, host: str, role: str, number: signal.Signals) -> int:
        """Send a signal to a daemon; its pid. BedError when it is down."""
        pid = self.pid(host, role)
        if not pid:
            raise BedError(f"{role} of {host} is down already")
        os.kill(pid, number)
        return pid

    def wait_started(self, hosts: Sequence[str] = (), seconds_max: float = 30.0) -> None:
        """Wait until every daemon of these hosts (all) has a process."""
        deadline = time.monotonic() + seconds_max
        for host in hosts or self.hosts:
            for role in self.roles(host):
                while not self.pid(host, role):
                    if time.monotonic() > deadline:
                        raise BedError(f"{role} of {host} is not up after {seconds_max} s")
                    time.sleep(POLL_SECONDS)

    def roles(self, host: str) -> list[str]:
        """Daemons of a host."""
        return [role for role, at in (("mgm", self.mgms), ("fst", self.fsts)) if host in at]

    def spawn(
        self, host: str, words: Sequence[str], log: Path, environment: dict[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """A client process on a host, with pipes for standard input and output."""
        with log.open("ab") as errors:
            return subprocess.Popen(
                self.network.argv(host, words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=REPOSITORY,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    # -- logs ------------------------------------------------------------------------------------
    def log(self, host: str, name: str) -> str:
        """Text of `<name>.log` of a host: mgm, fst, supervisor, etcd."""
        path = self.directory(host) / f"{name}.log"
        with contextlib.suppress(OSError):
            return path.read_text(encoding="utf-8", errors="replace")
        return ""

    def crashes(self) -> list[str]:
        """What a daemon that met something unforeseen left in its log."""
        found = []
        for host in self.hosts:
            for role in self.roles(host):
                text = self.log(host, role)
                at = min((text.find(w) for w in CRASH_WORDS if w in text), default=-1)
                if at >= 0:
                    found.append(f"{host} {role}: {text[max(0, at - 300) : at + 1500]}")
        return found


def _sweep_faketime() -> None:
    """libfaketime leaves shared memory behind when its process is killed."""
    for path in Path("/dev/shm").glob("*faketime_*"):
        pid = path.name.rpartition("_")[2]
        if pid.isdigit() and not is_alive(int(pid)):
            path.unlink(missing_ok=True)


CRASH_WORDS = ("Traceback", "unhandled", "task failed")
"""Words that no log of a sound daemon has."""
