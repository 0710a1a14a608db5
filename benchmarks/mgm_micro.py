"""CPU us per request inside `Mgm.handle`: `python -m benchmarks.mgm_micro [--profile CASE]`.

No sockets: requests go in as values, answers come out as bytes. Store and engine are in memory, so
mutations show what applying, journaling and answering cost this process, not what a disk costs.
Best of some rounds, since other work on the machine only ever adds.
"""

import argparse
import asyncio
import cProfile
import itertools
import pstats
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from thesan.core.authority.keytab import Key, format_keytab, make_keytab
from thesan.core.control import messages
from thesan.core.model.identity import ROOT, Identity
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import OpenFlag, QueryCode
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.service import Mgm
from thesan.roles.mgm.sessions import Session
from thesan.worlds.real.log import Level, RealLog
from thesan.worlds.real.world import RealWorld
from thesan.worlds.simulated.memory_engine import MemoryEngine, MemoryJournal
from thesan.worlds.simulated.memory_store import MemoryStore
from thesan.worlds.simulated.pacemaker import SimPacemaker

SID = b"\1\0"
FILES = 1000
FST_COUNT = 8
USER = Identity(1000, 1000, (1000,), "ada", "unix", "127.0.0.1")
FST = Identity(2, 2, (2,), "fst", "thk", "127.0.0.1", daemon="fst")
GIB = 1 << 30


class Peer:
    """A connection whose answers go nowhere."""

    def __init__(self, who: Identity) -> None:
        self.identity = who
        self.peer_host = who.host
        self.session_id = b"s" * 16
        self.user, self.pid = who.name, 1
        self.state = Session(prot="unix", name=who.name)
        self.is_closed = False
        self.unsent_bytes = 0
        self.idle_seconds = 0.0

    def reply(self, data: bytes) -> None:
        """Taken."""

    def close(self) -> None:
        """Never."""


async def start() -> Mgm:
    """A master with FILES files of one replica, on FST_COUNT FSTs that beat once."""
    keytab = format_keytab(make_keytab([Key(1, b"k" * 32, 0)])).decode()
    engine = MemoryEngine(MemoryJournal(), Random(1))
    world = RealWorld(RealLog(level=Level.ERROR))
    config = MgmConfig(port=0, keytab=keytab)
    pacemaker = SimPacemaker(engine, world.clock)
    mgm = Mgm(world, config, engine, MemoryStore(), None, pacemaker)
    await mgm.start()
    await mgm.until_master()
    root, fst = Peer(ROOT), Peer(FST)
    beat_all(mgm, fst)
    for path in paths():
        ask(mgm, root, rq.Mkdir(SID, path.rpartition("/")[0], mode=0o755, options=1))
        store_file(mgm, root, fst, path)
    ask(mgm, root, rq.Mkdir(SID, "/fresh", mode=0o777))
    await asyncio.sleep(0.05)
    return mgm


def paths() -> list[str]:
    """Depth 5, as in the other benchmarks."""
    return [f"/bench/a{i % 10}/b{i % 7}/c{i % 3}/file{i}" for i in range(FILES)]


def ask(mgm: Mgm, peer: Peer, request: Any) -> bytes | None:
    """One request."""
    return mgm.handle(peer, request)  # type: ignore[arg-type]


def control(mgm: Mgm, peer: Peer, message: Any) -> bytes | None:
    """One control message."""
    return ask(mgm, peer, rq.Query(SID, QueryCode.OPAQUE, args=messages.encode_request(message)))


def beat_all(mgm: Mgm, fst: Peer) -> None:
    """Register and beat."""
    for number in range(1, FST_COUNT + 1):
        node = f"fst{number}.example.org:1095"
        control(mgm, fst, messages.FsRegister(node, f"u-{number}", "/d", "default"))
        report = messages.FsReport(
            number,
            f"u-{number}",
            "/d",
            "booted",
            capacity_bytes=100 * GIB,
            free_bytes=50 * GIB,
            free_files=10**6,
        )
        control(mgm, fst, messages.Beat(node, "b", messages.NodeReport(), [report]))


