"""Debian's real xrdfs against the MGM."""

import random
from pathlib import Path

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop")]


@pytest.fixture
def fs(instance, xrdfs):
    """Call xrdfs with words; give its output."""

    def call(*words: str, status: int | None = 0) -> str:
        return instance.call(xrdfs, instance.url, *words, status=status).stdout.decode()

    return call


@pytest.fixture
def stored(instance, area, tmp_path: Path):
    """Store bytes under a name in the test's area; give the path."""

    def store(name: str, data: bytes) -> str:
        local = tmp_path / "local"
        local.write_bytes(data)
        instance.thesan("cp", "-f", str(local), f"{instance.url}{area}/{name}")
        return f"{area}/{name}"

    return store


def test_ls(fs, stored, area) -> None:
    for name in ("b", "a", "c d"):
        stored(name, b"x" * 10)
    fs("mkdir", f"{area}/sub")
    stored("sub/deep", b"y" * 20)
    assert fs("ls", area).splitlines() == [f"{area}/{n}" for n in ("a", "b", "c d", "sub")]
    long = fs("ls", "-l", "-R", area)
    assert f"{area}/sub/deep" in long
    assert " 20 " in long
    assert long.count("\n") == 5


def test_stat(fs, stored, area) -> None:
    path = stored("file", b"x" * 1234)
    text = fs("stat", path)
    assert "Size:   1234" in text
    assert "IsReadable" in text
    assert "IsDir" in fs("stat", area)
    assert "IsDir" in fs("stat", "/")
    fs("stat", f"{area}/absent", status=54)


def test_mkdir_mv_rm_rmdir(fs, stored, area) -> None:
    fs("mkdir", "-p", f"{area}/x/y/z")
    fs("mkdir", f"{area}/x", status=54)
    path = stored("file", b"12345")
    fs("mv", path, f"{area}/x/moved")
    assert fs("ls", f"{area}/x").splitlines() == [f"{area}/x/moved", f"{area}/x/y"]
    fs("rmdir", f"{area}/x", status=54)
    fs("rm", f"{area}/x/moved")
    fs("rm", f"{area}/x/moved", status=54)
    for name in ("x/y/z", "x/y", "x"):
        fs("rmdir", f"{area}/{name}")
    assert fs("ls", area) == ""


def test_mv_onto_a_file_replaces_it(fs, stored, area) -> None:
    first, second = stored("first", b"one"), stored("second", b"second")
    fs("mv", first, second)
    assert fs("cat", second) == "one"
    assert fs("ls", area).splitlines() == [second]


def test_chmod(fs, stored, instance) -> None:
    path = stored("file", b"x")
    fs("chmod", path, "rwxr-x---")
    assert instance.thesan("ls", "-l", path).startswith("-rwxr-x---")


def test_truncate(fs, stored, area) -> None:
    path = stored("file", bytes(range(256)) * 40)
    fs("truncate", path, "100")
    assert "Size:   100" in fs("stat", path)
    fs("truncate", path, "5000")
    assert "Size:   5000" in fs("stat", path)


def test_locate(fs, stored) -> None:
    path = stored("file", b"x")
    text = fs("locate", path)
    assert "Server" in text
    assert "127.0.0.1" in text


def test_query(fs, stored) -> None:
    path = stored("file", b"thesan")
    assert fs("query", "checksum", path).strip() == "adler32 08e30284"
    assert fs("query", "config", "chksum").strip() != ""
    assert "oss.free" in fs("query", "space", "/")
    assert fs("query", "stats", "a").lstrip().startswith("<statistics")
    assert "oss.used" in fs("query", "xattr", path)


def test_spaceinfo_and_statvfs(fs, area) -> None:
    text = fs("spaceinfo", "/")
    assert "Total:" in text
    assert "Free:" in text
    assert "Nodes with RW space:                3" in fs("statvfs", area)


def test_xattr(fs, stored) -> None:
    path = stored("file", b"x")
    fs("xattr", path, "set", "color=blue")
    fs("xattr", path, "set", "shape=round and big")
    assert "blue" in fs("xattr", path, "get", "color")
    listed = fs("xattr", path, "list")
    assert "color" in listed
    assert "shape" in listed
    fs("xattr", path, "del", "color")
    assert "color" not in fs("xattr", path, "list")


def test_cat_and_tail(fs, stored) -> None:
    data = "".join(f"line {number}\n" for number in range(500))
    path = stored("file", data.encode())
    assert fs("cat", path) == data
    assert fs("tail", "-c", "100", path) == data[-100:]


def test_many_entries(fs, stored, instance, area) -> None:
    names = [f"n{random.Random(7).randrange(10**9):09d}-{number}" for number in range(1300)]
    for start in range(0, len(names), 100):
        instance.thesan("touch", *(f"{area}/{name}" for name in names[start : start + 100]))
    assert fs("ls", area).splitlines() == sorted(f"{area}/{name}" for name in names)
    assert len(fs("ls", "-l", area).splitlines()) == 1300


@pytest.mark.parametrize(
    "path", ["/area/../etc/passwd", "/..", "/area//..//..", "relative", "/area/a/../../.."]
)
def test_path_tricks_do_not_escape(fs, path: str) -> None:
    for words in (("stat", path), ("ls", path), ("mkdir", path + "/x"), ("rm", path)):
        text = fs(*words, status=None)
        assert "root:" not in text
        assert "passwd" not in text.replace(path, "")


def test_truncate_of_an_empty_file_makes_its_replicas(fs, instance, area) -> None:
    instance.thesan("touch", f"{area}/file")
    fs("truncate", f"{area}/file", "5000")
    assert "Size:   5000" in fs("stat", f"{area}/file")
    assert fs("cat", f"{area}/file") == "\0" * 5000
