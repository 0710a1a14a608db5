"""Waits and redirects of an FST."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.core.model.limits import CLIENT_WAIT_SECONDS_MAX, CLIENT_WAIT_SECONDS_MIN
from thesan.core.wire import responses
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import Status
from thesan.roles.client.answers import redirect_of, wait_seconds

SID = b"\0\1"
HEAD_BYTES = 8


def answer(status: Status, frame: bytes) -> Response:
    return Response(SID, int(status), frame[HEAD_BYTES:])


def test_a_wait_keeps_to_our_bounds() -> None:
    for said, obeyed in ((0, CLIENT_WAIT_SECONDS_MIN), (7, 7), (10**6, CLIENT_WAIT_SECONDS_MAX)):
        assert wait_seconds(answer(Status.WAIT, responses.wait(SID, said))) == obeyed


def test_a_redirect() -> None:
    found = redirect_of(answer(Status.REDIRECT, responses.redirect(SID, "fst2", 1095, "a=b")))
    assert (found.host, found.port, found.cgi) == ("fst2", 1095, "a=b")


def test_what_can_not_be_read_is_a_fault_of_the_server() -> None:
    for read in (wait_seconds, redirect_of):
        with pytest.raises(OperationError) as caught:
            read(Response(SID, int(Status.WAIT), b"\0"))
        assert caught.value.errno == errno.EPROTO
