"""Debian's real xrdcp against MGM and FSTs, with redirects."""

import hashlib
import os
import random
import zlib
from pathlib import Path

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop")]

SIZES = [0, 1, 4095, 4096, 4097, 1_000_003, 9 * 1024 * 1024 + 5]
NAMES = [
    "plain",
    "with blanks in it",
    "äöü-漢字-🙂",
    "amp&and=equals",
    "plus+percent%41",
    "n" * 255,
]


def payload(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
def test_round_trip(instance, xrdcp, area, tmp_path: Path, size: int) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(payload(size))
    instance.call(xrdcp, "-s", str(source), f"{instance.url}/{area}/file")
    instance.call(xrdcp, "-s", f"{instance.url}/{area}/file", str(back))
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_names(instance, xrdcp, area, tmp_path: Path, name: str) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(payload(5000))
    instance.call(xrdcp, "-s", str(source), f"{instance.url}/{area}/{name}")
    instance.call(xrdcp, "-s", f"{instance.url}/{area}/{name}", str(back))
    assert back.read_bytes() == source.read_bytes()
    assert name in instance.thesan("ls", area)


def test_question_mark_in_a_name_is_the_cgi_to_xrootd(instance, xrdcp, area, tmp_path) -> None:
    """XRootD clients cut the path at `?`; thesan's own command stores such a name."""
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(payload(100))
    instance.call(xrdcp, "-s", str(source), f"{instance.url}/{area}/what?is=this")
    assert instance.thesan("ls", area).split() == ["what"]
    instance.call(xrdcp, "-s", f"{instance.url}/{area}/what?other=key", str(back))
    assert back.read_bytes() == source.read_bytes()
    name = "what? is 100%&this?"
    other = tmp_path / "other"
    other.write_bytes(payload(200, 2))
    instance.thesan("cp", str(other), f"{area}/{name}")
    assert name in instance.thesan("ls", area).splitlines()
    instance.thesan("cp", f"{area}/{name}", str(tmp_path / "back2"))
    assert (tmp_path / "back2").read_bytes() == other.read_bytes()
    instance.thesan("rm", f"{area}/{name}")
    assert instance.thesan("ls", area).split() == ["what"]


def test_existing_file_needs_force(instance, xrdcp, area, tmp_path: Path) -> None:
    first, second, back = tmp_path / "a", tmp_path / "b", tmp_path / "back"
    first.write_bytes(payload(3000, 1))
    second.write_bytes(payload(5000, 2))
    target = f"{instance.url}/{area}/file"
    instance.call(xrdcp, "-s", str(first), target)
    assert instance.call(xrdcp, "-s", str(second), target, status=None).returncode != 0
    instance.call(xrdcp, "-s", target, str(back))
    assert back.read_bytes() == first.read_bytes()
    instance.call(xrdcp, "-s", "-f", str(second), target)
    instance.call(xrdcp, "-s", "-f", target, str(back))
    assert back.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("option", [["-S", "4", "-p"], ["--posc", "-p"], ["-p"]])
def test_options(instance, xrdcp, area, tmp_path: Path, option: list[str]) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(payload(20_000_001))
    instance.call(xrdcp, "-s", *option, str(source), f"{instance.url}/{area}/deep/er/file")
    streams = option[:2] if option[0] == "-S" else []
    instance.call(xrdcp, "-s", *streams, f"{instance.url}/{area}/deep/er/file", str(back))
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("pages", ["0", "1"])
def test_with_and_without_page_checksums(instance, xrdcp, area, tmp_path, pages: str) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(payload(10_000_001))
    instance.environment["XRD_CPUSEPGWRTRD"] = pages
    try:
        instance.call(xrdcp, "-s", str(source), f"{instance.url}/{area}/file")
        instance.call(xrdcp, "-s", f"{instance.url}/{area}/file", str(back))
    finally:
        del instance.environment["XRD_CPUSEPGWRTRD"]
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("kind", ["adler32", "crc32c"])
def test_checksum_end_to_end(instance, xrdcp, area, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(payload(1_234_567))
    target = f"{instance.url}/{area}/file"
    instance.call(xrdcp, "-s", "--cksum", f"{kind}:source", str(source), target)
    said = instance.call(xrdcp, "-f", "--cksum", f"{kind}:print", target, str(tmp_path / "back"))
    text = (said.stdout + said.stderr).decode()
    assert kind in text
    if kind == "adler32":
        assert f"{zlib.adler32(source.read_bytes()):08x}" in text
    wrong = instance.call(
        *(xrdcp, "-s", "-f", "--cksum", f"{kind}:12345678", str(source), target + "2"), status=None
    )
    assert wrong.returncode != 0


def test_tree(instance, xrdcp, area, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(60):
        path = tree / f"d{number % 7}" / f"e{number % 3}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload(number * 37, number))
    instance.call(xrdcp, "-s", "-r", str(tree), f"{instance.url}/{area}/")
    out = tmp_path / "out"
    out.mkdir()
    instance.call(xrdcp, "-s", "-r", f"{instance.url}/{area}/tree", str(out))
    sent = {p.relative_to(tree): p.read_bytes() for p in tree.rglob("*") if p.is_file()}
    got = {p.relative_to(out / "tree"): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert got == sent


def test_standard_streams(instance, xrdcp, area) -> None:
    data = payload(3_000_001)
    instance.call(xrdcp, "-s", "-", f"{instance.url}/{area}/file", data=data)
    assert instance.call(xrdcp, "-s", f"{instance.url}/{area}/file", "-").stdout == data


@pytest.mark.parametrize("mode", ["only", "first"])
def test_third_party_copy(instance, xrdcp, area, tmp_path: Path, mode: str) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(payload(7_000_001))
    first, second = f"{instance.url}/{area}/first", f"{instance.url}/{area}/second"
    instance.call(xrdcp, "-s", str(source), first)
    instance.call(xrdcp, "-s", "--tpc", mode, first, second)
    instance.call(xrdcp, "-s", second, str(back))
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["1", "4"])
def test_one_gibibyte(instance, xrdcp, area, tmp_path: Path, streams: str) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    block = payload(1 << 20)
    with source.open("wb") as out:
        for number in range(1024):
            out.write(number.to_bytes(8, "big") + block[8:])
    instance.call(xrdcp, "-s", "-S", streams, str(source), f"{instance.url}/{area}/file")
    instance.call(xrdcp, "-s", "-S", streams, f"{instance.url}/{area}/file", str(back))
    with source.open("rb") as left, back.open("rb") as right:
        assert (
            hashlib.file_digest(left, "sha256").digest()
            == hashlib.file_digest(right, "sha256").digest()
        )
    instance.thesan("rm", f"{area}/file")
    os.truncate(source, 0)
    os.truncate(back, 0)


def test_absent_file(instance, xrdcp, area, tmp_path: Path) -> None:
    done = instance.call(
        *(xrdcp, "-s", f"{instance.url}/{area}/absent", str(tmp_path / "x")), status=None
    )
    assert done.returncode != 0
    assert b"3011" in done.stderr or b"no such file" in done.stderr.lower()
