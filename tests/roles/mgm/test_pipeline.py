"""No answer leaves before what it shows is durable: an engine behind a gate."""

import asyncio
import errno

import pytest

from thesan.core.journal.entry import Position
from thesan.core.model.errors import OperationError, StoreError, Unavailable
from thesan.core.model.ids import Epoch, Seq
from thesan.core.model.limits import BATCH_OPS_MAX
from thesan.core.namespace import state
from thesan.core.namespace.ops import ConfigSet, MakeDirectory, RememberResult
from thesan.core.wire.bodies import parse_error, parse_stat
from thesan.core.wire.numbers import Status
from thesan.core.wire.requests import Chmod, Locate, Mkdir, Mv, Rm, Rmdir, Stat

SID, SECOND, THIRD = b"\0\1", b"\0\2", b"\0\3"


class Gate:
    """Lets appends through one by one."""

    def __init__(self, engine) -> None:
        self._append = engine.append
        self._doors: list[asyncio.Future[None]] = []
        self.waiting = 0
        engine.append = self.append

    async def append(self, owner, seq, data) -> None:
        door = asyncio.get_running_loop().create_future()
        self._doors.append(door)
        self.waiting += 1
        await door
        await self._append(owner, seq, data)

    def open(self) -> None:
        """The oldest append may go on."""
        self.waiting -= 1
        self._doors.pop(0).set_result(None)

    def fail(self, error: Exception) -> None:
        self.waiting -= 1
        self._doors.pop(0).set_exception(error)


@pytest.fixture
def gate(bench) -> Gate:
    return Gate(bench.engine)


def settle(bench) -> None:
    bench.sleep(0.05)


def test_the_answer_to_a_mutation_waits_for_its_batch(bench, gate) -> None:
    peer = bench.peer()
    assert bench.send(peer, Mkdir(SID, "/a")) is None
    settle(bench)
    assert (gate.waiting, peer.sent) == (1, [])
    gate.open()
    settle(bench)
    assert [(sid, status) for sid, status, _ in peer.frames] == [(SID, Status.OK)]


def test_reads_of_what_is_durable_do_not_wait(bench, gate) -> None:
    peer, other = bench.peer(), bench.peer()
    bench.send(peer, Mkdir(SID, "/a"))
    # The root directory has a pending entry; the configuration and the MGM itself have not.
    assert bench.send(other, Locate(SID, "*")) is not None
    assert bench.send(other, Stat(SECOND, "/")) is None
    assert bench.send(other, Stat(THIRD, "/a")) is None
    settle(bench)
    assert other.sent == []
    gate.open()
    settle(bench)
    assert len(other.sent) == 1, "one write for all answers of a batch"
    assert [sid for sid, _, _ in other.frames] == [SECOND, THIRD]


def test_a_read_waits_for_the_batch_it_shows_and_no_later_one(bench, gate) -> None:
    peer, reader = bench.peer(), bench.peer()
    bench.send(peer, Mkdir(SID, "/a"))
    settle(bench)
    bench.send(peer, Mkdir(SECOND, "/a/b"))
    bench.send(peer, Mkdir(THIRD, "/a/b/c"))
    assert bench.send(reader, Stat(SID, "/")) is None
    settle(bench)
    assert gate.waiting == 1
    gate.open()
    settle(bench)
    assert [sid for sid, _, _ in reader.frames] == [SID]
    assert [sid for sid, _, _ in peer.frames] == [SID]
    gate.open()
    settle(bench)
    assert [sid for sid, _, _ in peer.frames] == [SID, SECOND, THIRD]


@pytest.mark.parametrize(
    ("change", "read"),
    [
        (Rm(SID, "/d/f"), Stat(SECOND, "/d/f")),
        (Mv(SID, "/d/f", "/d/g"), Stat(SECOND, "/d/f")),
        (Chmod(SID, "/d", mode=0o700), Stat(SECOND, "/d/f")),
        (Mkdir(SID, "/d/x"), Mkdir(SECOND, "/d/x")),
    ],
)
def test_errors_that_follow_from_pending_changes_wait_too(cluster, alice, change, read) -> None:
    cluster.ok(Mkdir(SID, "/d"))
    cluster.store_file("/d/f")
    gate = Gate(cluster.engine)
    reader = cluster.peer(alice)
    assert cluster.send(cluster.peer(), change) is None
    assert cluster.send(reader, read) is None
    settle(cluster)
    assert reader.sent == []
    gate.open()
    settle(cluster)
    assert [(sid, status) for sid, status, _ in reader.frames] == [(SECOND, Status.ERROR)]


