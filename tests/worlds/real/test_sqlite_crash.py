"""Power cuts, damage and kill -9: what the file yields afterwards is right, or an error."""

import asyncio
import os
import random
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from thesan.core.journal.entry import Chain, Entry, crc_of, decode, encode
from thesan.core.model.errors import JournalError
from thesan.core.model.ids import Epoch, Seq
from thesan.ports.engine import Engine, Owner
from thesan.worlds.real.sqlite_engine import SqliteEngine

A = Owner("a", Epoch(1), "a:1094", 11)


def with_engine(path: Path, story: Callable[[SqliteEngine], Coroutine[Any, Any, Any]]) -> Any:
    """Open, run, close."""

    async def whole() -> Any:
        engine = await SqliteEngine.open(str(path))
        try:
            return await story(engine)
        finally:
            await engine.close()

    return asyncio.run(whole())


async def write(engine: Engine, count: int, size: int = 200) -> list[bytes]:
    """Take the journal and append `count` real entries; their bytes."""
    await engine.take_over(None, A)
    crc, written = 0, []
    dice = random.Random(count)
    for seq in range(1, count + 1):
        written.append(encode(A.epoch, Seq(seq), crc, [dice.randbytes(size)]))
        await engine.append(A, Seq(seq), written[-1])
        crc = crc_of(written[-1])
    return written


# -- torn and damaged files ---------------------------------------------------------------------
async def survivors(path: Path) -> list[bytes] | None:
    """What a damaged file yields: its entries if all that is there is right, None for an error."""
    try:
        engine = await SqliteEngine.open(str(path))
    except JournalError:
        return None
    try:
        found: list[bytes] = []
        chain = Chain()
        for _, data in await engine.read(Seq(1), 1 << 30):
            chain.check(decode(data))
            found.append(data)
        assert await engine.owner() in (None, A)
        assert (await engine.status()).last == len(found)
        if await engine.owner() == A:
            # It is a journal still: it goes on from there.
            await engine.append(A, Seq(len(found) + 1), b"next")
        return found
    except JournalError:
        return None
    finally:
        await engine.close()


def snapshot_of_a_running_journal(folder: Path, count: int) -> list[bytes]:
    """Database and log as a power cut would leave them, in `folder`/cut.db and cut.db-wal."""

    async def story(engine: SqliteEngine) -> list[bytes]:
        written = await write(engine, count, 500)
        for end in ("", "-wal"):
            shutil.copy2(folder / f"live.db{end}", folder / f"cut.db{end}")
        return written

    return with_engine(folder / "live.db", story)


@pytest.mark.parametrize("damage", ["cut", "zeroed", "flipped"])
def test_a_torn_log_yields_a_clean_prefix(tmp_path, damage):
    written = snapshot_of_a_running_journal(tmp_path, 6)
    database = (tmp_path / "cut.db").read_bytes()
    log = (tmp_path / "cut.db-wal").read_bytes()
    seen: list[int] = []

    async def story() -> None:
        for number, at in enumerate(range(0, len(log), 512)):
            path = tmp_path / f"{number}.db"
            path.write_bytes(database)
            path.chmod(0o600)
            match damage:
                case "cut":
                    torn = log[:at]
                case "zeroed":
                    torn = log[:at] + bytes(512) + log[at + 512 :]
                case _:
                    torn = log[:at] + bytes([log[at] ^ 0x10]) + log[at + 1 :]
            Path(f"{path}-wal").write_bytes(torn)
            found = await survivors(path)
            assert found is not None, f"{damage} at {at}: not even the prefix was read"
            assert found == written[: len(found)], f"{damage} at {at}"
            if torn != log:
                seen.append(len(found))
            path.unlink()

    asyncio.run(story())
    assert set(seen) == set(range(6))
    assert seen == sorted(seen)


