"""The link to a seeding peer: every answer becomes a reply or an OperationError."""

import asyncio
import errno

import pytest

from thesan.core.control.messages import (
    CheckpointPage,
    CheckpointReply,
    JournalPage,
    JournalReply,
    decode_request,
    encode_reply,
)
from thesan.core.model.errors import OperationError
from thesan.core.wire import responses
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import Status
from thesan.roles.mgm.seed_link import SeedLink

PAGE = CheckpointReply("name", b"applied", [(b"key", b"value")], b"d" * 16, True)
ENTRIES = JournalReply([b"one", b"two"], 1, 2)


class Connection:
    """Answers everything with one response."""

    def __init__(self, status: Status, body: bytes) -> None:
        self.response = Response(b"\0\1", status, body)
        self.asked: list[object] = []
        self.is_closed = False

    async def call(self, request, timeout):
        assert timeout > 0
        self.asked.append(decode_request(request.args))
        return self.response

    async def close(self):
        self.is_closed = True


def ask(connection: Connection, message):
    link = SeedLink(connection)  # type: ignore[arg-type]
    if isinstance(message, CheckpointPage):
        return asyncio.run(link.page(message))
    return asyncio.run(link.entries(message))


def test_replies():
    for message, reply in ((CheckpointPage("n", b"k"), PAGE), (JournalPage(7), ENTRIES)):
        connection = Connection(Status.OK, encode_reply(reply))
        assert ask(connection, message) == reply
        assert connection.asked == [message]


@pytest.mark.parametrize(
    ("status", "body", "number"),
    [
        (Status.OK, b"garbage", errno.EPROTO),
        (Status.OK, encode_reply(ENTRIES), errno.EPROTO),
        (Status.WAIT, responses.wait(b"\0\1", 1, "busy")[8:], errno.EAGAIN),
        (
            Status.ERROR,
            responses.error_of(b"\0\1", OperationError(errno.ENOENT, "gone"))[8:],
            errno.ENOENT,
        ),
    ],
)
def test_everything_else_is_an_error(status, body, number):
    with pytest.raises(OperationError) as caught:
        ask(Connection(status, body), CheckpointPage())
    assert caught.value.errno == number


def test_close():
    connection = Connection(Status.OK, b"")
    asyncio.run(SeedLink(connection).close())  # type: ignore[arg-type]
    assert connection.is_closed
