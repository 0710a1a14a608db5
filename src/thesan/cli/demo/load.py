"""`thesan demo load`: clients that write and read all the time, remember what was acknowledged, and
compare all of it at the end.

Each client has three lanes, each with one operation at a time, RATE_HZ a second: `names` changes
names at the MGM, `write` uploads small files, `read` reads a file that was acknowledged and
compares every byte. What was acknowledged and is not there at the end, or is different, is
**lost**; what failed is an **error**. Both must be 0, whoever dies meanwhile: then the exit status
is 0.
"""

import asyncio
import contextlib
import errno
import hashlib
import random
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import msgspec

from thesan.cli.connect import connect
from thesan.core.model.errors import OperationError, ThesanError
from thesan.core.model.units import KIB
from thesan.io.tasks import TaskOwner
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.transfer import Upload, upload
from thesan.roles.client.tree import remove_tree

RATE_HZ: Final = 20.0
"""Operations a second and lane: fast enough to see a stall of 0.1 s, slow enough for a laptop."""
CLIENTS_MAX: Final = 64
SECONDS_MAX: Final = 86400.0
PATIENCE_SECONDS: Final = 120.0
"""An operation that has no answer by then counts as an error: no failover takes that long."""
FILE_BYTES_MAX: Final = 16 * KIB
STALL_TOLD_SECONDS: Final = 0.5
"""Stalls longer than this are told when they end."""
FILES_KEPT_MAX: Final = 2000
"""Files of one client at a time: older ones are removed, which is checked too."""
ERRORS_SHOWN_MAX: Final = 5
VERIFIED_PARALLEL: Final = 16
Say = Callable[[float, str], None]
"""Told while it runs: seconds since the start, and what happened."""
LANES: Final = ("names", "write", "read")


class Lane(msgspec.Struct):
    """Figures of one kind of operation over all clients."""

    name: str
    seconds: list[float] = []
    """Of each operation, from its start to its answer."""
    errors: list[str] = []
    stall_at_s: float = 0.0
    """When the longest one began, seconds after the start of the load."""

    def took(self, seconds: float, began_s: float) -> None:
        """One more operation was acknowledged."""
        if seconds > max(self.seconds, default=0.0):
            self.stall_at_s = began_s
        self.seconds.append(seconds)

    def record(self) -> dict[str, object]:
        """For -j and for the table; times in ms."""
        ordered = sorted(self.seconds)
        return {
            "lane": self.name,
            "acknowledged": len(ordered),
            "p50_ms": round(1000 * quantile(ordered, 0.50), 1),
            "p99_ms": round(1000 * quantile(ordered, 0.99), 1),
            "stall_ms": round(1000 * quantile(ordered, 1.0), 1),
            "stall_at_s": round(self.stall_at_s, 1),
            "errors": len(self.errors),
        }


