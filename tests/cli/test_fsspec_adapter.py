"""thesan as an fsspec file system."""

import errno
import subprocess
import sys

import fsspec
import pytest

from thesan.cli.fsspec_adapter import ThesanFileSystem, _address, _span, os_errors
from thesan.core.model.errors import OperationError


def test_paths():
    strip = ThesanFileSystem._strip_protocol
    assert strip("thesan://h:1//a/b/") == "/a/b"
    assert strip("a/b") == "/a/b"
    assert strip("/") == "/"
    assert strip("thesan://h:1") == "/"
    assert strip(["/a/", "thesan://h//b"]) == ["/a", "/b"]


def test_storage_options_of_urls():
    options = ThesanFileSystem._get_kwargs_from_urls
    assert options("thesan://h:5//a") == {"host": "h", "port": 5}
    assert options("thesan://bob@h//a") == {"host": "h", "port": 1094, "user": "bob"}
    assert options("thesan://h1,h2:5//a") == {"host": "h1:5,h2:5"}
    assert options("thesan:///a") == {}


def test_addresses():
    assert _address("", None) == ""
    assert _address("h", 5) == "root://h:5/"
    assert _address("h1:5,h2:5", None) == "root://h1:5,h2:5/"


@pytest.mark.parametrize(
    ("span", "wanted"),
    [
        ((None, None), (0, 10)),
        ((3, 5), (3, 2)),
        ((-3, None), (7, 3)),
        ((0, -1), (0, 9)),
        ((8, 99), (8, 2)),
        ((20, 30), (10, 0)),
        ((5, 3), (5, 0)),
    ],
)
def test_spans_are_slices(span, wanted):
    assert _span(10, *span) == wanted


def test_errors_have_their_class():
    for number, kind in ((errno.ENOENT, FileNotFoundError), (errno.EACCES, PermissionError)):
        with pytest.raises(kind, match="because") as caught, os_errors("/p"):
            raise OperationError(number, "because")
        assert caught.value.filename == "/p"


