"""What a command that waits tells a person."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from thesan.cli import probe, waiting
from thesan.cli.probe import MgmLook
from thesan.roles.client.url import Endpoint

DEAD = MgmLook("dead:1", "unknown", error="no answer in 1 s")
STANDBY = MgmLook("b:1", "standby", 3)
MASTER = MgmLook("c:1", "master", 3)
URL = "root://a:1,b:1"


def test_what_is_said() -> None:
    assert waiting.notice([DEAD, STANDBY], URL, any_mgm=False).startswith("no master answers")
    assert waiting.notice([DEAD], URL, any_mgm=False) == (
        f"no MGM answers at {URL}, trying on (Ctrl-C ends it): dead:1: no answer in 1 s"
    )
    assert waiting.notice([DEAD], URL, any_mgm=True).startswith("no MGM answers")


@pytest.mark.parametrize(
    ("looks", "any_mgm"), [([DEAD, STANDBY, MASTER], False), ([DEAD, STANDBY], True)]
)
def test_nothing_is_said_while_there_is_somebody(looks: list[MgmLook], any_mgm: bool) -> None:
    assert waiting.notice(looks, URL, any_mgm=any_mgm) == ""


def test_not_every_reason_is_told() -> None:
    unnamed = MgmLook("h:1", "unknown", error="the name h can't be resolved")
    assert waiting.reasons([unnamed]) == unnamed.error
    looks = [MgmLook(f"h{n}:1", "unknown", error=f"h{n}:1: refused") for n in range(5)]
    assert waiting.reasons(looks) == "h0:1: refused; h1:1: refused; h2:1: refused; 2 more"


def test_looks_go_on_until_there_is_something_to_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.0)
    watcher = SimpleNamespace(is_on=False)
    router = SimpleNamespace(watcher=watcher, masters=SimpleNamespace(mgms=[Endpoint("b", 1)]))
    asked: list[list[str]] = []

    async def look(addresses: list[str], seconds: float) -> list[MgmLook]:
        asked.append(addresses)
        return [MASTER if len(asked) == 1 else STANDBY]

    async def run() -> None:
        telling = asyncio.ensure_future(tell(SimpleNamespace(router=router)))
        for _ in range(10):
            await asyncio.sleep(0)
        # Nothing had to wait so far: nobody is asked.
        assert not asked
        watcher.is_on = True
        async with asyncio.timeout(10.0):
            await telling

    async def tell(fs: Any) -> None:
        await waiting.tell(fs, URL, any_mgm=False)

    monkeypatch.setattr(probe, "look_at_all", look)
    asyncio.run(run())
    assert asked == [["b:1"], ["b:1"]]
    assert capsys.readouterr().err.startswith("thesan: no master answers at the moment")
