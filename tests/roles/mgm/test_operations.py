"""A resend under the same operation id gets the first answer, from any later master too."""

import errno

import msgspec
import pytest

from thesan.core.control.messages import OP_KEY
from thesan.core.wire.numbers import FAttrCode, MkdirFlag
from thesan.core.wire.requests import Chmod, FAttr, Mkdir, Mv, Rm, Rmdir, Stat
from thesan.roles.client import filesystem
from thesan.roles.mgm.operations import operation_id, operation_of

SID = b"\0\1"
ONCE = f"{OP_KEY}=once"
SET, DELETE = int(FAttrCode.SET), int(FAttrCode.DELETE)


def test_nobody_gets_anothers_answer(alice, bob) -> None:
    assert operation_id(alice, "x") != operation_id(bob, "x")
    assert operation_id(alice, "x") == operation_id(msgspec.structs.replace(alice, host="h"), "x")
    assert operation_id(alice, "") == b""


def test_where_the_id_is(alice) -> None:
    assert filesystem.OP_KEY == OP_KEY
    assert operation_of(alice, "") == operation_of(alice, "a=b") == b""
    assert operation_of(alice, f"a=b&{OP_KEY}=x") == operation_id(alice, "x")
    assert operation_of(alice, f"{OP_KEY}=") == b""


@pytest.mark.parametrize(
    ("first", "number"),
    [
        (Mkdir(SID, "/new", ONCE), errno.EEXIST),
        (Rm(SID, "/d/f", ONCE), errno.ENOENT),
        (Rmdir(SID, "/empty", ONCE), errno.ENOENT),
        (Mv(SID, "/d/f", "/g", ONCE), errno.ENOENT),
        (FAttr(SID, SET, "/d/f", ONCE, options=1, names=["a"], values=[b"1"]), errno.EEXIST),
        (FAttr(SID, DELETE, "/d", ONCE, names=["there"]), errno.ENODATA),
    ],
)
def test_a_resend_is_told_what_the_first_was_told(cluster, first, number: int) -> None:
    cluster.store_file("/d/f")
    cluster.ok(Mkdir(SID, "/empty"))
    cluster.ok(FAttr(SID, SET, "/d", names=["there"], values=[b"1"]))
    answer = cluster.ok(first)
    before = cluster.mgm.master.namespace.op_count
    assert cluster.ok(first) == answer
    assert cluster.mgm.master.namespace.op_count == before
    cluster.crash()
    cluster.start()
    assert cluster.ok(first) == answer
    other = f"{OP_KEY}=twice"
    field = "source_cgi" if isinstance(first, Mv) else "cgi"
    assert cluster.errno(msgspec.structs.replace(first, **{field: other})) == number


def test_a_late_resend_does_not_undo_what_came_after(bench) -> None:
    bench.ok(Mkdir(SID, "/d"))
    bench.ok(Chmod(SID, "/d", ONCE, mode=0o700))
    bench.ok(Chmod(SID, "/d", mode=0o711))
    bench.ok(Chmod(SID, "/d", ONCE, mode=0o700))
    assert bench.stat("/d").mode == 0o711
    bench.ok(Rmdir(SID, "/d", f"{OP_KEY}=gone"))
    bench.ok(Mkdir(SID, "/d"))
    bench.ok(Rmdir(SID, "/d", f"{OP_KEY}=gone"))
    bench.stat("/d")


def test_an_operation_that_failed_is_tried_again(bench) -> None:
    assert bench.errno(Rmdir(SID, "/d", ONCE)) == errno.ENOENT
    bench.ok(Mkdir(SID, "/d"))
    bench.ok(Rmdir(SID, "/d", ONCE))
    assert bench.errno(Stat(SID, "/d")) == errno.ENOENT


def test_parents_are_made_once(bench) -> None:
    request = Mkdir(SID, "/a/b/c", ONCE, options=int(MkdirFlag.PARENTS))
    bench.ok(request)
    bench.ok(Rmdir(SID, "/a/b/c"))
    bench.ok(request)
    assert bench.errno(Stat(SID, "/a/b/c")) == errno.ENOENT


def test_several_attributes_each_once(bench) -> None:
    bench.ok(Mkdir(SID, "/d"))
    request = FAttr(SID, SET, "/d", ONCE, names=["a", "b"], values=[b"1", b"2"])
    answer = bench.ok(request)
    bench.ok(FAttr(SID, SET, "/d", names=["b"], values=[b"3"]))
    assert bench.ok(request) == answer
    found = bench.ok(FAttr(SID, int(FAttrCode.GET), "/d", names=["b"]))
    assert found.endswith(b"3")
