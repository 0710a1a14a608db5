"""`ns master` and `mgm`."""

import errno

import pytest

from thesan.core.control.messages import Admin
from thesan.core.leadership.records import (
    HISTORY_SECTION,
    StoryRecord,
    encode_leadership,
    story_key,
)
from thesan.core.model.identity import ROOT
from thesan.core.namespace.ops import ConfigSet
from thesan.roles.mgm.admin import leadership


def told(mgm, epoch: int, node: str = "mgm1:1094", **fields) -> None:
    record = encode_leadership(StoryRecord(epoch=epoch, node=node, **fields))
    mgm.apply(ConfigSet(HISTORY_SECTION, story_key(epoch), record))


def test_who_is_master_and_how_that_came(mgm):
    record = mgm.do("ns master").records[0]
    assert (record["master"], record["epoch"], record["role"]) == ("mgm1:1094", 3, "master")
    told(mgm, 2, "mgm2:1094", why="was first", ground="first")
    assert "ground" not in mgm.do("ns master").records[0], "that was another epoch"
    told(mgm, 3, before="mgm2:1094", ground="silent", why="quiet", phases={"total": 17.5})
    record = mgm.do("ns master").records[0]
    assert (record["ground"], record["why"], record["total_ms"]) == ("silent", "quiet", 17.5)
    assert [one["epoch"] for one in mgm.do("ns master", history=True).records] == [3, 2]


@pytest.mark.parametrize(
    ("args", "is_order"),
    [({}, False), ({"history": True}, False), ({"to": "m"}, True), ({"host": "m"}, True)],
)
def test_an_order_names_somebody(args, is_order):
    assert leadership.is_order(Admin("ns", "master", args)) is is_order
    assert not leadership.is_order(Admin("ns", "stat", args))


def test_only_root_orders(alice, refused):
    message = Admin("ns", "master", {"to": "mgm2"})
    assert leadership.wanted(message, ROOT) == "mgm2"
    refused(errno.EPERM, "alice", leadership.wanted, message, alice)


def test_members_come_and_go(mgm, refused):
    assert "follows" in mgm.do("mgm add", mgm="mgm2:1094", comment="rack 7").text
    refused(errno.EEXIST, "already", mgm.do, "mgm add", mgm="mgm2:1094")
    refused(errno.EINVAL, "host:port", mgm.do, "mgm add", mgm="mgm2")
    mgm.do("mgm add", mgm="mgm1:1094")
    states = {record["hostport"]: record for record in mgm.do("mgm ls").records}
    assert states["mgm2:1094"]["comment"] == "rack 7"
    assert (states["mgm2:1094"]["status"], states["mgm2:1094"]["why"]) == ("offline", "never heard")
    assert states["mgm1:1094"]["role"] == "master"
    refused(errno.EBUSY, "hand over first", mgm.do, "mgm rm", mgm="mgm1:1094")
    mgm.do("mgm rm", mgm="mgm2:1094")
    refused(errno.ENOENT, "no member", mgm.do, "mgm rm", mgm="mgm2:1094")
