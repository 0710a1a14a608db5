"""The MGM process: handlers, roles, ports, figures."""

import asyncio
import errno
from random import Random

import pytest

from thesan.core.control.messages import Admin
from thesan.core.model.errors import ConfigError, StoreError, Unavailable
from thesan.core.model.leadership_limits import MGM_DISK_SECONDS
from thesan.core.wire.numbers import Status
from thesan.core.wire.requests import (
    EndSession,
    Mkdir,
    Open,
    Prepare,
    Protocol,
    Query,
    Set,
    Stat,
    Unsupported,
)
from thesan.io.transport import credentials
from thesan.io.transport.client import LoginSettings
from thesan.roles.client.config import ClientConfig
from thesan.roles.client.filesystem import connect
from thesan.roles.client.url import parse_url
from thesan.roles.mgm import metadata
from thesan.roles.mgm.config import MgmConfig
from thesan.roles.mgm.service import HANDLERS, Mgm, Role
from thesan.worlds.simulated.clock import SimClock
from thesan.worlds.simulated.entropy import SimEntropy
from thesan.worlds.simulated.world import SimWorld

SID = b"\0\1"


class Panic(BaseException):
    """As a binding raises it."""


def test_the_flags_say_manager_and_not_server(bench) -> None:
    assert bench.mgm.settings.flags == 2


def test_without_a_master_every_request_waits(cold) -> None:
    cold.journal.has_leader = False
    cold.start(wait=False)
    assert (cold.mgm.role, cold.mgm.master) == (Role.STARTING, None)
    for request in (
        Stat(SID, "/"),
        Mkdir(SID, "/x"),
        Open(SID, "/x"),
        Query(SID, 3, args=b"/x"),
        Set(SID),
        Prepare(SID, 0, paths=["/x"]),
    ):
        status, body = cold.ask(request)
        assert status == Status.WAIT
        assert body[:4] == b"\0\0\0\1"
    cold.stop()
    cold.loop.trace.failures.clear()


@pytest.mark.parametrize(
    "request_", [Unsupported(SID, 3005), Protocol(SID), EndSession(SID, b"s" * 16)]
)
def test_what_an_mgm_does_not_serve(bench, request_) -> None:
    assert bench.errno(request_) == errno.ENOTSUP


def test_every_handler_survives_a_request_of_nothing(bench) -> None:
    """Whatever a request holds by default gets an answer: an error, or an ok."""
    for kind in HANDLERS:
        needed = [
            field
            for field, default in zip(
                kind.__struct_fields__[-len(kind.__struct_defaults__) or None :],
                kind.__struct_defaults__,
                strict=False,
            )
            if default is None
        ]
        assert needed == []
        fields = len(kind.__struct_fields__) - len(kind.__struct_defaults__)
        samples = {"path": "", "source": "", "target": "", "paths": [], "items": []}
        arguments = [samples.get(name, 0) for name in kind.__struct_fields__[1:fields]]
        status, _ = bench.ask(kind(SID, *arguments))
        assert status in (Status.OK, Status.ERROR, Status.STATUS)


def test_stop_frees_the_port_and_can_be_said_twice(cold) -> None:
    cold.start()
    assert cold.mgm.port == 1094
    cold.stop()
    cold.stop()
    assert (cold.mgm.role, cold.mgm.port) == (Role.STOPPED, 0)
    cold.start()
    cold.stop()


def test_requests_are_counted_and_timed(bench) -> None:
    for number in range(200):
        bench.stat("/")
        bench.ok(Mkdir(SID, f"/d{number}"))
    bench.sleep(6)
    records = bench.control(Admin("ns", "stat"), bench.peer().identity).records
    counters = {record["cmd"]: record for record in records if "cmd" in record}
    assert counters["Stat"]["total"] == 200
    assert counters["Mkdir"]["total"] == 200
    assert counters["Stat"]["60s"] > 0
    assert counters["Admin"]["total"] == 1
    values = {key: record[key] for record in records for key in record if key.startswith("ns.")}
    assert values["ns.total.directories"] == 201
    assert values["ns.mgm.role"] == "leader"
    assert values["ns.journal.engine"] == "memory"
    assert values["ns.journal.committed"] == bench.journal.last


def test_the_advertised_address_is_the_one_listened_on_if_none_is_said(make_bench) -> None:
    bench = make_bench(advertise="", port=2000)
    assert bench.mgm.address == "mgm:2000"
    assert bench.mgm.master.address == "mgm:2000"
    bench.stop()


def test_a_broken_keytab_is_refused_at_once(loop) -> None:
    world = SimWorld(loop, loop.network.process("mgm", "mgm"))
    with pytest.raises(ConfigError, match="line 1"):
        Mgm(world, MgmConfig(keytab="nonsense"), None, None, None, None)


def test_flush_is_the_callers(loop, cold) -> None:
    flushed = []

    async def flush() -> None:
        flushed.append(cold.store.unflushed_count)
        cold.store.flush()

    cold.flush = flush
    cold.start()
    cold.ok(Mkdir(SID, "/a"))
    cold.sleep(6)
    assert flushed
    assert cold.store.unflushed_count == 0
    cold.stop()


