"""The answer to an order to hand over."""

import errno

from thesan.core.control.messages import decode_reply
from thesan.core.leadership.records import StoryRecord
from thesan.core.model.errors import OperationError
from thesan.core.wire.numbers import Status
from thesan.core.wire.responses import HEAD
from thesan.roles.mgm.order import Order


class Peer:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def reply(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        raise AssertionError


def test_the_story_is_the_answer() -> None:
    peer = Peer()
    order = Order(peer, b"\0\1", "b", "root")
    order.answer(StoryRecord(5, "b:1", phases={"total": 12.3}))
    reply = decode_reply(peer.sent[0][HEAD.size :])
    assert reply.records[0]["total_ms"] == 12.3
    assert reply.text == "b:1 is master with epoch 5 after 12 ms"
    order.answer(None)
    assert "not heard" in decode_reply(peer.sent[1][HEAD.size :]).text
    order.refuse(OperationError(errno.EBUSY, "no"))
    assert HEAD.unpack_from(peer.sent[2])[1] == Status.ERROR
