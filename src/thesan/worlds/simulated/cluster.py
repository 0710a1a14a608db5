"""A whole instance in one loop: MGMs, FSTs with disks, clients; started, killed, started again.

Machines and what they hold (disks, an MGM's store, the journal service) outlive the daemons that
run on them. A daemon's exit never runs its `finally`: that is what kill -9 means.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final

from thesan.core.authority.keytab import Key, Keytab, format_keytab, make_keytab
from thesan.core.control.messages import AdminReply
from thesan.core.leadership.records import (
    HISTORY_SECTION,
    StoryRecord,
    decode_leadership,
    story_key,
)
from thesan.core.model.errors import OperationError
from thesan.core.model.ids import Seq
from thesan.core.model.units import KIB
from thesan.core.namespace import queries
from thesan.core.namespace.state import Namespace
from thesan.io.journal.archive import ArchiveSettings
from thesan.io.transport.client import LoginSettings
from thesan.io.transport.credentials import Method, keytab, unix
from thesan.ports.engine import Engine
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.url import Endpoint, Url
from thesan.roles.fst.config import FsSetting, FstConfig
from thesan.roles.fst.service import Fst
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.data import MgmData
from thesan.roles.mgm.master import Master
from thesan.roles.mgm.service import Mgm
from thesan.worlds.simulated.atlas import Fault
from thesan.worlds.simulated.clients import LibraryCalls
from thesan.worlds.simulated.fault_log import FaultLog
from thesan.worlds.simulated.log import SimLog
from thesan.worlds.simulated.loop import START_SECONDS, SimLoop
from thesan.worlds.simulated.machine import Machine
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal, Weather
from thesan.worlds.simulated.memory_home import MemoryHome, Shelf
from thesan.worlds.simulated.memory_store import MemoryStore
from thesan.worlds.simulated.pacemaker import SimPacemaker
from thesan.worlds.simulated.platter import Platter
from thesan.worlds.simulated.process import SimProcess
from thesan.worlds.simulated.shared import SHARED_DIRECTORY, SHARED_MARKS
from thesan.worlds.simulated.views import VIEWS, Records
from thesan.worlds.simulated.watchman import EpochWitness, Reign
from thesan.worlds.simulated.world import SimWorld

MGM_PORT: Final = 1094
FST_PORT: Final = 1095
DATA: Final = "/data"
"""Where an MGM's disk is mounted."""
ARCHIVE: Final = ArchiveSettings(
    segment_bytes=64 * KIB, segment_seconds=5.0, block_bytes=16 * KIB, block_seconds=0.3
)
"""Small segments: a run of a minute closes many, and trims behind them."""
ADMIN: Final = "admin"
PATIENCE_SECONDS: Final = 60.0
"""How long a client's call goes on trying; longer than any drawn fault and its recovery."""
PARTIAL_SECONDS: Final = 10.0
"""How long an FST keeps the upload of a client that vanished."""
ENGINE_SILENCE_SECONDS: Final = 1.5
"""Deadline of an engine call: half a second at each of three members."""
ENGINE_LATE_SECONDS: Final = 2.5
"""A late request lands when another MGM may have taken over."""
_NO_LOAD: Final = (0.0, 0.0, 0.0)
DRIFT_MAX: Final = 0.02
"""How much a monotonic clock may be too fast or too slow."""
POLL_SECONDS: Final = 0.25
"""Between two looks at whether everything is up."""


@dataclass(frozen=True)
class Shape:
    """How many of what."""

    mgm_count: int = 3
    fst_count: int = 3
    disk_count: int = 2
    """Filesystems of each FST."""
    client_count: int = 3
    replica_count: int = 2
    drift: bool = False
    """Monotonic clocks run at rates of their own."""
    failover: str = "normal"
    """How fast the MGMs notice a lost master: core.leadership.timing."""


