"""A change of master as a client sees it: a pause that ends when the new master is there."""

import asyncio

import pytest

from thesan.core.control.messages import Leader, decode_request, encode_reply
from thesan.core.model.limits import CLIENT_WATCH_AFTER_SECONDS
from thesan.core.model.paths import parse_cgi
from thesan.core.wire import requests as rq
from thesan.core.wire import responses
from thesan.roles.client.masters import Masters
from thesan.roles.client.pool import Pool
from thesan.roles.client.url import Endpoint, Url
from thesan.roles.client.watcher import Watcher

REACTION_SECONDS = 0.05
"""From the election to the answer: some round trips."""
APPLIED = 77
"""Journal position of everybody."""


class Voter:
    """Makes an MGM of the cluster a master or a standby."""

    def __init__(self, mgm) -> None:
        self.mgm = mgm
        self.epoch = 0
        """Highest that it has heard of."""
        self.master = None
        """The MGM whose epoch that is."""
        self.is_sure = True
        """As a standby it redirects to the master, else it says wait."""
        self.polls = []
        self.polls_seen = 0
        mgm.voter = self
        mgm.on_watch = self.watch
        mgm.standby_answer = self.standby_answer

    def hear(self, epoch, master) -> None:
        """There is a new master: all who wait to hear that are told."""
        self.epoch, self.master = epoch, master
        polls, self.polls = self.polls, []
        for connection, sid in polls:
            connection.reply(responses.as_async(responses.ok(sid, self.leader())))

    def leader(self) -> bytes:
        role = "master" if self.master is self.mgm else "standby"
        mgms = [str(mgm.endpoint) for mgm in self.mgm.cluster.mgms]
        return encode_reply(Leader(self.epoch, str(self.master.endpoint), mgms, role, APPLIED))

    def watch(self, connection, request):
        sid, message = request.sid, decode_request(request.args)
        self.polls_seen += 1
        if self.epoch > message.epoch or not message.wait_ms:
            return responses.ok(sid, self.leader())
        self.polls.append((connection, sid))
        return responses.waitresp(sid, message.wait_ms // 1000)

    def standby_answer(self, request):
        if self.master is self.mgm:
            return None
        cgi = parse_cgi(getattr(request, "cgi", ""))
        if "thesan.any" in cgi and int(cgi.get("thesan.seq", "0")) <= APPLIED:
            return None
        if not self.is_sure or "mgm.epoch" in cgi:
            return responses.wait(request.sid, 1, "no master")
        master = self.master
        return responses.redirect(request.sid, master.host, master.port, f"mgm.epoch={self.epoch}")


def elect(cluster, master, epoch, deaf=()) -> None:
    """All MGMs but `deaf` ones hear that there is a new master."""
    for mgm in cluster.mgms:
        if mgm not in deaf:
            hear(mgm, epoch, master)


def hear(mgm, epoch, master) -> None:
    voter = getattr(mgm, "voter", None) or Voter(mgm)
    voter.hear(epoch, master)


def now() -> float:
    return asyncio.get_running_loop().time()


def held(connection, request):
    """Fault: the request is never answered."""


def done_and_held(daemon):
    """Fault: the request is done, but nobody is told."""

    def answer(connection, request):
        getattr(daemon, f"on_{type(request).__name__.lower()}")(connection, request)
        daemon.cluster.remember(request)

    return answer


async def elected_later(cluster, seconds, master, epoch, deaf=()):
    """An election after a while; when it was."""
    await asyncio.sleep(seconds)
    elect(cluster, master, epoch, deaf)
    return now()


def start(work):
    return asyncio.get_running_loop().create_task(work)


@pytest.mark.parametrize("end", ["killed", "vanished", "hung"])
@pytest.mark.parametrize("lives_long", [True, False])
def test_what_is_pending_goes_to_the_new_master(machines_run, end, lives_long):
    """However the old one ended, and whether its last request was done or not."""

    async def test(cluster, network):
        old, new, other = cluster.mgms
        elect(cluster, old, 1)
        fs = cluster.connect(patience_seconds=600.0)
        await fs.mkdir("/before")
        if lives_long:
            await asyncio.sleep(CLIENT_WATCH_AFTER_SECONDS + 1)
            await fs.stat("/")
        old.fail(rq.Mkdir, done_and_held(old))
        old.fail(rq.Mv, held, times=1000)
        calls = [start(fs.mkdir("/d")), start(fs.mv("/before", "/after"))]
        await asyncio.sleep(0.05)
        if end == "vanished":
            network.power_off(old.host)
        elif end == "killed":
            (process,) = network.machine(old.host).processes
            network.kill(process)
            for mgm in (new, other):
                mgm.voter.is_sure = False
        else:
            (process,) = network.machine(old.host).processes
            network.pause(process)
        election = start(elected_later(cluster, 1.3, new, 2, deaf=(old,)))
        await asyncio.sleep(0.3)
        calls.append(start(fs.mkdir("/late")))
        when = await election
        await asyncio.gather(*calls)
        assert now() - when < REACTION_SECONDS
        assert sorted(cluster.names) == ["/", "/after", "/d", "/late"]
        assert fs.router.master == new.endpoint
        assert fs.router.masters.epoch == 2

    machines_run(test, mgms=3)


@pytest.mark.parametrize("seconds", [0.0, 0.7, 4.0])
def test_a_client_that_comes_while_the_host_is_away(machines_run, seconds):
    """The dark address is not waited for."""

    async def test(cluster, network):
        old, new, _ = cluster.mgms
        elect(cluster, old, 1)
        network.power_off(old.host)
        election = start(elected_later(cluster, seconds, new, 2, deaf=(old,)))
        fs = cluster.connect(patience_seconds=600.0)
        began = now()
        await fs.mkdir("/d")
        assert now() - max(began + 0.3, await election) < REACTION_SECONDS
        began = now()
        await fs.mkdir("/e")
        assert now() - began < REACTION_SECONDS

    machines_run(test, mgms=3)


def test_a_standby_says_where_the_master_is(machines_run):
    async def test(cluster, network):
        standby, master, _ = cluster.mgms
        elect(cluster, master, 7)
        fs = cluster.connect()
        await fs.stat("/")
        await fs.stat("/")
        assert (len(standby.seen), len(master.seen)) == (1, 2)
        assert "mgm.epoch=7" in master.seen[0].cgi
        assert "mgm.epoch" not in master.seen[1].cgi
        assert fs.router.masters.epoch == 7
        assert standby.voter.polls_seen == master.voter.polls_seen == 0, (
            "a short call watches nobody"
        )

    machines_run(test, mgms=3)


def test_standbys_that_point_at_each_other_are_no_loop(machines_run):
    """Each thinks that the other is master: one hop, a pause, and again."""

    async def test(cluster, network):
        one, two, three = cluster.mgms
        hear(one, 3, two)
        hear(two, 3, one)
        hear(three, 3, one)
        fs = cluster.connect(patience_seconds=600.0)
        call = start(fs.stat("/"))
        await asyncio.sleep(5.0)
        assert sum(len(mgm.seen) for mgm in cluster.mgms) < 60
        assert not call.done()
        elect(cluster, three, 4)
        when = now()
        await call
        assert now() - when < REACTION_SECONDS

    machines_run(test, mgms=3)


def test_a_redirect_to_an_epoch_that_is_over_is_not_followed(machines_run):
    async def test(cluster, network):
        old, new, deaf = cluster.mgms
        elect(cluster, new, 5)
        fs = cluster.connect(patience_seconds=600.0)
        await fs.stat("/")
        assert fs.router.masters.epoch == 5
        hear(deaf, 4, old)
        hear(old, 4, old)
        fs.router.masters.current = deaf.endpoint
        seen = len(old.seen)
        await fs.mkdir("/d")
        assert len(old.seen) == seen, "what the old master does is not durable"
        assert fs.router.masters.epoch == 5
        assert fs.router.master == new.endpoint

    machines_run(test, mgms=3)


def test_members_are_learned(machines_run):
    """One address was given; the others take over when its host is gone."""

    async def test(cluster, network):
        old, new, _ = cluster.mgms
        elect(cluster, old, 1)
        fs = cluster.connect(patience_seconds=600.0)
        fs.router.masters.__init__((old.endpoint,))
        await fs.stat("/")
        await asyncio.sleep(CLIENT_WATCH_AFTER_SECONDS + 1)
        await fs.stat("/")
        await asyncio.sleep(1)
        assert fs.router.masters.mgms == tuple(mgm.endpoint for mgm in cluster.mgms)
        network.power_off(old.host)
        election = start(elected_later(cluster, 1.2, new, 2, deaf=(old,)))
        await fs.mkdir("/d")
        assert now() - await election < REACTION_SECONDS

    machines_run(test, mgms=3)


def test_members_that_left_are_forgotten(machines_run):
    async def test(cluster, network):
        one, two, gone = cluster.mgms
        elect(cluster, one, 1)
        fs = cluster.connect()
        masters = fs.router.masters
        masters.__init__((one.endpoint,))
        fs.router.watcher.begin()
        await asyncio.sleep(1)
        assert gone.endpoint in fs.router.watcher._watches
        cluster.mgms.remove(gone)
        elect(cluster, two, 2)
        await asyncio.sleep(1)
        assert list(fs.router.watcher._watches) == [one.endpoint, two.endpoint]
        await gone.stop()

    machines_run(test, mgms=3)


def test_silence_alone_fails_nothing(machines_run):
    """The master is stopped for long, and nobody takes over: there is nobody else."""

    async def test(cluster, network):
        master = cluster.mgm
        elect(cluster, master, 1)
        fs = cluster.connect(patience_seconds=600.0)
        await fs.stat("/")
        (process,) = network.machine(master.host).processes
        network.pause(process)
        call = start(fs.mkdir("/d"))
        await asyncio.sleep(100.0)
        assert not call.done()
        network.resume(process)
        when = now()
        await call
        assert now() - when < 10.0
        assert list(cluster.names) == ["/", "/d"]

    machines_run(test, mgms=1)


def test_the_master_is_cut_off_from_us_only(machines_run):
    """It lives and stays master. When the way is there again, we go on."""

    async def test(cluster, network):
        master, standby = cluster.mgms
        elect(cluster, master, 1)
        fs = cluster.connect(patience_seconds=600.0)
        await fs.stat("/")
        for one, other in (("client", master.host), (master.host, "client")):
            network.cut(one, other)
            asyncio.get_running_loop().call_later(20.0, network.heal, one, other)
        began = now()
        await fs.mkdir("/d")
        assert 20.0 < now() - began < 24.0
        assert len(standby.seen) < 100, "nobody is flooded meanwhile"

    machines_run(test, mgms=2)


def test_a_wait_of_the_new_master_is_not_waited_out(machines_run):
    """It is named before it serves."""

    async def test(cluster, network):
        old, new = cluster.mgms
        elect(cluster, old, 1)
        fs = cluster.connect(patience_seconds=600.0)
        await fs.stat("/")
        new.fail(rq.Stat, lambda connection, request: responses.wait(request.sid, 1), times=2)
        network.power_off(old.host)
        election = start(elected_later(cluster, 1.0, new, 2, deaf=(old,)))
        await fs.stat("/")
        assert now() - await election < 0.4

    machines_run(test, mgms=2)


def a_reader_at_the_standby(cluster):
    master, standby = cluster.mgms
    elect(cluster, master, 1)
    fs = cluster.connect(any_mgm=True)
    fs.router._reader_shift = 1
    return master, standby, fs


def test_a_file_that_is_closed_after_other_reads_is_seen(machines_run):
    """The open was a change that the master was asked about; the close is another one."""

    async def test(cluster, network):
        _, standby, fs = a_reader_at_the_standby(cluster)
        async with await fs.open("/new", "w") as file:
            await file.write(0, b"x")
            await fs.stat("/")
            assert not fs._any.has_changed
        assert fs._any.has_changed
        await fs.stat("/new")
        assert not fs._any.has_changed
        assert standby.seen[-1].cgi == "thesan.any=1&thesan.seq=77"

    machines_run(test, mgms=2)


def test_readers_that_take_any_answer_ask_a_standby(machines_run):
    async def test(cluster, network):
        master, standby, fs = a_reader_at_the_standby(cluster)
        await fs.stat("/")
        await fs.ls("/")
        cluster.put("/f", b"x")
        async with await fs.open("/f") as file:
            assert bytes(await file.read()) == b"x"
        assert [request.cgi for request in standby.seen] == ["thesan.any=1"] * 3
        assert not master.seen
        await fs.mkdir("/d")
        assert len(master.requests(rq.Mkdir)) == 1
        await fs.stat("/d")
        assert standby.seen[-1].cgi == "thesan.any=1&thesan.seq=77", "as new as what we did"
        network.power_off(standby.host)
        began = now()
        await fs.stat("/d")
        assert now() - began < 5.0

    machines_run(test, mgms=2)


def test_a_server_that_is_no_mgm_of_ours_is_left_alone(machines_run):
    async def test(cluster, network):
        fs = cluster.connect()
        fs.router.watcher.begin()
        await asyncio.sleep(60.0)
        assert all(task.done() for task in fs.router.watcher._watches.values())
        await fs.stat("/")

    machines_run(test, mgms=1)


def test_nothing_is_watched_after_the_end(machines_run):
    async def test(cluster, network):
        elect(cluster, cluster.mgm, 1)
        fs = cluster.connect()
        await fs.stat("/")
        await fs.close()
        fs.router.watcher.begin()
        assert not fs.router.watcher.is_on

    machines_run(test, mgms=1)


def test_what_an_mgm_says_of_itself(machines_run):
    """We know it by another name than the instance does: it stays one server."""

    async def test(cluster, network):
        config = cluster.connect().router.config
        url = Url((Endpoint("mgm1", 1094),))
        masters = Masters(url.endpoints)
        watcher = Watcher(Pool(config), masters, lambda master: None)
        inside = "10.9.9.9:1094"
        assert watcher._heard(url.endpoints[0], Leader(3, inside, [inside], "master"))
        assert masters.master == url.endpoints[0]
        assert masters.mgms == url.endpoints
        await watcher.close()

    machines_run(test, mgms=1)
