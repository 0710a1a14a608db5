"""Where a request goes next, and what it carries there."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import REDIRECTS_MAX
from thesan.core.wire import requests as rq
from thesan.core.wire.bodies import Redirect
from thesan.core.wire.numbers import NO_SID, QueryCode
from thesan.roles.client.journey import Journey, with_cgi
from thesan.roles.client.url import Endpoint


def test_redirect_forms():
    journey = Journey(rq.Open(NO_SID, "/f", "a=1"), 0.0, 9.0, {"h1": "ioerr"})
    assert journey.outgoing().cgi == "a=1&tried=h1&triedrc=ioerr"
    journey.follow(Redirect("h2", 1095, "cap=1&a=2"))
    assert journey.target == Endpoint("h2", 1095)
    assert journey.outgoing().cgi == "cap=1&a=2"
    journey.follow(Redirect("h0", 1094, "tried=h2"))
    assert journey.tried == {"h1": "ioerr", "h2": "srverr"}
    journey.follow(Redirect("root://h3:7//f", -1, "x=y"))
    assert (journey.target, journey.given_cgi) == (Endpoint("h3", 7), "x=y")
    journey.follow(Redirect("[::1]", 5))
    assert journey.target == Endpoint("::1", 5)
    journey.go_back("ioerr")
    assert list(journey.tried.items()) == [("h1", "ioerr"), ("h2", "srverr"), ("::1", "ioerr")]


def test_any_number_of_full_servers_is_not_a_loop():
    journey = Journey(rq.Open(NO_SID, "/f"), 0.0, 9.0, {})
    for number in range(3 * REDIRECTS_MAX):
        journey.follow(Redirect(f"fst{number}", 1095))
        journey.go_back("fserr")
    for _ in range(REDIRECTS_MAX):
        journey.follow(Redirect("fst0", 1095))
        journey.go_back("fserr")
    with pytest.raises(OperationError) as caught:
        journey.follow(Redirect("fst0", 1095))
    assert caught.value.errno == errno.ELOOP


def test_cgi_reaches_every_request_that_has_one():
    assert with_cgi(rq.Mv(NO_SID, "/a", "/b", "x=1"), "y=2").source_cgi == "x=1&y=2"
    assert with_cgi(rq.Truncate(NO_SID, "/a"), "y=2").cgi == "y=2"
    query = rq.Query(NO_SID, QueryCode.CHECKSUM, args=b"/a?cks.type=adler32")
    assert with_cgi(query, "cap=1").args == b"/a?cks.type=adler32&cap=1"
    opaque = rq.Query(NO_SID, QueryCode.OPAQUE, args=b"\x80")
    assert with_cgi(opaque, "cap=1") is opaque
    request = rq.Stat(NO_SID, "/a", "k=v")
    assert with_cgi(request, "k=w").cgi == "k=w"
    assert request.cgi == "k=v"
