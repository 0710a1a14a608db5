"""Questions to the master: asked until there is a final answer, wherever the master is."""

import asyncio
import errno

import pytest

from thesan.core.control.messages import (
    CommitReply,
    Inquire,
    InquireReply,
    Leader,
    Watch,
    decode_request,
    encode_reply,
)
from thesan.core.model.errors import ControlError, OperationError
from thesan.core.wire import responses
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import Status
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import GivenUp
from thesan.roles.fst import mgms as room
from thesan.roles.fst.mgms import FINAL_ERRORS, MgmLink, Mgms, NotMaster
from thesan.worlds.real.log import Format, RealLog

QUESTION = Inquire("node", 1, [7])
ANSWER = InquireReply([True], 1)


def response(frame):
    status = responses.HEAD.unpack_from(frame)[1]
    return Response(b"\0\0", status, frame[responses.HEAD.size :])


OK = Response(b"\0\0", Status.OK, encode_reply(ANSWER))
HELD = object()
"""No answer, ever."""
WAIT = response(responses.wait(b"\0\0", 1, "no master"))


def moved(address, cgi=""):
    host, _, port = address.rpartition(":")
    return response(responses.redirect(b"\0\0", host, int(port), cgi))


def failed(number):
    return response(responses.error_of(b"\0\0", OperationError(number, "no")))


class Connection:
    """One MGM's side, scripted."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self.is_closed = False
        self.gone = asyncio.Event()
        self.leader = None
        self.held = None
        """The future of a call that is answered by HELD."""

    async def call(self, request, timeout, call=None):
        message = decode_request(request.args)
        if isinstance(message, Watch):
            return await self.poll(message)
        self.asked.append(message)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if answer is HELD:
            self.held = asyncio.get_running_loop().create_future()
            return await self.held
        return answer() if callable(answer) else answer

    async def poll(self, message):
        """A long poll, answered by `leader` once it is set to something new."""
        while self.leader is None or self.leader.epoch <= message.epoch:
            if self.is_closed:
                raise OperationError(errno.ECONNRESET, "gone")
            await asyncio.sleep(0.005)
        return Response(b"\0\0", Status.OK, encode_reply(self.leader))

    async def close(self):
        self.is_closed = True

    def abort(self, reason):
        self.is_closed = True
        self.gone.set()

    def give_up(self, reason):
        held, self.held = self.held, None
        if held is not None:
            held.set_exception(GivenUp(errno.ECONNRESET, reason))


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
        mgms.heard(mgms.epoch, "")
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


async def all_up(mgms):
    while not all(link.is_up for link in mgms.links.values()):
        await asyncio.sleep(0.005)


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


def test_a_connection_that_breaks_is_noticed_by_the_poll(tmp_path):
    """The beats would find out a second later."""

    async def body(mgms, script, made):
        script["a:1"] = [OK]
        await all_up(mgms)
        first = made["a:1"]
        first.is_closed = True
        while made["a:1"] is first:
            await asyncio.sleep(0.005)
        await all_up(mgms)

    run(body, tmp_path, "a:1")


def test_a_silent_mgm_does_not_hold_up_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "CLIENT_MGM_DIAL_SECONDS", 0.01)

    async def body(mgms, script, made):
        tries = []

        async def dial(host, port):
            if host == "a":
                tries.append(1)
                await asyncio.sleep(3600)
            made[host] = Connection([OK])
            return made[host]

        mgms._dial = dial
        mgms.heard(1, "b:2")
        assert await ask(mgms) == ANSWER
        while len(tries) < 3:
            await asyncio.sleep(0.005)

    run(body, tmp_path, "a:1")


def test_members_come_and_go(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = script["b:2"] = script["c:3"] = [OK]
        mgms.heard_members(["a:1", "b:2", "c:3", "not an address"])
        await all_up(mgms)
        assert list(mgms.links) == ["a:1", "b:2", "c:3"]
        mgms.heard(1, "b:2")
        mgms.heard_members([])
        assert len(mgms.links) == 3
        mgms.heard_members(["d:4"])
        assert list(mgms.links) == ["b:2", "d:4"], "the master stays"
        assert made["a:1"].is_closed
        assert made["c:3"].is_closed

    run(body, tmp_path, "a:1")


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def test_another_name_of_a_member_is_only_the_way_in(tmp_path):
    """The MGM takes the later of two links for the only one of this FST."""

    async def body(mgms, script, made):
        script["any:1"] = script["b:2"] = [OK]
        await all_up(mgms)
        mgms.heard_members(["b:2", "c:3"])
        assert list(mgms.links) == ["any:1", "b:2", "c:3"], "none of the members is connected yet"
        await until(lambda: "b:2" in made)
        assert made["any:1"].is_closed
        assert list(mgms.links) == ["b:2", "c:3"]
        for _ in range(2):
            mgms.heard_members(["b:2", "c:3"])
            assert "any:1" not in mgms.links
        del made["any:1"], script["b:2"]
        made["b:2"].gone.set()
        # All of them may have moved.
        await until(lambda: "any:1" in made)
        assert not made["any:1"].is_closed
        script["c:3"] = [OK]
        await until(lambda: "c:3" in made)
        assert made["any:1"].is_closed
        assert list(mgms.links) == ["b:2", "c:3"]

    run(body, tmp_path, "any:1")


def test_members_that_can_not_be_reached_leave_the_way_in_open(tmp_path):
    async def body(mgms, script, made):
        script["any:1"] = [OK]
        await all_up(mgms)
        mgms.heard_members(["b:2"])
        mgms.heard(1, "b:2")
        assert await ask(mgms) == ANSWER
        assert not made["any:1"].is_closed

    run(body, tmp_path, "any:1")


def test_an_address_of_the_settings_may_become_a_member(tmp_path):
    async def body(mgms, script, made):
        script["a:1"] = script["b:2"] = [OK]
        mgms.heard_members(["b:2"])
        await until(lambda: list(mgms.links) == ["b:2"])
        mgms.heard_members(["a:1", "b:2"])
        await all_up(mgms)
        mgms.heard_members(["b:2"])
        assert list(mgms.links) == ["b:2"]
        mgms.heard(1, "a:1")
        mgms.heard_members(["b:2"])
        await all_up(mgms)
        assert list(mgms.links) == ["b:2", "a:1"], "the master is one, whatever the list says"

    run(body, tmp_path, "a:1")


def test_a_standby_is_heard_until_a_master_named_the_members(tmp_path):
    async def body(mgms, script, made):
        mgms.heard_of(["b:2", "not an address"])
        assert list(mgms.links) == ["a:1", "b:2"]
        mgms.heard_members(["a:1", "c:3"])
        mgms.heard_of(["b:2"])
        assert list(mgms.links) == ["a:1", "c:3"]

    run(body, tmp_path, "a:1")


def test_ways_in_take_no_member_s_place(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "MGM_COUNT_MAX", 2)

    async def body(mgms, script, made):
        assert list(mgms.links) == ["x:1", "y:1"]
        mgms.heard_members(["a:1", "b:2", "c:3"])
        assert list(mgms.links) == ["x:1", "y:1", "a:1", "b:2"]

    run(body, tmp_path, "x:1", "y:1")