def test_a_renamed_directory_is_not_shown_through_an_old_file(cluster) -> None:
    cluster.ok(Mkdir(SID, "/d"))
    cluster.store_file("/d/f")
    gate = Gate(cluster.engine)
    reader = cluster.peer()
    assert cluster.send(cluster.peer(), Mv(SID, "/d", "/e")) is None
    assert cluster.send(reader, Stat(SECOND, "/e/f")) is None
    settle(cluster)
    assert reader.sent == []
    gate.open()
    settle(cluster)
    assert reader.frames[0][1] == Status.OK


def test_a_crash_leaves_no_trace_of_what_was_not_durable(bench, gate) -> None:
    bench.send(bench.peer(), Mkdir(SID, "/a"))
    settle(bench)
    gate.open()
    settle(bench)
    bench.send(bench.peer(), Mkdir(SID, "/b"))
    settle(bench)
    bench.crash(keep_writes=100)
    bench.start()
    bench.stat("/a")
    assert bench.errno(Stat(SID, "/b")) == errno.ENOENT


def test_the_store_never_sees_what_is_not_durable(bench, gate) -> None:
    bench.send(bench.peer(), Mkdir(SID, "/secret-name"))
    settle(bench)
    assert not any(b"secret-name" in key + value for key, value in bench.store._values.items())
    gate.open()
    settle(bench)
    assert any(b"secret-name" in key + value for key, value in bench.store._values.items())


def test_a_lost_mastership_disconnects_who_waits_and_answers_nothing(bench, gate) -> None:
    waiting, idle = bench.peer(), bench.peer()
    bench.send(waiting, Mkdir(SID, "/a"))
    settle(bench)
    from thesan.core.model.errors import Fenced

    gate.fail(Fenced("somebody else"))
    settle(bench)
    assert (waiting.sent, waiting.is_closed, idle.is_closed) == ([], True, False)


def test_an_unknown_outcome_is_read_back_and_never_guessed(bench, gate) -> None:
    peer = bench.peer()
    bench.send(peer, Mkdir(SID, "/a"))
    settle(bench)
    gate.fail(Unavailable("no answer"))
    settle(bench)
    assert peer.sent == [], "not in the journal: it is sent again"
    assert gate.waiting == 1
    gate.open()
    bench.sleep(1)
    assert peer.frames[0][1] == Status.OK


class Panic(BaseException):
    """As a binding raises it."""


@pytest.mark.parametrize("error", [StoreError("disk full"), MemoryError(), Panic("in the binding")])
def test_a_store_that_fails_ends_the_mastership(bench, error) -> None:
    def broken(changes) -> None:
        raise error

    bench.store.write = broken
    peer = bench.peer()
    bench.send(peer, Mkdir(SID, "/a"))
    settle(bench)
    assert (peer.sent, peer.is_closed) == ([], True)
    assert bench.mgm.master is None
    status, _ = bench.ask(Stat(SID, "/"))
    assert status == Status.WAIT
    del bench.store.write
    bench.sleep(10)
    assert bench.stat("/a").id > 1, "the journal had it"
    bench.loop.trace.failures.clear()


def test_a_batch_whose_changes_can_not_be_had_ends_the_mastership(bench) -> None:
    """The next batch would be stored over the hole."""
    namespace, pipeline = bench.mgm.master.namespace, bench.mgm.master.pipeline

    def fails(*args) -> None:
        raise MemoryError

    namespace.take_changes = fails
    bench.send(bench.peer(), Mkdir(SID, "/a"))
    settle(bench)
    assert (bench.mgm.master, pipeline.store_failure) == (None, "MemoryError")
    bench.sleep(10)
    assert bench.stat("/a").id > 1


def test_what_ends_the_process_is_not_kept_back(bench) -> None:
    pipeline = bench.mgm.master.pipeline

    def ends(changes) -> None:
        raise KeyboardInterrupt

    async def commit() -> None:
        pipeline._ends[head.seq] = bench.mgm.master.namespace.op_count
        with pytest.raises(KeyboardInterrupt):
            pipeline.on_batch(head)

    head = Position(Seq(pipeline.head + 1), Epoch(1), 0)
    bench.store.write = ends
    bench.run(commit())
    del bench.store.write
    assert pipeline.store_failure == "KeyboardInterrupt"
    assert bench.mgm.master is None


