"""`thesan file info` and `thesan file check`."""

import errno
import json
from pathlib import Path

import pytest

from thesan.cli.file_info import _compare, _info_line


def test_the_monitor_line_repeats_xattrs_and_fsids():
    record = {
        "file": "/a b",
        "xattrs": {"user.x": "1", "sys.acl": "u:1:r w"},
        "fsid": [3, 5],
        "replicas": [{"fsid": 3}],
    }
    assert _info_line(record) == (
        'file="/a b" xattrn=user.x xattrv=1 xattrn=sys.acl xattrv="u:1:r w" fsid=3 fsid=5'
    )


def test_compare():
    expected = {"size": 3, "adler32": "0000000a", "crc32c": ""}
    assert _compare(expected, {"size": 3, "adler32": "0000000a", "crc32c": "1"}) == "ok"
    assert _compare(expected, {"size": 4, "adler32": "b", "crc32c": "1"}) == "size, adler32 differ"


@pytest.mark.system
@pytest.mark.xdist_group("cli")
class TestOnAnInstance:
    @pytest.fixture
    def path(self, thesan, area, tmp_path) -> str:
        thesan("attr", "set", "sys.forced.layout=replica", area)
        thesan("attr", "set", "sys.forced.nstripes=2", area)
        (tmp_path / "f").write_bytes(b"0123456789")
        thesan("cp", str(tmp_path / "f"), f"{area}/f")
        return f"{area}/f"

    def test_info(self, thesan, path, area):
        page = thesan("file", "info", path)
        assert f"File: '{path}'" in page
        assert "Layout: replica Stripes: 2" in page
        assert page.count("booted") == 2
        assert thesan("fileinfo", path) == page
        (record,) = json.loads(thesan("-j", "file", "info", path))["result"]
        assert thesan("file", "info", f"fxid:{record['fxid']}") == page
        assert record["replicas"][0]["file"] in thesan("file", "info", "--fullpath", path)
        line = thesan("file", "info", "-m", path)
        assert line.startswith(f"keylength.file={len(path)} file={path} size=10 status=healthy")
        assert line.count(" fsid=") == 2
        assert "sys.forced.nstripes" in thesan("file", "info", area)
        thesan("file", "info", f"{path}-not", status=errno.ENOENT)

    def test_check_asks_each_fst(self, thesan, path):
        assert thesan("file", "check", path).count("│ok") == 2
        records = json.loads(thesan("-j", "file", "check", path))["result"]
        assert [record["verdict"] for record in records] == ["ok", "ok"]
        # A capability is nothing to be printed.
        assert "cap=" not in thesan("file", "check", "-m", path)
        Path(records[0]["file"]).write_bytes(b"0123")
        thesan("file", "check", path, status=errno.EIO)
        bad = records[0]["fsid"]
        assert f"fs {bad}: size, adler32, crc32c differ" in thesan.errors
        Path(records[1]["file"]).unlink()
        thesan("file", "check", path, status=errno.EIO)

    def test_check_of_a_name_that_looks_like_a_request(self, thesan, path, area):
        for name in ("why?", "50%3F of 50%", "a?b=c&d"):
            thesan("mv", path, f"{area}/{name}")
            path = f"{area}/{name}"
            assert thesan("file", "check", path).count("│ok") == 2

    def test_an_empty_file_needs_nothing(self, thesan, area):
        thesan("touch", f"{area}/e")
        assert "nrep=0" in thesan("file", "check", f"{area}/e")
