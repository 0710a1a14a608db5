"""Late answers: sent, announced, or turned into errors; never lost."""

import asyncio
import errno

import pytest

from thesan.core.model.errors import CapabilityError, OperationError, WireError, Xrd
from thesan.core.wire import bodies, responses
from thesan.io.tasks import TaskOwner
from thesan.roles.fst import answers
from thesan.roles.fst.answers import LateAnswers, error_frame

SID = b"\1\2"


class Connection:
    """Keeps what it is told."""

    def __init__(self):
        self.sent = []
        self.lacks_stream = False

    def reply(self, data, path_id=0):
        if path_id and self.lacks_stream:
            raise OperationError(errno.EINVAL, "no bound stream")
        self.sent.append((bytes(data), path_id))

    def wait_then_answer(self, sid, seconds):
        self.sent.append((responses.waitresp(sid, seconds), 0))


def answered(work, path_id=0, **attributes):
    async def main():
        faults = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: faults.append(context["exception"])
        )
        tasks = TaskOwner("test")
        connection = Connection()
        for name, value in attributes.items():
            setattr(connection, name, value)
        LateAnswers(tasks).later(connection, SID, work(), path_id=path_id)
        while len(tasks):
            await asyncio.sleep(0.001)
        return connection.sent, faults

    return asyncio.run(main())


def test_the_answer():
    async def work():
        return responses.ok(SID, b"x")

    assert answered(work) == ([(responses.ok(SID, b"x"), 0)], [])
    assert answered(work, path_id=3) == ([(responses.ok(SID, b"x"), 3)], [])


def test_a_stream_that_is_gone():
    async def work():
        return responses.ok(SID)

    sent, _ = answered(work, path_id=3, lacks_stream=True)
    ((frame, path_id),) = sent
    assert path_id == 0
    assert responses.HEAD.unpack_from(frame)[1] == 4003


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OperationError(errno.ENOENT, "gone"), Xrd.NOT_FOUND),
        (CapabilityError("no"), Xrd.NOT_AUTHORIZED),
        (WireError("bad", Xrd.ARG_INVALID), Xrd.ARG_INVALID),
        (KeyError("fault"), Xrd.SERVER_ERROR),
    ],
)
def test_errors(error, code):
    async def work():
        raise error

    sent, faults = answered(work)
    ((frame, _),) = sent
    assert bodies.parse_error(frame[responses.HEAD.size :])[0] == code
    assert faults == ([error] if isinstance(error, KeyError) else [])
    if not isinstance(error, KeyError):
        assert frame == error_frame(SID, error)


def test_a_slow_answer_is_announced(monkeypatch):
    monkeypatch.setattr(answers, "WAITRESP_SECONDS", 0.01)

    async def work():
        await asyncio.sleep(0.05)
        return responses.ok(SID)

    sent, _ = answered(work)
    assert [responses.HEAD.unpack_from(frame)[1] for frame, _ in sent] == [4006, 0]
    assert len(answered(work, path_id=2)[0]) == 1
