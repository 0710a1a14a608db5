"""`thesan ns master`: said so that a person understands it."""

import json
from typing import Any

import pytest

from thesan.cli.admin.ns_master import as_they_say, page, span
from thesan.cli.main import main
from thesan.cli.probe import MgmLook

STORY = {
    "master": "m2:1094",
    "epoch": 5,
    "before": "m1:1094",
    "why": "m1:1094 is silent for 1.20 s, the limit is 1.2 s",
    "since_ns": 1_000_000_000_000_000_000,
    "silence_ms": 1203.4,
    "claim_ms": 5.0,
    "total_ms": 11.0,
}
MGMS = [
    {"hostport": "m1:1094", "role": "", "epoch": 4, "applied": 7, "lag": 0, "why": "?"},
    {"hostport": "m2:1094", "role": "master", "epoch": 5, "applied": 9, "lag": 2, "why": "silent"},
]


def test_the_master_and_why() -> None:
    lines = page(STORY, 1_000_000_360.0)
    assert lines[0].startswith("master   m2:1094   epoch 5   since 2001-09-")
    assert lines[0].endswith("(6 min)")
    assert lines[1] == "why      m1:1094 is silent for 1.20 s, the limit is 1.2 s"
    assert lines[2] == "before   m1:1094"
    assert lines[3] == "took     11 ms (silence 1203, claim 5)"


def test_no_master_is_said() -> None:
    lines = page({"master": "", "epoch": 4, "asked.why": "the engine does not answer"}, 0.0)
    assert lines == ["master   none at the moment (the last epoch is 4)",
                     "why      the engine does not answer"]  # fmt: skip
    assert page({}, 0.0)[0] == "master   none at the moment"


def test_nobody_is_master_who_does_not_say_so(
    recorder: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(addresses: list[str]) -> list[MgmLook]:
        return [MgmLook(address, "standby", 5, "m2:1094", 9) for address in addresses]

    async def admin(noun: str, verb: str, **args: Any) -> Any:
        story = {**STORY, "asked": "m1:1094", "asked.why": "the journal engine does not answer"}
        recorder.records = [story] if noun == "ns" else [dict(one) for one in MGMS]
        return await type(recorder).admin(recorder, noun, verb, **args)

    monkeypatch.setattr("thesan.cli.probe.look_at_all", look)
    recorder.admin = admin
    assert main(["ns", "master"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "master   none at the moment (the last epoch is 5, of m2:1094)",
        "why      the journal engine does not answer",
    ]
    assert main(["-m", "ns", "master"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert ' master="" ' in first
    assert " last=m2:1094" in first
    assert "since_ns" not in first
    assert main(["-j", "ns", "master"]) == 0
    assert json.loads(capsys.readouterr().out)["result"][0]["master"] == ""


def test_what_each_says_of_itself_counts() -> None:
    said = {**STORY, "asked.why": "m2:1094 is master and alive"}
    others = [MgmLook("m1:1094", "standby", 5)]
    gone = MgmLook("m2:1094", "unknown", error="no answer in 2 s")
    assert as_they_say(said, [*others, MgmLook("m2:1094", "master", 5)]) == said
    # An old master that has not heard of the new one yet changes nothing.
    assert as_they_say(said, [gone, MgmLook("m1:1094", "master", 4)]) == said
    assert as_they_say(said, [gone, MgmLook("m1:1094", "master", 6, "m1:1094")]) == {
        "master": "m1:1094",
        "epoch": 6,
        "asked.why": "m2:1094 is master and alive",
    }
    assert as_they_say(said, [gone, *others]) == {
        "master": "",
        "last": "m2:1094",
        "epoch": 5,
        "asked.why": "m2:1094 was master, and does not answer: no answer in 2 s",
    }
    assert as_they_say({"master": "", "epoch": 5}, [MgmLook("m1:1094", "master", 6, "m1:1094")])[
        "master"
    ] == "m1:1094"  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (7, "7 s"), (119, "119 s"), (600, "10 min"), (7200, "2 h"), (200000, "2 days")],
)
def test_spans(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_each_mgm_says_itself_what_it_is(
    recorder: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(addresses: list[str]) -> list[MgmLook]:
        return [
            MgmLook("m1:1094", "unknown", error="no answer in 2 s"),
            MgmLook("m2:1094", "master", 5, "m2:1094", 9),
        ][: len(addresses)]

    monkeypatch.setattr("thesan.cli.probe.look_at_all", look)

    async def admin(noun: str, verb: str, **args: Any) -> Any:
        recorder.records = [dict(STORY)] if noun == "ns" else [dict(one) for one in MGMS]
        return await type(recorder).admin(recorder, noun, verb, **args)

    recorder.admin = admin
    assert main(["ns", "master"]) == 0
    out = capsys.readouterr().out
    assert "does not answer: no answer in 2 s" in out
    # Any MGM may be asked: it is wanted most while there is no master.
    assert recorder.leader_only == [False, False]
    assert main(["ns", "master", "-j"]) == 0
    kinds = [one["type"] for one in json.loads(capsys.readouterr().out)["result"]]
    assert kinds == ["master", "mgm", "mgm"]


def test_history(recorder: Any, capsys: Any) -> None:
    recorder.records = [dict(STORY)]
    assert main(["ns", "master", "--history"]) == 0
    assert recorder.calls == [("ns", "master", {"history": True})]
    out = capsys.readouterr().out
    assert "1203.40" in out
    assert "2001-09-" in out


def test_reads_are_asked_of_the_master_unless_said_otherwise(recorder: Any) -> None:
    for words, only in (
        (["fs", "ls"], True),
        (["--any", "fs", "ls"], False),
        (["fs", "ls", "--any"], False),
        (["--any", "--leader", "fs", "ls"], True),
    ):
        recorder.leader_only.clear()
        assert main(words) == 0
        assert recorder.leader_only == [only]


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan: Any) -> None:
    assert "epoch 1" in thesan("ns", "master")
    assert "first" in thesan("ns", "master", "--history") or "alone" in thesan(
        "ns", "master", "--history"
    )
    (own,) = json.loads(thesan("mgm", "ls", "-j"))["result"]
    assert own["role"] == "master"
    assert "is master already" in thesan("ns", "master", own["hostport"])
    thesan.refused("no other MGM", "ns", "master", "nowhere:1")
    thesan.refused("is master", "mgm", "rm", own["hostport"])
