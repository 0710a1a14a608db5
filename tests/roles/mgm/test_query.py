"""kXR_query of every kind, set and prepare."""

import errno
from xml.etree import ElementTree

import msgspec
import pytest

from thesan.core.namespace.ops import UpdateFile
from thesan.core.wire.bodies import parse_checksum, parse_config
from thesan.core.wire.numbers import PrepareFlag, QueryCode, Status
from thesan.core.wire.requests import Mkdir, Prepare, Query, Set

SID = b"\0\1"


def ask(bench, code: QueryCode, text: str) -> bytes:
    return bench.ok(Query(SID, int(code), args=text.encode()))


def test_config_keys_one_line_each_and_unknown_ones_echoed(bench) -> None:
    lines = parse_config(ask(bench, QueryCode.CONFIG, "readv_iov_max readv_ior_max nonsense"))
    assert lines == ["1024", "2097136", "nonsense"]
    assert parse_config(ask(bench, QueryCode.CONFIG, "role\nchksum")) == [
        "manager",
        "0:adler32,1:crc32c",
    ]
    assert parse_config(ask(bench, QueryCode.CONFIG, "")) == []


def test_checksums_come_from_the_namespace(cluster) -> None:
    cluster.store_file("/f")
    for cgi, expected in (
        ("", ("adler32", "00000011")),
        ("?cks.type=adler32", ("adler32", "00000011")),
        ("?x=1&cks.type=crc32c", ("crc32c", "00000022")),
    ):
        assert parse_checksum(ask(cluster, QueryCode.CHECKSUM, f"//f{cgi}")) == expected
    cluster.ok(Mkdir(SID, "/d"))
    for path, number in (("/none", errno.ENOENT), ("/d", errno.EISDIR), ("", errno.EBADF)):
        request = Query(SID, int(QueryCode.CHECKSUM), args=path.encode())
        assert cluster.errno(request) == number
    request = Query(SID, int(QueryCode.CHECKSUM), args=b"/f?cks.type=md5")
    assert cluster.errno(request) == errno.ENOTSUP


def test_the_checksum_of_nothing_is_known(bench) -> None:
    from thesan.core.control.messages import FileOp

    bench.control(FileOp("touch", "/empty"), bench.peer().identity)
    assert parse_checksum(ask(bench, QueryCode.CHECKSUM, "/empty")) == ("adler32", "00000001")
    crc = ask(bench, QueryCode.CHECKSUM, "/empty?cks.type=crc32c")
    assert parse_checksum(crc) == ("crc32c", "00000000")


def test_an_unknown_checksum_is_asked_of_an_fst(cluster) -> None:
    fid = cluster.store_file("/f")

    async def forget() -> None:
        cluster.mgm.master.submit(UpdateFile(fid, 10, None, None, 1, 1))

    cluster.run(forget())
    status, body = cluster.ask(Query(SID, int(QueryCode.CHECKSUM), args=b"/f"))
    assert status == Status.REDIRECT
    assert b"cap=" in body


def test_space_figures(cluster) -> None:
    gib = 1 << 30
    text = ask(cluster, QueryCode.SPACE, "/").decode().rstrip("\0")
    values = dict(part.split("=") for part in text.split("&"))
    assert values["oss.cgroup"] == "default"
    assert int(values["oss.space"]) == 200 * gib
    assert int(values["oss.free"]) == 100 * gib
    assert int(values["oss.maxf"]) == 50 * gib
    other = ask(cluster, QueryCode.SPACE, "/?oss.cgroup=tape").decode()
    assert "oss.space=0&" in other


def test_xattr_text(cluster) -> None:
    cluster.store_file("/f", 33)
    text = ask(cluster, QueryCode.XATTR, "/f").decode()
    assert "oss.type=f&" in text
    assert "oss.used=33&" in text
    assert "oss.type=d&" in ask(cluster, QueryCode.XATTR, "/").decode()


def test_stats_are_well_formed_and_count(bench) -> None:
    bench.ok(Mkdir(SID, "/d"))
    root = ElementTree.fromstring(ask(bench, QueryCode.STATS, "a").decode().rstrip("\0"))
    assert root.tag == "statistics"
    assert root.findtext("stats[@id='xrootd']/ops/Mkdir") == "1"


@pytest.mark.parametrize("code", [QueryCode.VISA, QueryCode.OPAQUE_HANDLE, QueryCode.OPAQUE_FILE])
def test_other_kinds_are_unsupported(bench, code: QueryCode) -> None:
    assert bench.errno(Query(SID, int(code), args=b"x")) == errno.ENOTSUP


def test_opaque_queries_that_are_not_ours_are_unsupported(bench) -> None:
    assert bench.errno(Query(SID, int(QueryCode.OPAQUE), args=b"/?mgm.pcmd=x")) == errno.ENOTSUP


def test_text_that_is_not_utf8_is_refused(bench) -> None:
    assert bench.errno(Query(SID, int(QueryCode.CONFIG), args=b"\xff")) == errno.EINVAL


def test_set_is_taken(bench) -> None:
    assert bench.ok(Set(SID, 0, b"appid test")) == b""


def test_prepare_answers_an_id_and_its_status(cluster) -> None:
    cluster.store_file("/f")
    stage = int(PrepareFlag.STAGE)
    request_id = cluster.ok(Prepare(SID, stage, paths=["/f"])).decode()
    assert request_id
    assert cluster.errno(Prepare(SID, stage, paths=["/f", "/none"])) == errno.ENOENT
    cluster.ok(Prepare(SID, stage | int(PrepareFlag.NO_ERRORS), paths=["/none"]))
    cluster.ok(Prepare(SID, int(PrepareFlag.CANCEL), paths=[request_id]))
    body = ask(cluster, QueryCode.PREPARE, f"{request_id}\n/f\n/none")
    status = msgspec.json.decode(body.rstrip(b"\0"))
    assert [one["online"] for one in status["responses"]] == [True, False]
