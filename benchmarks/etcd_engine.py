"""The etcd engine beside bare etcd, on a real disk; and what its members' memory comes to.

python -m benchmarks.etcd_engine latency            # one append at a time: bare put, engine
python -m benchmarks.etcd_engine memory --mib 1024  # RSS while a journal is written and trimmed
"""

import argparse
import asyncio
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil

from thesan.cli.demo.plan import Plan, make_plan
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.units import KIB, MIB
from thesan.ports.engine import Owner
from thesan.worlds.real.engines import open_engine
from thesan.worlds.real.loop import new_event_loop

ME = Owner("bench", Epoch(1), "", 0)
READY_SECONDS_MAX = 30.0


@contextmanager
def etcd(directory: Path) -> Iterator[tuple[str, list[psutil.Process]]]:
    """Three members with the flags of a demo: the engine's spec and their processes."""
    plan = make_plan(directory, 1, 1, "etcd")
    specs = [spec for spec in plan.specs() if spec.role == "etcd"]
    processes = [
        subprocess.Popen(
            [spec.program, *spec.argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for spec in specs
    ]
    try:
        _wait(plan)
        yield plan.journal, [psutil.Process(process.pid) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait(plan: Plan) -> None:
    give_up_at = time.monotonic() + READY_SECONDS_MAX
    for member in plan.etcds:
        while True:
            try:
                with urllib.request.urlopen(f"http://{member.client}/health", timeout=1) as answer:
                    if b'"true"' in answer.read():
                        break
            except OSError:
                pass
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"etcd at {member.client} is not healthy")
            time.sleep(0.05)


async def _timed(count: int, work: Callable[[int], Awaitable[object]]) -> list[float]:
    times = []
    for number in range(count):
        before = time.perf_counter()
        await work(number)
        times.append((time.perf_counter() - before) * 1000)
    return sorted(times)


async def latency(spec: str, rounds: int, count: int) -> None:
    """A bare put and a fenced append of the same bytes, interleaved; and the reads."""
    from thesan.worlds.real.etcd import requests
    from thesan.worlds.real.etcd.endpoint import TXN
    from thesan.worlds.real.etcd.engine import EtcdEngine

    engine = await open_engine(spec)
    assert isinstance(engine, EtcdEngine)
    assert await engine.take_over(None, ME)
    seq = 0
    figures: dict[str, list[float]] = {}
    for size in (200, 4096, 65536, 262144):
        data = bytes(size)

        async def put(number: int, data: bytes = data) -> None:
            put = requests.put(b"/bare/%020d" % number, data)
            await engine.client.call(TXN, requests.txn([], [put]))

        async def append(_: int, data: bytes = data) -> None:
            nonlocal seq
            seq += 1
            await engine.append(ME, Seq(seq), data)

        for _ in range(rounds):
            for name, work in (("bare put", put), ("append", append)):
                figures.setdefault(f"{name} {size:>6} B", []).extend(await _timed(count, work))
        await engine.trim(ME, Seq(seq))
    for name, work in (
        ("observe", lambda _: engine.observe()),
        ("beat", lambda _: engine.beat(ME)),
    ):
        figures[name] = await _timed(rounds * count, work)
    for name, times in figures.items():
        times.sort()
        print(
            f"{name:20} p50 {median(times):6.2f} ms   p99 {times[int(len(times) * 0.99)]:6.2f} ms"
        )
    await engine.close()


async def memory(spec: str, members: list[psutil.Process], mib: int, entry_kib: int) -> None:
    """Entries of one size, the last 50 MiB kept: RSS of each member on the way.

    A full batch of ops is 256 KiB before it is compressed, and about 64 KiB in etcd.
    """
    engine = await open_engine(spec)
    assert await engine.take_over(None, ME)
    data = bytes(entry_kib * KIB)
    per_mib = 1024 // entry_kib
    kept = 50 * per_mib
    peak = 0
    for seq in range(1, mib * per_mib + 1):
        await engine.append(ME, Seq(seq), data)
        if seq % kept == 0:
            await engine.trim(ME, Seq(seq - kept))
        if seq % (128 * per_mib) == 0:
            resident = [member.memory_info().rss // MIB for member in members]
            peak = max(peak, *resident)
            used = (await engine.status()).used_bytes // MIB
            print(
                f"{seq // per_mib:6} MiB written, {used:4} MiB in use, RSS {resident} MiB",
                flush=True,
            )
    print(f"peak RSS {peak} MiB")
    await engine.close()


def main() -> None:
    """One of the two."""
    top = argparse.ArgumentParser(prog="benchmarks.etcd_engine", description=__doc__)
    top.add_argument("what", choices=["latency", "memory"])
    top.add_argument("--disk", type=Path, help="where etcd writes: a real disk, not tmpfs")
    top.add_argument("--mib", type=int, default=1024)
    top.add_argument("--entry-kib", type=int, default=64, choices=[4, 16, 64, 256])
    top.add_argument("--rounds", type=int, default=4)
    top.add_argument("--count", type=int, default=100)
    options = top.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="thesan-bench-", dir=options.disk) as name,
        etcd(Path(name)) as (spec, members),
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        if options.what == "latency":
            runner.run(latency(spec, options.rounds, options.count))
        else:
            runner.run(memory(spec, members, options.mib, options.entry_kib))


if __name__ == "__main__":
    main()
