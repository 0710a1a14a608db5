"""`file info` and `file check`."""

import errno

import pytest

from thesan.core.namespace import ops


@pytest.fixture
def full(mgm):
    mgm.grow(2)
    mgm.folder = mgm.make_directory("d")
    mgm.fid = mgm.make_file("ü f", (1, 2), size=10, parent=mgm.folder)
    mgm.apply(ops.SetXattr(fid=mgm.fid, name="user.k", value=b"v", time_ns=mgm.now_ns))
    return mgm


PATH = "/d/ü f"


def test_a_file_in_eos_keys(full, alice):
    (record,) = full.do("file info", identity=alice, path=PATH).records
    assert list(record)[:4] == ["keylength.file", "file", "size", "status"]
    assert record["keylength.file"] == len(PATH)
    assert record["file"] == PATH
    assert record["status"] == "healthy"
    assert record["mtime"] == "1800000000.000000000"
    assert record["mode"] == "0640"
    assert record["fxid"] == f"{full.fid:08x}"
    assert (record["xstype"], record["xs"]) == ("adler", "1234abcd")
    assert (record["adler32"], record["crc32c"]) == ("1234abcd", "0000cafe")
    assert (record["layout"], record["nstripes"], record["lid"]) == ("replica", 2, "00000112")
    assert (record["nrep"], record["fsid"]) == (2, [1, 2])
    assert record["xattrs"] == {"user.k": "v"}
    assert record["replicas"][0] == {
        "no": 0,
        "fsid": 1,
        "host": "fst1",
        "port": 1095,
        "schedgroup": "default.0",
        "path": "/d/default/0",
        "file": f"/d/default/0/00000000/{full.fid:08x}",
        "boot": "booted",
        "configstatus": "rw",
        "drain": "nodrain",
        "active": "online",
        "geotag": "",
    }


def test_by_id(full, alice, refused):
    for name in (f"fid:{full.fid}", f"fxid:{full.fid:x}", f"inode:{full.fid}"):
        assert full.do("file info", identity=alice, path=name).records[0]["file"] == PATH
    for name in ("fid:x", "fxid:xyz", "fid:", "fid:9" + "9" * 5000):
        refused(errno.EINVAL, "not a file id", full.do, "file info", path=name)
    for name in ("fid:0", "fid:-5", "fid:999999", "fid:99999999999999999999"):
        refused(errno.ENOENT, "no file with id", full.do, "file info", path=name)


def test_an_id_opens_no_closed_directory(full, alice, refused):
    secret = full.make_directory("secret", mode=0o700)
    fid = full.make_file("f", (1,), parent=secret)
    refused(errno.EACCES, "", full.do, "file info", identity=alice, path=f"fid:{fid}")
    refused(errno.EACCES, "", full.do, "file info", identity=alice, path="/secret/f")
    assert full.do("file info", path=f"fid:{fid}").records[0]["file"] == "/secret/f"


def test_the_state_of_the_locations(full):
    def status() -> str:
        return full.do("file info", path=PATH).records[0]["status"]

    full.now_s += 10
    assert status() == "locations::offline"
    full.beat("fst1:1095", full.report(1))
    assert status() == "locations::degraded"
    full.beat_all()
    full.apply(ops.DropReplica(fid=full.fid, fsid=2))
    assert status() == "locations::incomplete"
    full.apply(ops.DropReplica(fid=full.fid, fsid=1, force=True))
    assert status() == "locations::0"


def test_a_replica_on_a_filesystem_that_is_gone(full):
    full.apply(ops.ConfigSet("fs", "2", None))
    replicas = full.do("file info", path=PATH).records[0]["replicas"]
    assert replicas[1] == {"no": 1, "fsid": 2, "active": "unknown", "path": ""}


def test_directories_and_links(full):
    full.apply(
        ops.Symlink(parent=1, name="l", fid=900, target="/d", uid=0, gid=0, time_ns=full.now_ns)
    )
    (record,) = full.do("file info", path="/d/").records
    assert (record["file"], record["entries"], record["mode"]) == ("/d/", 1, "40755")
    assert full.do("file info", path="/").records[0]["file"] == "/"
    (record,) = full.do("file info", path="/l").records
    assert (record["target"], record["layout"], record["status"]) == ("/d", "", "healthy")


def test_check_says_what_to_expect_and_where_to_ask(full, alice, refused):
    full.now_s += 10
    full.beat("fst1:1095", full.report(1))
    reply = full.do("file check", identity=alice, path=PATH)
    assert reply.text == f"{PATH}: 2 of 2 replicas"
    assert [(one["fsid"], one["url"]) for one in reply.records] == [
        (1, f"root://fs1/{PATH}?cap=x"),
        (2, ""),
    ]
    assert reply.records[0]["adler32"] == "1234abcd"
    full.apply(ops.DropReplica(fid=full.fid, fsid=2))
    assert full.do("file check", path=PATH).text == f"{PATH}: 1 of 2 replicas, 1 missing"
    full.apply(ops.SetAttributes(fid=full.fid, time_ns=1, uid=0, mode=0o600))
    refused(errno.EACCES, "", full.do, "file check", identity=alice, path=PATH)


def test_an_empty_file_needs_no_replica(full):
    full.apply(
        ops.CreateFile(
            parent=1, name="e", fid=901, mode=0o644, uid=0, gid=0, time_ns=1, layout=0x112
        )
    )
    reply = full.do("file check", path="/e")
    assert reply.text == "/e: 0 of 0 replicas"
    assert reply.records[0]["fsid"] == 0
