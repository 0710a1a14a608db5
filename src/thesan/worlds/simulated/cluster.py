"""A whole instance in one loop: an MGM, FSTs with disks, clients; started, killed, started again.

Machines and what they hold (disks, the MGM's store, the journal service) outlive the daemons that
run on them. A daemon's exit never runs its `finally`: that is what kill -9 means.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final

from thesan.core.authority.keytab import Key, Keytab, format_keytab, make_keytab
from thesan.core.namespace.state import Namespace
from thesan.io.transport.client import LoginSettings
from thesan.io.transport.credentials import Method, keytab, unix
from thesan.ports.engine import Engine
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.url import Endpoint, Url
from thesan.roles.fst.config import FsSetting, FstConfig
from thesan.roles.fst.service import Fst
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.service import Mgm
from thesan.worlds.simulated.clients import LibraryCalls
from thesan.worlds.simulated.log import SimLog
from thesan.worlds.simulated.loop import SimLoop
from thesan.worlds.simulated.machine import Machine
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal, Weather
from thesan.worlds.simulated.memory_store import MemoryStore
from thesan.worlds.simulated.platter import Platter
from thesan.worlds.simulated.process import SimProcess
from thesan.worlds.simulated.workload import SHARED_DIRECTORY
from thesan.worlds.simulated.world import SimWorld

MGM: Final = "mgm1"
MGM_PORT: Final = 1094
FST_PORT: Final = 1095
ADMIN: Final = "admin"
PATIENCE_SECONDS: Final = 60.0
"""How long a client's call goes on trying; longer than any drawn fault and its recovery."""
PARTIAL_SECONDS: Final = 10.0
"""How long an FST keeps the upload of a client that vanished."""
JOURNAL_TROUBLE_SECONDS: Final = 15.0
"""A fault of the journal shows at most this long after it ended: deadlines of appends."""
POLL_SECONDS: Final = 0.25
"""Between two looks at whether everything is up."""


@dataclass(frozen=True)
class Shape:
    """How many of what."""

    fst_count: int = 3
    disk_count: int = 2
    """Filesystems of each FST."""
    client_count: int = 3
    replica_count: int = 2


