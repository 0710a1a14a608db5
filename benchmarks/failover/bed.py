"""A running cluster with everything that looks at it: clients, prober, operator.

`Bed` is synchronous: it does one thing after the other, as an operator would. What must not wait
for it (clients, prober) are processes of their own that write records.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from benchmarks.failover.cluster import REPOSITORY, Cluster, Settings
from benchmarks.failover.network import BedError, remove_forsaken
from benchmarks.failover.record import Event, FsSighting, Sighting, Verdict, load
from benchmarks.failover.views import Desk, bad_filesystems, compare, until_equal
from benchmarks.failover.xrdcp import COPY_SECONDS_MAX, QUICK
from thesan.core.model.errors import ThesanError
from thesan.worlds.real import library

_T = TypeVar("_T")

WHOLE_SECONDS_MAX = 60.0
"""Time for a cluster to be whole again by itself; then somebody had to go there."""
CLIENTS_READY_SECONDS_MAX = 60.0
VERDICT_SECONDS_MAX = 180.0
XRDCP_LOOPS = 2
POLL_SECONDS = 0.05
STACKS_SECONDS = 0.5
"""Time for a daemon to write down its stacks."""
_TAIL = 3000
"""Characters of a log that an error carries."""
WORLD_WRITABLE = 0o777
"""xrdcp comes as a user of another host, whom the instance takes for nobody."""


@dataclass
class Clients:
    """Client processes of one run, and where their records are."""

    lanes: "subprocess.Popen[str]"
    record: Path

    def events(self) -> list[Event]:
        """What the lanes saw so far."""
        return _events(self.record)


def _events(path: Path) -> list[Event]:
    return [e for e in load(path, Event) if isinstance(e, Event)] if path.exists() else []


class Bed:
    """`with bed(root) as b:` gives a whole cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.network = cluster.network
        self._runner = asyncio.Runner()
        self._prober: subprocess.Popen[str] | None = None
        self._spawned: list[subprocess.Popen[str]] = []
        self._xrdcp: list[tuple[subprocess.Popen[str], Path]] = []
        self._looked_at = 0.0
        self.last_broken = ""
        self.sight_record = cluster.root / "sightings.jsonl"
        self.fs_record = cluster.root / "filesystems.jsonl"
        login = library.login_settings(keytab=str(cluster.keytab))
        self.desk = Desk({host: cluster.mgm_address(host) for host in cluster.mgms}, login)

    # -- asking ----------------------------------------------------------------------------------
    def ask(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something at the operator's desk."""
        with self.network.inside("o1"):
            return self._runner.run(work)

    def cli(self, *words: str, seconds_max: float = 30.0) -> str:
        """Output of a `thesan` command, typed at the operator's desk. BedError when it fails."""
        argv = self.network.argv("o1", [sys.executable, "-m", "thesan", *words])
        environment = {"THESAN_MGM_URL": self.cluster.url, "THESAN_KEYTAB": self.cluster.keytab}
        done = subprocess.run(
            argv,
            env={**_environment(), **{key: str(value) for key, value in environment.items()}},
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds_max,
        )
        if done.returncode != 0:
            raise BedError(f"thesan {' '.join(words)}: {done.returncode}: {done.stderr[-500:]}")
        return done.stdout

    def until(self, condition: Callable[[], object], what: str, seconds_max: float) -> None:
        """Wait for a condition; BedError that names it."""
        deadline = time.monotonic() + seconds_max
        while not condition():
            if time.monotonic() > deadline:
                raise BedError(f"not so after {seconds_max:.0f} s: {what}")
            time.sleep(POLL_SECONDS)

    def master(self) -> str:
        """Host that serves as master now; empty when none or several do."""

        async def look() -> str:
            sights = [await self.desk.sight(host) for host in self.cluster.mgms]
            serving = [one.host for one in sights if one.role == "master"]
            return serving[0] if len(serving) == 1 else ""

        return self.ask(look())

    def wait_master(self, seconds_max: float = WHOLE_SECONDS_MAX) -> str:
        """Wait for exactly one master."""
        found = ""

        def one() -> bool:
            nonlocal found
            found = self.master()
            return bool(found)

        self.until(one, "one MGM serves as master", seconds_max)
        return found

    def broken(self) -> str:
        """What keeps the cluster from being whole; empty when nothing does."""
        etcd = self.cluster.etcd
        if etcd is not None and not etcd.leader():
            return "the engine has no leader"
        return self.ask(self._broken())

    async def _broken(self) -> str:
        mgms = self.cluster.mgms
        wanted = len(self.cluster.fsts) * 2
        sights = [await self.desk.sight(host) for host in mgms]
        serving = [one.host for one in sights if one.role == "master"]
        if len(serving) != 1:
            return f"masters: {serving}, {[(s.host, s.role, s.text) for s in sights]}"
        for host in mgms:
            try:
                records = (await self.desk.admin(host, "fs", "ls")).records
            except (ThesanError, OSError) as error:
                return f"{host} has no fs ls: {error}"
            if bad := bad_filesystems(records):
                return f"{host} says {bad}"
            if len(records) != wanted:
                return f"{host} knows {len(records)} of {wanted} filesystems"
        different = await compare(self.desk, mgms)
        return f"views differ: {different}" if different else ""

    def wait_whole(self, seconds_max: float = WHOLE_SECONDS_MAX) -> float:
        """Wait until one MGM leads, all answer alike, all filesystems are up; the seconds.
        `last_broken` is what was missing last."""
        began = time.monotonic()
        why = self.last_broken = ""
        while time.monotonic() - began < seconds_max:
            why = self.broken()
            if not why:
                return time.monotonic() - began
            self.last_broken = why
            time.sleep(POLL_SECONDS)
        raise BedError(
            f"the cluster is not whole after {seconds_max:.0f} s: {why}\n{self._evidence()}"
        )

    def _evidence(self) -> str:
        """What the MGMs' hosts say of themselves, for who reads this after the bed is gone."""
        cluster = self.cluster
        lines = []
        for host in cluster.mgms:
            with contextlib.suppress(BedError):
                cluster.signal(host, "mgm", signal.SIGUSR1)  # Its threads tell where they are.
        time.sleep(STACKS_SECONDS)
        for host in cluster.mgms:
            lines.append(f"{host}: {cluster.state(host, 'mgm')}")
            for name in ("mgm", "supervisor"):
                text = cluster.log(host, name)[-_TAIL:]
                lines += [f"{host} {name}: {line}" for line in text.splitlines()]
        return "\n".join(lines)

    def equal_views(
        self, hosts: Sequence[str], seconds_max: float, *, at_rest: bool = False
    ) -> tuple[float, str]:
        """(seconds until all admin views of these MGMs were the same, what still differs)."""
        return self.ask(until_equal(self.desk, hosts, seconds_max, at_rest=at_rest))

    def switches(self) -> list[dict[str, Any]]:
        """Every switch that the instance remembers, newest first."""
        master = self.wait_master()
        return self.ask(self.desk.admin(master, "ns", "master", history=True)).records

    # -- records ---------------------------------------------------------------------------------
    def sightings(self) -> list[Sighting]:
        """What the prober saw of the MGMs."""
        return [s for s in load(self.sight_record, Sighting) if isinstance(s, Sighting)]

    def fs_sightings(self) -> list[FsSighting]:
        """What the prober saw of the filesystems."""
        return [s for s in load(self.fs_record, FsSighting) if isinstance(s, FsSighting)]

    # -- clients ---------------------------------------------------------------------------------
    def start_prober(self) -> None:
        """From now on somebody looks at every MGM ten times a second."""
        places = ",".join(f"{h}={self.cluster.mgm_address(h)}" for h in self.cluster.mgms)
        words = [sys.executable, "-m", "benchmarks.failover.prober", places]
        words += [str(self.sight_record), str(self.fs_record), str(self.cluster.keytab)]
        self._prober = self._spawn("o1", words, self.cluster.root / "prober.log")
        self._expect(self._prober, "ready", "the prober starts", self.cluster.root / "prober.log")

    def configure(self) -> None:
        """Two replicas of each file, and a place where everybody may write."""

        master = self.wait_master()

        async def work() -> None:
            for key, value in (("policy.layout", "replica"), ("policy.nstripes", "2")):
                await self.desk.admin(
                    master, "space", "config", space="default", key=key, value=value
                )

        if len(self.cluster.fsts) > 1:
            self.ask(work())

    def start_clients(self, name: str, *, rate: float = 20.0) -> Clients:
        """Lanes in a directory of their own; returns when all of them work."""
        root = self.cluster.root / "clients" / name
        root.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "benchmarks.failover.lanes", self.cluster.url]
        words += [f"/{name}", str(root / "lanes.jsonl"), str(self.cluster.keytab), str(rate)]
        clients = Clients(self._spawn("c1", words, root / "lanes.log"), root / "lanes.jsonl")
        try:
            self._expect(clients.lanes, "ready", "the lanes work", root / "lanes.log")
        except BedError as error:
            seen = _tail(clients.record)
            raise BedError(f"{error}\nlanes: {seen}\n{self._evidence()}") from None
        return clients

    def start_xrdcp(self, count: int = XRDCP_LOOPS) -> None:
        """Loops of xrdcp that go on over all runs: after the loss of a host, XRootD's client may
        sleep for its whole connection window (120 s), and no run shall wait for that."""
        addresses = ",".join(self.cluster.mgm_address(host) for host in self.cluster.mgms)
        for number in range(count):
            name = f"xrdcp{number}"
            root = self.cluster.root / "clients" / name
            root.mkdir(parents=True, exist_ok=True)
            self.ask(self._open_to_all(f"/{name}"))
            words = [sys.executable, "-m", "benchmarks.failover.xrdcp", addresses]
            words += [f"/{name}", str(root / "events.jsonl"), str(root / "work")]
            if number:
                words += QUICK  # the first loop has the settings that XRootD comes with
            process = self._spawn("c1", words, root / "loop.log")
            self._xrdcp.append((process, root / "events.jsonl"))
        for process, record in self._xrdcp:
            self._expect(process, "ready", "xrdcp works", record.with_name("loop.log"))

    def new_xrdcp_events(self) -> list[Event]:
        """What xrdcp saw since this was asked the last time."""
        since, self._looked_at = self._looked_at, time.monotonic()
        return [
            event
            for _, record in self._xrdcp
            for event in _events(record)
            if since < event.ended <= self._looked_at
        ]

    def stop_xrdcp(self) -> list[Event]:
        """End the loops after the copies under way; what they saw since they were asked last."""
        for process, _ in self._xrdcp:
            _tell(process)
        for process, _ in self._xrdcp:
            process.wait(COPY_SECONDS_MAX + 10)
        return self.new_xrdcp_events()

    async def _open_to_all(self, path: str) -> None:
        async with library.connect(
            self.cluster.url, keytab=str(self.cluster.keytab), patience_seconds=30.0
        ) as fs:
            await fs.mkdir(path)
            await fs.chmod(path, WORLD_WRITABLE)

    def stop_clients(self, clients: Clients) -> Verdict:
        """End them after what is under way, read everything back, judge."""
        _tell(clients.lanes)
        log = clients.record.with_name("lanes.log")
        line = self._line(clients.lanes, "the verdict", VERDICT_SECONDS_MAX, log)
        verdict = msgspec.convert(json.loads(line), type=Verdict)
        clients.lanes.wait(VERDICT_SECONDS_MAX)
        return verdict

    def _spawn(self, host: str, words: Sequence[str], log: Path) -> "subprocess.Popen[str]":
        process = self.cluster.spawn(host, words, log)
        self._spawned.append(process)
        return process

    def _expect(self, process: "subprocess.Popen[str]", word: str, what: str, log: Path) -> None:
        line = self._line(process, what, CLIENTS_READY_SECONDS_MAX, log)
        if line != word:
            raise BedError(f"{what}: said {line!r}; {_tail(log)}")

    def _line(
        self, process: "subprocess.Popen[str]", what: str, seconds_max: float, log: Path
    ) -> str:
        """Next line of a process within a deadline."""
        assert process.stdout is not None
        stream = process.stdout
        lines: list[str] = []

        async def read() -> None:
            lines.append(await asyncio.to_thread(stream.readline))

        try:
            self._runner.run(_within(read(), seconds_max))
        except TimeoutError:
            process.kill()
            raise BedError(f"{what}: nothing after {seconds_max:.0f} s; {_tail(log)}") from None
        return lines[0].strip()

    def close(self) -> None:
        """End everything that was started here."""
        if self._prober is not None:
            _tell(self._prober)
        try:
            for process in self._spawned:
                if process is self._prober:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(5)
                process.kill()
                process.wait(5)
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        with contextlib.suppress(OSError):
                            stream.close()
        finally:
            try:
                self._runner.run(self._close_desk())
            finally:
                self._runner.close()

    async def _close_desk(self) -> None:
        self.desk.close()
        # Transports are closed in a later turn of the loop.
        await asyncio.sleep(POLL_SECONDS)


async def _within(work: Coroutine[Any, Any, None], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await work


def _tell(process: "subprocess.Popen[str]") -> None:
    """Say the word that ends it."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.write("stop\n")
        process.stdin.flush()


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-_TAIL:] if log.exists() else ""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


@contextlib.contextmanager
def bed(root: Path, settings: Settings | None = None, prefix: str = "") -> Iterator[Bed]:
    """A whole cluster below `root` with a prober; taken down at the end, records stay."""
    remove_forsaken()
    cluster = Cluster(root, settings or Settings(), prefix)
    try:
        cluster.start()
        one = Bed(cluster)
        try:
            one.wait_whole()
            one.configure()
            one.start_prober()
            yield one
        finally:
            one.close()
    finally:
        cluster.stop()
