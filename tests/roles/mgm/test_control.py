"""Control messages: roles, resends, acting as somebody else, unreadable bodies."""

import errno

import msgspec
import pytest

from thesan.core.control import messages
from thesan.core.control.messages import ACT_AS, Admin, FileOp
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ROOT
from thesan.core.wire.numbers import QueryCode, Status
from thesan.core.wire.requests import Mkdir, Query, Rm, Stat
from thesan.roles.mgm import pipeline

SID = b"\0\1"


def errno_of(bench, message, who=ROOT) -> int:
    with pytest.raises(OperationError) as caught:
        bench.control(message, who)
    return caught.value.errno


def test_an_admin_answer_says_which_state_it_shows(cluster) -> None:
    reply = cluster.admin("fs", "ls")
    assert [record["id"] for record in reply.records] == [1, 2]
    assert reply.seq == cluster.journal.last
    assert reply.age_ms == 0


def test_a_change_is_journaled_and_said(cluster) -> None:
    reply = cluster.admin("node", "set", node="fst1:1095", status="off")
    assert reply.text
    assert reply.seq == cluster.journal.last
    cluster.crash()
    cluster.start()
    assert not cluster.beat(1).active


def test_a_resend_under_the_same_id_gets_the_first_answer(cluster) -> None:
    add = {"uuid": "u-9", "node": "fst9:1095", "path": "/d", "space": "default"}
    message = Admin("fs", "add", add, op_id="once")
    first = cluster.control(message, ROOT)
    before = cluster.mgm.master.namespace.op_count
    again = cluster.control(message, ROOT)
    assert again.records == first.records
    assert cluster.mgm.master.namespace.op_count == before
    cluster.crash()
    cluster.start()
    assert cluster.control(message, ROOT).records == first.records
    assert errno_of(cluster, Admin("fs", "add", add, op_id="twice")) == errno.EEXIST


@pytest.mark.parametrize(
    ("noun", "verb", "args", "field", "value"),
    [
        ("fs", "boot", {"fs": "*"}, "boot_request", 1),
        (
            "space",
            "config",
            {"space": "default", "key": "fs.configstatus", "value": "ro"},
            "configstatus",
            "ro",
        ),
    ],
)
def test_what_need_not_be_whole_may_be_more_than_a_batch(
    bench, monkeypatch, noun, verb, args, field, value
) -> None:
    bench.beat(1, fs=5)
    monkeypatch.setattr(pipeline, "BATCH_OPS_MAX", 3)
    monkeypatch.setattr(bench.mgm.master.pipeline._writer._batcher, "_ops_max", 3)
    head = bench.journal.last
    message = Admin(noun, verb, args, op_id="once")
    assert "5 filesystems" in bench.control(message, ROOT).text
    assert bench.journal.last == head + 2
    before = bench.mgm.master.namespace.op_count
    bench.control(message, ROOT)
    assert bench.mgm.master.namespace.op_count == before, "it is remembered as any other"
    bench.crash()
    bench.start()
    states = bench.mgm.master.view.filesystems()
    assert [getattr(fs.record, field) for fs in states] == 5 * [value]


def test_a_file_operation_too(bench) -> None:
    message = FileOp("symlink", "/link", {"target": "there"}, op_id="once")
    first = bench.control(message, ROOT)
    assert first.result["fid"] > 1
    assert bench.control(message, ROOT).result == first.result
    bench.ok(Rm(SID, "/link"))
    assert bench.control(message, ROOT).result == first.result
    assert errno_of(bench, FileOp("readlink", "/link")) == errno.ENOENT


def test_a_verb_is_not_shown_who_may_answer(bench) -> None:
    bench.ok(Mkdir(SID, "/d"))
    wanted = {"any": True, "seq": 1}
    reply = bench.control(FileOp("lstat", "/d", wanted), ROOT)
    assert reply.result["fid"] > 1
    assert reply.seq == bench.journal.last
    assert bench.control(Admin("fs", "ls", {**wanted, "leader": True}), ROOT).records == []


def test_roles_are_checked(bench, alice) -> None:
    assert errno_of(bench, Admin("fs", "boot", {"fs": "1"}), alice) == errno.EACCES
    assert errno_of(bench, Admin("no", "such"), alice) == errno.EINVAL
    assert errno_of(bench, Admin("file-op", "touch"), ROOT) == errno.EINVAL
    assert errno_of(bench, FileOp("none", "/"), ROOT) == errno.EINVAL


def test_a_sudoer_may_be_somebody_else(bench, alice) -> None:
    bench.ok(Mkdir(SID, "/home", mode=0o777))
    as_alice = {ACT_AS: [1001, 1001]}
    bench.control(FileOp("touch", "/home/f", dict(as_alice)), ROOT)
    assert bench.stat("/home/f").owner == "alice"
    record = bench.control(Admin("whoami", "", dict(as_alice)), ROOT).records[0]
    assert record["uid"] == 1001
    assert errno_of(bench, FileOp("touch", "/x", {ACT_AS: [0, 0]}), alice) == errno.EACCES
    for wrong in ("root", [0], [0, "0"], [-1, 0]):
        assert errno_of(bench, FileOp("touch", "/x", {ACT_AS: wrong})) == errno.EINVAL
    assert bench.errno(Stat(SID, "/x")) == errno.ENOENT


def test_identity_in_the_cgi_is_ignored(bench, alice) -> None:
    cgi = "eos.ruid=0&eos.rgid=0&thesan.uid=0"
    assert bench.errno(Mkdir(SID, "/x", cgi), alice) == errno.EACCES


@pytest.mark.parametrize("body", [messages.MAGIC, messages.MAGIC + b"\xff" * 9, b"\x91" * 40])
def test_what_can_not_be_read_is_an_error_and_no_more(bench, body: bytes) -> None:
    async def call() -> bytes:
        try:
            return bench.mgm.handle(peer, Query(SID, int(QueryCode.OPAQUE), args=body))
        except messages.ControlError:
            return b""

    peer = bench.peer()
    answer = bench.run(call())
    assert answer == b"" or answer[2:4] == int(Status.ERROR).to_bytes(2, "big")


def test_a_beat_is_answered_while_the_journal_is_away(bench) -> None:
    """Without news: what was reported counts as unsaid, and nothing that may be lost is shown."""
    bench.beat(1)
    bench.store_file("/f")
    bench.ok(Rm(SID, "/f"))
    beat = messages.Beat("fst1:1095", "b", messages.NodeReport(), [])
    [removed] = bench.control(beat).deletions
    bench.journal.has_leader = False
    bench.send(bench.peer(), Mkdir(SID, "/waits"))
    assert bench.mgm.master.pipeline.pending_ops
    reported = msgspec.structs.replace(beat, deleted=[removed])
    reply = bench.control(reported)
    assert (reply.master, reply.epoch, reply.deletions) == (False, 1, [])
    bench.journal.has_leader = True
    bench.sleep(2)
    reply = bench.control(reported)
    assert (reply.master, reply.deletions) == (True, [])