def test_an_op_that_fails_half_way_ends_the_mastership(bench, monkeypatch) -> None:
    """What is in memory then is nobody's state, and must not be shown."""
    monkeypatch.setitem(state._HANDLERS, MakeDirectory, lambda tree, op, tag: 1 // 0)
    pipeline = bench.mgm.master.pipeline

    async def change() -> None:
        pipeline.submit(MakeDirectory(1, "x", 77, 0o755, 0, 0, 1))

    with pytest.raises(ZeroDivisionError):
        bench.run(change())
    assert (bench.mgm.master, pipeline.store_failure) == (None, "")
    bench.sleep(5)
    assert bench.mgm.master.epoch == 2


def test_ops_of_one_change_share_a_batch(bench, gate) -> None:
    pipeline = bench.mgm.master.pipeline

    async def change() -> None:
        pipeline.submit_all([ConfigSet("mgm", "a", b"1"), RememberResult(b"i" * 16, b"done")])

    async def fill_then_change() -> None:
        for number in range(BATCH_OPS_MAX - 1):
            pipeline.submit(ConfigSet("mgm", f"k{number}", b"x"))
        await change()

    with pytest.raises(OperationError) as caught:
        bench.run(fill_then_change())
    assert caught.value.errno == errno.EAGAIN
    settle(bench)
    bench.run(change())
    assert len(pipeline._ends) == 2
    while gate.waiting:
        gate.open()
        settle(bench)
    assert bench.mgm.master.namespace.remembered(b"i" * 16).answer == b"done"


def test_a_change_that_no_batch_can_hold_is_refused_for_good(bench) -> None:
    """Nobody is told to wait for what can't come."""
    master = bench.mgm.master
    before = master.namespace.op_count

    async def change(count: int) -> None:
        master.submit_all([ConfigSet("mgm", f"k{number}", b"x") for number in range(count)])

    with pytest.raises(OperationError) as caught:
        bench.run(change(BATCH_OPS_MAX + 1))
    assert caught.value.errno == errno.E2BIG
    assert master.namespace.op_count == before
    bench.run(change(BATCH_OPS_MAX))
    assert master.namespace.op_count == before + BATCH_OPS_MAX


def test_a_change_that_fails_at_its_first_op_changes_nothing(bench) -> None:
    pipeline = bench.mgm.master.pipeline

    async def change() -> None:
        pipeline.submit_all([MakeDirectory(99999, "x", 77, 0o755, 0, 0, 1)])

    before = bench.mgm.master.namespace.op_count
    with pytest.raises(OperationError):
        bench.run(change())
    assert bench.mgm.master.namespace.op_count == before
    assert bench.mgm.master is not None


def test_a_change_that_fails_half_way_ends_the_mastership(bench) -> None:
    pipeline = bench.mgm.master.pipeline
    ops = [ConfigSet("mgm", "a", b"1"), MakeDirectory(99999, "x", 77, 0o755, 0, 0, 1)]

    async def change() -> None:
        pipeline.submit_all(ops)

    with pytest.raises(OperationError):
        bench.run(change())
    bench.sleep(5)
    assert bench.mgm.master is not None
    assert bench.mgm.master.epoch == 2
    bench.loop.trace.failures.clear()


def test_too_much_pending_is_answered_wait(bench, gate, monkeypatch) -> None:
    writer = bench.mgm.master.pipeline._writer
    monkeypatch.setattr(writer._batcher, "_pending_ops_max", 2)
    peer = bench.peer()
    for number in range(2):
        assert bench.send(peer, Mkdir(SID, f"/d{number}")) is None
    status, _ = bench.ask(Mkdir(SECOND, "/d2"))
    assert status == Status.WAIT
    settle(bench)
    while gate.waiting:
        gate.open()
        settle(bench)
    status, body = bench.ask(Stat(SID, "/d2"), peer=bench.peer())
    assert (status, parse_error(body)[0]) == (Status.ERROR, 3011)
    assert parse_stat(bench.ok(Stat(SID, "/d1"))).id > 1


def test_waiting_for_a_tag(bench, gate) -> None:
    pipeline = bench.mgm.master.pipeline
    bench.run(pipeline.durable(0))
    bench.send(bench.peer(), Mkdir(SID, "/a"))

    async def waits() -> bool:
        try:
            await asyncio.wait_for(pipeline.durable(bench.mgm.master.namespace.op_count), 1)
        except TimeoutError:
            return False
        return True

    assert not bench.run(waits())
    gate.open()
    assert bench.run(waits())
    assert bench.errno(Rmdir(SID, "/none")) == errno.ENOENT
