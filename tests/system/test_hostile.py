"""Hostile peers at a live MGM and FST: each input gets an error or a close, nobody else notices."""

import asyncio
import contextlib
import importlib
import os
import random
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from thesan.core.model.limits import LOGIN_SECONDS_MAX, SWEEP_SECONDS
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import HANDSHAKE, NO_SID
from thesan.core.wire.request_codec import encode

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.xdist_group("machine")]

INPUTS = int(os.environ.get("THESAN_HOSTILE_INPUTS", "20000"))
SEED = 2
HEAD_BYTES = 24
"""ClientRequestHdr; its last four bytes are the length of the body."""
FRAMES_PER_CONNECTION = 8
"""Few: most connections are closed at their first bad frames."""
CONNECTIONS_AT_ONCE = 8
CLOSE_SECONDS_MAX = 15.0
"""After our end of the stream the daemon closes, whatever came before."""
RSS_GROWTH_MAX = 100 << 20
DESCRIPTORS = 4096


@pytest.fixture(scope="module")
def fuzz() -> Iterator[tuple[ModuleType, ModuleType]]:
    """The corpus and the mutations of tests/fuzz."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "fuzz"))
        yield importlib.import_module("corpus"), importlib.import_module("mutate")


@contextlib.asynccontextmanager
async def raw(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection without any protocol."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def throw(address: str, entrance: bytes, frames: list[bytes]) -> int:
    """Send everything, then the end of the stream; bytes answered until the daemon closes.

    TimeoutError when it does not.
    """
    answered = 0
    async with raw(address) as (reader, writer):

        async def listen() -> None:
            nonlocal answered
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    answered += len(data)

        async with asyncio.timeout(CLOSE_SECONDS_MAX), asyncio.TaskGroup() as group:
            group.create_task(listen())
            with contextlib.suppress(ConnectionError, OSError):
                writer.write(entrance)
                for frame in frames:
                    writer.write(frame)
                    await writer.drain()
                writer.write_eof()
    return answered


def entrances(dice: random.Random, corpus: ModuleType) -> bytes:
    """Mostly a good login, so that what follows gets past the door."""
    if dice.random() < 0.15:
        return dice.choice(corpus.ENTRANCE)
    login = encode(rq.Login(NO_SID, "evil", dice.randrange(1 << 31), 0, 0, 5, b""))
    proof = encode(rq.Auth(NO_SID, b"unix", b"unix\0evil evil\0"))
    return HANDSHAKE + encode(rq.Protocol(NO_SID)) + login + (proof if dice.random() < 0.7 else b"")


def in_frame(dice: random.Random, data: bytes) -> bytes:
    """Mostly with a header whose length is right: the daemon must not lose step at once."""
    if len(data) < HEAD_BYTES or dice.random() < 0.03:
        return data
    return data[:20] + (len(data) - HEAD_BYTES).to_bytes(4, "big") + data[HEAD_BYTES:]


async def keep_working(instance: Any, stop: asyncio.Event) -> int:
    """An honest client beside: every file comes back as it was stored."""
    rounds = 0
    async with instance.client() as fs:
        await fs.mkdir("/honest", parents=True)
        while not stop.is_set() or not rounds:
            data = os.urandom(50_000)
            async with await fs.open("/honest/f", "w") as file:
                await file.write(0, data)
            async with await fs.open("/honest/f") as file:
                assert bytes(await file.read()) == data
            rounds += 1
    return rounds


def test_random_frames(start_instance: Any, fuzz: Any) -> None:
    corpus, mutate = fuzz
    instance = start_instance(fsts=1)
    pids = {name: instance.pid(name) for name in instance.names}
    before = {name: instance.rss_bytes(name) for name in instance.names}
    dice = random.Random(SEED)
    sent = answered = 0

    async def scenario() -> None:
        nonlocal sent, answered
        addresses = [*instance.plan.mgms, *instance.plan.fsts]
        frames_from = [*corpus.FRAMES * 8, *corpus.LONG_FRAMES]

        async def lane() -> None:
            nonlocal sent, answered
            while sent < INPUTS:
                frames = [
                    in_frame(dice, mutate.mutate(dice, frames_from))
                    for _ in range(FRAMES_PER_CONNECTION)
                ]
                sent += len(frames)
                entrance = entrances(dice, corpus)
                answered += await throw(dice.choice(addresses), entrance, frames)

        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            honest = group.create_task(keep_working(instance, stop))
            async with asyncio.TaskGroup() as lanes:
                for _ in range(CONNECTIONS_AT_ONCE):
                    lanes.create_task(lane())
            stop.set()
        print(f"\n{sent} inputs, {answered} bytes answered, {honest.result()} honest rounds beside")

    asyncio.run(scenario())
    assert sent >= INPUTS
    assert answered > 0
    assert pids == {name: instance.pid(name) for name in instance.names}, "nobody died"
    for name in instance.names:
        grown = instance.rss_bytes(name) - before[name]
        assert grown < RSS_GROWTH_MAX, f"{name} grew by {grown} bytes"


def test_a_header_that_promises_too_much(start_instance: Any) -> None:
    instance = start_instance(fsts=1)
    before = {name: instance.rss_bytes(name) for name in instance.names}

    async def scenario() -> None:
        greeting = HANDSHAKE + encode(rq.Protocol(NO_SID))
        login = encode(rq.Login(NO_SID, "evil", 1, 0, 0, 5, b""))
        for address in (*instance.plan.mgms, *instance.plan.fsts):
            for request_id in (3001, 3010, 3013, 3019, 3025, 3026, 3031, 65535):
                for length in (1 << 20, (1 << 20) + 1, 1 << 30, (1 << 31) - 1, 1 << 31, 0xFFFFFFFF):
                    head = NO_SID + request_id.to_bytes(2, "big") + bytes(16)
                    frame = head + length.to_bytes(4, "big") + bytes(1000)
                    await throw(address, greeting + login, [frame])
                    await throw(address, greeting, [frame])

    asyncio.run(scenario())
    for name in instance.names:
        assert instance.rss_bytes(name) - before[name] < RSS_GROWTH_MAX


@pytest.mark.timeout(180)
def test_half_open_and_slow_peers(start_instance: Any) -> None:
    """A thousand connections, most of which never log in: they are closed, the others stay."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < DESCRIPTORS:
        pytest.skip(f"needs {DESCRIPTORS} descriptors, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    try:
        instance = start_instance(fsts=1)
        before = {name: instance.rss_bytes(name) for name in instance.names}
        asyncio.run(_crowd(instance))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for name in instance.names:
        assert instance.rss_bytes(name) - before[name] < RSS_GROWTH_MAX


async def _crowd(instance: Any) -> None:
    greeting = HANDSHAKE + encode(rq.Protocol(NO_SID))
    login = greeting + encode(rq.Login(NO_SID, "crowd", 1, 0, 0, 5, b""))
    login += encode(rq.Auth(NO_SID, b"unix", b"unix\0crowd crowd\0"))
    ping = encode(rq.Ping(b"\x12\x34"))
    closed = 0

    async def silent(address: str) -> None:
        nonlocal closed
        async with raw(address) as (reader, _):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        closed += 1

    async def slow(address: str) -> None:
        nonlocal closed
        async with raw(address) as (reader, writer):
            gone = asyncio.get_running_loop().create_task(reader.read())
            with contextlib.suppress(ConnectionError):
                for byte in login:
                    writer.write(bytes([byte]))
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(asyncio.shield(gone), 1.5)
                        break
                await gone
        closed += 1

    async def member(address: str, all_in: asyncio.Barrier) -> None:
        async with raw(address) as (reader, writer):
            writer.write(login)
            await all_in.wait()
            writer.write(ping)
            tail = b""
            while b"\x12\x34\0\0" not in tail:
                data = await reader.read(4096)
                assert data, "a member of the crowd was thrown out"
                tail = tail[-16:] + data

    stop = asyncio.Event()
    addresses = [*instance.plan.mgms, *instance.plan.fsts]
    async with (
        asyncio.timeout(LOGIN_SECONDS_MAX + SWEEP_SECONDS + 30),
        asyncio.TaskGroup() as group,
    ):
        honest = group.create_task(keep_working(instance, stop))
        barrier = asyncio.Barrier(401)
        strangers = []
        for number in range(300):
            strangers.append(group.create_task(silent(addresses[number % 2])))
            strangers.append(group.create_task(slow(addresses[number % 2])))
        members = [group.create_task(member(addresses[n % 2], barrier)) for n in range(400)]
        await asyncio.gather(*strangers)
        await barrier.wait()
        await asyncio.gather(*members)
        stop.set()
    assert closed == 600
    assert honest.result() > 0
