"""The namespace at 10^6 files: memory per cached file, creates/s, pauses, listings, restart.

    python benchmarks/namespace_memory.py [--files N] [--shape one|many]

`one`: all files in one directory; `many`: in 1000. Each phase runs in a process of its own, so that
its memory is its own. Pauses are gaps of a task that wants to run each millisecond on the same
loop, as every client's request does; `worst_turn_cpu_ms` is the longest turn of the loop in CPU
time, which neighbours on the machine do not disturb. Times per file are CPU time too.
"""

import argparse
import asyncio
import gc
import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from thesan.core.model.identity import Identity
from thesan.core.namespace import queries
from thesan.core.namespace.ops import CommitFile, MakeDirectory, Op, ReserveFids, encode_op
from thesan.core.namespace.state import Namespace
from thesan.worlds.real.loop import GC_THRESHOLDS
from thesan.worlds.real.rocks_store import RocksStore

WHO = Identity(1000, 1000, (1000,), "user", "unix")
BATCH_OPS = 1000
SLICE_OPS = 50
"""Requests handled in one turn of the loop, as a pipelining client sends them."""
DIRECTORIES = {"one": 1, "many": 1000}


def rss_bytes() -> int:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Nowhere:
    """A store that keeps nothing: what is in memory is then the namespace's own."""

    def get(self, key: bytes) -> bytes | None:
        return None

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        return [None] * len(keys)

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return []

    def write(self, changes: object) -> None:
        pass

    def close(self) -> None:
        pass


