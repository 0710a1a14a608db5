"""Third-party copies between two FSTs, in every order that clients come in."""

import asyncio
import errno
import os

import pytest

from thesan.core.authority.capability import Op
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import NOBODY
from thesan.core.wire import bodies, responses
from thesan.core.wire import requests as rq
from thesan.core.wire.numbers import NO_SID, OpenFlag
from thesan.core.wire.server import FST_SETTINGS
from thesan.roles.fst import tpc, tpc_pull
from thesan.roles.fst.store import BootState

NEW = int(OpenFlag.NEW | OpenFlag.UPDATE)
DATA = os.urandom(9_000_001)
KEY = "0123456789"


def refused(number):
    return pytest.raises(OperationError, check=lambda error: error.errno == number)


async def prepared(b, data=DATA):
    """A file on FST 0; (client there, client at FST 1)."""
    source, target = await b.client(0), await b.client(1)
    await source.put("/from", b.cap(Op.CREATE, 1, "/from"), data)
    b.mgm.commits.clear()
    return source, target


def open_source(b, source, key=KEY, more="tpc.dst=127.0.0.2"):
    cap = f"{b.cap(Op.READ, 1, '/from')}&tpc.key={key}&tpc.stage=copy&{more}"
    return source.open("/from", cap)


def open_target(b, target, src=None, key=KEY):
    place = src or f"user@{b.fsts[0].parts.node}"
    cap = b.cap(Op.CREATE, 2, "/to", fst=1)
    return target.open("/to", f"{cap}&tpc.src={place}&tpc.key={key}&tpc.lfn=/from", NEW)


async def copied(b, target, fh, data=DATA):
    await target.ask(rq.Sync(NO_SID, fh))
    stat = bodies.parse_stat(await target.ask(rq.Stat(NO_SID, fh=fh)))
    assert stat.size == len(data)
    await target.close(fh)
    assert (b.paths(1)[0] / "00000000" / "00000002").read_bytes() == data
    assert b.mgm.commits[0].replicas[0].size == len(data)


@pytest.mark.parametrize("size", [0, 1, len(DATA)])
def test_as_xrdcp_does_it(bench, size):
    async def body(b):
        source, target = await prepared(b, DATA[:size])
        fh = await open_target(b, target)
        await target.ask(rq.Sync(NO_SID, fh))
        reader = await open_source(b, source)
        await copied(b, target, fh, DATA[:size])
        await source.close(reader)

    bench(body, fsts=2)


def test_the_source_opened_first(bench):
    async def body(b):
        source, target = await prepared(b)
        await open_source(b, source)
        fh = await open_target(b, target)
        await target.ask(rq.Sync(NO_SID, fh))
        await copied(b, target, fh)

    bench(body, fsts=2)


def test_a_long_copy_is_announced(bench, monkeypatch):
    """The second sync waits with kXR_waitresp while the key is not registered."""
    monkeypatch.setattr("thesan.roles.fst.answers.WAITRESP_SECONDS", 0.05)

    async def body(b):
        source, target = await prepared(b)
        fh = await open_target(b, target)
        await target.ask(rq.Sync(NO_SID, fh))
        waiting = asyncio.ensure_future(target.ask(rq.Sync(NO_SID, fh), timeout=0.5))
        await asyncio.sleep(1)
        assert not waiting.done()
        await open_source(b, source)
        await waiting
        await copied(b, target, fh)

    bench(body, fsts=2)


def test_a_key_that_nobody_registers(bench, monkeypatch):
    monkeypatch.setattr(tpc, "TPC_KEY_SECONDS_MAX", 0.1)

    async def body(b):
        source, target = await prepared(b)
        await open_source(b, source, key="another")
        fh = await open_target(b, target)
        await target.ask(rq.Sync(NO_SID, fh))
        with refused(errno.EACCES):
            await target.ask(rq.Sync(NO_SID, fh))
        with refused(errno.EACCES):
            await target.close(fh)
        assert b.files(1) == ([], [])
        assert b.fsts[0].parts.opener._rendezvous._awaited == {}

    bench(body, fsts=2)


def test_a_key_is_good_for_its_path_and_time(bench, monkeypatch):
    async def body(b):
        source, _ = await prepared(b)
        rendezvous = b.fsts[0].parts.opener._rendezvous
        reader = await open_source(b, source)
        pull = {"tpc.key": KEY, "tpc.org": "user.1@host"}
        assert await rendezvous.meet("/from", pull) == (b.store(), 1)
        assert await rendezvous.meet("/from", {"tpc.key": KEY}) is None
        assert await rendezvous.meet("/from", {**pull, "tpc.dst": "h"}) is None
        monkeypatch.setattr(tpc, "TPC_KEY_SECONDS_MAX", 0.05)
        with refused(errno.EACCES):
            await rendezvous.meet("/other", pull)
        await source.close(reader)
        await asyncio.sleep(0.05)
        with refused(errno.EACCES):
            await rendezvous.meet("/from", pull)
        await open_source(b, source, key="old")
        await asyncio.sleep(0.1)
        with refused(errno.EACCES):
            await rendezvous.meet("/from", {**pull, "tpc.key": "old"})

    bench(body, fsts=2)


def test_keys_are_bounded(bench, monkeypatch):
    monkeypatch.setattr(tpc, "TPC_KEYS_MAX", 2)

    async def body(b):
        source, _ = await prepared(b)
        for key in ("1", "2"):
            await open_source(b, source, key=key)
        with refused(errno.EUSERS):
            await open_source(b, source, key="3")
        assert b.store().open_read == 2
        await open_source(b, source, key="3", more="x=y")
        await open_source(b, source, key="k" * 1000)

    bench(body, fsts=2)


