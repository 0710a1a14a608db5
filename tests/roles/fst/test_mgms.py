"""Questions to the master: asked until there is a final answer, wherever the master is."""

import asyncio
import errno

import pytest

from thesan.core.control.messages import CommitReply, InquireReply, Leader, encode_reply
from thesan.core.model.errors import OperationError
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import Status
from thesan.roles.fst import mgms as room
from thesan.roles.fst.mgms import FINAL_ERRORS

from .scripted import (
    ANSWER,
    HELD,
    OK,
    QUESTION,
    WAIT,
    Connection,
    all_up,
    ask,
    failed,
    moved,
    quick,
    run,
    until,
)

__all__ = ["quick"]


def test_the_answer(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = [OK]
        assert await ask(mgms) == ANSWER
        assert made["a:1"].asked == [QUESTION]

    run(body, tmp_path, "a:1")


def test_a_question_waits_for_an_mgm(tmp_path):
    async def body(mgms, script, made):
        asking = asyncio.ensure_future(ask(mgms))
        await asyncio.sleep(0.1)
        assert not asking.done()
        script["a:1"] = [OK]
        assert await asking == ANSWER

    run(body, tmp_path, "a:1")


def test_the_master_is_found_by_redirects_and_waits(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = [WAIT, moved("b:2")]
        script["b:2"] = [OK]
        assert await ask(mgms) == ANSWER
        assert mgms.master == "b:2"
        assert await ask(mgms) == ANSWER
        assert len(made["b:2"].asked) == 2

    run(body, tmp_path, "a:1")


@pytest.mark.parametrize(
    "hitch",
    [
        failed(errno.EUSERS),
        failed(errno.EIO),
        failed(errno.EFAULT),
        OperationError(errno.ECONNRESET, "gone"),
        OperationError(errno.ETIMEDOUT, "silent"),
        Response(b"\0\0", Status.OK, b"\xc1"),
        Response(b"\0\0", Status.OK, encode_reply(CommitReply(1, 1))),
        Response(b"\0\0", Status.WAIT, b""),
    ],
)
def test_nothing_but_a_decision_is_final(tmp_path, hitch):
    async def body(mgms, script, made):
        script["a:1"] = [hitch, hitch, OK]
        assert await ask(mgms) == ANSWER
        assert made["a:1"].asked == [QUESTION] * 3

    run(body, tmp_path, "a:1")


@pytest.mark.parametrize("number", sorted(FINAL_ERRORS - {errno.ESTALE}))
def test_decisions(tmp_path, number):
    async def body(mgms, script, made):
        script["a:1"] = [failed(number)]
        with pytest.raises(OperationError) as caught:
            await ask(mgms)
        assert caught.value.errno in FINAL_ERRORS

    run(body, tmp_path, "a:1")


def test_without_a_master_each_mgm_is_asked_in_turn(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = script["b:2"] = script["c:3"] = [WAIT]
        while not all(link.is_up for link in mgms.links.values()):
            await asyncio.sleep(0.01)
        asking = asyncio.ensure_future(ask(mgms))
        while sum(len(connection.asked) for connection in made.values()) < 7:
            await asyncio.sleep(0.01)
        counts = [len(connection.asked) for connection in made.values()]
        assert max(counts) - min(counts) <= 1
        mgms.heard(mgms.epoch, "b:2")
        script["b:2"][:] = [OK]
        assert await asking == ANSWER

    run(body, tmp_path, "a:1", "b:2", "c:3")


def test_a_master_that_is_down_does_not_keep_the_others_from_being_asked(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = [OK]
        mgms.heard(mgms.epoch, "b:2")
        assert await ask(mgms) == ANSWER
        assert not mgms.links["b:2"].is_up

    run(body, tmp_path, "a:1")


@pytest.mark.parametrize("news", ["a master", "a link"])
def test_a_question_does_not_sleep_through_news(tmp_path, monkeypatch, news):
    """With a pause of an hour only the news can have woken it."""
    monkeypatch.setattr(room, "COMMIT_RETRY_SECONDS", 3600.0)
    monkeypatch.setattr(room, "COMMIT_RETRY_SECONDS_MAX", 3600.0)

    async def body(mgms, script, made):
        if news == "a master":
            script["a:1"], script["b:2"] = [WAIT], [OK]
            while not all(link.is_up for link in mgms.links.values()):
                await asyncio.sleep(0.01)
            mgms.master = "a:1"
        asking = asyncio.ensure_future(ask(mgms))
        await asyncio.sleep(0.05)
        assert not asking.done()
        if news == "a master":
            mgms.heard(mgms.epoch, "b:2")
        else:
            script["b:2"] = [OK]
        assert await asking == ANSWER

    run(body, tmp_path, "a:1", "b:2")


def answer_of(epoch):
    return Response(b"\0\0", Status.OK, encode_reply(InquireReply([False], epoch)))


def hour_long_pauses(monkeypatch):
    """Whatever wakes a question now is news."""
    monkeypatch.setattr(room, "COMMIT_RETRY_SECONDS", 3600.0)
    monkeypatch.setattr(room, "COMMIT_RETRY_SECONDS_MAX", 3600.0)


def test_what_is_pending_goes_to_the_new_master(tmp_path, monkeypatch):
    """The old one is silent; a standby tells who is master now."""
    hour_long_pauses(monkeypatch)

    async def body(mgms, script, made):
        script["a:1"], script["b:2"], script["c:3"] = [HELD], [answer_of(2)], [WAIT]
        await all_up(mgms)
        mgms.heard(1, "a:1")
        asking = asyncio.ensure_future(ask(mgms))
        while made["a:1"].held is None:
            await asyncio.sleep(0.005)
        made["c:3"].leader = Leader(2, "b:2", [])
        assert await asking == InquireReply([False], 2)
        assert (mgms.epoch, mgms.master) == (2, "b:2")
        assert not made["c:3"].asked

    run(body, tmp_path, "a:1", "b:2", "c:3")


@pytest.mark.parametrize("said_by", ["a beat", "a poll"])
def test_an_epoch_may_be_heard_of_before_its_master(tmp_path, monkeypatch, said_by):
    """By a capability of the new one; what is pending at the old one goes on all the same."""
    hour_long_pauses(monkeypatch)

    async def body(mgms, script, made):
        script["a:1"], script["b:2"] = [HELD], [answer_of(2)]
        await all_up(mgms)
        mgms.heard(1, "a:1")
        asking = asyncio.ensure_future(ask(mgms))
        await until(lambda: made["a:1"].held is not None)
        mgms.heard(2, "")
        assert not asking.done()
        if said_by == "a beat":
            mgms.heard(2, "b:2")
        else:
            # A new poll: the one that is under way would be answered by any later epoch.
            script["c:3"] = [WAIT]
            mgms.add("c:3")
            await until(lambda: "c:3" in made)
            made["c:3"].leader = Leader(2, "b:2", [])
        assert await asking == InquireReply([False], 2)
        assert (mgms.epoch, mgms.master) == (2, "b:2")

    run(body, tmp_path, "a:1", "b:2")


def test_an_answer_for_an_epoch_that_is_over_does_not_count(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = [answer_of(4), answer_of(4), answer_of(5)]
        mgms.heard(5, "a:1")
        assert (await ask(mgms)).epoch == 5
        assert len(made["a:1"].asked) == 3

    run(body, tmp_path, "a:1")


def test_a_refusal_while_the_master_changes_is_not_final(tmp_path):
    async def body(mgms, script, made):
        def too_late():
            mgms.heard(2, "")
            return failed(errno.ENOENT)

        script["a:1"] = [too_late, answer_of(2)]
        mgms.heard(1, "a:1")
        assert (await ask(mgms)).epoch == 2

    run(body, tmp_path, "a:1")


def test_redirects_of_an_older_epoch_are_not_followed(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = [moved("b:2", "mgm.epoch=3"), moved("b:2", "mgm.epoch=4"), OK]
        mgms.heard(5, "a:1")
        asking = asyncio.ensure_future(ask(mgms))
        while len(made.get("a:1", Connection([])).asked) < 2:
            await asyncio.sleep(0.005)
        assert "b:2" not in mgms.links
        asking.cancel()

    run(body, tmp_path, "a:1")


def test_a_redirect_names_the_epoch(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = [moved("b:2", "mgm.epoch=7")]
        script["b:2"] = [answer_of(7)]
        assert (await ask(mgms)).epoch == 7
        assert (mgms.epoch, mgms.master) == (7, "b:2")

    run(body, tmp_path, "a:1")


def test_news_while_a_question_is_on_its_way_are_not_slept_through(tmp_path, monkeypatch):
    hour_long_pauses(monkeypatch)

    async def body(mgms, script, made):
        script["b:2"] = [OK]

        def overtaken():
            mgms.heard(mgms.epoch, "b:2")
            return WAIT

        script["a:1"] = [overtaken]
        await all_up(mgms)
        mgms.master = "a:1"
        assert await ask(mgms) == ANSWER

    run(body, tmp_path, "a:1", "b:2")