class Cluster:
    """One instance."""

    def __init__(self, loop: SimLoop, shape: Shape) -> None:
        self.loop = loop
        self.shape = shape
        self.mgm_names = tuple(f"mgm{number + 1}" for number in range(shape.mgm_count))
        self.fst_names = tuple(f"fst{number + 1}" for number in range(shape.fst_count))
        self.client_names = tuple(f"client{number + 1}" for number in range(shape.client_count))
        paths = tuple(f"/disk{number + 1}" for number in range(shape.disk_count))
        self.disk_paths = dict.fromkeys(self.fst_names, paths)
        self.journal = MemoryJournal()
        self.mgms: dict[str, Mgm] = {}
        """The MGMs that ran last, by machine."""
        self.fsts: dict[str, Fst] = {}
        self.on_client_restart: Callable[[str], None] | None = None
        """Told when a killed client runs again, so that its work can go on."""
        self._dice = random.Random(f"{loop.seed} cluster")
        self._weather = {
            name: Weather(
                latency_seconds_min=0.0005,
                latency_seconds_max=0.003,
                silence_seconds=ENGINE_SILENCE_SECONDS,
                member_seconds=ENGINE_SILENCE_SECONDS / 3,
                late_seconds=ENGINE_LATE_SECONDS,
            )
            for name in self.mgm_names
        }
        self._engine_cuts = dict.fromkeys(self.mgm_names, 0)
        self._shelves = {name: Shelf() for name in self.mgm_names}
        self._data: dict[str, MgmData] = {}
        """What each MGM keeps on its own disk, as its last process saw it."""
        self.log = FaultLog()
        """Faults as they really came."""
        self.witnesses: list[EpochWitness] = []
        """One beside each run of an FST."""
        self._kept_stores: dict[str, MemoryStore] = {}
        """What an MGM finds at its next start in place of its own."""
        self.keys = _keytab(loop.seed)
        """The keytab that a daemon finds at its next start."""
        if shape.drift:
            self._drift()
        self._processes: dict[str, SimProcess] = {}
        self._calls: dict[str, LibraryCalls] = {}
        self._views: dict[str, LibraryCalls] = {}
        """The administrator's, each at one MGM only."""
        for name in self.fst_names:
            for path in paths:
                self.machine(name).mount(path)
        for name in self.mgm_names:
            self.machine(name).mount(DATA)

    def _drift(self) -> None:
        dice = random.Random(f"{self.loop.seed} drift")
        for name in (*self.mgm_names, *self.fst_names, *self.client_names):
            self.loop.drift(self.machine(name), dice.uniform(1.0 - DRIFT_MAX, 1.0 + DRIFT_MAX))

    # -- life ----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Everything runs, two replicas are the rule, clients may log in by name."""
        for name in self.mgm_names:
            self._run_mgm(name)
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
        for path in ("/", SHARED_DIRECTORY, *SHARED_MARKS):
            if path != "/":
                await admin.mkdir(path)
            await admin.chmod(path, 0o777)

    async def settle(self) -> None:
        """Wait until every daemon runs and the MGM sees every filesystem booted."""
        for platter in self.platters():
            platter.faults.sync_failures = 0  # those that no fsync met
        for name in (*self.mgm_names, *self.fst_names):
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
        if machine in self.mgm_names:
            shelf = self._shelves[machine]
            shelf.crash(self._dice)
            shelf.current = self._kept_stores.pop(machine, shelf.current)
            self._run_mgm(machine)
        elif machine in self.fst_names:
            self._run_fst(machine)
        else:
            self._run_client(machine)
            if self.on_client_restart is not None:
                self.on_client_restart(machine)

    def _run_mgm(self, name: str) -> None:
        process = self.loop.network.process(name, "mgm")
        self._processes[name] = process
        world = SimWorld(self.loop, process, SimLog(self.loop, process, _excuses))
        config = MgmConfig(
            host=process.machine.address,
            port=MGM_PORT,
            advertise=f"{name}:{MGM_PORT}",
            mgms=self._mgm_addresses(),
            failover=self.shape.failover,
            keytab=format_keytab(self.keys).decode(),
        )
        dice = random.Random(f"{self.loop.seed} engine {process.number}")
        engine: Engine = MemoryEngine(self.journal, dice, self._weather[name])
        shelf, disk = self._shelves[name], world.disk(DATA)
        data = self._data[name] = MgmData(world, MemoryHome(shelf), disk, engine, ARCHIVE)
        thread = self.loop.network.thread(process, "pacemaker")
        own_line = MemoryEngine(
            self.journal, random.Random(f"{dice.random()}"), self._weather[name]
        )
        pacemaker = SimPacemaker(own_line, world.clock, thread)
        mgm = self.mgms[name] = Mgm(
            world, config, data.engine, shelf.current, data.flush, pacemaker, data
        )

        async def start() -> None:
            await data.open()
            await mgm.start()

        self._start(process, start(), "mgm")

    def _run_fst(self, name: str) -> None:
        process = self.loop.network.process(name, "fst")
        self._processes[name] = process
        world = SimWorld(self.loop, process)
        config = FstConfig(
            host=process.machine.address,
            port=FST_PORT,
            advertise=f"{name}:{FST_PORT}",
            mgms=self._mgm_addresses(),
            keytab=format_keytab(self.keys).decode(),
            filesystems=tuple(FsSetting(path) for path in self.disk_paths[name]),
            partial_seconds=PARTIAL_SECONDS,
        )
        fst = self.fsts[name] = Fst(config, world)
        witness = EpochWitness(repr(process))
        self.witnesses.append(witness)

        async def start() -> None:
            await fst.start()
            witness.watch(fst)

        self._start(process, start(), "fst")

    def _run_client(self, name: str) -> None:
        process = self.loop.network.process(name, "client")
        self._processes[name] = process
        world = SimWorld(self.loop, process)
        config = self._client_config(name, world)
        endpoints = [Endpoint(mgm, MGM_PORT) for mgm in self.mgm_names]
        self._dice.shuffle(endpoints)
        self._calls[name] = LibraryCalls(world, Url(tuple(endpoints)), config)
        if name == ADMIN:
            self._views = {
                mgm: LibraryCalls(world, Url((Endpoint(mgm, MGM_PORT),)), config)
                for mgm in self.mgm_names
            }

    def _start(self, process: SimProcess, work: Coroutine[Any, Any, None], name: str) -> None:
        """The first task of a daemon; its failure is a failure of the run."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                text = f"{process!r} did not start: {task.exception()!r}"
                self.loop.trace.failure(self.loop.now, process, text)

        self.loop.start(process, work, name).add_done_callback(ended, context=process.context)

    # -- clients -------------------------------------------------------------------------------
    def calls(self, name: str) -> LibraryCalls:
        """The client library of a client."""
        return self._calls[name]

    def client_process(self, name: str) -> SimProcess:
        """Where that client runs."""
        return self._processes[name]

    def _mgm_addresses(self) -> tuple[str, ...]:
        return tuple(f"{name}:{MGM_PORT}" for name in self.mgm_names)

    def _client_config(self, name: str, world: SimWorld) -> ClientConfig:
        if name == ADMIN:
            proof: Method = keytab(
                self.keys, "admin", ADMIN, entropy=world.entropy, clock=world.clock
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

    def master_name(self) -> str:
        """Machine of the MGM that owns the journal; the first one before there is an owner."""
        owner = self.journal.owner
        return owner.address.partition(":")[0] if owner is not None else self.mgm_names[0]

    def machine(self, name: str) -> Machine:
        """A machine by name."""
        return self.loop.network.machine(name)

    def begins(self, fault: Fault) -> None:
        """Take note: it strikes now."""
        self.log.begins(fault, self.loop.now)

    def ends(self, fault: Fault) -> None:
        """It was undone."""
        self.log.ends(fault, self.loop.now)

    def calm_seconds(self, machine: str) -> float:
        """Since the last fault there ended; 0 while there is one."""
        return self.loop.now - self.log.last_of(machine, self.loop.now, START_SECONDS)

    def crash_disks(self, machine: str) -> None:
        """Lose what a power cut loses. An MGM's store loses it when it is opened again."""
        for platter in self.machine(machine).platters.values():
            platter.crash(self._dice)

    def age_store(self, mgm: str, *, empty: bool) -> None:
        """Keep the store of an MGM as it is now, or an empty one, for its next start."""
        current = self._shelves[mgm].current
        self._kept_stores[mgm] = MemoryStore() if empty else current.as_after_crash()
        if empty and self._dice.random() < 0.5:
            # Another disk: no segments, no checkpoints either.
            machine = self.machine(mgm)
            del machine.platters[DATA]
            machine.mount(DATA)
            self._shelves[mgm] = Shelf()

    async def hand_over(self, mgm: str) -> None:
        """Ask the master to hand over to that MGM, as an operator would."""
        admin = self._calls[ADMIN].filesystem
        work = admin.admin("ns", "master", host=f"{mgm}:{MGM_PORT}")
        try:
            await self.loop.start(self._processes[ADMIN], work, "ns master")
        except OperationError as error:
            # In the middle of other faults it may be refused, or be done already.
            self.loop.trace.event(self.loop.now, ADMIN, f"ns master {mgm}: {error}")

    def trouble_journal(self, share: float) -> None:
        """That share of journal calls gets a fault."""
        for weather in self._weather.values():
            weather.fault_chance = share

    def lose_engine_leader(self) -> None:
        """Nobody is answered by the journal engine."""
        self.journal.lose_leader()
        self.loop.trace.event(self.loop.now, "engine", "no leader")

    def elect_engine_leader(self) -> None:
        """Undo one `lose_engine_leader`."""
        self.journal.elect()
        self.loop.trace.event(self.loop.now, "engine", f"leader: {self.journal.has_leader}")

    def cut_engine(self, machine: str, *, cut: bool) -> None:
        """An MGM does not reach the journal engine, or does again. Cuts count."""
        if machine in self._weather:
            self._engine_cuts[machine] += 1 if cut else -1
            self._weather[machine].up = not self._engine_cuts[machine]

    def slow_engine(self, factor: float) -> None:
        """Calls of the journal engine take that much longer; 1 ends it."""
        for weather in self._weather.values():
            weather.slow_factor = factor

    def trim_journal(self) -> None:
        """Drop all that two MGMs (the only one) have durably, in store and closed segments,
        whatever a third still wants."""
        durable = sorted((self._durable(name) for name in self.mgm_names), reverse=True)
        owner = self.journal.owner
        if owner is not None:
            self.journal.trim(owner, Seq(durable[min(1, len(durable) - 1)]))

    def _durable(self, mgm: str) -> int:
        stored = Namespace(self._shelves[mgm].current.as_after_crash()).applied_seq
        return min(stored, self._data[mgm].closed_through())

    # -- for the checkers ------------------------------------------------------------------------
    def platters(self) -> Iterator[Platter]:
        """Every disk of every FST."""
        for name in self.fst_names:
            yield from self.machine(name).platters.values()

    def reigns(self) -> Iterator[Reign]:
        """MGMs that run and believe to be master."""
        for name, mgm in self.mgms.items():
            master = mgm.master
            if master is None or not self._processes[name].alive:
                continue
            dark = self._processes[name].context.run(self._dark, master)
            yield Reign(name, int(master.epoch), dark)

    def _dark(self, master: Master) -> dict[str, str]:
        """Filesystems that their FST holds for booted and the master does not, by FST."""
        dark: dict[str, str] = {}
        for fs in master.view.filesystems():
            fst = fs.record.node.partition(":")[0]
            process, node = self.process_of(fst), master.view.node(fs.record.node)
            if process is None:
                continue
            store = self.fsts[fst].parts.fleet.find(fs.fsid)
            if store is None or store.report(_NO_LOAD).boot != "booted":
                continue
            if node is None or not node.online_at(master.now_s()):
                dark[fst] = "it is offline"
            elif fs.report is None or fs.report.boot != "booted":
                dark[fst] = f"fs {fs.fsid} is not booted"
        return dark

    def owners(self) -> list[tuple[int, str]]:
        """(epoch, machine) of everybody who ever owned the journal, in order."""
        return [(int(one.epoch), one.address.partition(":")[0]) for one in self.journal.owners]

    def excuses_takeover(self, master: str) -> bool:
        """Whether a master on that machine had a reason to fall silent until now."""
        return self.log.excuses_takeover(master, self.loop.now)

    def ground_of(self, epoch: int) -> str:
        """On what ground that epoch was claimed, by the history that the journal keeps."""
        namespace = self.live_namespace()
        section = {} if namespace is None else queries.config(namespace, HISTORY_SECTION)
        data = section.get(story_key(epoch))
        return decode_leadership(StoryRecord, data).ground if data is not None else ""

    def owner_of(self, epoch: int) -> str:
        """Machine that has that epoch by the journal; empty when nobody."""
        for owner in reversed(self.journal.owners):
            if owner.epoch == epoch:
                return owner.address.partition(":")[0]
        return ""

    async def views(self) -> dict[str, dict[tuple[str, str], Records]]:
        """What each MGM itself tells an administrator, by MGM and question."""
        return {
            name: {
                question: await self._as_admin(self._views[name].filesystem.admin(*question))
                for question in VIEWS
            }
            for name in self.mgm_names
        }

    async def _as_admin(self, work: Coroutine[Any, Any, AdminReply]) -> Records:
        return (await self.loop.start(self._processes[ADMIN], work, "admin")).records

    def namespaces(self) -> dict[str, Namespace | None]:
        """What each MGM has in memory, whatever its role; None while it has nothing."""
        desks = {name: mgm.desk for name, mgm in self.mgms.items()}
        return {name: None if desk is None else desk.namespace for name, desk in desks.items()}

    def live_namespace(self) -> Namespace | None:
        """The running master's own, None when there is no master."""
        masters = [mgm.master for mgm in self.mgms.values() if mgm.master is not None]
        newest = max(masters, key=lambda master: master.epoch, default=None)
        return newest.namespace if newest is not None else None


def _excuses(event: str, fields: dict[str, object]) -> bool:
    """An MGM may complain of a journal that nobody answers for, and of losing its mastership."""
    return event in ("can't become master", "mastership lost")


def _keytab(seed: str) -> Keytab:
    secret = random.Random(f"{seed} keytab").randbytes(32)
    return make_keytab([Key(1, secret, created_s=1)])
