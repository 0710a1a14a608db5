"""The load that decides whether a failover lost anything: it has to be able to fail."""

import asyncio
import hashlib
import os
import signal
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from thesan.cli.demo.load import LANES, Client, Lane, Verdict, quantile, run
from thesan.core.model.errors import OperationError

EMPTY = hashlib.sha256(b"").hexdigest()


class FakeFile:
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aenter__(self) -> "FakeFile":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def pieces(self):
        yield self._data


class FakeInstance:
    """Names and bytes in a dict."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.down = False

    def _up(self) -> None:
        if self.down:
            raise OperationError(5, "down")

    async def mkdir(self, path: str, *, parents: bool) -> None:
        self._up()

    async def stat(self, path: str) -> None:
        self._up()

    async def touch(self, path: str) -> None:
        self._up()
        self.files[path] = b""

    async def mv(self, old: str, new: str) -> None:
        self._up()
        self.files[new] = self.files.pop(old)

    async def rm(self, path: str) -> None:
        self._up()
        del self.files[path]

    async def ls(self, path: str) -> list[Any]:
        return [SimpleNamespace(name=name.rpartition("/")[2]) for name in self.files]

    async def open(self, path: str) -> FakeFile:
        self._up()
        return FakeFile(self.files[path])


def client(files: dict[str, bytes]) -> tuple[Client, FakeInstance]:
    fake = FakeInstance(files)
    told: list[str] = []
    lanes = {name: Lane(name) for name in LANES}
    return Client("/c", fake, lanes, 0.0, lambda _, text: told.append(text)), fake  # type: ignore[arg-type]


def test_what_is_as_acknowledged_is_not_lost() -> None:
    one, _ = client({"/c/a": b"1"})
    one.files["/c/a"] = hashlib.sha256(b"1").hexdigest()
    one.gone["/c/b"] = None
    assert asyncio.run(one.verify()) == []


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({}, "/c/a is gone"),
        ({"/c/a": b"2"}, "other bytes"),
        ({"/c/a": b"1", "/c/b": b""}, "/c/b is back"),
        ({"/c/a": b"1", "/c/z": b""}, "/c/z was never made"),
    ],
)
def test_what_is_otherwise_is_lost(there: dict[str, bytes], said: str) -> None:
    one, _ = client(there)
    one.files["/c/a"] = hashlib.sha256(b"1").hexdigest()
    one.gone["/c/b"] = None
    (lost,) = asyncio.run(one.verify())
    assert said in lost


def test_an_operation_that_failed_may_be_done_or_not() -> None:
    one, fake = client({"/c/old": b""})
    one.files["/c/old"] = EMPTY
    fake.down = True

    async def fail() -> None:
        for _ in range(8):
            with suppress(OperationError):
                await one._names()

    asyncio.run(fail())
    assert one.unsure
    fake.down = False
    fake.files |= dict.fromkeys(one.unsure, b"")
    assert asyncio.run(one.verify()) == []


def test_names_are_made_renamed_and_removed() -> None:
    one, fake = client({})

    async def work() -> None:
        for _ in range(64):
            await one._names()

    asyncio.run(work())
    assert set(fake.files) == set(one.files)
    assert any("/r" in path for path in one.files)
    assert one.gone
    assert not one.unsure
    assert asyncio.run(one.verify()) == []


def test_figures() -> None:
    lane = Lane("names")
    lane.took(0.001, 1.0)
    lane.took(0.5, 2.0)
    lane.took(0.002, 3.0)
    lane.errors.append("x")
    record = lane.record()
    assert (record["acknowledged"], record["stall_ms"], record["stall_at_s"]) == (3, 500.0, 2.0)
    assert (record["p50_ms"], record["errors"]) == (2.0, 1)
    assert quantile([], 0.5) == 0.0
    verdict = Verdict([lane, Lane("read")], 3.0, ["/a is gone"], 2)
    assert verdict.record()["lost"] == 1
    assert verdict.record()["stall_ms"] == 500.0
    assert verdict.errors == ["x"]


@pytest.mark.parametrize(("seconds", "clients"), [(0.0, 1), (1.0, 0), (1.0, 65), (1e9, 1)])
def test_bounds(seconds: float, clients: int) -> None:
    with pytest.raises(OperationError):
        asyncio.run(run("root://127.0.0.1:1/", seconds, clients, lambda *_: None))


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(instance_url: str, thesan: Any) -> None:
    verdict = asyncio.run(run(instance_url, 1.5, 2, lambda *_: None))
    assert (verdict.errors, verdict.lost) == ([], [])
    assert all(lane.seconds for lane in verdict.lanes)
    assert verdict.checked > 0
    assert "demo-load" not in thesan("ls", "/")


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_ctrl_c_ends_the_load_and_not_the_verdict(instance_url: str, thesan: Any) -> None:
    async def interrupted() -> Verdict:
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, os.kill, os.getpid(), signal.SIGINT)
        return await run(instance_url, 600.0, 1, lambda *_: None)

    verdict = asyncio.run(interrupted())
    assert verdict.seconds < 300.0
    assert (verdict.errors, verdict.lost) == ([], [])
    assert "demo-load" not in thesan("ls", "/")
