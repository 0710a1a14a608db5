"""Redirects, waits, lost servers, several MGMs."""

import asyncio
import errno

import pytest

from thesan.core.model.errors import OperationError, Retry
from thesan.core.model.limits import REDIRECTS_MAX
from thesan.core.model.paths import parse_cgi
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.roles.client import router as module


def to(daemon, cgi: str = ""):
    """Fault: a redirect."""
    return lambda connection, request: responses.redirect(
        request.sid, daemon.host, daemon.port, cgi
    )


def wait(seconds: int):
    return lambda connection, request: responses.wait(request.sid, seconds, "no master")


def test_redirect_between_mgms_is_followed_and_remembered(cluster_run):
    async def test(cluster):
        standby, master = cluster.mgms
        standby.fail(rq.Stat, to(master), times=1000)
        fs = cluster.connect()
        await fs.stat("/")
        await fs.stat("/")
        assert len(standby.seen) == 1
        assert len(master.seen) == 2
        assert fs.router.master == master.endpoint

    cluster_run(test, mgms=2)


def test_redirect_loop_ends_at_the_limit(cluster_run):
    async def test(cluster):
        one, two = cluster.mgms
        one.fail(rq.Stat, to(two), times=1000)
        two.fail(rq.Stat, to(one), times=1000)
        with pytest.raises(OperationError, match="redirects and no end") as caught:
            await cluster.connect().stat("/")
        assert caught.value.errno == errno.ELOOP
        assert len(one.seen) + len(two.seen) == REDIRECTS_MAX + 1

    cluster_run(test, mgms=2)


def test_waits_are_obeyed(cluster_run, monkeypatch):
    monkeypatch.setattr(module, "CLIENT_WAIT_SECONDS_MAX", 0.01)

    async def test(cluster):
        cluster.mgm.fail(rq.Stat, wait(3), times=4)
        await cluster.connect().stat("/")
        assert len(cluster.mgm.seen) == 5

    cluster_run(test)


def test_the_deadline_says_what_was_waited_for(cluster_run):
    async def test(cluster):
        cluster.mgm.fail(rq.Stat, wait(1), times=1000)
        fs = cluster.connect(patience_seconds=0.3)
        with pytest.raises(OperationError, match=r"stat /.*says wait: no master") as caught:
            await fs.stat("/")
        assert (caught.value.errno, caught.value.retry) == (errno.ETIMEDOUT, Retry.LATER)

    cluster_run(test)


def test_dead_mgms_are_passed_over(cluster_run):
    async def test(cluster):
        await cluster.mgms[0].stop()
        await cluster.mgms[1].stop()
        fs = cluster.connect()
        await fs.stat("/")
        assert fs.router.master == cluster.mgms[2].endpoint
        await cluster.mgms[0].start()
        await cluster.mgms[2].stop()
        await fs.stat("/")
        assert fs.router.master == cluster.mgms[0].endpoint

    cluster_run(test, mgms=3)


def test_an_mgm_that_returns_is_found(cluster_run):
    async def test(cluster):
        await cluster.mgm.stop()
        fs = cluster.connect()
        call = asyncio.get_running_loop().create_task(fs.stat("/"))
        await asyncio.sleep(0.3)
        assert not call.done()
        await cluster.mgm.start()
        assert (await call).id == 1

    cluster_run(test)


def test_nobody_ever_answers(cluster_run):
    async def test(cluster):
        await cluster.mgm.stop()
        with pytest.raises(OperationError, match="given up") as caught:
            await cluster.connect(patience_seconds=0.5).stat("/")
        assert caught.value.errno == errno.ETIMEDOUT

    cluster_run(test)


def test_an_error_of_the_mgm_is_final(cluster_run):
    async def test(cluster):
        fs = cluster.connect()
        with pytest.raises(OperationError) as caught:
            await fs.stat("/none")
        assert caught.value.errno == errno.ENOENT
        assert len(cluster.mgm.seen) == 1

    cluster_run(test)


