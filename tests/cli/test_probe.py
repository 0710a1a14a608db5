"""One MGM asked by itself."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from thesan.cli import probe
from thesan.cli.probe import MgmLook, look, look_at_all, master_of
from thesan.core.control.messages import Leader, Watch, encode_reply
from thesan.core.model.errors import OperationError
from thesan.core.wire.numbers import Status
from thesan.roles.client.url import Endpoint, parse_url


class FakeConnection:
    host, port = "h", 1

    def __init__(self, status: Status, body: bytes = b"") -> None:
        self._answer = SimpleNamespace(status=status, body=body)

    async def call(self, request: Any, seconds: float) -> Any:
        return self._answer


def ask(status: Status, body: bytes = b"") -> Any:
    return asyncio.run(probe.ask(FakeConnection(status, body), Watch(), 1.0))  # type: ignore[arg-type]


def test_an_answer_is_the_mgms_own() -> None:
    leader = Leader(3, "h:1", ["h:1"], "master", 17)
    assert ask(Status.OK, encode_reply(leader)) == leader


@pytest.mark.parametrize("status", [Status.WAIT, Status.REDIRECT])
def test_being_sent_elsewhere_is_no_answer(status: Status) -> None:
    with pytest.raises(OperationError, match="does not answer that itself"):
        ask(status)


def test_an_unreadable_answer_is_an_error() -> None:
    with pytest.raises(OperationError):
        ask(Status.OK, b"\xc1")


def test_an_mgm_that_is_not_there(unused_port: int) -> None:
    found = asyncio.run(look(Endpoint("127.0.0.1", unused_port), 1.0))
    assert found.role == "unknown"
    assert found.error
    assert asyncio.run(look_at_all([f"127.0.0.1:{unused_port}"]))[0].role == "unknown"


def test_the_master_is_the_one_with_the_highest_epoch() -> None:
    looks = [
        MgmLook("a:1", "master", 3),
        MgmLook("b:1", "master", 4),
        MgmLook("c:1", "standby", 4),
    ]
    assert master_of(looks) == looks[1]
    assert master_of(looks[2:]) is None


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(instance_url: str) -> None:
    address = str(parse_url(instance_url).endpoints[0])
    (found,) = asyncio.run(look_at_all([address]))
    assert (found.role, found.master, found.mgms) == ("master", address, (address,))
    assert found.epoch >= 1
    assert found.applied > 0
