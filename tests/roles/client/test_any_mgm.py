"""How new the answer of a standby must be."""

import asyncio

import msgspec

from thesan.core.control.messages import (
    Admin,
    AdminReply,
    FileOp,
    FileOpReply,
    InquireReply,
    Leader,
    Watch,
    decode_request,
    encode_reply,
)
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID
from thesan.roles.client.any_mgm import AnyMgm
from thesan.roles.client.config import ClientConfig

STAT = rq.Stat(NO_SID, "/f", "a=1")


class Router:
    """Answers a Watch."""

    def __init__(self, leader, *, any_mgm=True):
        self.config = ClientConfig(any_mgm=any_mgm)
        self.leader = leader
        self.asked = 0

    async def ask(self, request):
        assert isinstance(decode_request(request.args), Watch)
        self.asked += 1
        body = encode_reply(self.leader)
        return msgspec.defstruct("Answer", [("body", bytes)])(body)


def test_the_highest_position_is_remembered():
    view = AnyMgm(Router(None))
    for reply in (AdminReply([], seq=7), FileOpReply({}, seq=5), InquireReply([True], 9)):
        assert view.noted(reply) is reply
    assert view.seq == 7
    assert asyncio.run(view.ask_for(STAT)).cgi == "a=1&thesan.any=1&thesan.seq=7"


def test_only_who_wants_it():
    assert asyncio.run(AnyMgm(Router(None, any_mgm=False)).ask_for(STAT)) is STAT


def test_after_a_change_the_master_is_asked_how_far_it_is():
    router = Router(Leader(1, "h:1", [], "master", 12))
    view = AnyMgm(router)
    assert asyncio.run(view.ask_for(STAT)).cgi == "a=1&thesan.any=1"
    view.changed()
    for _ in range(2):
        assert asyncio.run(view.ask_for(STAT)).cgi == "a=1&thesan.any=1&thesan.seq=12"
    assert router.asked == 1


def test_a_change_that_was_under_way_is_asked_for_once_more():
    router = Router(Leader(1, "h:1", [], "master", 12))
    view = AnyMgm(router)
    view.changed()  # It begins,
    assert asyncio.run(view.ask_for(STAT)).cgi == "a=1&thesan.any=1&thesan.seq=12"
    router.leader = Leader(1, "h:1", [], "master", 13)
    view.changed()  # and is answered.
    assert asyncio.run(view.ask_for(STAT)).cgi == "a=1&thesan.any=1&thesan.seq=13"
    assert router.asked == 2


def test_a_standby_does_not_know():
    view = AnyMgm(Router(Leader(1, "h:1", [], "standby", 12)))
    view.changed()
    assert asyncio.run(view.ask_for(STAT)) is STAT
    assert (view.seq, view.has_changed) == (0, True)


def test_control_messages_that_read():
    view = AnyMgm(Router(None, any_mgm=False))
    view.seq = 5
    assert view.message_for(Admin("fs", "ls")) == ({"seq": 5}, False), "every MGM may answer these"
    assert view.message_for(Admin("fs", "rm")) == ({}, False)
    assert view.message_for(Admin("no", "such")) == ({}, False)
    assert view.message_for(FileOp("lstat", "/f")) == ({}, False)
    view = AnyMgm(Router(None))
    assert view.message_for(FileOp("lstat", "/f")) == ({"any": True}, True)
    assert view.message_for(FileOp("touch", "/f")) == ({}, False)
    view.seq = 5
    assert view.message_for(Admin("fs", "ls")) == ({"seq": 5, "any": True}, True)
    view.changed()
    assert view.message_for(FileOp("lstat", "/f")) == ({}, False), "only the master can know"
