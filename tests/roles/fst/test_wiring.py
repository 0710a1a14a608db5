"""The parts of an FST know each other as they should; outgoing logins say who we are."""

import asyncio
from xml.etree import ElementTree

from thesan.core.authority.capability import Op
from thesan.core.model.identity import NOBODY
from thesan.core.wire import bodies, responses
from thesan.core.wire.numbers import QueryCode
from thesan.core.wire.server import FST_SETTINGS


class Ear:
    """A server that hears who logs in."""

    settings = FST_SETTINGS

    def __init__(self):
        self.heard = []

    def login(self, connection, request):
        self.heard.append((request.username, request.pid, request.token))
        connection.identity = NOBODY
        return responses.ok(request.sid, bodies.build_login(connection.session_id))

    def auth(self, connection, request):
        raise AssertionError

    def closed(self, connection):
        pass

    def handle(self, connection, request):
        raise AssertionError


def test_peers_know_us_again_after_a_restart(bench):
    """Fan-out tokens are bound to (user, pid, host): none of them may change by a restart."""

    async def body(b):
        ear = Ear()
        listener = await b.listen(ear)
        address = f"127.0.0.1:{listener.port}"
        for _ in range(2):
            await b.fsts[0].parts.peers.connect(address)
            await b.kill()
            await b.restart()
        assert ear.heard[0] == ear.heard[1] == ("_fst", b.fsts[0].port, b"xrd.appname=thesan-fst")

    bench(body)


def test_a_source_is_asked_as_daemon(bench):
    async def body(b):
        ear = Ear()
        listener = await b.listen(ear)
        connection = await b.fsts[0].parts._dial_source("127.0.0.1", listener.port)
        await connection.close()
        assert ear.heard == [("daemon", b.fsts[0].port, b"xrd.appname=thesan")]

    bench(body)


def test_figures_are_those_of_now(bench):
    async def body(b):
        async def figures(client):
            text = await client.query(QueryCode.STATS, b"a")
            root = ElementTree.fromstring(text.rstrip(b"\0"))
            assert root.get("src") == b.fsts[0].parts.node
            assert root.get("site") == "CERN"
            return int(root.findtext(".//stats/num")), int(root.findtext(".//ops/op"))

        client = await b.client()
        await client.put("/f", b.cap(Op.CREATE, 1, "/f"), b"x")
        assert await figures(client) == (1, 0)
        other = await b.client()
        fh = await other.open("/f", b.cap(Op.READ, 1, "/f"))
        assert await figures(client) == (2, 1)
        await other.close(fh)
        assert await figures(client) == (2, 0)

    bench(body, sitename="CERN")


def test_an_advertised_name_is_the_nodes_name(bench):
    async def body(b):
        assert b.fsts[0].parts.node == "localhost:4711"
        beat = await b.mgm.until_beat(lambda beat: True)
        assert beat.node == "localhost:4711"

    bench(body, advertise="localhost:4711")


def test_news_reach_the_mgm_before_the_next_second(bench, monkeypatch):
    monkeypatch.setattr("thesan.roles.fst.beats.BEAT_SECONDS", 3600.0)

    async def body(b):
        b.fsts[0].parts.fleet.on_change()
        b.mgm.beats.clear()
        await asyncio.wait_for(b.mgm.until_beat(lambda beat: True), 10)

    bench(body)
