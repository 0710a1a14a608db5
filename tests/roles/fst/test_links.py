"""The wire between a head and a replica: answers that are no answers, and kept connections."""

import asyncio
import errno

import pytest

from thesan.core.authority.capability import Replica
from thesan.core.control.replica import Done, Sealed, decode_order, encode_outcome
from thesan.core.model.errors import OperationError
from thesan.core.wire import bodies, responses
from thesan.core.wire import requests as rq
from thesan.core.wire.client import Response
from thesan.core.wire.numbers import OpenFlag, QueryCode, Status
from thesan.roles.fst import links
from thesan.roles.fst.links import PeerLink, Peers, ask

SID = b"\0\1"


class Connection:
    """Answers from a script; the last answer is repeated."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.is_closed = False

    async def call(self, request, timeout):
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.sleep(60)
        return answer

    async def close(self):
        self.is_closed = True

    def abort(self, reason):
        self.is_closed = True


def ok(body=b""):
    return Response(SID, Status.OK, body)


def status(number, body=b""):
    return Response(SID, number, body)


def error(code, text="no"):
    frame = responses.error(SID, code, text)
    return status(Status.ERROR, frame[responses.HEAD.size :])


def wait():
    return status(Status.WAIT, responses.wait(SID, 0)[responses.HEAD.size :])


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


def run(work):
    return asyncio.run(work)


def test_ask_waits_as_told():
    connection = Connection(wait(), wait(), ok(b"x"))
    assert run(ask(connection, rq.Sync(SID, 1), 5)).body == b"x"
    assert len(connection.asked) == 3


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        (error(3011), errno.ENOENT),
        (status(Status.REDIRECT, b"\0\0\0\1h"), errno.ESTALE),
        (status(Status.WAIT, b"x"), errno.EPROTO),
        (OperationError(errno.ECONNRESET, "gone"), errno.ECONNRESET),
        (None, errno.ETIMEDOUT),
    ],
)
def test_ask_raises_for_all_else(answer, number):
    with refused(number):
        run(ask(Connection(answer), rq.Sync(SID, 1), 0.05))


def test_requests_of_a_link():
    async def main():
        connection = Connection(ok())
        link = PeerLink(connection, 3, 9)
        await link.write(5, b"data")
        await link.truncate(7)
        await link.sync()
        await link.close()
        write, truncate, sync, close = connection.asked
        assert (write.fh, write.offset, write.data) == (9, 5, b"data")
        assert (truncate.path, truncate.fh, truncate.size) == ("", 9, 7)
        assert sync.fh == close.fh == 9

    run(main())


def test_orders_of_a_link():
    async def main():
        sealed = Sealed(1, 2, 3)
        connection = Connection(ok(encode_outcome(sealed)), ok(encode_outcome(Done())))
        link = PeerLink(connection, 3, 9)
        assert await link.seal(5) == sealed
        await link.settle(keep=True)
        assert all(query.infotype == QueryCode.OPAQUE_HANDLE for query in connection.asked)
        seal, settle = [decode_order(query.args) for query in connection.asked]
        assert (seal.mtime_ns, settle.keep) == (5, True)
        assert link.is_alive
        connection.is_closed = True
        assert not link.is_alive

    run(main())


@pytest.mark.parametrize("body", [b"", b"\xc1", encode_outcome(Done())])
def test_an_answer_that_is_no_seal(body):
    with refused(errno.EPROTO):
        run(PeerLink(Connection(ok(body)), 3, 9).seal(5))


def test_an_answer_that_settles_nothing():
    with refused(errno.EPROTO):
        run(PeerLink(Connection(ok(encode_outcome(Sealed(1, 2, 3)))), 3, 9).settle(keep=True))


# -- peers ---------------------------------------------------------------------------------------
REPLICA = Replica(3, "fst2:1095", "token")


def test_one_connection_for_all_uploads():
    async def main():
        made = []

        async def dial(host, port):
            await asyncio.sleep(0)
            connection = Connection(ok(bodies.build_open(4)))
            made.append((host, port, connection))
            return connection

        peers = Peers(dial)
        opened = await asyncio.gather(
            *[peers.open(REPLICA, "/f", fresh=number % 2 == 0) for number in range(4)]
        )
        ((host, port, connection),) = made
        assert (host, port) == ("fst2", 1095)
        assert [link.fsid for link in opened] == [3] * 4
        assert [bool(request.options & OpenFlag.DELETE) for request in connection.asked] == [
            True, False, True, False,
        ]  # fmt: skip
        assert {request.cgi for request in connection.asked} == {"cap=token"}
        connection.is_closed = True
        await peers.open(REPLICA, "/f", fresh=True)
        assert len(made) == 2
        await peers.close()
        assert made[1][2].is_closed

    run(main())


@pytest.mark.parametrize(
    ("answer", "number"),
    [(ok(b"x"), errno.EPROTO), (error(3009), errno.ENOSPC), (None, errno.ETIMEDOUT)],
)
def test_a_replica_that_can_not_be_opened(monkeypatch, answer, number):
    monkeypatch.setattr(links, "REPLICA_OPEN_SECONDS_MAX", 0.05)

    async def dial(host, port):
        return Connection(answer)

    with refused(number):
        run(Peers(dial).open(REPLICA, "/f", fresh=True))


@pytest.mark.parametrize("answer", [ok(), error(3012), None])
def test_peers_are_told_that_we_are_alive(monkeypatch, answer):
    monkeypatch.setattr(links, "PEER_ALIVE_SECONDS", 0.02)

    async def main():
        made = []

        async def dial(host, port):
            made.append(Connection(answer))
            return made[-1]

        peers = Peers(dial)
        await peers.connect("fst2:1095")
        telling = asyncio.ensure_future(peers.keep_alive())
        await asyncio.sleep(0.2)
        telling.cancel()
        asked = [type(request) for request in made[0].asked]
        assert asked[0] is rq.Set
        if answer is not None and answer.status == Status.OK:
            assert len(asked) > 1
            assert await peers.connect("fst2:1095") is made[0]
        else:
            assert made[0].is_closed
            assert await peers.connect("fst2:1095") is not made[0]

    run(main())


def test_a_peer_that_does_not_listen():
    async def dial(host, port):
        raise OperationError(errno.ECONNREFUSED, "no")

    async def main():
        peers = Peers(dial)
        for _ in range(2):
            with refused(errno.ECONNREFUSED):
                await peers.open(REPLICA, "/f", fresh=True)

    run(main())