def quantile(ordered: list[float], part: float) -> float:
    """Of sorted values; 0 for none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


class Client:
    """One client's lanes and what it was promised."""

    def __init__(
        self, top: str, fs: Filesystem, lanes: dict[str, Lane], began: float, say: Say
    ) -> None:
        self._top = top
        self._fs = fs
        self._lanes = lanes
        self._began = began
        self._say = say
        self._turn = 0
        self._dice = random.Random(top)
        self.files: dict[str, str] = {}
        """Acknowledged: path and sha256 of the content."""
        self.gone: dict[str, None] = {}
        """Acknowledged removals and the old names of renames."""
        self.unsure: dict[str, None] = {}
        """Paths of operations that failed: they may be there or not."""
        self._pinned: dict[str, None] = {}
        """Being read or changed: nobody else takes them."""
        self._number = 0

    async def run_lane(self, lane: Lane, work: Callable[[], Awaitable[None]], until: float) -> None:
        """One operation after the other, each at its time unless the one before took longer."""
        due = time.monotonic() + self._dice.random() / RATE_HZ
        while (now := time.monotonic()) < until:
            if due > now:
                await asyncio.sleep(due - now)
            began = time.monotonic()
            due = max(due + 1.0 / RATE_HZ, began)
            try:
                await work()
            except (ThesanError, OSError) as error:
                lane.errors.append(f"{type(error).__name__}: {error}")
                continue
            took = time.monotonic() - began
            lane.took(took, began - self._began)
            if took > STALL_TOLD_SECONDS:
                self._say(began - self._began, f"{lane.name} waited {took:.2f} s")

    async def work(self, until: float) -> None:
        """All lanes, until the time is over."""
        await self._fs.mkdir(self._top, parents=True)
        steps = {"names": self._names, "write": self._write, "read": self._read}
        await asyncio.gather(
            *(self.run_lane(lane, steps[name], until) for name, lane in self._lanes.items())
        )

    # -- lanes -----------------------------------------------------------------------------------
    async def _names(self) -> None:
        """Make, rename or remove a file, by turns."""
        self._turn += 1
        free = [path for path in self.files if path not in self._pinned]
        if self._turn % 4 == 1 and free:
            await self._rename(self._dice.choice(free))
        elif free and (self._turn % 8 == 3 or len(self.files) > FILES_KEPT_MAX):
            await self._remove(free[0])
        else:
            path = self._next("n")
            with self._doubting(path):
                await self._fs.touch(path)
            self.files[path] = hashlib.sha256(b"").hexdigest()

    async def _write(self) -> None:
        path = self._next("f")
        data = self._dice.randbytes(self._dice.randrange(1, FILE_BYTES_MAX))
        with self._doubting(path):
            plan = Upload(path, size=len(data))
            await upload(self._fs, plan, _Memory(data), can_repeat=True, count=lambda _: None)
        self.files[path] = hashlib.sha256(data).hexdigest()

    async def _read(self) -> None:
        free = [path for path in self.files if path not in self._pinned]
        if not free:
            await self._fs.stat(self._top)
            return
        path = self._dice.choice(free)
        self._pinned[path] = None
        try:
            await self.check(path)
        finally:
            del self._pinned[path]

    async def check(self, path: str) -> None:
        """Read an acknowledged file. Raises OperationError, EIO when its content is another."""
        async with await self._fs.open(path) as file:
            digest = hashlib.sha256()
            async for piece in file.pieces():
                digest.update(piece)
        if digest.hexdigest() != self.files[path]:
            raise OperationError(errno.EIO, f"{path}: other bytes than were acknowledged")

    async def _rename(self, path: str) -> None:
        target = self._next("r")
        self._pinned[path] = None
        content = self.files.pop(path)
        try:
            with self._doubting(path, target):
                await self._fs.mv(path, target)
        finally:
            del self._pinned[path]
        self.files[target] = content
        self.gone[path] = None

    async def _remove(self, path: str) -> None:
        del self.files[path]
        with self._doubting(path):
            await self._fs.rm(path)
        self.gone[path] = None

    def _next(self, kind: str) -> str:
        self._number += 1
        return f"{self._top}/{kind}{self._number:07d}"

    @contextlib.contextmanager
    def _doubting(self, *paths: str) -> Iterator[None]:
        """While an operation is under way, and after its failure, nobody knows its outcome."""
        for path in paths:
            self.unsure[path] = None
        yield
        for path in paths:
            del self.unsure[path]

    # -- verdict ---------------------------------------------------------------------------------
    async def verify(self) -> list[str]:
        """What was acknowledged and is not so now."""
        lost: list[str] = []
        there = {f"{self._top}/{entry.name}" for entry in await self._fs.ls(self._top)}
        lost += [f"{path} is gone" for path in self.files if path not in there]
        lost += [f"{path} is back" for path in self.gone if path in there]
        known = self.files.keys() | self.unsure.keys() | self.gone.keys()
        lost += [f"{path} was never made" for path in sorted(there - known)]
        gate = asyncio.Semaphore(VERIFIED_PARALLEL)

        async def compare(path: str) -> None:
            async with gate:
                try:
                    await self.check(path)
                except ThesanError as error:
                    lost.append(f"{path}: {error}")

        await asyncio.gather(*(compare(path) for path in self.files if path in there))
        return lost


class _Memory:
    """Bytes as the source of an upload."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class Verdict(msgspec.Struct):
    """What a load found."""

    lanes: list[Lane]
    seconds: float
    lost: list[str]
    checked: int

    @property
    def errors(self) -> list[str]:
        """All lanes' errors."""
        return [error for lane in self.lanes for error in lane.errors]

    def record(self) -> dict[str, object]:
        """For -j."""
        return {
            "seconds": round(self.seconds, 1),
            "lanes": [lane.record() for lane in self.lanes],
            "stall_ms": max(
                (1000 * max(one.seconds, default=0.0) for one in self.lanes), default=0
            ),
            "acknowledged": sum(len(one.seconds) for one in self.lanes),
            "checked": self.checked,
            "errors": len(self.errors),
            "lost": len(self.lost),
        }


async def run(url: str, seconds: float, clients: int, say: Say) -> Verdict:
    """Load the instance for `seconds` (Ctrl-C ends it earlier), then verify and clean up.

    Raises OperationError when nothing could begin at all.
    """
    if not 0 < seconds <= SECONDS_MAX or not 1 <= clients <= CLIENTS_MAX:
        text = f"--seconds is up to {SECONDS_MAX:.0f}, --clients 1 to {CLIENTS_MAX}"
        raise OperationError(errno.EINVAL, text)
    lanes = {name: Lane(name) for name in LANES}
    top = f"/demo-load-{secrets.token_hex(4)}"
    tasks = TaskOwner("load")
    async with contextlib.AsyncExitStack() as stack:
        began = time.monotonic()
        workers = []
        for number in range(clients):
            fs = await stack.enter_async_context(connect(url, patience_s=PATIENCE_SECONDS))
            workers.append(Client(f"{top}/c{number}", fs, lanes, began, say))
        running = [
            tasks.start(f"client {number}", worker.work(began + seconds))
            for number, worker in enumerate(workers)
        ]
        try:
            with _interrupt(running):
                await asyncio.gather(*running, return_exceptions=True)
            for task in running:
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error
            took = time.monotonic() - began
            lost = [text for found in await asyncio.gather(*(one.verify() for one in workers))
                    for text in found]  # fmt: skip
            checked = sum(len(one.files) + len(one.gone) for one in workers)
            await remove_tree(fs, top)
        finally:
            await tasks.close()
    return Verdict(list(lanes.values()), took, lost, checked)


@contextlib.contextmanager
def _interrupt(running: "list[asyncio.Task[None]]") -> Iterator[None]:
    """Ctrl-C ends the load, not the verdict."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        for task in running:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, end)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
