"""Mgms over connections of paper: a script says what each MGM answers."""

import asyncio
import errno

import pytest

from thesan.core.control.messages import Inquire, InquireReply, Watch, decode_request, encode_reply
from thesan.core.model.errors import OperationError
from thesan.core.wire import responses
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import Status
from thesan.io.tasks import TaskOwner
from thesan.io.transport.client import GivenUp
from thesan.roles.fst import mgms as room
from thesan.roles.fst.mgms import Mgms
from thesan.worlds.real.log import Format, RealLog

QUESTION = Inquire("node", 1, [7])
ANSWER = InquireReply([True], 1)


def response(frame):
    status = responses.HEAD.unpack_from(frame)[1]
    return Response(b"\0\0", status, frame[responses.HEAD.size :])


OK = Response(b"\0\0", Status.OK, encode_reply(ANSWER))
HELD = object()
"""No answer, ever."""
WAIT = response(responses.wait(b"\0\0", 1, "no master"))


def moved(address, cgi=""):
    host, _, port = address.rpartition(":")
    return response(responses.redirect(b"\0\0", host, int(port), cgi))


def failed(number):
    return response(responses.error_of(b"\0\0", OperationError(number, "no")))


class Connection:
    """One MGM's side, scripted."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self.is_closed = False
        self.gone = asyncio.Event()
        self.leader = None
        self.held = None
        """The future of a call that is answered by HELD."""

    async def call(self, request, timeout, call=None):
        message = decode_request(request.args)
        if isinstance(message, Watch):
            return await self.poll(message)
        self.asked.append(message)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if answer is HELD:
            self.held = asyncio.get_running_loop().create_future()
            return await self.held
        return answer() if callable(answer) else answer

    async def poll(self, message):
        """A long poll, answered by `leader` once it is set to something new."""
        while self.leader is None or self.leader.epoch <= message.epoch:
            if self.is_closed:
                raise OperationError(errno.ECONNRESET, "gone")
            await asyncio.sleep(0.005)
        return Response(b"\0\0", Status.OK, encode_reply(self.leader))

    async def close(self):
        self.is_closed = True

    def abort(self, reason):
        self.is_closed = True
        self.gone.set()

    def give_up(self, reason):
        held, self.held = self.held, None
        if held is not None:
            held.set_exception(GivenUp(errno.ECONNRESET, reason))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in (
        "COMMIT_RETRY_SECONDS", "COMMIT_RETRY_SECONDS_MAX", "MGM_REDIAL_SECONDS",
        "MGM_REDIAL_SECONDS_MAX",
    ):  # fmt: skip
        monkeypatch.setattr(room, name, 0.01)


def run(body, tmp_path, *addresses):
    """body(mgms, script): script[address] = answers, set before the MGM is dialled."""

    async def main():
        script, made = {}, {}

        async def dial(host, port):
            address = f"{host}:{port}"
            if address not in script:
                raise OperationError(errno.ECONNREFUSED, f"{address} refused")
            made[address] = Connection(script[address])
            return made[address]

        async def visit(link):
            await made[link.address].gone.wait()
            raise OperationError(errno.ECONNRESET, "gone")

        log = RealLog(str(tmp_path / "log"), Format.LOGFMT)
        tasks = TaskOwner("test")
        mgms = Mgms(addresses, dial, tasks, log)
        mgms.start(visit)
        try:
            async with asyncio.timeout(20):
                await body(mgms, script, made)
        finally:
            await tasks.close()
            log.close()

    asyncio.run(main())


def ask(mgms):
    return mgms.ask_master(lambda: QUESTION, InquireReply, "test")


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


async def all_up(mgms):
    while not all(link.is_up for link in mgms.links.values()):
        await asyncio.sleep(0.005)
