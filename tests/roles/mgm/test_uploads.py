"""The table of open uploads."""

import msgspec
import pytest

from thesan.core.model.ids import Fid, NodeId
from thesan.core.model.limits import UPLOAD_SECONDS_MAX, UPLOADS_SUPERSEDED_MAX
from thesan.core.model.units import NS_PER_S
from thesan.roles.mgm import uploads as module
from thesan.roles.mgm.uploads import Upload, Uploads

NONE: frozenset[str] = frozenset()


def upload(path: str = "/f", fid: int = 7) -> Upload[str]:
    return Upload(
        path=path,
        fid=Fid(fid),
        uid=1000,
        host="127.0.0.9",
        node=NodeId("127.0.0.2:1095"),
        ticket="ticket",
        opened_ns=NS_PER_S,
    )


def test_the_same_caller_goes_on_where_it_was() -> None:
    table: Uploads[str] = Uploads()
    table.add(upload())
    assert table.resume("/f", 1000, "127.0.0.9", NONE, 2 * NS_PER_S) == upload()
    assert table.of("/f", 1000, "127.0.0.9") == upload()


@pytest.mark.parametrize(
    ("path", "uid", "host"),
    [("/g", 1000, "127.0.0.9"), ("/f", 1001, "127.0.0.9"), ("/f", 1000, "127.0.0.8")],
)
def test_nobody_else_does(path: str, uid: int, host: str) -> None:
    table: Uploads[str] = Uploads()
    table.add(upload())
    assert table.resume(path, uid, host, NONE, 2 * NS_PER_S) is None
    assert table.of(path, uid, host) is None
    assert len(table) == 1


def test_an_fst_that_was_tried_has_lost_the_upload() -> None:
    table: Uploads[str] = Uploads()
    table.add(upload())
    assert table.resume("/f", 1000, "127.0.0.9", frozenset({"127.0.0.2"}), NS_PER_S) is None
    assert len(table) == 0


def test_with_a_try_of_an_upload_a_later_one_ends() -> None:
    """The first request was late, its answer got lost: nobody will go on with that one."""
    table: Uploads[str] = Uploads()
    for fid, op_id in ((5, b"other"), (6, b"mine"), (7, b"mine")):
        table.add(msgspec.structs.replace(upload(fid=fid), op_id=op_id))
    assert table.end(Fid(6), "/f", b"mine") == (5,)
    assert len(table) == 0
    table.add(msgspec.structs.replace(upload(fid=8), op_id=b"mine"))
    assert len(table) == 0, "nor with one whose request comes after the end"
    table.add(msgspec.structs.replace(upload(fid=8), op_id=b"another"))
    assert table.end(Fid(6), "/f", b"") == ()
    assert len(table) == 1, "who names no upload has no tries"


def test_few_ends_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOADS_KEPT_MAX", 3)
    table: Uploads[str] = Uploads()
    for number in range(5):
        table.end(Fid(number), "/f", b"%d" % number)
    for number, is_kept in ((1, False), (2, True), (4, True)):
        table.add(msgspec.structs.replace(upload(f"/{number}"), op_id=b"%d" % number))
        assert (table.of(f"/{number}", 1000, "127.0.0.9") is None) is is_kept


def test_an_old_upload_is_forgotten() -> None:
    table: Uploads[str] = Uploads()
    table.add(upload())
    late = int((UPLOAD_SECONDS_MAX + 2) * NS_PER_S)
    assert table.resume("/f", 1000, "127.0.0.9", NONE, late) is None
    assert len(table) == 0


def test_a_later_upload_of_the_path_supersedes_the_earlier_ones() -> None:
    table: Uploads[str] = Uploads()
    for fid in (7, 8, 9):
        table.add(upload(fid=fid))
    found = table.resume("/f", 1000, "127.0.0.9", NONE, NS_PER_S)
    assert found == msgspec.structs.replace(upload(fid=9), superseded=(8, 7))
    assert table.end(Fid(7), "/f") == (), "it was committed in time"
    assert table.end(Fid(9), "/f") == (8,)
    assert len(table) == 0
    assert table.end(Fid(9), "/f") == ()


def test_what_one_supersedes_is_bounded() -> None:
    table: Uploads[str] = Uploads()
    for fid in range(100, 200):
        table.add(upload(fid=fid))
    superseded = table.end(Fid(199), "/f")
    assert superseded == tuple(range(198, 198 - UPLOADS_SUPERSEDED_MAX, -1))


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOADS_KEPT_MAX", 3)
    table: Uploads[str] = Uploads()
    for number in range(5):
        table.add(upload(f"/f{number}", number + 10))
    assert len(table) == 3
    assert table.resume("/f1", 1000, "127.0.0.9", NONE, NS_PER_S) is None
    assert table.resume("/f4", 1000, "127.0.0.9", NONE, NS_PER_S) is not None
