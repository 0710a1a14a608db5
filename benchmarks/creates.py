"""Creates: durable ones of names at the MGM, and whole new files through MGM and FST.

The first are kXR_mkdir, the wire's only request that makes a name by itself: each answer leaves
when its batch is synced in the sqlite journal, so the instance must be on a real disk (tmpfs syncs
nothing). The second are what a client does for an empty file: open at the MGM, redirect, open at
the FST, close, which commits; native xrootd is the data server alone, without redirector or sync.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import load, metadata
from benchmarks.servers import Server, native, thesan

NAME_POINTS = ((1, 1), (1, 16), (64, 1), (64, 16))
"""(clients, in flight for each)"""
FILE_CLIENTS = (1, 8)
_REQUESTS_PER_FILE = {True: 3, False: 2}
"""With a redirect and without."""


@dataclass
class Created:
    """One measured point."""

    case: str
    side: str
    connections: int
    depth: int
    rate: float
    cpu_us: float
    """CPU of all servers per create, microseconds."""
    mean_us: float
    """Mean time of a create as its client sees it."""


def _print(point: Created) -> None:
    print(
        f"{point.case:20} c{point.connections:<3} d{point.depth:<3} {point.side:15} "
        f"{point.rate:10.0f}/s {point.cpu_us:10.2f} us CPU "
        f"mean {point.mean_us:8.0f} us",
        flush=True,
    )


def _make_top(server: Server) -> None:
    connection = load.connect(server.host, server.port)
    connection.sendall(load.mkdir("/fresh"))
    status, body = load.receive(connection)
    connection.close()
    if status != load.OK:
        raise ConnectionError(f"mkdir refused: {body!r}")


def _files(side: str, servers: list[Server], clients: int, seconds: float, run: int) -> Created:
    front = servers[0]
    connections = [load.connect(front.host, front.port, f"b{n}") for n in range(clients)]
    lanes = [
        metadata.create_lane(connection, {}, f"{side[:3]}{run}-{clients}-{number}")
        for number, connection in enumerate(connections)
    ]
    before = sum(server.cpu_seconds() for server in servers)
    figures = load.run_lanes(lanes, seconds)
    cpu = sum(server.cpu_seconds() for server in servers) - before
    for connection in connections:
        connection.close()
    files = max(1.0, figures.count / _REQUESTS_PER_FILE[len(servers) > 1])
    mean_us = clients * figures.seconds / files * 1e6
    return Created("file", side, clients, 1, files / figures.seconds, cpu / files * 1e6, mean_us)


def _names(server: Server, connections: int, depth: int, seconds: float) -> Created:
    point = metadata.measure("mkdir", server, connections, depth, seconds)
    mean_us = connections * depth / point.rate * 1e6
    return Created("name", server.name, connections, depth, point.rate, point.cpu_us, mean_us)


def run(
    directory: Path, seconds: float, rounds: int, engine: str = "sqlite"
) -> list[dict[str, object]]:
    """All points; `directory` on the disk that the figures are to be of."""
    results: list[Created] = []
    ours_there = thesan(directory / "ours", engine=engine)
    with native(directory / "native") as plain, ours_there as ours:
        _make_top(ours.mgm)
        if plain is not None:
            _make_top(plain)
            if os.getuid() == 0:
                (directory / "native" / "data" / "fresh").chmod(0o777)
        for _ in range(rounds):
            for connections, depth in NAME_POINTS:
                for server in (plain, ours.mgm):
                    if server is not None:
                        results.append(_names(server, connections, depth, seconds))
                        _print(results[-1])
        for number in range(rounds):
            for clients in FILE_CLIENTS:
                sides = [("thesan mgm+fst", [ours.mgm, *ours.fsts])]
                if plain is not None:
                    sides.insert(0, ("native xrootd", [plain]))
                for side, servers in sides:
                    results.append(_files(side, servers, clients, seconds, number))
                    _print(results[-1])
    return [asdict(point) for point in results]