class Ticker:
    """The worst gap of a task that wants to run each millisecond."""

    def __init__(self) -> None:
        self.gaps: list[float] = []

    async def run(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.gaps.append(now - last - 0.001)
            last = now

    def worst_ms(self) -> tuple[float, float]:
        """(worst, 99.9th percentile)."""
        gaps = sorted(self.gaps)
        return round(gaps[-1] * 1e3, 1), round(gaps[int(len(gaps) * 0.999)] * 1e3, 1)


def ops(file_count: int, directory_count: int) -> Iterator[Op]:
    """What a master would journal for these files."""
    yield ReserveFids(1 << 40)
    fids = itertools.count(2)
    parents = []
    for number in range(directory_count):
        parents.append(next(fids))
        yield MakeDirectory(1, f"dir{number:04}", parents[-1], 0o755, 1000, 1000, 10**18)
    dice = random.Random(1)
    for number in range(file_count):
        now = 10**18 + number * 1000
        yield CommitFile(
            parents[number * directory_count // file_count],
            f"file{number:08}",
            next(fids),
            0o644,
            1000,
            1000,
            0x100112,
            dice.randrange(1 << 32),
            dice.randrange(1 << 32),
            dice.randrange(1 << 32),
            (1 + number % 20, 21 + number % 20),
            now - 5_000_000,
            now,
        )


async def create(store: RocksStore | Nowhere, file_count: int, shape: str) -> dict[str, float]:
    """Apply, encode and store all ops, a slice for each turn of the loop."""
    ns = Namespace(store)
    ticker = Ticker()
    ticking = asyncio.get_running_loop().create_task(ticker.run())
    await asyncio.sleep(0)
    gc.collect()
    before = rss_bytes()
    spent = {"apply": 0.0, "store": 0.0}
    worst = {"apply": 0.0, "store": 0.0}
    source = ops(file_count, DIRECTORIES[shape])
    seq = applied = 0
    started = time.perf_counter()
    while work := list(itertools.islice(source, SLICE_OPS)):
        begin = time.thread_time()
        for op in work:
            encode_op(op)
            ns.apply(op, ns.op_count + 1)
        took = time.thread_time() - begin
        spent["apply"] += took
        worst["apply"] = max(worst["apply"], took)
        applied += len(work)
        if applied >= BATCH_OPS or len(work) < SLICE_OPS:
            begin = time.thread_time()
            seq, applied = seq + 1, 0
            changes = ns.take_changes(ns.op_count, seq)
            store.write(changes)
            ns.settle(changes)
            took = time.thread_time() - begin
            spent["store"] += took
            worst["store"] = max(worst["store"], took)
        await asyncio.sleep(0)
    whole = time.perf_counter() - started
    ticking.cancel()
    longest, usual = ticker.worst_ms()
    gc.collect()
    return {
        "creates_per_s": round(file_count / whole),
        "apply_encode_us": round(spent["apply"] / file_count * 1e6, 2),
        "store_us": round(spent["store"] / file_count * 1e6, 2),
        "worst_turn_cpu_ms": round(max(worst.values()) * 1e3, 1),
        "worst_pause_ms": longest,
        "pause_p999_ms": usual,
        "cached": ns.cached_count,
        "bytes_per_file": round((rss_bytes() - before) / file_count),
    }


async def restart(path: str, file_count: int, shape: str) -> dict[str, float]:
    """Open, answer, list, load everything, answer again."""
    started = time.perf_counter()
    store = RocksStore(path)
    ns = Namespace(store)
    queries.lookup(ns, f"/dir0000/file{0:08}", WHO)
    figures = {"restart_to_first_answer_ms": round((time.perf_counter() - started) * 1e3, 1)}
    before = rss_bytes()
    ticker = Ticker()
    ticking = asyncio.get_running_loop().create_task(ticker.run())
    await asyncio.sleep(0)
    numbers = random.Random(2).choices(range(file_count), k=20_000)
    per_directory = file_count // DIRECTORIES[shape]
    paths = [f"/dir{number // per_directory:04}/file{number:08}" for number in numbers]
    begin = time.thread_time()
    for number, path_of_one in enumerate(paths[:5000]):
        queries.lookup(ns, path_of_one, WHO)
        if number % SLICE_OPS == 0:
            await asyncio.sleep(0)
    figures["cold_lookup_us"] = round((time.thread_time() - begin) / 5000 * 1e6, 2)
    begin = time.thread_time()
    worst = 0.0
    for number in range(DIRECTORIES[shape]):
        directory = queries.lookup(ns, f"/dir{number:04}", WHO)
        after: str | None = ""
        while after is not None:
            turn = time.thread_time()
            after = queries.list_page(ns, directory, after).after
            worst = max(worst, time.thread_time() - turn)
            await asyncio.sleep(0)
    figures["load_all_cpu_s"] = round(time.thread_time() - begin, 2)
    figures["worst_turn_cpu_ms"] = round(worst * 1e3, 1)
    ticking.cancel()
    begin = time.thread_time()
    for path_of_one in paths:
        queries.lookup(ns, path_of_one, WHO)
    figures["cached_lookup_us"] = round((time.thread_time() - begin) / len(paths) * 1e6, 2)
    gc.collect()
    figures["cached"] = ns.cached_count
    figures["rss_growth_per_file"] = round((rss_bytes() - before) / file_count)
    figures["worst_pause_ms"], figures["pause_p999_ms"] = ticker.worst_ms()
    return figures


def listing(path: str) -> dict[str, float]:
    """`ls` of 10 000 entries: from the store, then from memory."""
    store = RocksStore(path)
    ns = Namespace(store)
    figures = {}
    for what in ("cold", "loaded", "again"):
        begin = time.perf_counter()
        directory = queries.lookup(ns, "/dir0000", WHO)
        after: str | None = ""
        count = 0
        while after is not None:
            page = queries.list_page(ns, directory, after)
            count += len(page.entries)
            after = page.after
        assert count == 10_000, count
        figures[f"ls_10000_{what}_ms"] = round((time.perf_counter() - begin) * 1e3, 1)
    store.close()
    return figures


def phase(name: str, path: str, file_count: int, shape: str) -> dict[str, float]:
    """One phase, in this process."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    if name == "memory":
        return asyncio.run(create(Nowhere(), file_count, shape))
    if name == "create":
        store = RocksStore(path)
        figures = asyncio.run(create(store, file_count, shape))
        store.close()
        return figures
    if name == "listing":
        return listing(path)
    return asyncio.run(restart(path, file_count, shape))


def run_phase(name: str, path: str, file_count: int, shape: str) -> None:
    """One phase in a process of its own."""
    arguments = [__file__, "--phase", name, "--path", path, "--files", str(file_count)]
    done = subprocess.run(
        [sys.executable, *arguments, "--shape", shape], check=True, capture_output=True, text=True
    )
    print(f"{shape:5} {name:8}", done.stdout.strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--shape", choices=[*DIRECTORIES], default="")
    parser.add_argument("--phase", default="")
    parser.add_argument("--path", default="")
    given = parser.parse_args()
    if given.phase:
        print(json.dumps(phase(given.phase, given.path, given.files, given.shape)))
        return
    with tempfile.TemporaryDirectory() as directory:
        for shape in [given.shape] if given.shape else DIRECTORIES:
            path = f"{directory}/{shape}"
            run_phase("memory", "", given.files, shape)
            run_phase("create", path, given.files, shape)
            run_phase("restart", path, given.files, shape)
        run_phase("create", f"{directory}/listing", 10_000, "one")
        run_phase("listing", f"{directory}/listing", 10_000, "one")


if __name__ == "__main__":
    main()
