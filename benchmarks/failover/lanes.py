"""Clients of thesan's own library: five lanes, each a client of its own, all acknowledgements kept.

Runs on a host of the bed: `python -m benchmarks.failover.lanes URL DIRECTORY RECORD KEYTAB RATE`.
Prints `ready` when every lane succeeded once. A line on standard input ends the lanes; everything
is then read back and the verdict printed as one line of JSON.

churn   create, write, read, compare and unlink a file of 4 KiB
kept    a new file of 4 KiB each turn, compared at the end
append  one open write handle: 64 bytes and a sync each turn; closed and compared now and then
read    one open read handle: 4 KiB at a changing offset
names   stat and listing, and a rename
"""

import asyncio
import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TextIO

from benchmarks.failover.record import ABSENT, Event, Ledger, Verdict, to_json
from thesan.core.model.errors import ThesanError
from thesan.roles.client import filesystem
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.filesystem import Filesystem
from thesan.roles.client.transfer import Upload, upload
from thesan.roles.client.url import parse_url
from thesan.worlds.real import library
from thesan.worlds.real.entropy import RealEntropy
from thesan.worlds.real.loop import run

LANES = ("churn", "kept", "append", "read", "names")
FILE_BYTES = 4096
READ_FILE_BYTES = 1 << 20
APPEND_BYTES = 64
APPENDS_OF_A_FILE = 100
"""Then it is closed, compared, and another one begun: commits fall into faults too."""
PATIENCE_SECONDS = 120.0
"""A client that gives up before is a client that saw an error."""
READ_BACK_AT_ONCE = 8
RENAME_EVERY = 4


def digest_of(data: bytes) -> str:
    """Name of a content."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


class Bytes:
    """Content of an upload."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class WrongBytes(Exception):
    """What was read is not what was written."""