def store_file(mgm: Mgm, root: Peer, fst: Peer, path: str) -> None:
    """Open and commit, as the head FST would."""
    master = mgm.master
    assert master is not None
    options = int(OpenFlag.UPDATE | OpenFlag.DELETE)
    ask(mgm, root, rq.Open(SID, path, options=options, mode=0o644))
    upload = master.uploads.resume(path, 0, root.peer_host, frozenset(), master.now_ns())
    assert upload is not None
    grant = master.tickets.open(upload.ticket, master.now_unix())
    replicas = [messages.ReplicaCommit(fsid, 10, 1, 2) for fsid in grant.fsids]
    control(mgm, fst, messages.Commit(upload.node, upload.ticket, replicas, 10**18))


def cases(mgm: Mgm) -> dict[str, tuple[Peer, Callable[[], Iterator[Any]]]]:
    """Endless requests of each kind, and who asks."""
    user, root = Peer(USER), Peer(ROOT)
    read = int(OpenFlag.READ | OpenFlag.RETSTAT)
    new = int(OpenFlag.UPDATE | OpenFlag.NEW | OpenFlag.RETSTAT)
    fresh = itertools.count()

    def cycle(make: Callable[[str], Any]) -> Callable[[], Iterator[Any]]:
        made = [make(path) for path in paths()]
        return lambda: itertools.cycle(made)

    def endless(make: Callable[[str], Any]) -> Callable[[], Iterator[Any]]:
        return lambda: (make(f"/fresh/n{number}") for number in fresh)

    return {
        "stat": (user, cycle(lambda path: rq.Stat(SID, path))),
        "stat absent": (user, cycle(lambda path: rq.Stat(SID, path + "x"))),
        "open read": (user, cycle(lambda path: rq.Open(SID, path, "", 0, read))),
        "open new": (root, endless(lambda path: rq.Open(SID, path, "oss.asize=9", 0o644, new))),
        "locate": (user, cycle(lambda path: rq.Locate(SID, path))),
        "checksum": (
            user,
            cycle(lambda path: rq.Query(SID, QueryCode.CHECKSUM, args=path.encode())),
        ),
        "mkdir": (root, endless(lambda path: rq.Mkdir(SID, path, mode=0o755))),
        "dirlist 5": (root, cycle(lambda path: rq.DirList(SID, path.rpartition("/")[0]))),
        "dirlist 5 stat": (
            root,
            cycle(lambda path: rq.DirList(SID, path.rpartition("/")[0], "", 2)),
        ),
    }


async def measure(mgm: Mgm, peer: Peer, requests: Iterator[Any], count: int) -> float:
    """us per request over `count` of them; journaling runs in between."""
    handle = mgm.handle
    busy_ns = 0
    beat_all(mgm, Peer(FST))
    for _ in range(max(1, count // 256)):
        batch = list(itertools.islice(requests, 256))
        started = time.thread_time_ns()
        for request in batch:
            handle(peer, request)  # type: ignore[arg-type]
        busy_ns += time.thread_time_ns() - started
        await asyncio.sleep(0)
    return busy_ns / (max(1, count // 256) * 256) / 1000


async def run(options: argparse.Namespace) -> None:
    """All cases, or the profile of one."""
    mgm = await start()
    for name, (peer, requests) in cases(mgm).items():
        if options.profile and options.profile != name:
            continue
        if options.profile:
            profile = cProfile.Profile()
            profile.enable()
            await measure(mgm, peer, requests(), options.count)
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            continue
        best = min(
            [await measure(mgm, peer, requests(), options.count) for _ in range(options.rounds)]
        )
        print(f"{name:20} {best:8.2f} us")
    await mgm.stop()


def main() -> None:
    """Parse and run."""
    top = argparse.ArgumentParser(prog="benchmarks.mgm_micro", description=__doc__)
    top.add_argument("--count", type=int, default=20_000, help="requests in a round")
    top.add_argument("--rounds", type=int, default=5)
    top.add_argument("--profile", default="", help="profile this case instead")
    asyncio.run(run(top.parse_args()))


if __name__ == "__main__":
    main()
