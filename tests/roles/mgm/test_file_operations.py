"""FileOp: what XRootD has no request for."""

import errno

import pytest

from thesan.core.control.messages import FileOp
from thesan.core.model.errors import OperationError
from thesan.core.model.identity import ROOT
from thesan.core.wire.requests import Chmod, Mkdir

SID = b"\0\1"


def do(bench, verb: str, path: str, who=ROOT, **args):
    return bench.control(FileOp(verb, path, args), who).result


def fails(bench, verb: str, path: str, who=ROOT, **args) -> int:
    with pytest.raises(OperationError) as caught:
        do(bench, verb, path, who, **args)
    return caught.value.errno


def test_touch(bench) -> None:
    fid = do(bench, "touch", "//f", mode=0o600)["fid"]
    record = do(bench, "lstat", "/f")
    assert (record["fid"], record["size"], record["mode"] & 0o777) == (fid, 0, 0o600)
    bench.sleep(3)
    assert do(bench, "touch", "/f")["fid"] == fid
    later = do(bench, "lstat", "/f")
    assert later["mtime_ns"] > record["mtime_ns"]
    assert later["birth_ns"] == record["birth_ns"]


def test_links(cluster) -> None:
    fid = cluster.store_file("/f", 7)
    do(cluster, "symlink", "/s", target="f\nwith a newline?")
    assert do(cluster, "readlink", "/s") == {"target": "f\nwith a newline?"}
    assert do(cluster, "lstat", "/s")["target"] == "f\nwith a newline?"
    assert fails(cluster, "readlink", "/f") == errno.EINVAL
    assert do(cluster, "link", "/h", source="/f") == {"fid": fid}
    assert do(cluster, "lstat", "/h")["nlink"] == 2
    assert fails(cluster, "link", "/h2") == errno.EINVAL
    assert fails(cluster, "symlink", "/h2", target="a\0b") == errno.EINVAL
    assert fails(cluster, "symlink", "/h", target="x") == errno.EEXIST


def test_info(cluster) -> None:
    fid = cluster.store_file("/d/f", 7)
    do(cluster, "symlink", "/s", target="d/f")
    info = do(cluster, "info", "/s")
    assert (info["fid"], info["path"], info["size"]) == (fid, "/d/f", 7)
    assert info["checksums"] == {"adler32": "00000011", "crc32c": "00000022"}
    assert len(info["fsids"]) == 1
    assert do(cluster, "info", "/s", follow=False)["target"] == "d/f"
    assert "fsids" not in do(cluster, "info", "/d")


def test_chown_and_utime(bench, alice) -> None:
    do(bench, "touch", "/f")
    do(bench, "chown", "/f", uid=1001)
    record = do(bench, "lstat", "/f")
    assert (record["uid"], record["gid"], record["owner"]) == (1001, 0, "alice")
    do(bench, "utime", "/f", alice, mtime_ns=5)
    assert do(bench, "lstat", "/f")["mtime_ns"] == 5
    do(bench, "utime", "/f", alice)
    assert do(bench, "lstat", "/f")["mtime_ns"] > 5
    assert fails(bench, "chown", "/f", alice, uid=0) == errno.EACCES
    assert fails(bench, "chown", "/f", uid="x") == errno.EINVAL


def test_acl(bench, alice) -> None:
    bench.ok(Mkdir(SID, "/d"))
    assert do(bench, "acl", "/d") == {"acl": ""}
    assert do(bench, "acl", "/d", rule="u:1001=rwx") == {"acl": "u:1001:rwx"}
    assert do(bench, "acl", "/d", rule="g:5:+r") == {"acl": "u:1001:rwx,g:5:r"}
    bench.ok(Mkdir(SID, "/d/sub"), alice)
    assert do(bench, "acl", "/d", rule="u:1001=") == {"acl": "g:5:r"}
    assert do(bench, "acl", "/d", rule="g:5=") == {"acl": ""}
    assert do(bench, "acl", "/d") == {"acl": ""}
    assert do(bench, "acl", "/d", kind="user", rule="u:7=r") == {"acl": "u:7:r"}
    assert fails(bench, "acl", "/d", rule="u:7=Q") == errno.EINVAL
    assert fails(bench, "acl", "/d", alice, rule="u:1001=rwx") == errno.EACCES
    assert fails(bench, "acl", "/d", kind="other") == errno.EINVAL


def test_permissions_and_arguments(bench, alice) -> None:
    bench.ok(Mkdir(SID, "/d"))
    bench.ok(Chmod(SID, "/d", mode=0o700))
    for verb, args in (
        ("lstat", {}),
        ("readlink", {}),
        ("info", {}),
        ("touch", {}),
        ("utime", {}),
        ("chown", {"gid": 1001}),
        ("link", {"source": "/d/x"}),
        ("symlink", {"target": "x"}),
        ("acl", {}),
    ):
        assert fails(bench, verb, "/d/f", alice, **args) == errno.EACCES
        assert fails(bench, verb, "relative", **args) == errno.EINVAL
        assert fails(bench, verb, "/d", colour="red", **args) in (errno.EINVAL, errno.EEXIST)