def test_an_overloaded_mgm_is_asked_again(cluster_run, faults):
    _, refuse = faults

    async def test(cluster):
        cluster.mgm.fail(rq.Stat, refuse(errno.EUSERS), times=2)
        await cluster.connect().stat("/")
        assert len(cluster.mgm.seen) == 3

    cluster_run(test)


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOENT, "enoent"),
        (errno.EIO, "ioerr"),
        (errno.ENODEV, "fserr"),
        (errno.ENOSPC, "fserr"),
        (errno.EROFS, "fserr"),
    ],
)
def test_an_fst_that_fails_at_open_is_tried_no_more(cluster_run, faults, number, word):
    _, refuse = faults

    async def test(cluster):
        cluster.put("/f", b"data")
        cluster.fsts[0].fail(rq.Open, refuse(number), times=100)
        async with await cluster.connect().open("/f") as file:
            assert bytes(await file.read()) == b"data"
            assert file.endpoint == cluster.fsts[1].endpoint
        cgi = parse_cgi(cluster.mgm.requests(rq.Open)[1].cgi)
        assert cgi == {"tried": "127.0.0.2", "triedrc": word}
        at_fst = parse_cgi(cluster.fsts[1].requests(rq.Open)[0].cgi)
        assert at_fst == {"cap": "x"}

    cluster_run(test)


def test_all_fsts_fail(cluster_run, faults):
    _, refuse = faults

    async def test(cluster):
        cluster.put("/f", b"data")
        for fst in cluster.fsts:
            fst.fail(rq.Open, refuse(errno.EIO), times=100)
        with pytest.raises(OperationError, match="no FST is left") as caught:
            await cluster.connect().open("/f")
        assert "; 127.0.0.3: " in caught.value.text, "what the last one said is said too"
        assert parse_cgi(cluster.mgm.requests(rq.Open)[2].cgi)["tried"] == "127.0.0.2,127.0.0.3"

    cluster_run(test)


def test_a_refused_capability_is_renewed_a_few_times(cluster_run, faults):
    _, refuse = faults

    async def test(cluster):
        cluster.put("/f", b"data")
        cluster.fsts[0].fail(rq.Open, refuse(errno.EACCES), times=2)
        fs = cluster.connect()
        async with await fs.open("/f") as file:
            assert file.endpoint == cluster.fsts[0].endpoint
        cluster.fsts[0].fail(rq.Open, refuse(errno.EACCES), times=100)
        with pytest.raises(OperationError) as caught:
            await fs.open("/f")
        assert caught.value.errno == errno.EACCES

    cluster_run(test)


def test_a_dead_fst_is_replaced_and_a_returning_one_waited_for(cluster_run):
    async def test(cluster):
        cluster.put("/f", b"data")
        await cluster.fsts[0].stop()
        fs = cluster.connect()
        async with await fs.open("/f") as file:
            assert file.endpoint == cluster.fsts[1].endpoint
        await cluster.fsts[1].stop()
        opening = asyncio.get_running_loop().create_task(fs.open("/f"))
        await asyncio.sleep(0.5)
        assert not opening.done()
        await cluster.fsts[1].start()
        async with await opening as file:
            assert bytes(await file.read()) == b"data"

    cluster_run(test)


def test_a_mutation_is_resent_under_its_id(cluster_run, faults):
    hang_up, _ = faults

    async def test(cluster):
        cluster.mgm.fail(rq.Mkdir, hang_up)
        fs = cluster.connect()
        await fs.mkdir("/d")
        first, second = cluster.mgm.requests(rq.Mkdir)
        assert parse_cgi(first.cgi)["thesan.op"] == parse_cgi(second.cgi)["thesan.op"]
        await fs.mkdir("/e")
        assert cluster.mgm.requests(rq.Mkdir)[2].cgi != first.cgi

    cluster_run(test)


def done_then_lost(daemon):
    """Fault: the request is done, its answer is lost."""

    def answer(connection, request):
        getattr(daemon, f"on_{type(request).__name__.lower()}")(connection, request)
        daemon.cluster.remember(request)
        connection.abort()

    return answer


def test_a_mutation_whose_answer_was_lost_gets_the_first_answer(cluster_run):
    async def test(cluster):
        fs, mgm = cluster.connect(), cluster.mgm
        for kind in (rq.Mkdir, rq.Mv, rq.Rmdir, rq.Rm):
            mgm.fail(kind, done_then_lost(mgm))
        await fs.mkdir("/d")
        await fs.mv("/d", "/e")
        assert "/e" in cluster.names
        await fs.rmdir("/e")
        cluster.put("/f", b"")
        await fs.rm("/f")
        assert list(cluster.names) == ["/"]
        for attempt in (fs.rm("/f"), fs.mkdir("/"), fs.mv("/x", "/y")):
            with pytest.raises(OperationError):
                await attempt

    cluster_run(test)


