"""Links to MGMs: which are kept, what becomes of those that break."""

import asyncio
import errno

import pytest

from thesan.core.control.messages import CommitReply, InquireReply
from thesan.core.model.errors import ControlError, OperationError
from thesan.roles.fst import mgms as room
from thesan.roles.fst.mgms import MgmLink, NotMaster

from .scripted import ANSWER, OK, QUESTION, Connection, all_up, ask, moved, quick, run, until

__all__ = ["quick"]


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
