"""The official Python binding: File and FileSystem, vector reads, attributes; uproot's pattern."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("XRootD", reason="pip install xrootd")

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop")]

# The binding keeps threads and connections until the interpreter ends, so each test is its own
# process: what it leaks can't disturb another test.
PRELUDE = """
import random, sys, zlib
from XRootD import client
from XRootD.client.flags import DirListFlags, MkDirFlags, OpenFlags, QueryCode, StatInfoFlags
url, area = sys.argv[1], sys.argv[2]
fs = client.FileSystem(url)
def ok(answer):
    status, value = answer
    assert status.ok, status
    return value
def put(name, data):
    with client.File() as file:
        ok(file.open(f"{url}/{area}/{name}", OpenFlags.NEW))
        for start in range(0, len(data), 1 << 20):
            ok(file.write(data[start:start + (1 << 20)], start))
        ok(file.close())
"""


@pytest.fixture
def script(instance, area):
    """Run a script with the binding loaded."""

    def run(text: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PRELUDE + text, instance.url, area],
            capture_output=True,
            text=True,
            timeout=120,
            env=instance.environment,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_write_read_back(script) -> None:
    script("""
data = random.Random(1).randbytes(5_000_001)
put("file", data)
with client.File() as file:
    ok(file.open(f"{url}/{area}/file"))
    assert ok(file.stat()).size == len(data)
    assert ok(file.read()) == data
    assert ok(file.read(4_999_990, 100)) == data[4_999_990:]
    assert ok(file.read(6_000_000, 100)) == b""
""")


def test_vector_read(script) -> None:
    script("""
data = random.Random(2).randbytes(3_000_000)
put("file", data)
rng = random.Random(3)
with client.File() as file:
    ok(file.open(f"{url}/{area}/file"))
    for _ in range(20):
        chunks = [(rng.randrange(2_900_000), rng.randrange(1, 4000)) for _ in range(1000)]
        got = ok(file.vector_read(chunks)).chunks
        assert [bytes(c.buffer) for c in got] == [data[o:o + n] for o, n in chunks]
    status, _ = file.vector_read([(2_999_999, 100)])
    assert not status.ok
""")


def test_update_in_place(script) -> None:
    script("""
data = bytearray(random.Random(4).randbytes(300_000))
put("file", bytes(data))
with client.File() as file:
    ok(file.open(f"{url}/{area}/file", OpenFlags.UPDATE))
    ok(file.write(b"X" * 1000, 5000))
    ok(file.sync())
    ok(file.truncate(250_000))
    ok(file.close())
data[5000:6000] = b"X" * 1000
del data[250_000:]
with client.File() as file:
    ok(file.open(f"{url}/{area}/file"))
    assert ok(file.read()) == bytes(data)
answer = ok(fs.query(QueryCode.CHECKSUM, f"{area}/file")).strip(b"\\0\\n ")
assert answer == b"adler32 %08x" % zlib.adler32(bytes(data)), answer
""")


def test_filesystem_calls(script) -> None:
    script("""
ok(fs.mkdir(f"{area}/a/b", MkDirFlags.MAKEPATH))
put("a/file", b"12345")
listing = ok(fs.dirlist(f"{area}/a", DirListFlags.STAT))
assert sorted((e.name, e.statinfo.size) for e in listing if e.name == "file") == [("file", 5)]
assert {e.name for e in listing} == {"b", "file"}
info = ok(fs.stat(f"{area}/a"))
assert info.flags & StatInfoFlags.IS_DIR
ok(fs.mv(f"{area}/a/file", f"{area}/a/moved"))
ok(fs.truncate(f"{area}/a/moved", 2))
assert ok(fs.stat(f"{area}/a/moved")).size == 2
ok(fs.chmod(f"{area}/a/moved", 0o600))
ok(fs.rm(f"{area}/a/moved"))
ok(fs.rmdir(f"{area}/a/b"))
ok(fs.ping())
assert ok(fs.statvfs(area)).free_rw >= 0
ok(fs.locate(f"{area}/a", OpenFlags.REFRESH))
ok(fs.deeplocate(f"{area}/a", OpenFlags.REFRESH))
ok(fs.prepare([f"{area}/a"], 8))
status, _ = fs.stat(f"{area}/a/moved")
assert not status.ok and status.errno == 3011, status
""")


def test_file_attributes(script) -> None:
    script("""
put("file", b"x")
path = f"{area}/file"
for status, in [(row[-1],) for row in ok(fs.set_xattr(path, [("a", "1"), ("b", "two words")]))]:
    assert status.ok if hasattr(status, "ok") else True
got = {row[0]: row[1] for row in ok(fs.get_xattr(path, ["a", "b"]))}
assert got == {"a": "1", "b": "two words"}, got
assert {row[0] for row in ok(fs.list_xattr(path))} == {"a", "b"}
ok(fs.del_xattr(path, ["a"]))
assert {row[0] for row in ok(fs.list_xattr(path))} == {"b"}
""")


def test_uproot_pattern_of_many_small_reads(script) -> None:
    script("""
data = random.Random(5).randbytes(2_000_000)
put("tree.root", data)
rng = random.Random(6)
with client.File() as file:
    ok(file.open(f"{url}/{area}/tree.root"))
    limits = ok(fs.query(QueryCode.CONFIG, "readv_iov_max readv_ior_max")).split(b"\\n")
    assert [int(value) for value in limits if value.strip(b"\\0")][0] >= 1
    for _ in range(300):
        where, size = rng.randrange(1_990_000), rng.randrange(1, 2000)
        assert ok(file.read(where, size)) == data[where:where + size]
    for _ in range(50):
        chunks = [(rng.randrange(1_990_000), rng.randrange(8, 300)) for _ in range(64)]
        got = ok(file.vector_read(chunks)).chunks
        assert [bytes(c.buffer) for c in got] == [data[o:o + n] for o, n in chunks]
""")


def test_copy_process(script, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(random.Random(8).randbytes(3_333_333))
    script(f"""
process = client.CopyProcess()
process.add_job({str(local)!r}, f"{{url}}/{{area}}/copied", force=True)
process.add_job({str(local)!r}, f"{{url}}/{{area}}/copied2", force=True)
assert process.prepare().ok
status, results = process.run()
assert status.ok, results
with client.File() as file:
    ok(file.open(f"{{url}}/{{area}}/copied2"))
    assert ok(file.read()) == open({str(local)!r}, "rb").read()
""")


def test_fsspec_xrootd(instance, area) -> None:
    pytest.importorskip("fsspec_xrootd", reason="pip install fsspec-xrootd")
    text = """
import sys, fsspec
url, area = sys.argv[1], sys.argv[2]
fs, _ = fsspec.core.url_to_fs(url + "/" + area)
fs.mkdir(area + "/dir")
with fsspec.open(f"{url}/{area}/dir/file", "wb") as out:
    out.write(b"0123456789" * 1000)
assert sorted(e.rsplit("/", 1)[-1] for e in fs.ls(area + "/dir", detail=False)) == ["file"]
with fsspec.open(f"{url}/{area}/dir/file", "rb") as file:
    file.seek(9_995)
    assert file.read() == b"56789"
assert fs.cat_file(area + "/dir/file", 5, 15) == b"5678901234"
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text, instance.url, area],
        capture_output=True,
        text=True,
        timeout=120,
        env=instance.environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
