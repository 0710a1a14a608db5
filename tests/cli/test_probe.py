"""One MGM asked by itself."""

import asyncio
import errno
from types import SimpleNamespace
from typing import Any

import pytest

from thesan.cli import probe
from thesan.cli.probe import MgmLook, look, look_at_all, master_of
from thesan.core.control.messages import Admin, AdminReply, Leader, Watch, encode_reply
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


def whoever(*addresses: str) -> Any:
    return asyncio.run(probe.ask_whoever(addresses, Admin("fs", "ls")))


def test_the_first_answer_wins_and_nobody_waits_for_the_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def pages(endpoint: Endpoint, message: Admin, seconds: float) -> AdminReply:
        match endpoint.host:
            case "dead":
                await asyncio.sleep(3600)
            case "elsewhere":
                raise OperationError(errno.EAGAIN, "does not answer that itself")
            case "refuses":
                raise OperationError(errno.EPERM, "not for you")
        return AdminReply(records=[{"of": endpoint.host}])

    async def look(addresses: Any, seconds: float = 0.0) -> list[MgmLook]:
        return [MgmLook("elsewhere:1", "master", mgms=("elsewhere:1", "c:1"))]

    monkeypatch.setattr(probe, "_all_pages", pages)
    monkeypatch.setattr(probe, "look_at_all", look)
    assert whoever("dead:1", "elsewhere:1", "b:1").records == [{"of": "b"}]
    # Nobody of those that were named: a member that they know.
    assert whoever("elsewhere:1").records == [{"of": "c"}]
    with pytest.raises(OperationError, match="not for you"):
        whoever("refuses:1", "dead:1")


def test_when_nobody_answers_it_is_said_who_was_asked(unused_port: int) -> None:
    with pytest.raises(OperationError, match=f"asked 127.0.0.1:{unused_port}") as caught:
        whoever(f"127.0.0.1:{unused_port}")
    assert caught.value.errno == errno.EHOSTUNREACH
    with pytest.raises(OperationError, match=r"nosuch\.invalid can't be resolved"):
        whoever("nosuch.invalid:1094")


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(instance_url: str) -> None:
    address = str(parse_url(instance_url).endpoints[0])
    (found,) = asyncio.run(look_at_all([address]))
    assert (found.role, found.master, found.mgms) == ("master", address, (address,))
    assert found.epoch >= 1
    assert found.applied > 0
