"""ping, stat, open+redirect, mkdir, create and dirlist: CPU per operation beside native xrootd.

The server is pinned to the first core, the generator to the last. CPU per operation is the figure
to trust; rates depend on what else the machine does. Every point runs native, thesan, native again.
"""

import itertools
import multiprocessing
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import fastload, load
from benchmarks.servers import Ours, Server, native, thesan
from thesan.cli.demo.plan import split_address

FILES = 1000
ENTRIES = 10_000
POINTS = ((1, 1), (8, 1), (64, 1), (8, 16))
"""(connections, in flight on each)"""

Frames = Callable[[int], Iterator[bytes]]
_FRESH_MAX = 200_000
"""Names that one point may make; it ends when they are used up."""


@dataclass
class Point:
    """One measured point."""

    case: str
    side: str
    connections: int
    depth: int
    rate: float
    cpu_us: float
    """Server CPU per operation, microseconds."""
    p50_us: float
    p99_us: float


def _paths() -> list[str]:
    return [f"/bench/a{i % 10}/b{i % 7}/c{i % 3}/file{i}" for i in range(FILES)]


def _cycle(make: Callable[[str], bytes]) -> Frames:
    frames = [make(path) for path in _paths()]
    return lambda seed: itertools.islice(itertools.cycle(frames), seed, None)


def _fresh(make: Callable[[str], bytes]) -> Frames:
    def frames(seed: int) -> Iterator[bytes]:
        return (make(f"/fresh/{seed}-{number}") for number in itertools.count())

    return frames


CASES: dict[str, Frames] = {
    "ping": lambda _: itertools.repeat(load.ping()),
    "stat": _cycle(load.stat),
    "open+redirect": _cycle(load.open_read),
    "mkdir": _fresh(load.mkdir),
    "dirlist 10000": lambda _: itertools.repeat(load.dirlist("/many")),
    "dirlist 10000 +stat": lambda _: itertools.repeat(load.dirlist("/many", 2)),
}


def _drive(
    pipe: "multiprocessing.connection.Connection",
    case: str,
    address: tuple[str, int],
    connections: int,
    depth: int,
    seconds: float,
    seed: int,
) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sockets = [load.connect(*address, user=f"b{n}") for n in range(connections)]
    frames = CASES[case](seed)
    repeats = case != "mkdir"
    count = FILES if repeats else _FRESH_MAX
    fastload.library()
    pipe.send("ready")
    pipe.recv()
    pipe.send(fastload.run_frames(sockets, frames, count, repeats, depth, seconds))


_seeds = itertools.count(1000)


def measure(case: str, server: Server, connections: int, depth: int, seconds: float) -> Point:
    """Run one point from a process of its own and charge the server's CPU to it."""
    here, there = multiprocessing.Pipe()
    arguments = (there, case, (server.host, server.port), connections, depth, seconds, next(_seeds))
    driver = multiprocessing.get_context("spawn").Process(target=_drive, args=arguments)
    driver.start()
    there.close()
    assert here.recv() == "ready"
    before = server.cpu_seconds()
    here.send("go")
    figures = here.recv()
    cpu = server.cpu_seconds() - before
    driver.join()
    return Point(
        case,
        server.name,
        connections,
        depth,
        figures.rate,
        cpu / max(figures.count, 1) * 1e6,
        figures.percentile(0.5),
        figures.percentile(0.99),
    )


def _make_local_tree(directory: Path) -> Path:
    for path in _paths():
        target = directory / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"x" * 100)
    return directory / "bench"


def _prepare(address: tuple[str, int]) -> None:
    connection = load.connect(*address)
    frames = [load.mkdir("/many"), load.mkdir("/fresh")]
    frames += [load.mkdir(f"/many/entry-{number:05d}") for number in range(ENTRIES)]
    load.run_frames([connection], iter(frames + [load.ping()] * 64), 32, 0)
    connection.setblocking(True)
    for data in frames:
        connection.sendall(data)
        load.receive(connection)
    connection.close()


def run(
    directory: Path, seconds: float, points: tuple[tuple[int, int], ...] = POINTS
) -> list[dict[str, object]]:
    """All cases at all points; a list of Point records."""
    results: list[Point] = []
    with (
        native(directory / "native") as plain,
        native(directory / "redirector", redirector=True) as redirector,
        thesan(directory / "ours") as ours,
    ):
        _fill(directory, plain, ours)
        cores = sorted(os.sched_getaffinity(0))
        for server in filter(None, (plain, redirector, ours.mgm)):
            server.pin({cores[0]})
        for case in CASES:
            other = redirector if case == "open+redirect" else plain
            for connections, depth in points:
                if case.startswith("dirlist") and depth > 1:
                    continue
                for server in (other, ours.mgm, other):
                    if server is not None:
                        point = measure(case, server, connections, depth, seconds)
                        results.append(point)
                        print(
                            f"{case:20} c{connections:<3} d{depth:<3} {server.name:15} "
                            f"{point.rate:10.0f}/s {point.cpu_us:10.2f} us CPU "
                            f"p50 {point.p50_us:8.0f} p99 {point.p99_us:8.0f} us",
                            flush=True,
                        )
    return [asdict(point) for point in results]


def _fill(directory: Path, plain: Server | None, ours: Ours) -> None:
    tree = _make_local_tree(directory / "tree")
    environment = {**os.environ, "THESAN_MGM_URL": ours.plan.url}
    subprocess.run(
        [sys.executable, "-m", "thesan", "cp", "-r", str(tree), "/bench"],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    _prepare((ours.mgm.host, ours.mgm.port))
    if plain is not None:
        data = directory / "native" / "data"
        shutil.copytree(tree, data / "bench")
        _prepare((plain.host, plain.port))
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "daemon", str(data)], check=True)


def create_lane(
    mgm: load.socket.socket, dials: dict[tuple[str, int], load.socket.socket], prefix: str
) -> load.Lane:
    """One client that makes empty files: open at the MGM, follow the redirect, open, close."""
    for number in itertools.count():
        path = f"/fresh/{prefix}-{number}"
        status, body = yield mgm, load.open_new(path)
        connection = mgm
        if status == load.REDIRECT:
            (port,) = struct.unpack_from(">i", body)
            host, _, cgi = body[4:].rstrip(b"\0").decode().partition("?")
            if (host, port) not in dials:
                dials[host, port] = load.connect(host, port, user=prefix[:8])
            connection = dials[host, port]
            status, body = yield connection, load.open_new(path, f"?{cgi}")
        if status == load.ERROR:
            raise ConnectionError(f"create refused: {body!r}")
        status, body = yield connection, load.close(body[:4])
        if status == load.ERROR:
            raise ConnectionError(f"close refused: {body!r}")


def address_of(text: str) -> tuple[str, int]:
    """`host:port`"""
    return split_address(text)