def test_answers_that_make_no_sense(cluster_run):
    async def test(cluster):
        fs, mgm = cluster.connect(), cluster.mgm
        for frame in (
            lambda sid: responses.HEAD.pack(sid, 4004, 2) + b"xx",
            lambda sid: responses.HEAD.pack(sid, 4005, 1) + b"x",
            lambda sid: responses.authmore(sid, b"?"),
            lambda sid: responses.ok(sid, b"1 2 x"),
        ):
            mgm.fail(rq.Stat, lambda connection, request, frame=frame: frame(request.sid))
            with pytest.raises(OperationError) as caught:
                await fs.stat("/")
            assert caught.value.errno == errno.EPROTO
        await fs.stat("/")

    cluster_run(test)


def test_an_mgm_whose_machine_vanishes_is_passed_over(machines_run):
    async def test(cluster, network):
        loop = asyncio.get_running_loop()
        fs = cluster.connect(silence_seconds_max=5.0, patience_seconds=600.0)
        await fs.stat("/")
        network.power_off("mgm1")
        began = loop.time()
        results = await asyncio.gather(*(fs.stat("/") for _ in range(20)))
        assert len(results) == 20
        assert loop.time() - began < 12.0
        assert fs.router.master == cluster.mgms[1].endpoint
        # A dial to the dark machine ends in time as well.
        other = cluster.connect(dial_seconds_max=3.0)
        began = loop.time()
        await other.stat("/")
        assert loop.time() - began < 4.0

    machines_run(test)


@pytest.mark.parametrize("seed", range(8))
def test_mutations_over_resets_happen_once(machines_run, seed):
    """Connections break all the time; in the end exactly what was asked for is there."""

    async def test(cluster, network):
        fs = cluster.connect(patience_seconds=600.0)
        done = asyncio.Event()

        async def trouble():
            while not done.is_set():
                await asyncio.sleep(0.01)
                network.reset_connections("client", "mgm1")

        task = asyncio.get_running_loop().create_task(trouble())
        for n in range(20):
            await fs.mkdir(f"/d{n}")
            await fs.mv(f"/d{n}", f"/e{n}")
            if n % 2:
                await fs.rmdir(f"/e{n}")
        done.set()
        await task
        assert sorted(cluster.names) == ["/", *sorted(f"/e{n}" for n in range(0, 20, 2))]

    machines_run(test, seed=seed)


def test_a_reader_leaves_an_mgm_that_only_says_wait(cluster_run):
    """A standby that is cut off from the journal says so for as long as it is."""

    async def test(cluster):
        cluster.put("/f", b"data")
        idle, other = cluster.mgms
        idle.fail(object, lambda _, request: responses.wait(request.sid, 1, "behind"), times=99)
        fs = cluster.connect(any_mgm=True, patience_seconds=20.0)
        assert (await fs.stat("/f")).size == 4
        assert other.seen

    cluster_run(test, mgms=2)


def test_an_open_that_nobody_waits_for_leaves_no_handle(cluster_run):
    async def test(cluster):
        cluster.put("/f", b"data")
        fst = cluster.fsts[0]
        fs = cluster.connect()
        connections = []

        def slowly(connection, request):
            connections.append(connection)
            later = asyncio.get_running_loop().call_later
            later(0.1, lambda: connection.reply(fst.on_open(connection, request)))

        for mode in ("r", "w"):
            fst.fail(rq.Open, slowly)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await fs.open("/f", mode)
        await asyncio.sleep(0.2)
        assert [connection.is_closed for connection in connections] == [True, True]

    cluster_run(test)


def test_an_open_that_is_given_up_does_not_break_other_files(cluster_run):
    async def test(cluster):
        cluster.put("/f", b"data")
        fst = cluster.fsts[0]
        async with await cluster.connect().open("/f") as file:
            pass
        fs = cluster.connect()
        async with await fs.open("/f") as file:
            fst.fail(rq.Open, lambda connection, request: None)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await fs.open("/f")
            assert bytes(await file.read()) == b"data"
            assert file.recoveries == 0

    cluster_run(test)


def test_a_mutation_that_was_lost_on_a_fresh_connection_may_be_done(cluster_run):
    async def test(cluster):
        cluster.mgm.fail(rq.Mkdir, lambda connection, _: connection.abort(), times=99)
        with pytest.raises(OperationError) as caught:
            await cluster.connect(patience_seconds=0.3).mkdir("/d")
        assert caught.value.retry is Retry.SAME_ID

    cluster_run(test)
