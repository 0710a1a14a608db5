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


class Warnings:
    """Collects what an operator should know."""

    def __init__(self) -> None:
        self.said: list[dict[str, object]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.said.append({"event": event, **fields})

    def info(self, event: str, **fields: object) -> None:
        """Not of interest."""


def test_two_processes_of_one_name_are_named(bench) -> None:
    """Each logs in anew as soon as the other's beat has ended its connection."""
    log = Warnings()
    bench.mgm.process.fst_links._log = log
    hosts = {"one": "10.0.0.5", "two": "10.0.0.6", "restarted": "10.0.0.5"}
    logins = iter(range(1, 100))

    def beat(boot_id: str) -> None:
        peer = bench.peer(FST, login=next(logins))
        peer.peer_host = hosts[boot_id]
        assert says(bench, peer, Beat(NODE, boot_id, NodeReport(), [])) == 0
        assert says(bench, peer, Beat(NODE, boot_id, NodeReport(), [])) == 0

    for boot_id in ("one", "one", "two"):
        beat(boot_id)
        assert not log.said, "a restart"
    for _ in range(5):
        beat("one")
        beat("two")
    said = {"event": "two FSTs use one name", "node": NODE, "host": hosts["one"]}
    assert log.said == [{**said, "other": hosts["two"]}]
    bench.sleep(limits.TWIN_WARNING_SECONDS)
    beat("restarted")
    assert len(log.said) == 1
    beat("two")
    assert len(log.said) == 2


def test_processes_are_bounded(bench, monkeypatch) -> None:
    monkeypatch.setattr(fst_links, "NODE_COUNT_MAX", 1)
    log = Warnings()
    links = FstLinks(log)
    peer = bench.peer(FST)

    async def alternate() -> None:
        for _ in range(2):
            for boot_id in ("one", "two"):
                for node in ("a:1", "b:1"):
                    links.note_process(node, boot_id, peer)

    bench.run(alternate())
    assert [said["node"] for said in log.said] == ["a:1"]


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
