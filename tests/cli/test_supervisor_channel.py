"""Orders to a supervisor: bounded, refused with a reason, never a hang."""

import asyncio
import errno
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thesan.cli.supervisor_channel import (
    REQUEST_BYTES_MAX,
    SOCKET_NAME,
    Channel,
    DaemonState,
    Order,
    tell,
)
from thesan.core.model.errors import OperationError

STATES = [DaemonState("mgm1", "mgm", "127.0.0.1", 1094)]


def serving(directory: Path, work: Callable[[list[Order]], Any]) -> Any:
    """Run `work` in a thread while a channel in `directory` writes down what it is told."""
    orders: list[Order] = []

    def obey(order: Order) -> list[DaemonState]:
        orders.append(order)
        if "nobody" in order.names:
            raise OperationError(errno.EINVAL, "there is no daemon nobody: mgm1")
        return STATES

    async def run() -> Any:
        channel = Channel(directory, obey)
        await channel.open()
        try:
            return await asyncio.to_thread(work, orders)
        finally:
            await channel.close()

    return asyncio.run(run())


def raw(directory: Path, data: bytes) -> bytes:
    descriptor = os.open(directory, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
            connection.sendall(data)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer
    except ConnectionResetError:
        return b""
    finally:
        os.close(descriptor)


def test_an_order_and_its_answer(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)  # longer than sun_path
    deep.mkdir(parents=True)

    def work(orders: list[Order]) -> None:
        assert tell(deep, "hold", "mgm1", seconds=2.5) == STATES
        assert orders == [Order("hold", ["mgm1"], 2.5)]
        assert stat.S_IMODE((deep / SOCKET_NAME).stat().st_mode) == 0o600

    serving(deep, work)
    assert not (deep / SOCKET_NAME).exists()


def test_refusals_have_a_reason(tmp_path: Path) -> None:
    def work(orders: list[Order]) -> None:
        with pytest.raises(OperationError, match="no daemon nobody"):
            tell(tmp_path, "kill", "nobody")
        orders.clear()
        with pytest.raises(OperationError, match="no verb 'dance'"):
            tell(tmp_path, "dance")
        with pytest.raises(OperationError, match="seconds: 0 to"):
            tell(tmp_path, "pause", "mgm1", seconds=-1.0)
        assert "unreadable" in json.loads(raw(tmp_path, b"{\n"))["error"]
        assert "unreadable" in json.loads(raw(tmp_path, b'{"verb": "list", "more": 1}\n'))["error"]
        assert raw(tmp_path, b"x" * (REQUEST_BYTES_MAX + 1) + b"\n") == b""
        assert orders == []

    serving(tmp_path, work)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="demo up") as caught:
        tell(tmp_path, "list")
    assert caught.value.errno == errno.ESRCH
    with pytest.raises(OperationError, match="no supervisor"):
        tell(tmp_path / "nowhere", "list")


def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        descriptor = os.open(tmp_path, os.O_PATH)
        left.bind(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
        os.close(descriptor)
    with pytest.raises(OperationError, match="no supervisor"):
        tell(tmp_path, "list")
    serving(tmp_path, lambda _: tell(tmp_path, "list"))