def test_a_damaged_database_never_yields_wrong_entries(tmp_path):
    written = with_engine(tmp_path / "live.db", lambda engine: write(engine, 30, 3000))
    database = (tmp_path / "live.db").read_bytes()
    dice = random.Random(7)
    outcomes = {"right": 0, "refused": 0}

    async def story() -> None:
        path = tmp_path / "bad.db"
        for number in range(150):
            bad = bytearray(database)
            match number % 3:
                case 0:
                    bad = bad[: dice.randrange(1, len(bad))]
                case 1:
                    at = dice.randrange(len(bad) // 512) * 512
                    bad[at : at + 512] = dice.randbytes(512)
                case _:
                    bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
            path.write_bytes(bad)
            path.chmod(0o600)
            found = await survivors(path)
            outcomes["refused" if found is None else "right"] += 1
            # Space that SQLite does not use may be damaged without harm; an entry may not.
            assert found in (None, written, []), f"damage {number}"
            for end in ("", "-wal", "-shm"):
                Path(f"{path}{end}").unlink(missing_ok=True)

    asyncio.run(story())
    assert outcomes["refused"] > 75


# -- kill -9 ------------------------------------------------------------------------------------
WRITER = """
import asyncio, os, sys
from thesan.core.journal.entry import START, decode
from thesan.core.model.errors import Fenced
from thesan.core.model.ids import Epoch, Seq
from thesan.io.journal.replay import replay
from thesan.io.journal.writer import JournalWriter
from thesan.ports.engine import Owner
from thesan.worlds.real.sqlite_engine import SqliteEngine

async def main(path, run):
    engine = await SqliteEngine.open(path)
    seen = await engine.owner()
    mine = Owner(run, Epoch(1 if seen is None else seen.epoch + 1), "")
    assert await engine.take_over(seen, mine)
    first = (await engine.status()).first
    begin = START
    if first > 1:
        begin = decode((await engine.read(first, 1))[0][1]).position
    head = await replay(engine, begin, lambda entry: b"")
    lost = []
    writer = JournalWriter(engine, mine, Seq(head.seq + 1), head.crc, lost.append)
    writer.start()
    number = 0
    try:
        while True:
            for _ in range(1 + number % 7):
                number += 1
                op = b"%s %d " % (run.encode(), number) + b"x" * (number * 37 % 3000)
                writer.submit(op, lambda seq, n=number: os.write(1, b"%d %d\\n" % (seq, n)))
            if number % 3 == 0 or writer.pending_ops > 200:
                await writer.flush()
            else:
                await asyncio.sleep(0)
            if writer.committed % 50 == 49 and writer.committed > 100:
                await engine.trim(mine, Seq(writer.committed - 100))
    except Fenced:
        await writer.close()
        await engine.close()

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def acknowledged_before_kill(path: Path, run: str, lines: int, delay: float) -> list[str]:
    """SIGKILL a writer `delay` seconds after its `lines`-th answer; all its answers."""
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), run], stdout=subprocess.PIPE, text=False
    )
    assert child.stdout is not None
    received = b""
    try:
        while received.count(b"\n") < lines:
            assert select.select([child.stdout], [], [], 30)[0], "the writer writes nothing"
            block = os.read(child.stdout.fileno(), 65536)
            assert block, "the writer ended by itself"
            received += block
        time.sleep(delay)
    finally:
        child.kill()
        rest, _ = child.communicate()
    whole, _, _ = (received + rest).rpartition(b"\n")
    return whole.decode().splitlines()


@pytest.mark.system
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path):
    path = tmp_path / "journal.db"
    dice = random.Random(2)
    kept: dict[int, Entry] = {}
    for number in range(20):
        lines = 0 if number % 4 == 3 else dice.choice((1, 10, 300))
        # Without an answer to wait for, the blow falls while it opens and takes over.
        delay = dice.uniform(0.0, 0.2) if lines == 0 else dice.uniform(0.0, 0.02)
        run = f"run{number}"
        answers = acknowledged_before_kill(path, run, lines, delay)
        if not path.exists():
            continue
        entries = with_engine(path, kept_entries)
        # Contiguous to the head, and what was there before is there unchanged.
        assert all(entries[seq] == kept[seq] for seq in kept if seq in entries)
        assert not kept or max(kept) <= max(entries)
        acknowledged = [tuple(map(int, answer.split())) for answer in answers]
        ops = {
            (seq, int(op.split()[1])): op
            for seq, entry in entries.items()
            for op in entry.ops
            if op.startswith(run.encode() + b" ")
        }
        first = min(entries, default=1)
        assert set(ops) >= {answer for answer in acknowledged if answer[0] >= first}
        # In doubt are the entry in flight and the one whose answers were about to leave.
        newest = max((seq for seq, _ in acknowledged), default=0)
        in_doubt = {seq for seq, _ in ops if seq > newest}
        assert len(in_doubt) <= 2
        numbers = [op_number for _, op_number in sorted(ops)]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True
        kept = entries
    assert max(kept) > 100


@pytest.mark.system
def test_another_process_follows_and_takes_over(tmp_path):
    path = tmp_path / "journal.db"
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), "child"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert select.select([child.stdout], [], [], 30)[0]

    async def story(engine: SqliteEngine) -> int:
        chain: Chain | None = None
        async with aclosing(engine.follow((await engine.status()).first)) as entries:
            async for _, data in entries:
                entry = decode(data)
                if chain is None:
                    chain = Chain(entry.position)
                else:
                    chain.check(entry)
                if entry.seq >= 90:
                    break
        seen = await engine.owner()
        assert seen is not None
        rival = Owner("parent", Epoch(seen.epoch + 1), "")
        assert await engine.take_over(seen, rival)
        head = (await engine.status()).last
        await engine.append(rival, Seq(head + 1), b"mine")
        return head

    try:
        head = with_engine(path, story)
        # The writer ends by itself once it is fenced.
        answers, _ = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 0
    acknowledged = [int(line.split()[0]) for line in answers.splitlines()]
    assert head - 1 <= max(acknowledged) <= head
    last = with_engine(path, lambda engine: engine.read(Seq(head + 1), 1 << 20))
    assert last == [(head + 1, b"mine")]


async def kept_entries(engine: SqliteEngine) -> dict[int, Entry]:
    """All entries that were not trimmed, checked."""
    status = await engine.status()
    entries: dict[int, Entry] = {}
    chain: Chain | None = None
    at = status.first
    while page := await engine.read(at, 1 << 20):
        for seq, data in page:
            entry = decode(data)
            assert entry.seq == seq
            if chain is None:
                chain = Chain(entry.position)
            else:
                chain.check(entry)
            entries[seq] = entry
        at = Seq(page[-1][0] + 1)
    assert status.last == max(entries, default=0)
    return entries
