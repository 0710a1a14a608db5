"""What an MGM that is not master does with requests; more in test_failover.py."""

import pytest

from thesan.core.control.messages import Commit, FileOp, FsRegister, Inquire
from thesan.core.model.errors import StoreError
from thesan.core.model.identity import ROOT
from thesan.core.wire.bodies import parse_open, parse_redirect
from thesan.core.wire.numbers import QueryCode, Status
from thesan.core.wire.requests import Close, Open, Query, Read, Stat
from thesan.roles.mgm import service
from thesan.roles.mgm.front import epoch_of

SID = b"\0\1"


@pytest.fixture
def pair(trio):
    """(master, a standby)."""
    trio.start()
    master = trio.until_master()
    trio.sleep(1)
    return master, next(bench for bench in trio.benches if bench is not master)


@pytest.mark.parametrize(
    ("cgi", "epoch"),
    [
        ("", 0),
        ("a=b", 0),
        ("mgm.epoch=4", 4),
        ("a=b&mgm.epoch=4&mgm.epoch=11", 11),
        ("mgm.epoch=x", 0),
        ("mgm.epoch=-1", 0),
    ],
)
def test_the_epoch_of_a_redirect(cgi, epoch):
    assert epoch_of(cgi) == epoch


def test_what_daemons_and_clients_want_of_the_master_is_sent_there(pair) -> None:
    master, standby = pair
    fst = "fst1:1095"
    for message in (
        Commit(fst, b"", [], 0),
        Inquire(fst, 1, [1]),
        FsRegister(fst, "u", "/d", "default"),
        FileOp("touch", "/x"),
        FileOp("lstat", "/"),
    ):
        assert standby.redirect_of(message) == master.name


def test_a_beat_is_taken_by_everybody_and_obeyed_from_the_master_only(pair) -> None:
    master, standby = pair
    first = master.beat(1)
    standby.sleep(0.3)
    reply = standby.beat_only(1)
    assert (first.master, reply.master) == (True, False)
    assert [fs.fsid for fs in reply.filesystems] == [1], "it has none at all"
    assert reply.deletions == []
    assert (reply.epoch, reply.master_address) == (first.epoch, first.master_address)
    assert reply.mgms == first.mgms == ["mgm1:1094", "mgm2:1094", "mgm3:1094"]
    assert reply.active
    master.admin("node", "set", node="fst1:1095", status="off")
    standby.sleep(0.3)
    assert not standby.beat_only(1).active


def test_a_file_operation_that_reads_is_served_for_any(pair) -> None:
    _, standby = pair
    reply = standby.control(FileOp("lstat", "/", {"any": True}), ROOT)
    assert reply.result["fid"] == 1


def test_an_empty_file_opened_at_a_standby_is_read_there(pair) -> None:
    master, standby = pair
    master.control(FileOp("touch", "/empty"), ROOT)
    standby.sleep(0.3)
    peer = standby.peer()
    body = standby.ok(Open(SID, "/empty", cgi="thesan.any=1"), peer=peer)
    handle = parse_open(body)[0]
    assert standby.ok(Read(SID, handle, 0, 100), peer=peer) == b""
    standby.ok(Stat(SID, "", fh=handle), peer=peer)
    standby.ok(Close(SID, handle), peer=peer)
    assert standby.ask(Close(SID, handle), peer=peer)[0] == Status.REDIRECT


def test_settings_are_the_same_everywhere(pair) -> None:
    master, standby = pair
    request = Query(SID, QueryCode.CONFIG, args=b"role version chksum")
    assert standby.ok(request) == master.ok(request)


def test_a_replica_that_can_not_be_read_sends_its_readers_to_the_master(pair, monkeypatch) -> None:
    master, standby = pair
    request = Stat(SID, "/", cgi="thesan.any=1")
    assert standby.ask(request)[0] == Status.OK

    def broken(*args, **kwargs):
        raise StoreError("a block has a wrong checksum")

    monkeypatch.setitem(service.HANDLERS, Stat, broken)
    status, body = standby.ask(request)
    assert (status, parse_redirect(body).host) == (Status.REDIRECT, master.name)