@pytest.mark.parametrize("place", ["", "h:0", "h:x", "h:70000", ":1", "u@"])
def test_sources_that_can_not_be_read(bench, place):
    async def body(b):
        _, target = await prepared(b)
        cap = b.cap(Op.CREATE, 2, "/to", fst=1)
        opening = target.open("/to", f"{cap}&tpc.src={place}&tpc.key=k", NEW)
        if place:
            with refused(errno.EINVAL):
                await opening
            assert b.files(1) == ([], [])
        else:
            await target.close(await opening)

    bench(body, fsts=2)


def test_sources_as_clients_write_them():
    assert tpc._split_source("user@h") == ("h", 1094)
    assert tpc._split_source("u@[::1]:5") == ("::1", 5)
    assert tpc._split_source("[::1]") == ("::1", 1094)
    assert tpc._split_source("h:5") == ("h", 5)


def test_a_source_that_is_not_there(bench):
    async def body(b):
        _, target = await prepared(b)
        fh = await open_target(b, target, src="127.0.0.1:1")
        await target.ask(rq.Sync(NO_SID, fh))
        with pytest.raises(OperationError, match="copy from 127"):
            await target.ask(rq.Sync(NO_SID, fh))

    bench(body, fsts=2)


@pytest.mark.parametrize("moment", ["never synced", "under way"])
def test_a_copy_that_is_given_up(bench, moment):
    async def body(b):
        _, target = await prepared(b)
        fh = await open_target(b, target)
        if moment == "under way":
            await target.ask(rq.Sync(NO_SID, fh))
        with refused(errno.ECANCELED):
            await target.close(fh)
        assert b.files(1) == ([], [])
        assert b.mgm.commits == []

    bench(body, fsts=2)


def test_the_copy_goes_to_all_replicas(bench):
    async def body(b):
        source, target = await prepared(b)
        cap = b.cap(Op.CREATE, 2, "/to", fst=1, others=[(2, 0)])
        src = b.fsts[0].parts.node
        fh = await target.open("/to", f"{cap}&tpc.src={src}&tpc.key={KEY}&tpc.lfn=/from", NEW)
        await open_source(b, source)
        await target.ask(rq.Sync(NO_SID, fh))
        await copied(b, target, fh)
        assert [replica.fsid for replica in b.mgm.commits[0].replicas] == [2, 3]

    bench(body, fsts=3)


class Foreign:
    """A source that is scripted: redirects, waits, ends early."""

    settings = FST_SETTINGS

    def __init__(self, steps):
        self.steps = steps
        self.asked = []

    def login(self, connection, request):
        connection.identity = NOBODY
        return responses.ok(request.sid, bodies.build_login(connection.session_id))

    def auth(self, connection, request):
        raise AssertionError

    def closed(self, connection):
        pass

    def handle(self, connection, request):
        self.asked.append(request)
        return self.steps.pop(0)(request)


def opened(size):
    stat = bodies.build_stat(bodies.StatInfo(1, size, 16, 0))
    return lambda request: responses.ok(request.sid, bodies.build_open(3, stat))


@pytest.mark.parametrize(
    ("steps", "number"),
    [
        ([lambda r: responses.wait(r.sid, 0), opened(0), lambda r: responses.ok(r.sid)], 0),
        ([opened(5), lambda r: responses.pgread_head(r.sid, 0, 0, final=True)], errno.EIO),
        ([opened(5), lambda r: responses.error(r.sid, 3007, "bad disk")], errno.EIO),
        ([lambda r: responses.ok(r.sid, bodies.build_open(3))], errno.EPROTO),
        ([lambda r: responses.ok(r.sid, b"x")], errno.EPROTO),
        ([lambda r: responses.redirect(r.sid, "root://x", -1)], errno.ENOTSUP),
        ([lambda r: responses.error(r.sid, 3011, "not here")], errno.ENOENT),
    ],
)
def test_sources_that_behave_oddly(bench, steps, number):
    async def body(b):
        _, target = await prepared(b)
        service = Foreign(list(steps))
        listener = await b.listen(service, "127.0.0.9")
        fh = await open_target(b, target, src=f"127.0.0.9:{listener.port}")
        await target.ask(rq.Sync(NO_SID, fh))
        if number:
            with refused(number):
                await target.ask(rq.Sync(NO_SID, fh))
        else:
            await target.ask(rq.Sync(NO_SID, fh))
        assert b.store(1).state is BootState.BOOTED, "its errors are not those of our disk"
        request = service.asked[0]
        assert request.path == "/from"
        assert f"tpc.key={KEY}&tpc.org=user.7@127.0.0.1" in request.cgi

    bench(body, fsts=2)


@pytest.mark.parametrize("rounds", [3, 100])
def test_a_source_that_redirects(bench, monkeypatch, rounds):
    monkeypatch.setattr(tpc_pull, "TPC_REDIRECTS_MAX", 5)

    async def body(b):
        source, target = await prepared(b)
        steps = []
        service = Foreign(steps)
        listener = await b.listen(service, "127.0.0.9")
        steps += [
            lambda r: responses.redirect(r.sid, "127.0.0.9", listener.port, "more=1")
        ] * rounds
        host, _, port = b.fsts[0].parts.node.rpartition(":")
        steps.append(lambda r: responses.redirect(r.sid, host, int(port)))
        await open_source(b, source)
        fh = await open_target(b, target, src=f"127.0.0.9:{listener.port}")
        await target.ask(rq.Sync(NO_SID, fh))
        if rounds > 5:
            with refused(errno.ELOOP):
                await target.ask(rq.Sync(NO_SID, fh))
        else:
            await copied(b, target, fh)
            assert service.asked[1].cgi.endswith("&more=1")

    bench(body, fsts=2)