class Books:
    """In the place of MgmData: whether the store is still trusted."""

    def __init__(self, store) -> None:
        self.store = store
        self.distrusted = 0

    async def check(self) -> None:
        """Nothing to find fault with."""

    def distrust(self) -> None:
        self.distrusted += 1


@pytest.mark.parametrize(
    ("error", "distrusted"),
    [(MemoryError(), 1), (StoreError("x"), 1), (Panic(), 1), (Unavailable("x"), 0)],
)
def test_what_ends_a_role_does_not_end_the_mgm(bench, error, distrusted) -> None:
    """Nor does what nobody thought of: the process lives, and nobody would start it anew."""
    mgm = bench.mgm
    mgm._data = books = Books(bench.store)
    reign = mgm._reign

    async def fails(mandate) -> None:
        mgm._reign = reign
        raise error

    async def begin_anew() -> None:
        mgm._reign = fails
        mgm.master.pipeline.broken("said by the test")

    bench.run(begin_anew())
    bench.sleep(5)
    assert mgm.role is Role.MASTER
    assert mgm.process.epoch == 3
    assert books.distrusted == distrusted
    mgm._data = None
    bench.loop.trace.failures.clear()


@pytest.mark.parametrize("error", [RuntimeError(), Panic()])
def test_a_task_that_fails_begins_anew_and_is_reported(bench, error) -> None:
    process, looks = bench.mgm.process, []

    async def fails() -> str:
        looks.append(None)
        raise error

    process.look_at_disk = fails
    bench.sleep(2 * MGM_DISK_SECONDS)
    assert len(looks) > 1
    assert any("disk failed and begins anew" in text for text in bench.loop.trace.failures)
    bench.loop.trace.failures.clear()
    del process.look_at_disk
    bench.sleep(MGM_DISK_SECONDS)
    assert not bench.loop.trace.failures


def unreadable(path: str):
    """A handler that finds a damaged block below one path."""

    def handler(master, connection, request):
        if request.path == path:
            raise StoreError("get failed: Corruption: block checksum mismatch")
        return metadata.stat(master, connection, request)

    return handler


def test_a_master_whose_store_can_not_be_read_gives_up_for_another(trio, monkeypatch) -> None:
    trio.start()
    master = trio.until_master()
    trio.sleep(3)
    monkeypatch.setitem(HANDLERS, Stat, unreadable("/"))
    assert master.ask(Stat(SID, "/"))[0] == Status.WAIT
    monkeypatch.undo()
    assert "Corruption" in master.mgm.process.why
    trio.sleep(3)
    assert trio.until_master() is not master
    assert "its store failed" in master.mgm.process.fault


def test_a_master_that_nobody_can_replace_serves_what_it_can_read(bench, monkeypatch) -> None:
    monkeypatch.setitem(HANDLERS, Stat, unreadable("/damaged"))

    peer = bench.peer()
    with pytest.raises(StoreError):
        bench.send(peer, Stat(SID, "/damaged"))
    assert bench.stat("/").id == 1
    assert bench.mgm.master.epoch == 1


def test_the_client_library_against_an_mgm_that_is_killed_all_the_time(cold, keytab) -> None:
    """Every call is answered as if nothing happened, by whichever process is there."""
    cold.start()
    process = cold.loop.network.process("client", "client")
    entropy = SimEntropy("client")
    clock = SimClock(cold.loop, process.machine)
    keys = credentials.keytab(keytab, "admin", "me", entropy=entropy, clock=clock)
    login = LoginSettings(user="me", methods=(keys,))
    config = ClientConfig(login=login, patience_seconds=120.0)

    async def work() -> list[str]:
        async with connect(parse_url("root://mgm:1094"), config, entropy) as fs:
            for number in range(40):
                await fs.mkdir(f"/d{number}/sub", parents=True)
                await fs.touch(f"/d{number}/file")
                await fs.set_xattr(f"/d{number}", "number", b"%d" % number)
                await fs.mv(f"/d{number}", f"/e{number}")
                await fs.rmdir(f"/e{number}/sub")
                await fs.symlink("file", f"/e{number}/link")
                assert await fs.get_xattr(f"/e{number}", "number") == b"%d" % number
                assert [entry.name for entry in await fs.ls(f"/e{number}")] == ["file", "link"]
                await fs.chmod(f"/e{number}", 0o700)
                await asyncio.sleep(0.2)
            return [entry.name for entry in await fs.ls("/")]

    working = cold.loop.start(process, work(), "work")
    dice = Random(3)
    while not working.done():
        cold.sleep(dice.uniform(0.01, 1.5))
        cold.crash(keep_writes=dice.randrange(0, 3))
        cold.start()
    assert working.result() == sorted(f"e{number}" for number in range(40))
    assert cold.number > 10
    cold.stop()
