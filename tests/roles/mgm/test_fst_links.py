"""What an FST says on a connection that it has replaced is over, however late it comes."""

import errno

import pytest

from thesan.core.control.messages import Beat, FsRegister, NodeReport
from thesan.core.model import limits
from thesan.core.model.errors import OperationError
from thesan.core.namespace import queries
from thesan.core.wire.numbers import OpenFlag
from thesan.core.wire.requests import Open, Rm, Stat
from thesan.roles.mgm import fst_links
from thesan.roles.mgm.fst_links import FstLinks

from .conftest import FST

SID = b"\0\1"
NODE = "fst1:1095"
NEW = int(OpenFlag.UPDATE | OpenFlag.NEW)
BEAT = Beat(NODE, "b", NodeReport(), [])
REGISTER = FsRegister(node=NODE, uuid="u", path="/d", space="default")


def says(bench, peer, message) -> int:
    """errno of the refusal; 0 when it was taken."""
    try:
        bench.control(message, peer=peer)
    except OperationError as error:
        return error.errno
    return 0


@pytest.mark.parametrize("message", [BEAT, REGISTER])
def test_a_later_connection_ends_the_earlier_one(bench, message) -> None:
    first, second = bench.peer(FST, login=1), bench.peer(FST, login=2)
    assert says(bench, first, BEAT) == 0
    assert says(bench, second, message) == 0
    assert (first.is_closed, second.is_closed) == (True, False)
    assert says(bench, second, BEAT) == 0


@pytest.mark.parametrize("message", [BEAT, REGISTER])
def test_the_first_word_of_an_earlier_connection_may_come_last(bench, message) -> None:
    """It was held up with all that followed it."""
    first, second = bench.peer(FST, login=1), bench.peer(FST, login=2)
    assert says(bench, second, BEAT) == 0
    refused = bench.run(_refusal(bench, first, message))
    assert refused == errno.EAGAIN
    assert (first.is_closed, second.is_closed) == (True, False)


async def _refusal(bench, peer, message) -> int:
    """What the role says to it; the answer itself leads nowhere."""
    try:
        bench.mgm.process.fst_links.check(message.node, peer)
    except OperationError as error:
        return error.errno
    return 0


def test_it_is_remembered_when_the_later_connection_is_gone_too(bench) -> None:
    first, second = bench.peer(FST, login=1), bench.peer(FST, login=2)
    assert says(bench, second, BEAT) == 0
    second.close()
    assert bench.run(_refusal(bench, first, BEAT)) == errno.EAGAIN
    assert says(bench, bench.peer(FST, login=3), BEAT) == 0


def test_other_nodes_are_others(bench) -> None:
    first, second = bench.peer(FST, login=1), bench.peer(FST, login=2)
    assert says(bench, first, BEAT) == 0
    assert says(bench, second, Beat("fst2:1095", "b", NodeReport(), [])) == 0
    assert not first.is_closed


def test_nodes_are_bounded(bench, monkeypatch) -> None:
    monkeypatch.setattr(fst_links, "NODE_COUNT_MAX", 1)
    links = FstLinks(bench.mgm.process.world.log)
    first, second = bench.peer(FST, login=1), bench.peer(FST, login=2)
    links.check("b:1", first)
    links.check("a:1", second)
    links.check("a:1", first)  # nothing is known of it
    links.check("b:1", second)
    with pytest.raises(OperationError):
        links.check("b:1", first)
    assert limits.NODE_COUNT_MAX > 1


def test_a_commit_that_was_held_up_does_not_bring_a_removed_file_back(cluster) -> None:
    """It came once on the later connection; file, replicas and deletions are gone since."""
    ticket = cluster.capability(Open(SID, "/f", options=NEW))
    first, second = cluster.peer(FST, login=1), cluster.peer(FST, login=2)
    cluster.commit(ticket, 10, peer=second)
    cluster.ok(Rm(SID, "/f"))
    places = {ticket.node: ticket.fsid} | {one.node: one.fsid for one in ticket.replicas}
    for node, fsid in places.items():
        gone = Beat(node, "b", NodeReport(), [], deleted=[(fsid, ticket.fid)])
        cluster.control(gone, peer=second if node == ticket.node else None)
    assert [_deletions(cluster, fsid) for fsid in places.values()] == [0] * len(places)
    with pytest.raises(ConnectionResetError):
        cluster.commit(ticket, 10, peer=first)
    assert cluster.errno(Stat(SID, "/f")) == errno.ENOENT


def _deletions(bench, fsid: int) -> int:
    return queries.fs_counters(bench.mgm.master.namespace, fsid).deletions
