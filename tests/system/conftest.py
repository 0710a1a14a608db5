"""Real instances for the system tests: processes that can be killed, files that can be judged."""

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from thesan.cli.demo import lifecycle
from thesan.cli.demo.plan import SPECS_FILE, STATE_FILE, Plan, is_alive, load_state, make_plan
from thesan.cli.keytab import create_keytab
from thesan.core.model.errors import OperationError, ThesanError
from thesan.roles.client import filesystem
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.transfer import Upload, upload
from thesan.roles.client.url import parse_url
from thesan.worlds.real import library
from thesan.worlds.real.entropy import RealEntropy

PATIENCE_SECONDS = 60.0
"""How long one operation of a test goes on trying: a daemon is back within a tenth of it."""
SETTLE_SECONDS_MAX = 40.0
"""Time for beats, deletions and recovery to come to rest; then the test says what was left."""
POLL_SECONDS = 0.05
EVENTS_BETWEEN_KILLS_MAX = 120
"""Events of all lanes together between two kills: a handful of files."""
CALLS_AFTERWARDS = 5
"""Calls of a lane when all kills are done: the survivors must still work."""
SIZES = (0, 1, 4096, 100_000, 1_000_000, 3_000_000)
UNKNOWN = frozenset({errno.ETIMEDOUT, errno.ECONNRESET, errno.EUSERS, errno.EADDRNOTAVAIL})
"""Errors that say nothing of what was done; any other one denies what was acknowledged."""
CRASH_WORDS = ("Traceback", "unhandled", "task failed")
"""What a daemon that met something unforeseen leaves in its log."""
DATA_FOLDER_DIGITS = 8
"""Data files are `<fs>/<8 hex>/<8 hex>`."""


@dataclass
class Instance:
    """A supervised instance: its daemons come back when they are killed."""

    plan: Plan
    supervisor: "subprocess.Popen[bytes]"
    mounts: list[Path] = field(default_factory=list)
    """Small disks of its own, taken away at the end."""

    @property
    def root(self) -> Path:
        return self.plan.root

    @property
    def names(self) -> list[str]:
        """mgm1, fst1, fst2 ..."""
        return [spec.name for spec in self.plan.specs()]

    def pid(self, name: str) -> int:
        """Process of a daemon, 0 while it is down."""
        _, daemons = load_state(self.root)
        pid = next(daemon.pid for daemon in daemons if daemon.name == name)
        return pid if is_alive(pid) else 0

    def kill(self, name: str) -> bool:
        """SIGKILL; False when it was down already."""
        pid = self.pid(name)
        if not pid:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def rss_bytes(self, name: str) -> int:
        return int(psutil.Process(self.pid(name)).memory_info().rss)

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    async def ready(self) -> list[dict[str, Any]]:
        """Wait until every filesystem is booted and online."""
        return await lifecycle.wait_ready(self.plan, SETTLE_SECONDS_MAX)

    async def until_back(self, name: str, old_pid: int) -> int:
        """Wait for the successor of a killed daemon; its pid."""
        await until(lambda: self.pid(name) not in (0, old_pid), f"{name} is back")
        return self.pid(name)

    @contextlib.asynccontextmanager
    async def client(
        self, *, chunk_bytes: int = 256 * 1024, patience_s: float = PATIENCE_SECONDS
    ) -> AsyncIterator[Filesystem]:
        """A client with connections of its own."""
        config = ClientConfig(
            login=library.login_settings(), patience_seconds=patience_s, chunk_bytes=chunk_bytes
        )
        async with filesystem.connect(parse_url(self.plan.url), config, RealEntropy()) as fs:
            yield fs

    def data_files(self) -> dict[tuple[str, int], Path]:
        """Every data file on every disk: (path of the fs, fid) -> file."""
        found = {}
        for fs_root in sorted(self.root.glob("fst*/fs*")):
            for folder in fs_root.iterdir():
                if len(folder.name) == DATA_FOLDER_DIGITS and folder.is_dir():
                    for path in folder.iterdir():
                        found[str(fs_root), int(path.name, 16)] = path
        return found

    def markers(self) -> list[Path]:
        """Uploads that are not resolved, and data put aside."""
        return [
            *self.root.glob("fst*/fs*/.thesan/pending/*"),
            *self.root.glob("fst*/fs*/.thesan/orphans/*"),
        ]


