"""Clients of XRootD that come back from the master with its error, as XrdCl does."""

import pytest

from thesan.core.model.errors import Xrd
from thesan.core.wire.bodies import parse_error, parse_redirect
from thesan.core.wire.numbers import OpenFlag, Status
from thesan.core.wire.requests import Mkdir, Mv, Open, Rm, Stat

SID = b"\1\2"
BACK = "mgm.epoch=1&tried=master&triedrc=enoent"
MAKE = int(OpenFlag.NEW | OpenFlag.UPDATE)


@pytest.fixture
def pair(trio):
    """(master, standby), settled."""
    trio.start()
    master = trio.until_master()
    trio.sleep(1)
    return master, next(bench for bench in trio.benches if bench is not master)


@pytest.mark.parametrize(
    "request_",
    [
        Stat(SID, "/no", cgi=BACK),
        Rm(SID, "/no", BACK),
        Mkdir(SID, "/no/d", BACK),
        Mv(SID, "/no", "/a", BACK),
        Open(SID, "/no", BACK, 0, int(OpenFlag.READ)),
        Open(SID, "/no/f", BACK, 0o644, MAKE),
    ],
    ids=lambda request: type(request).__name__,
)
def test_the_masters_enoent_is_said_again(pair, request_) -> None:
    _, standby = pair
    status, body = standby.ask(request_)
    assert status == Status.ERROR
    assert parse_error(body)[0] == Xrd.NOT_FOUND


def test_an_fst_that_failed_leads_to_the_master_once_more(trio, pair) -> None:
    master, standby = pair
    master.ok(Mkdir(SID, "/d"))
    trio.sleep(1)
    for request in (
        Open(SID, "/d/new", BACK, 0o644, MAKE),
        Open(SID, "/d", "mgm.epoch=1&tried=fst&triedrc=ioerr", 0, int(OpenFlag.READ)),
    ):
        status, body = standby.ask(request)
        assert (status, parse_redirect(body).cgi) == (Status.REDIRECT, "mgm.epoch=1")


def test_a_connection_that_broke_says_nothing(pair) -> None:
    _, standby = pair
    for cgi in ("mgm.epoch=1&tried=master", "mgm.epoch=1&tried=fst,master&triedrc=enoent"):
        assert standby.ask(Stat(SID, "/no", cgi=cgi))[0] == Status.REDIRECT


def test_other_errors_of_the_master_are_final_too(pair) -> None:
    _, standby = pair
    cgi = "mgm.epoch=1&tried=fst,master&triedrc=ioerr,fserr"
    status, body = standby.ask(Rm(SID, "/x", cgi))
    assert (status, parse_error(body)[0]) == (Status.ERROR, Xrd.FS_ERROR)


def test_a_later_master_decides_anew(pair) -> None:
    _, standby = pair
    cgi = "mgm.epoch=0&tried=master&triedrc=enoent"
    assert standby.ask(Stat(SID, "/no", cgi=cgi))[0] == Status.REDIRECT
