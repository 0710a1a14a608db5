"""1 GiB by xrdcp, written and read, page checksums on and off: server CPU beside native xrootd."""

import contextlib
import os
import random
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.servers import Server, native, thesan


@dataclass
class Transfer:
    """One transfer."""

    case: str
    side: str
    pages: bool
    streams: int
    mb_per_s: float
    cpu_s_per_gib: float
    """CPU of the servers, seconds per GiB."""


def _sources(directory: Path, size: int) -> Path:
    path = directory / "source"
    block = random.Random(1).randbytes(1 << 20)
    with path.open("wb") as out:
        for number in range(size >> 20):
            out.write(number.to_bytes(8, "big") + block[8:])
    return path


def _timed(
    case: str,
    side: str,
    servers: list[Server],
    pages: bool,
    streams: int,
    size: int,
    argv: list[str],
) -> Transfer:
    environment = {**os.environ, "XRD_CPUSEPGWRTRD": "1" if pages else "0", "XRD_LOGLEVEL": "Error"}
    before = sum(server.cpu_seconds() for server in servers)
    began = time.perf_counter()
    command = ["xrdcp", "-s", "-f", "-S", str(streams), *argv]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.decode(errors='replace')}")
    seconds = time.perf_counter() - began
    cpu = sum(server.cpu_seconds() for server in servers) - before
    transfer = Transfer(case, side, pages, streams, size / seconds / 1e6, cpu / (size / (1 << 30)))
    print(
        f"{case:6} {side:14} pages {'on ' if pages else 'off'} S{streams} "
        f"{transfer.mb_per_s:8.0f} MB/s {transfer.cpu_s_per_gib:7.3f} CPU s/GiB",
        flush=True,
    )
    return transfer


def _warm_up(
    sides: list[tuple[str, str, list[Server]]], size: int, source: Path, back: Path
) -> None:
    """Uncounted: in a virtual machine memory that was never used costs several times a copy."""
    for side, url, servers in sides:
        for case, argv in (
            ("write", [str(source), f"{url}/big"]),
            ("write", [str(source), f"{url}/big"]),
            ("read", [f"{url}/big", str(back)]),
        ):
            _timed(f"({case})", side, servers, False, 1, size, argv)


def run(directory: Path, rounds: int = 2, size: int = 1 << 30) -> list[dict[str, object]]:
    """Interleaved rounds; `directory` should be on tmpfs, so that no disk is measured."""
    source = _sources(directory, size)
    back = directory / "back"
    results: list[Transfer] = []
    with native(directory / "native") as plain, thesan(directory / "ours") as ours:
        sides: list[tuple[str, str, list[Server]]] = [
            ("thesan", f"root://{ours.mgm.host}:{ours.mgm.port}/", [ours.mgm, *ours.fsts])
        ]
        if plain is not None:
            sides.insert(0, ("native xrootd", f"root://{plain.host}:{plain.port}/", [plain]))
        _warm_up(sides, size, source, back)
        for _ in range(rounds):
            for pages in (False, True):
                for streams in (1, 4):
                    for side, url, servers in sides:
                        for case, argv in (
                            ("write", [str(source), f"{url}/big"]),
                            ("read", [f"{url}/big", str(back)]),
                        ):
                            results.append(_timed(case, side, servers, pages, streams, size, argv))
                        subprocess.run(["cmp", str(source), str(back)], check=True)
                        with contextlib.suppress(FileNotFoundError):
                            back.unlink()
    return [asdict(transfer) for transfer in results]