async def until(
    condition: Callable[[], object], what: str, seconds_max: float = SETTLE_SECONDS_MAX
) -> None:
    """Wait for a condition outside of this process; AssertionError that names it."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds_max} s: {what}"
        await asyncio.sleep(POLL_SECONDS)


def _mount(place: Path, byte_count: int) -> Path:
    """A small disk in memory."""
    place.mkdir(parents=True, exist_ok=True)
    size = f"size={byte_count},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", place], check=True)
    return place


def _start(
    directory: Path,
    fst_count: int,
    disk_bytes: int,
    journal_bytes: int,
    fst_settings: dict[str, Any],
) -> Instance:
    """As `thesan demo up` does, with settings for the FSTs."""
    directory.mkdir(parents=True)
    plan = make_plan(directory, 1, fst_count)
    create_keytab(directory / "keytab")
    mounts: list[Path] = []
    lines = [f"{name} = {json.dumps(value)}" for name, value in fst_settings.items()]
    (directory / "fst.toml").write_text("[fst]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    for number in range(1, fst_count + 1):
        for fs in (1, 2):
            fs_root = directory / f"fst{number}" / f"fs{fs}"
            fs_root.mkdir(parents=True, exist_ok=True)
            if disk_bytes:
                mounts.append(_mount(fs_root, disk_bytes))
    journal = directory / "journal"
    if journal_bytes:
        mounts.append(_mount(journal, journal_bytes))
    plan.save()
    specs = []
    for spec in plan.specs():
        argv = [*spec.argv]
        if spec.role == "fst":
            argv += ["--config", str(directory / "fst.toml")]
        elif journal_bytes:
            argv[argv.index("--journal") + 1] = f"sqlite:{journal}/journal.db"
        specs.append(msgspec.structs.replace(spec, argv=argv))
    (directory / SPECS_FILE).write_bytes(msgspec.json.encode(specs))
    with (directory / "supervisor.log").open("ab") as log:
        supervisor = subprocess.Popen(
            [
                *(sys.executable, "-m", "thesan", "supervise"),
                *(str(directory / SPECS_FILE), str(directory / STATE_FILE)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Instance(plan, supervisor, mounts)


# -- the workload ------------------------------------------------------------------------------
class Storm:
    """Kills daemons after so many events of the lanes. An event: a call begins, ends, or moved a
    chunk."""

    def __init__(self, instance: Instance, kills: int, seed: int) -> None:
        self.instance = instance
        self.done: list[str] = []
        self.events = 0
        self._dice = random.Random(f"storm {seed}")
        self._wanted = kills
        self._next = self._gap()

    def _gap(self) -> int:
        return self._dice.randrange(1, EVENTS_BETWEEN_KILLS_MAX)

    @property
    def is_over(self) -> bool:
        return len(self.done) >= self._wanted

    def event(self) -> None:
        """Count, and kill when it is time: half the time the MGM, else one of the FSTs."""
        self.events += 1
        if self.is_over or self.events < self._next:
            return
        mgm, *fsts = self.instance.names
        name = mgm if self._dice.random() < 0.5 else self._dice.choice(fsts)
        if self.instance.kill(name):
            self.done.append(name)
        self._next = self.events + self._gap()


class _Bytes:
    """Content of an upload, every chunk of it an event."""

    def __init__(self, data: bytes, event: Callable[[], None]) -> None:
        self._data = data
        self._event = event

    async def read(self, offset: int, length: int) -> bytes:
        self._event()
        return self._data[offset : offset + length]


class Lane:
    """One client in a directory of its own, where it knows what every name must hold.

    `allowed` has for each name the digests that it may hold, None for "not there". Exactly one
    after an acknowledged operation; more after one that ended with an unknown outcome.
    """

    def __init__(self, number: int, fs: Filesystem, storm: Storm, seed: int) -> None:
        self.top = f"/storm/lane{number}"
        self.allowed: dict[str, set[str | None]] = {}
        self.directories = [self.top]
        self.acknowledged = 0
        self.unknown: list[str] = []
        self.faults: list[str] = []
        self._fs = fs
        self._storm = storm
        self._dice = random.Random(f"lane {seed} {number}")
        self._count = 0

    async def run(self, calls_min: int) -> None:
        """At least `calls_min` calls, and on until the storm is over and a few more."""
        await self._fs.mkdir(self.top, parents=True)
        if self._dice.random() < 0.7:
            layout = {"sys.forced.layout": b"replica", "sys.forced.nstripes": b"2"}
            await self._fs.set_xattrs(self.top, layout)
        calls = 0
        while calls < calls_min or not self._storm.is_over:
            await self._step()
            calls += 1
        for _ in range(CALLS_AFTERWARDS):
            await self._step()

    async def _step(self) -> None:
        kinds = [self._put] * 6 + [self._overwrite] * 3 + [self._read] * 3 + [self._rename] * 3
        kinds += [self._remove] * 2 + [self._make_directory]
        self._storm.event()
        await self._dice.choice(kinds)()
        self._storm.event()

    def _certain(self) -> list[str]:
        """Names of which it is known what they hold."""
        return [
            path
            for path, allowed in self.allowed.items()
            if len(allowed) == 1 and None not in allowed
        ]

    def _fresh(self) -> str:
        self._count += 1
        return f"{self._dice.choice(self.directories)}/n{self._count}"

    async def _attempt(self, what: str, work: Awaitable[Any]) -> bool:
        """True when it was acknowledged. An answer that denies what was acknowledged is a fault."""
        try:
            await work
        except OperationError as error:
            (self.unknown if error.errno in UNKNOWN else self.faults).append(f"{what}: {error!r}")
            return False
        self.acknowledged += 1
        return True

    async def _store(self, path: str, *, replace: bool) -> None:
        size = self._dice.choice(SIZES)
        data = self._dice.randbytes(self._dice.randint(size // 2, size))
        digest = digest_of(data)
        before = self.allowed.get(path, {None})
        self.allowed[path] = before | {digest}
        plan = Upload(path, size=len(data), replace=replace)
        reader = _Bytes(data, self._storm.event)
        moved = upload(self._fs, plan, reader, can_repeat=True, count=lambda _: self._storm.event())
        if await self._attempt(f"put {path}", moved):
            self.allowed[path] = {digest}

    async def _put(self) -> None:
        await self._store(self._fresh(), replace=False)

    async def _overwrite(self) -> None:
        if names := self._certain():
            await self._store(self._dice.choice(names), replace=True)

    async def _read(self) -> None:
        if not (names := self._certain()):
            return
        path = self._dice.choice(names)
        found: list[str] = []

        async def read() -> None:
            async with await self._fs.open(path) as file:
                found.append(digest_of(bytes(await file.read())))

        if await self._attempt(f"read {path}", read()) and found[0] not in self.allowed[path]:
            self.faults.append(f"read {path}: other bytes than were written")

    async def _rename(self) -> None:
        if not (names := self._certain()):
            return
        source = self._dice.choice(names)
        target = self._dice.choice(names) if self._dice.random() < 0.3 else self._fresh()
        if target == source:
            return
        held, there = self.allowed[source], self.allowed.get(target, {None})
        self.allowed[source], self.allowed[target] = held | {None}, there | held
        if await self._attempt(f"mv {source} {target}", self._fs.mv(source, target)):
            self.allowed[source], self.allowed[target] = {None}, held

    async def _remove(self) -> None:
        if not (names := self._certain()):
            return
        path = self._dice.choice(names)
        self.allowed[path] = self.allowed[path] | {None}
        if await self._attempt(f"rm {path}", self._fs.rm(path)):
            self.allowed[path] = {None}

    async def _make_directory(self) -> None:
        self._count += 1
        path = f"{self._dice.choice(self.directories)}/d{self._count}"
        if await self._attempt(f"mkdir {path}", self._fs.mkdir(path)):
            self.directories.append(path)


def digest_of(data: bytes) -> str:
    """Name of a content."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@pytest.fixture