def test_without_fsspec_the_import_says_what_to_install():
    code = (
        "import sys; sys.modules['fsspec.asyn'] = None\n"
        "try: import thesan.cli.fsspec_adapter\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "thesan[fsspec]" in done.stdout


@pytest.mark.system
@pytest.mark.xdist_group("cli")
class TestOnAnInstance:
    @pytest.fixture
    def fs(self, thesan):
        fs = fsspec.filesystem("thesan", host=thesan.url.removeprefix("root://"))
        assert isinstance(fs, ThesanFileSystem)
        yield fs
        fs.close()

    def test_whole_files_and_ranges(self, fs, area):
        data = bytes(range(256)) * 100
        fs.pipe(f"{area}/d/f", data)
        assert fs.cat(f"{area}/d/f") == data
        assert fs.cat_file(f"{area}/d/f", 10, 20) == data[10:20]
        assert fs.cat_file(f"{area}/d/f", -5) == data[-5:]
        paths = [f"{area}/d/f"] * 4 + [f"{area}/nope"]
        found = fs.cat_ranges(paths, [0, 300, 5, -2, 0], [3, 310, 5, None, 1])
        assert found[:4] == [data[:3], data[300:310], b"", data[-2:]]
        assert isinstance(found[4], FileNotFoundError)
        with pytest.raises(FileNotFoundError):
            fs.cat_ranges(paths, 0, 1, on_error="raise")
        with pytest.raises(FileExistsError):
            fs.pipe_file(f"{area}/d/f", b"", mode="create")

    def test_ranges_of_a_file_are_one_vector_read(self, fs, area, monkeypatch):
        from thesan.roles.client.file import File

        fs.pipe(f"{area}/f", b"0123456789")
        calls = []
        real = File.readv

        async def readv(self, items):
            calls.append(items)
            return await real(self, items)

        monkeypatch.setattr(File, "readv", readv)
        assert fs.cat_ranges([f"{area}/f"] * 2, [0, 8], [2, 10]) == [b"01", b"89"]
        assert calls == [[(0, 2), (8, 2)]]

    def test_names(self, fs, area):
        fs.makedirs(f"{area}/a/b")
        with pytest.raises(FileExistsError):
            fs.makedirs(f"{area}/a/b")
        fs.makedirs(f"{area}/a/b", exist_ok=True)
        with pytest.raises(FileExistsError):
            fs.mkdir(f"{area}/a")
        with pytest.raises(FileNotFoundError):
            fs.mkdir(f"{area}/x/y", create_parents=False)
        with pytest.raises(OSError, match=r"entr") as caught:
            fs.rmdir(f"{area}/a")
        assert caught.value.errno == errno.ENOTEMPTY
        fs.touch(f"{area}/a/f")
        assert fs.info(f"{area}/a/f")["size"] == 0
        assert fs.ls(f"{area}/a", detail=False) == [f"{area}/a/b", f"{area}/a/f"]
        assert fs.isdir(f"{area}/a")
        assert fs.isfile(f"{area}/a/f")
        fs.mv(f"{area}/a/f", f"{area}/a/g")
        fs.mv(f"{area}/a/g", f"{area}/a/b")
        assert fs.find(area) == [f"{area}/a/b/g"]
        assert fs.modified(f"{area}/a/b/g").tzinfo is not None
        fs.rm(f"{area}/a", recursive=True)
        assert not fs.exists(f"{area}/a")
        with pytest.raises(FileNotFoundError):
            fs.rm(f"{area}/a")

    def test_buffered_files(self, fs, area):
        data = bytes(range(256)) * 50_000
        with fs.open(f"{area}/f", "wb", block_size=5_000_000) as file:
            for start in range(0, len(data), 1_000_000):
                file.write(data[start : start + 1_000_000])
            # Atomic: nobody sees half a file.
            assert not fs.exists(f"{area}/f")
        with fs.open(f"{area}/f") as file:
            file.seek(7_000_000)
            assert file.read(10) == data[7_000_000:7_000_010]
            file.seek(0)
            assert file.read() == data
        with fs.open(f"{area}/f", "ab") as file:
            assert file.tell() == len(data)
            file.write(b"more")
        assert fs.tail(f"{area}/f", 4) == b"more"
        assert fs.size(f"{area}/f") == len(data) + 4
        with fs.open(f"{area}/t", "w") as text:
            text.write("grün\n")
        with fs.open(f"{area}/t", "r") as text:
            assert text.read() == "grün\n"
        with pytest.raises(FileNotFoundError):
            fs.open(f"{area}/nope")
        with pytest.raises(FileExistsError):
            fs.open(f"{area}/f", "xb")
        with pytest.raises(ValueError, match="open mode"):
            fs.open(f"{area}/f", "r+b")

    def test_an_exception_gives_the_upload_up(self, fs, area):
        fs.pipe(f"{area}/old", b"old")

        def write_half(name):
            with fs.open(f"{area}/{name}", "wb") as file:
                file.write(b"half")
                raise KeyError(name)

        for name in ("new", "old"):
            with pytest.raises(KeyError):
                write_half(name)
        assert not fs.exists(f"{area}/new")
        assert fs.cat(f"{area}/old") == b"old"

    def test_trees(self, fs, area, tree, tmp_path):
        fs.put(str(tree), f"{area}/t", recursive=True)
        fs.cp(f"{area}/t", f"{area}/u", recursive=True)
        fs.get(f"{area}/u", str(tmp_path / "out"), recursive=True)
        assert (tmp_path / "out" / "sub" / "big").read_bytes() == (
            tree / "sub" / "big"
        ).read_bytes()
        assert fs.du(f"{area}/u") == 5_000_002
        assert fs.glob(f"{area}/*/one") == [f"{area}/t/one", f"{area}/u/one"]
        assert fs.checksum(f"{area}/u/one") == fs.checksum(f"{area}/t/one")
        with pytest.raises(FileNotFoundError):
            fs.get(f"{area}/nope", str(tmp_path / "nope"))
        assert not (tmp_path / "nope").exists()

    def test_urls_open(self, thesan, area):
        url = thesan.url.replace("root", "thesan") + f"/{area}/f"
        with fsspec.open(url, "wb") as file:
            file.write(b"by url")
        with fsspec.open(url) as file:
            assert file.read() == b"by url"
