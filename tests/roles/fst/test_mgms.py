"""Questions to the master: asked until there is a final answer, wherever the master is."""

import asyncio
import errno

import pytest

from thesan.core.control.messages import (
    CommitReply,
    Inquire,
    InquireReply,
    decode_request,
    encode_reply,
)
from thesan.core.model.errors import ControlError, OperationError
from thesan.core.wire import responses
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import Status
from thesan.io.tasks import TaskOwner
from thesan.roles.fst import mgms as room
from thesan.roles.fst.mgms import FINAL_ERRORS, MgmLink, Mgms, NotMaster
from thesan.worlds.real.log import Format, RealLog

QUESTION = Inquire("node", 1, [7])
ANSWER = InquireReply([True], 1)


def response(frame):
    status = responses.HEAD.unpack_from(frame)[1]
    return Response(b"\0\0", status, frame[responses.HEAD.size :])


OK = Response(b"\0\0", Status.OK, encode_reply(ANSWER))
WAIT = response(responses.wait(b"\0\0", 1, "no master"))


def moved(address):
    host, _, port = address.rpartition(":")
    return response(responses.redirect(b"\0\0", host, int(port)))


def failed(number):
    return response(responses.error_of(b"\0\0", OperationError(number, "no")))


class Connection:
    """One MGM's side, scripted."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self.is_closed = False
        self.gone = asyncio.Event()

    async def call(self, request, timeout):
        self.asked.append(decode_request(request.args))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self):
        self.is_closed = True

    def abort(self, reason):
        self.is_closed = True
        self.gone.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in (
        "COMMIT_RETRY_SECONDS", "COMMIT_RETRY_SECONDS_MAX", "MGM_REDIAL_SECONDS",
        "MGM_REDIAL_SECONDS_MAX",
    ):  # fmt: skip
        monkeypatch.setattr(room, name, 0.01)


def run(body, tmp_path, *addresses):
    """body(mgms, script): script[address] = answers, set before the MGM is dialled."""

    async def main():
        script, made = {}, {}

        async def dial(host, port):
            address = f"{host}:{port}"
            if address not in script:
                raise OperationError(errno.ECONNREFUSED, f"{address} refused")
            made[address] = Connection(script[address])
            return made[address]

        async def visit(link):
            await made[link.address].gone.wait()
            raise OperationError(errno.ECONNRESET, "gone")

        log = RealLog(str(tmp_path / "log"), Format.LOGFMT)
        tasks = TaskOwner("test")
        mgms = Mgms(addresses, dial, tasks, log)
        mgms.start(visit)
        try:
            async with asyncio.timeout(20):
                await body(mgms, script, made)
        finally:
            await tasks.close()
            log.close()

    asyncio.run(main())


def ask(mgms):
    return mgms.ask_master(lambda: QUESTION, InquireReply, "test")


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


def test_an_mgm_that_dies_is_dialled_again(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = [OK]
        await ask(mgms)
        first = made["a:1"]
        first.gone.set()
        while made["a:1"] is first:
            await asyncio.sleep(0.01)
        assert first.is_closed
        assert await ask(mgms) == ANSWER

    run(body, tmp_path, "a:1")


def test_mgms_are_known_once_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "MGM_COUNT_MAX", 3)

    async def body(mgms, script, made):
        for address in ("a:1", "b:2", "b:2", "c:3", "d:4"):
            mgms.add(address)
        assert list(mgms.links) == ["a:1", "b:2", "c:3"]
        mgms.heard_master("")
        assert mgms.master == ""

    run(body, tmp_path, "a:1")


def test_a_link_without_connection():
    async def main():
        link = MgmLink("a:1")
        assert not link.is_up
        with pytest.raises(OperationError) as caught:
            await link.ask(QUESTION, InquireReply, 1)
        assert caught.value.errno == errno.ECONNRESET
        link.connection = Connection([moved("b:2"), OK])
        with pytest.raises(NotMaster) as caught:
            await link.ask(QUESTION, InquireReply, 1)
        assert caught.value.address == "b:2"
        with pytest.raises(ControlError):
            await link.ask(QUESTION, CommitReply, 1)

    asyncio.run(main())


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
        mgms.heard_master("b:2")
        script["b:2"][:] = [OK]
        assert await asking == ANSWER

    run(body, tmp_path, "a:1", "b:2", "c:3")


def test_a_master_that_is_down_does_not_keep_the_others_from_being_asked(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = [OK]
        mgms.heard_master("b:2")
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
            mgms.heard_master("b:2")
        else:
            script["b:2"] = [OK]
        assert await asking == ANSWER

    run(body, tmp_path, "a:1", "b:2")