def make_storm() -> type[Storm]:
    """Storm(instance, kills, seed)."""
    return Storm


@pytest.fixture
def make_lane() -> type[Lane]:
    """Lane(number, fs, storm, seed)."""
    return Lane


@pytest.fixture
def digest() -> Callable[[bytes], str]:
    """Digest as the lanes note it."""
    return digest_of


@pytest.fixture
def until_true() -> Callable[..., Any]:
    """`await until_true(condition, what)`."""
    return until


@pytest.fixture
def start_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Instance]]:
    """`start_instance(fsts=3, **fst_settings)`: 1 MGM and FSTs with 2 filesystems each.

    With `disk_bytes` (root only) each filesystem is a disk of that size; with `journal_bytes` the
    journal has one of its own.
    Stopped and removed at the end; a traceback in a log fails the test.
    """
    started: list[Instance] = []

    def start(
        fsts: int = 3, disk_bytes: int = 0, journal_bytes: int = 0, **settings: Any
    ) -> Instance:
        directory = tmp_path_factory.mktemp("system") / "demo"
        instance = _start(directory, fsts, disk_bytes, journal_bytes, settings)
        started.append(instance)
        asyncio.run(instance.ready())
        return instance

    yield start
    faults = []
    for instance in started:
        lifecycle.stop(instance.root)
        instance.supervisor.wait()
        for mount in instance.mounts:
            subprocess.run(["umount", "-l", mount], check=True)
        for log in sorted(instance.root.glob("*.log")):
            text = log.read_text(encoding="utf-8", errors="replace")
            at = min((text.find(word) for word in CRASH_WORDS if word in text), default=-1)
            if at >= 0:
                faults.append(f"{log.name}:\n{text[max(0, at - 1000) : at + 3000]}")
        with contextlib.suppress(ThesanError):
            lifecycle.purge(instance.root)
    assert not faults, "\n".join(faults)