class Cluster:
    """One instance."""

    def __init__(self, loop: SimLoop, shape: Shape) -> None:
        self.loop = loop
        self.shape = shape
        self.mgm_name = MGM
        self.fst_names = tuple(f"fst{number + 1}" for number in range(shape.fst_count))
        self.client_names = tuple(f"client{number + 1}" for number in range(shape.client_count))
        paths = tuple(f"/disk{number + 1}" for number in range(shape.disk_count))
        self.disk_paths = dict.fromkeys(self.fst_names, paths)
        self.journal = MemoryJournal()
        self.mgm: Mgm | None = None
        """The MGM that runs now."""
        self.fsts: dict[str, Fst] = {}
        self.on_client_restart: Callable[[str], None] | None = None
        """Told when a killed client runs again, so that its work can go on."""
        self._dice = random.Random(f"{loop.seed} cluster")
        self._weather = Weather(
            latency_seconds_min=0.0005, latency_seconds_max=0.003, silence_seconds=1.0
        )
        self._journal_trouble_until = 0.0
        self._store = MemoryStore()
        self._keys = _keytab(loop.seed)
        self._processes: dict[str, SimProcess] = {}
        self._calls: dict[str, LibraryCalls] = {}
        for name in self.fst_names:
            for path in paths:
                self.machine(name).mount(path)

    # -- life ----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Everything runs, two replicas are the rule, clients may log in by name."""
        self._run_mgm()
        for name in self.fst_names:
            self._run_fst(name)
        for name in (*self.client_names, ADMIN):
            self._run_client(name)
        await self.loop.start(self._processes[ADMIN], self._configure(), "configure")
        await self.settle()

    async def _configure(self) -> None:
        admin = self._calls[ADMIN].filesystem
        await admin.admin("space", "define", space="default")
        for key, value in (("layout", "replica"), ("nstripes", str(self.shape.replica_count))):
            await admin.admin("space", "config", space="default", key=f"policy.{key}", value=value)
        await admin.admin("vid", "enable", prot="unix")
        for path in ("/", SHARED_DIRECTORY):
            if path != "/":
                await admin.mkdir(path)
            await admin.chmod(path, 0o777)

    async def settle(self) -> None:
        """Wait until every daemon runs and the MGM sees every filesystem booted."""
        for name in (self.mgm_name, *self.fst_names):
            if not self._processes[name].alive:
                await self.restart(name)
        # The state is the instance's own: nobody could set an Event for it.
        while not await self._is_whole():  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)

    async def _is_whole(self) -> bool:
        admin = self._calls[ADMIN].filesystem
        work = admin.admin("fs", "ls")
        records = (await self.loop.start(self._processes[ADMIN], work, "fs ls")).records
        for record in records:
            if record.get("stat.boot") in ("opserror", "bootfailure"):
                again = admin.admin("fs", "boot", fs=str(record["id"]))
                await self.loop.start(self._processes[ADMIN], again, "fs boot")
        booted = [record for record in records if record.get("stat.boot") == "booted"]
        active = [record for record in booted if record.get("stat.active") == "online"]
        return len(active) == self.shape.fst_count * self.shape.disk_count

    async def restart(self, machine: str) -> None:
        """Start the daemon of a machine again, if it does not run."""
        process = self._processes.get(machine)
        if process is not None and process.alive:
            return
        if machine == self.mgm_name:
            self._store = self._store.crash(self._dice.randint(0, self._store.unflushed_count))
            self._run_mgm()
        elif machine in self.fst_names:
            self._run_fst(machine)
        else:
            self._run_client(machine)
            if self.on_client_restart is not None:
                self.on_client_restart(machine)

    def _run_mgm(self) -> None:
        process = self.loop.network.process(self.mgm_name, "mgm")
        self._processes[self.mgm_name] = process
        world = SimWorld(self.loop, process, SimLog(self.loop, process, self._excuses))
        config = MgmConfig(
            host=process.machine.address,
            port=MGM_PORT,
            advertise=f"{self.mgm_name}:{MGM_PORT}",
            keytab=format_keytab(self._keys).decode(),
        )
        dice = random.Random(f"{self.loop.seed} engine {process.number}")
        engine: Engine = MemoryEngine(self.journal, dice, self._weather)
        store = self._store

        async def flush() -> None:
            await asyncio.get_running_loop().run_in_executor(None, store.flush)

        mgm = self.mgm = Mgm(world, config, engine, store, flush)
        self._start(process, mgm.start(), "mgm")

    def _run_fst(self, name: str) -> None:
        process = self.loop.network.process(name, "fst")
        self._processes[name] = process
        world = SimWorld(self.loop, process)
        config = FstConfig(
            host=process.machine.address,
            port=FST_PORT,
            advertise=f"{name}:{FST_PORT}",
            mgms=(f"{self.mgm_name}:{MGM_PORT}",),
            keytab=format_keytab(self._keys).decode(),
            filesystems=tuple(FsSetting(path) for path in self.disk_paths[name]),
            partial_seconds=PARTIAL_SECONDS,
        )
        fst = self.fsts[name] = Fst(config, world)
        self._start(process, fst.start(), "fst")

    def _run_client(self, name: str) -> None:
        process = self.loop.network.process(name, "client")
        self._processes[name] = process
        world = SimWorld(self.loop, process)
        self._calls[name] = LibraryCalls(world, self._url(), self._client_config(name, world))

    def _start(self, process: SimProcess, work: Coroutine[Any, Any, None], name: str) -> None:
        """The first task of a daemon; its failure is a failure of the run."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                text = f"{process!r} did not start: {task.exception()!r}"
                self.loop.trace.failure(self.loop.time(), process, text)

        self.loop.start(process, work, name).add_done_callback(ended, context=process.context)

    # -- clients -------------------------------------------------------------------------------
    def calls(self, name: str) -> LibraryCalls:
        """The client library of a client."""
        return self._calls[name]

    def client_process(self, name: str) -> SimProcess:
        """Where that client runs."""
        return self._processes[name]

    def _url(self) -> Url:
        return Url((Endpoint(self.mgm_name, MGM_PORT),))

    def _client_config(self, name: str, world: SimWorld) -> ClientConfig:
        if name == ADMIN:
            proof: Method = keytab(
                self._keys, "admin", ADMIN, entropy=world.entropy, clock=world.clock
            )
        else:
            proof = unix("alice", "alice")
        login = LoginSettings("alice", 1, "simulation", (proof,))
        return ClientConfig(
            login,
            patience_seconds=PATIENCE_SECONDS,
            chunk_bytes=32768,
            page_checksums=self._dice.random() < 0.5,
        )

    # -- for the nemesis -------------------------------------------------------------------------
    def process_of(self, machine: str) -> SimProcess | None:
        """The daemon that runs there now."""
        process = self._processes.get(machine)
        return process if process is not None and process.alive else None

    def machine(self, name: str) -> Machine:
        """A machine by name."""
        return self.loop.network.machine(name)

    def crash_disks(self, machine: str) -> None:
        """Lose what a power cut loses."""
        for platter in self.machine(machine).platters.values():
            platter.crash(self._dice)

    def trouble_journal(self, share: float) -> None:
        """That share of journal calls gets a fault."""
        self._weather.fault_chance = share
        self._journal_trouble_until = self.loop.time() + JOURNAL_TROUBLE_SECONDS

    def _excuses(self, event: str, fields: dict[str, object]) -> bool:
        """An MGM may complain of a journal that we trouble."""
        has_trouble = self._weather.fault_chance or self.loop.time() < self._journal_trouble_until
        return bool(has_trouble) and event in ("can't become master", "mastership lost")

    # -- for the checkers ------------------------------------------------------------------------
    def platters(self) -> Iterator[Platter]:
        """Every disk of every FST."""
        for name in self.fst_names:
            yield from self.machine(name).platters.values()

    def live_namespace(self) -> Namespace | None:
        """The running master's own, None when there is no master."""
        master = self.mgm.master if self.mgm is not None else None
        return master.namespace if master is not None else None


def _keytab(seed: str) -> Keytab:
    secret = random.Random(f"{seed} keytab").randbytes(32)
    return make_keytab([Key(1, secret, created_s=1)])