class Clients:
    """The lanes of one process."""

    def __init__(self, url: str, directory: str, keytab: str, record: TextIO, rate: float) -> None:
        self.ledger = Ledger()
        self._url = url
        self._top = directory
        self._keytab = keytab
        self._record = record
        self._period = 1.0 / rate
        self._stopping = False
        self._succeeded: set[str] = set()
        self.ready = asyncio.Event()

    def connect(self) -> Filesystem:
        """A client with connections of its own."""
        config = ClientConfig(
            login=library.login_settings(keytab=self._keytab), patience_seconds=PATIENCE_SECONDS
        )
        return filesystem.connect(parse_url(self._url), config, RealEntropy())

    def stop(self) -> None:
        """Every lane ends after its turn."""
        self._stopping = True

    async def run(self) -> None:
        """Until `stop`."""
        async with self.connect() as fs:
            await fs.mkdir(self._top, parents=True)
            await self._put(fs, f"{self._top}/fixed", os.urandom(READ_FILE_BYTES), note=False)
            await fs.mkdir(f"{self._top}/kept")
        lanes = (self._churn, self._kept, self._append, self._read, self._names)
        await asyncio.gather(*(lane() for lane in lanes))

    # -- pace ------------------------------------------------------------------------------------
    async def _turn(self, lane: str, op: str, path: str, work: Awaitable[Any]) -> bool:
        """One turn, recorded; True when it succeeded."""
        began, error, place = time.monotonic(), "", ""
        try:
            await work
        except (ThesanError, WrongBytes, OSError) as failure:
            error = f"{type(failure).__name__}: {failure}"
            place = str(getattr(failure, "place", ""))
        event = Event(lane, began, time.monotonic(), op, path, error, place)
        self._record.write(to_json(event) + "\n")
        if error:
            # An error that comes at once must not become a flood of them.
            await asyncio.sleep(self._period)
        else:
            self._succeeded.add(lane)
            if len(self._succeeded) == len(LANES):
                self.ready.set()
        return not error

    async def _turns(self, lane: Callable[[int], Awaitable[None]]) -> None:
        """Call `lane` at the rate until the end; what is late is not made up for."""
        number, due = 0, time.monotonic()
        while not self._stopping:
            await lane(number)
            number += 1
            due = max(due + self._period, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _put(self, fs: Filesystem, path: str, data: bytes, *, note: bool = True) -> None:
        digest = digest_of(data)
        if note:
            self.ledger.begin(path, digest)
        plan = Upload(path, size=len(data), verify=False)
        await upload(fs, plan, Bytes(data), can_repeat=True, count=lambda _: None)
        if note:
            self.ledger.acknowledge(path, digest)

    # -- lanes -----------------------------------------------------------------------------------
    async def _churn(self) -> None:
        async with self.connect() as fs:

            async def once(path: str) -> None:
                data = os.urandom(FILE_BYTES)
                await self._put(fs, path, data)
                async with await fs.open(path) as file:
                    _same(path, data, await file.read())
                self.ledger.begin(path, ABSENT)
                await fs.rm(path)
                self.ledger.acknowledge(path, ABSENT)

            async def turn(number: int) -> None:
                path = f"{self._top}/churn{number}"
                await self._turn("churn", "create-read-unlink", path, once(path))

            await self._turns(turn)

    async def _kept(self) -> None:
        async with self.connect() as fs:

            async def turn(number: int) -> None:
                path = f"{self._top}/kept/{number}"
                await self._turn("kept", "put", path, self._put(fs, path, os.urandom(FILE_BYTES)))

            await self._turns(turn)

    async def _append(self) -> None:
        async with self.connect() as fs:
            number = 0
            while not self._stopping:
                await self._append_file(fs, f"{self._top}/append{number}")
                number += 1

    async def _append_file(self, fs: Filesystem, path: str) -> None:
        """One file: opened, appended to, closed, compared."""
        written = bytearray()
        self.ledger.begin(path, ABSENT)
        opened = []

        async def open_it() -> None:
            opened.append(await fs.open(path, "x"))

        if not await self._turn("append", "open", path, open_it()):
            return
        (file,) = opened

        async def once() -> None:
            data = os.urandom(APPEND_BYTES)
            await file.write(len(written), data)
            await file.sync()
            written.extend(data)

        due = time.monotonic()
        while not self._stopping and len(written) < APPENDS_OF_A_FILE * APPEND_BYTES:
            if not await self._turn("append", "append", path, once()):
                with contextlib.suppress(ThesanError):
                    await file.discard()
                return
            due = max(due + self._period, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        digest = digest_of(bytes(written))
        self.ledger.begin(path, digest)
        if await self._turn("append", "close", path, file.close()):
            self.ledger.acknowledge(path, digest)

    async def _read(self) -> None:
        path = f"{self._top}/fixed"
        async with self.connect() as fs:
            file = await fs.open(path)
            whole = bytes(await file.read())

            async def once(offset: int) -> None:
                _same(
                    path, whole[offset : offset + FILE_BYTES], await file.read(offset, FILE_BYTES)
                )

            async def turn(number: int) -> None:
                offset = number * FILE_BYTES % READ_FILE_BYTES
                await self._turn("read", "read", path, once(offset))

            await self._turns(turn)
            await file.close()

    async def _names(self) -> None:
        async with self.connect() as fs:
            path = f"{self._top}/name"
            data = os.urandom(FILE_BYTES)
            await self._put(fs, f"{path}0", data)
            renames = 0

            async def look() -> None:
                info = await fs.stat(f"{path}{renames}")
                if info.size != FILE_BYTES:
                    raise WrongBytes(f"{path}{renames}: {info.size} bytes")
                names = [entry.name for entry in await fs.ls(self._top)]
                if f"name{renames}" not in names:
                    raise WrongBytes(f"{path}{renames} is not listed")

            async def rename() -> None:
                nonlocal renames
                source, target = f"{path}{renames}", f"{path}{renames + 1}"
                self.ledger.begin(source, ABSENT)
                self.ledger.begin(target, digest_of(data))
                await fs.mv(source, target)
                self.ledger.acknowledge(source, ABSENT)
                self.ledger.acknowledge(target, digest_of(data))
                renames += 1

            async def turn(number: int) -> None:
                if number % RENAME_EVERY:
                    await self._turn("names", "stat-ls", f"{path}{renames}", look())
                else:
                    await self._turn("names", "mv", f"{path}{renames}", rename())

            await self._turns(turn)

    # -- the end ---------------------------------------------------------------------------------
    async def verdict(self) -> Verdict:
        """Read everything back with a new client, judge, and remove it."""
        found: dict[str, str] = {}
        async with self.connect() as fs:
            paths = [
                f"{directory}/{entry.name}"
                for directory in (self._top, f"{self._top}/kept")
                for entry in await fs.ls(directory)
            ]
            paths = [p for p in paths if p not in (f"{self._top}/fixed", f"{self._top}/kept")]
            slots = asyncio.Semaphore(READ_BACK_AT_ONCE)

            async def fetch(path: str) -> None:
                async with slots:
                    try:
                        async with await fs.open(path) as file:
                            found[path] = digest_of(bytes(await file.read()))
                    except ThesanError as error:
                        found[path] = f"unreadable: {error}"

            await asyncio.gather(*(fetch(path) for path in paths))
            verdict = self.ledger.judge(found)
            if not verdict.faults:
                await fs.remove_tree(self._top)
        return verdict


def _same(path: str, wanted: bytes, got: Any) -> None:
    if bytes(got) != wanted:
        raise WrongBytes(f"{path}: other bytes than were written")


async def main(arguments: list[str]) -> None:
    """The whole life of the process."""
    url, directory, record, keytab, rate = arguments
    with open(record, "a", encoding="utf-8", buffering=1) as file:
        clients = Clients(url, directory, keytab, file, float(rate))
        loop = asyncio.get_running_loop()
        lanes = loop.create_task(clients.run())

        async def announce() -> None:
            await clients.ready.wait()
            print("ready", flush=True)

        telling = loop.create_task(announce())
        words = loop.create_task(asyncio.to_thread(sys.stdin.readline))
        while not lanes.done() and not words.done():
            await asyncio.sleep(0.02)
        clients.stop()
        await lanes
        telling.cancel()
    print(to_json(await clients.verdict()), flush=True)


if __name__ == "__main__":
    run(main(sys.argv[1:6]))
