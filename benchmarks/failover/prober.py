"""Looks at every MGM all the time: who serves, who sends clients where, which filesystems are up.

Runs at the operator's desk: `python -m benchmarks.failover.prober MGMS RECORD FS_RECORD KEYTAB`,
MGMS being `h1=ip:port,...`. Ends with a line on standard input.
"""

import asyncio
import contextlib
import sys
import time
from typing import TextIO

from benchmarks.failover.record import FsSighting, to_json
from benchmarks.failover.views import Desk, bad_filesystems
from thesan.core.model.errors import ThesanError
from thesan.worlds.real import library
from thesan.worlds.real.loop import run

SIGHT_SECONDS = 0.1
FS_SECONDS = 0.5


async def _watch_role(desk: Desk, host: str, record: TextIO) -> None:
    while True:
        began = time.monotonic()
        record.write(to_json(await desk.sight(host)) + "\n")
        await asyncio.sleep(max(0.0, began + SIGHT_SECONDS - time.monotonic()))


async def _watch_filesystems(desk: Desk, host: str, record: TextIO) -> None:
    while True:
        with contextlib.suppress(ThesanError, OSError):
            reply = await desk.admin(host, "fs", "ls")
            sighting = FsSighting(time.monotonic(), host, bad_filesystems(reply.records))
            record.write(to_json(sighting) + "\n")
        await asyncio.sleep(FS_SECONDS)


async def main(mgms: str, record: str, fs_record: str, keytab: str) -> None:
    """The whole life of the process."""
    places = dict(word.split("=", 1) for word in mgms.split(","))
    login = library.login_settings(keytab=keytab)
    with (
        open(record, "a", encoding="utf-8", buffering=1) as roles,
        open(fs_record, "a", encoding="utf-8", buffering=1) as filesystems,
    ):
        # Two desks: a slow listing must not delay the look at the role.
        first, second = Desk(places, login), Desk(places, login)
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(work)
            for host in places
            for work in (
                _watch_role(first, host, roles),
                _watch_filesystems(second, host, filesystems),
            )
        ]
        print("ready", flush=True)
        words = loop.create_task(asyncio.to_thread(sys.stdin.readline))
        while not words.done() and not any(task.done() for task in tasks):
            await asyncio.sleep(0.02)
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        first.close()
        second.close()


if __name__ == "__main__":
    run(main(*sys.argv[1:5]))
