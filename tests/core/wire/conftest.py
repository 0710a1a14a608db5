"""Sessions that have come as far as a test needs them."""

from collections.abc import Callable

import pytest

from thesan.core.wire import requests as rq
from thesan.core.wire import responses as rs
from thesan.core.wire.bodies import build_login, build_protocol
from thesan.core.wire.client import ClientSession
from thesan.core.wire.numbers import FST_FLAGS, HANDSHAKE, NO_SID
from thesan.core.wire.request_codec import encode
from thesan.core.wire.server import FST_SETTINGS, Event, ServerSession, ServerSettings

SESSION_ID = b"0123456789abcdef"


@pytest.fixture
def server() -> Callable[..., ServerSession]:
    """A server session behind handshake, protocol and login."""

    def make(settings: ServerSettings = FST_SETTINGS) -> ServerSession:
        session = ServerSession(settings)
        hello = HANDSHAKE + encode(rq.Protocol(NO_SID)) + encode(rq.Login(NO_SID, "me"))
        assert len(session.receive(hello)) == 1
        session.take_output()
        assert session.conclude(Event.ACCEPTED) == []
        return session

    return make


@pytest.fixture
def client() -> Callable[[], ClientSession]:
    """A client session behind handshake, protocol and login."""

    def make() -> ClientSession:
        session = ClientSession()
        session.hello()
        sid, _ = session.submit(rq.Login(NO_SID, "me"))
        answers = (
            rs.ok(NO_SID, b"\0\0\5\x11\0\0\0\1")
            + rs.ok(NO_SID, build_protocol(FST_FLAGS))
            + rs.ok(sid, build_login(SESSION_ID))
        )
        assert len(session.receive(answers)) == 1
        return session

    return make
