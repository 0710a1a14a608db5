"""Files without content, read at the MGM."""

import errno

import pytest

from thesan.core.authority.capability import Op
from thesan.core.control.messages import FileOp
from thesan.core.model.limits import EMPTY_HANDLES_MAX
from thesan.core.wire.bodies import parse_open, parse_readv, parse_stat
from thesan.core.wire.fattr import parse_fattr_list
from thesan.core.wire.numbers import FAttrCode, OpenFlag, Status
from thesan.core.wire.requests import (
    Close,
    FAttr,
    Open,
    PgRead,
    PgWrite,
    Read,
    ReadV,
    Rm,
    Stat,
    Sync,
    Truncate,
    Write,
    WriteV,
)

SID = b"\0\1"
READ = int(OpenFlag.READ | OpenFlag.RETSTAT)


@pytest.fixture
def empty(cluster):
    """A file made by touch."""
    cluster.control(FileOp("touch", "/empty"), cluster.peer().identity)
    return cluster


def test_open_read_close(empty) -> None:
    peer = empty.peer()
    fh, info = parse_open(empty.ok(Open(SID, "/empty", options=READ), peer=peer))
    assert info is not None
    assert info.size == 0
    assert parse_stat(empty.ok(Stat(SID, "", fh=fh), peer=peer)) == info
    assert empty.ok(Read(SID, fh, 0, 1000), peer=peer) == b""
    items = parse_readv(empty.ok(ReadV(SID, [(fh, 10, 0), (fh, 5, 7)]), peer=peer))
    assert [(one[1], bytes(one[2])) for one in items] == [(0, b""), (7, b"")]
    status, _ = empty.ask(PgRead(SID, fh, 0, 4096), peer=peer)
    assert status == Status.STATUS
    empty.ok(Sync(SID, fh), peer=peer)
    assert parse_fattr_list(empty.ok(FAttr(SID, FAttrCode.LIST, fh=fh), peer=peer)) == []
    empty.ok(Close(SID, fh), peer=peer)
    status, _ = empty.ask(Close(SID, fh), peer=peer)
    assert status == Status.ERROR


def test_without_retstat_there_is_none(empty) -> None:
    fh, info = parse_open(empty.ok(Open(SID, "/empty", options=int(OpenFlag.READ))))
    assert (fh > 0, info) == (True, None)


def test_handles_of_others_are_not_mine(empty) -> None:
    fh, _ = parse_open(empty.ok(Open(SID, "/empty", options=READ), peer=empty.peer()))
    for request in (
        Read(SID, fh, 0, 1),
        ReadV(SID, [(fh, 1, 0)]),
        PgRead(SID, fh, 0, 1),
        Sync(SID, fh),
        Close(SID, fh),
        Stat(SID, "", fh=fh),
        Write(SID, fh, 0, data=b"x"),
        PgWrite(SID, fh, 0, data=b"xxxxx"),
        WriteV(SID, 0, [(fh, 1, 0)], b"x"),
    ):
        assert empty.errno(request) == errno.EBADF


def test_a_file_that_is_removed_reads_on_but_has_no_stat(empty) -> None:
    peer = empty.peer()
    fh, _ = parse_open(empty.ok(Open(SID, "/empty", options=READ), peer=peer))
    empty.ok(Rm(SID, "/empty"))
    assert empty.ok(Read(SID, fh, 0, 1), peer=peer) == b""
    assert empty.ask(Stat(SID, "", fh=fh), peer=peer)[0] == Status.ERROR
    assert empty.ask(FAttr(SID, FAttrCode.LIST, fh=fh), peer=peer)[0] == Status.ERROR


def test_handles_are_bounded(empty) -> None:
    peer = empty.peer()
    for _ in range(EMPTY_HANDLES_MAX):
        empty.ok(Open(SID, "/empty", options=READ), peer=peer)
    assert empty.ask(Open(SID, "/empty", options=READ), peer=peer)[0] == Status.ERROR


def test_writing_into_it_is_an_upload_that_takes_its_place(empty) -> None:
    before = empty.stat("/empty")
    ticket = empty.capability(Open(SID, "/empty", options=int(OpenFlag.UPDATE)))
    assert ticket.op == Op.CREATE
    assert ticket.fid != before.id
    empty.commit(ticket, 44)
    assert empty.stat("/empty").size == 44
    assert empty.stat("/empty").mode == before.mode


def test_truncating_it(empty) -> None:
    assert empty.ok(Truncate(SID, "/empty", size=0)) == b""
    ticket = empty.capability(Truncate(SID, "/empty", size=100))
    assert ticket.op == Op.CREATE
    empty.commit(ticket, 100)
    assert empty.stat("/empty").size == 100
