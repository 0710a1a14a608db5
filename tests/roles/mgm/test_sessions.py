"""Login and identity, over the simulated network."""

import errno

import msgspec
import pytest

from thesan.core.authority.keytab import Key, make_keytab
from thesan.core.control import messages
from thesan.core.model.errors import OperationError
from thesan.core.wire.numbers import NO_SID, QueryCode, Status
from thesan.core.wire.requests import Mkdir, Query, Stat
from thesan.io.transport import credentials
from thesan.io.transport.client import LoginSettings, dial
from thesan.worlds.simulated.clock import SimClock
from thesan.worlds.simulated.entropy import SimEntropy


class Client:
    """A process on another machine."""

    def __init__(self, bench, machine: str = "client") -> None:
        self.bench = bench
        self.process = bench.loop.network.process(machine, "client")
        self.clock = SimClock(bench.loop, bench.loop.network.machine(machine))
        self.connection = None

    def run(self, work):
        return self.bench.loop.run_until_complete(
            self.bench.loop.start(self.process, work, "client")
        )

    def login(self, *methods, user: str = "me", app: str = "test") -> "Client":
        settings = LoginSettings(user=user, pid=42, app=app, methods=methods)
        self.connection = self.run(dial("mgm", 1094, settings))
        return self

    def ask(self, request):
        return self.run(self.connection.call(request, 10))

    def whoami(self) -> dict:
        body = messages.encode_request(messages.Admin("whoami", ""))
        response = self.ask(Query(NO_SID, QueryCode.OPAQUE, args=body))
        assert response.status == Status.OK, response
        return messages.decode_reply(bytes(response.body)).records[0]


@pytest.fixture
def client(bench) -> Client:
    return Client(bench)


def keytab_method(client: Client, keytab, role: str, name: str) -> credentials.Method:
    entropy = SimEntropy("test")
    return credentials.keytab(keytab, role, name, entropy=entropy, clock=client.clock)


def set_rule(bench, key: str, value: str) -> None:
    from thesan.core.namespace.ops import ConfigSet

    async def submit() -> None:
        bench.mgm.master.submit(ConfigSet("vid", key, value.encode()))

    bench.run(submit())
    bench.sleep(0.1)


def test_who_is_not_mapped_is_nobody(client) -> None:
    record = client.login(credentials.unix("alice", "users"), app="my app").whoami()
    assert (record["uid"], record["authz"], record["name"]) == (99, "unix", "nobody")
    assert record["app"] == "my app"
    response = client.ask(Mkdir(NO_SID, "/x"))
    assert response.status == Status.ERROR


def test_a_new_rule_holds_for_those_who_are_here(bench, client) -> None:
    client.login(credentials.unix("alice", "users"))
    assert client.whoami()["uid"] == 99
    set_rule(bench, 'unix:"<pwd>":uid', "0")
    set_rule(bench, 'unix:"<pwd>":gid', "0")
    record = client.whoami()
    assert (record["uid"], record["gid"], record["gids"]) == (1001, 1001, [1001, 2000])


def test_a_rule_may_name_a_user_of_a_host(bench, client) -> None:
    address = bench.loop.network.machine("client").address
    set_rule(bench, f'unix:"root@{address}":uid', "0")
    set_rule(bench, f'unix:"root@{address}":gid', "0")
    assert client.login(credentials.unix("root", "root")).whoami()["uid"] == 0
    other = Client(bench, "elsewhere").login(credentials.unix("root", "root"))
    assert other.whoami()["uid"] == 99


def test_host(bench, client) -> None:
    address = bench.loop.network.machine("client").address
    set_rule(bench, f'host:"{address}":uid', "1002")
    record = client.login(credentials.host()).whoami()
    assert (record["uid"], record["authz"]) == (1002, "host")


def test_the_keytab_makes_daemons_and_administrators(bench, client, keytab) -> None:
    client.login(keytab_method(client, keytab, "fst", "fst1:1095"))
    record = client.whoami()
    assert (record["uid"], record["daemon"], record["authz"]) == (2, "fst", "thk")
    admin = Client(bench).login(keytab_method(client, keytab, "admin", "alice"))
    assert admin.whoami()["uid"] == 0


def test_a_wrong_key_is_refused_and_the_server_proves_its_own(client) -> None:
    wrong = make_keytab([Key(1, b"x" * 32, 0)])
    with pytest.raises(OperationError) as caught:
        client.login(keytab_method(client, wrong, "fst", "fst1:1095"))
    assert caught.value.errno == errno.EBADE


def test_without_proof_nothing_is_answered(client) -> None:
    with pytest.raises(OperationError):
        client.login()


def test_only_what_is_offered_is_taken(make_bench) -> None:
    from thesan.core.wire.requests import Auth, Login

    bench = make_bench(security=("thk",))
    peer = bench.peer()

    async def talk() -> None:
        peer.identity = None
        answer = bench.mgm.login(peer, Login(b"\0\1", "me"))
        assert b"&P=thk," in answer
        assert b"unix" not in answer
        with pytest.raises(OperationError) as caught:
            bench.mgm.auth(peer, Auth(b"\0\2", b"unix", b"unix\0alice users\0"))
        assert caught.value.errno == errno.EBADE
        assert peer.identity is None

    bench.run(talk())
    bench.mgm.closed(peer)
    bench.stop()


def test_an_open_instance_asks_nobody(make_bench) -> None:
    bench = make_bench(security=())
    record = Client(bench).login().whoami()
    assert (record["uid"], record["authz"]) == (99, "none")
    bench.stop()


def test_who_came_before_the_master_gets_the_rules_of_the_journal(bench) -> None:
    set_rule(bench, 'unix:"alice":uid', "1001")
    bench.crash()
    bench.journal.has_leader = False
    bench.start(wait=False)
    client = Client(bench).login(credentials.unix("alice", "users"))
    assert client.ask(Stat(NO_SID, "/")).status == Status.WAIT
    bench.journal.has_leader = True
    bench.sleep(10)
    assert client.whoami()["uid"] == 1001
    bench.loop.trace.failures.clear()


def test_who_lists_those_who_are_logged_in(bench, client) -> None:
    client.login(credentials.unix("alice", "users"), user="seven")
    bench.sleep(5)
    records = bench.admin("who", "").records
    (mine,) = [record for record in records if "client" in record]
    assert mine["client"].startswith("seven@")
    assert mine["idle"] >= 4
    client.run(client.connection.close())
    bench.sleep(1)
    records = bench.admin("who", "").records
    assert msgspec.to_builtins(records)[-1] == {"nclients": 0}
