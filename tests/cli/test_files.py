"""File commands, against a real instance."""

import errno
import json

import pytest

from thesan.cli.files import mode_text, path_of
from thesan.core.model.errors import OperationError
from thesan.core.wire.bodies import StatInfo


def test_paths_and_urls_lead_to_the_same_place():
    for text in ("/a/b", "//a//b/", "root://h:1//a/b", "thesan://h1,h2//a/b?x=y"):
        assert path_of(text) == "/a/b"
    assert path_of("root://h") == "/"
    with pytest.raises(OperationError) as caught:
        path_of("http://h/a")
    assert caught.value.errno == errno.EPROTONOSUPPORT


@pytest.mark.parametrize(
    ("flags", "mode", "wanted"),
    [
        (0, 0o644, "-rw-r--r--"),
        (2, 0o755, "drwxr-xr-x"),
        (2, 0o1777, "drwxrwxrwt"),
        (0, 0o6711, "-rws--s--x"),
        (0, 0o4600, "-rwS------"),
    ],
)
def test_mode_text(flags, mode, wanted):
    assert mode_text(StatInfo(id=1, size=0, flags=flags, mtime=0, mode=mode)) == wanted


@pytest.mark.system
@pytest.mark.xdist_group("cli")
class TestOnAnInstance:
    def test_directories(self, thesan, area):
        thesan("mkdir", f"{area}/d")
        thesan("mkdir", f"{area}/d", status=errno.EEXIST)
        thesan("mkdir", "-p", "-m", "700", f"{area}/d/e/f")
        assert thesan("stat", f"{area}/d/e/f").count("0700") == 1
        thesan("rmdir", f"{area}/d", status=errno.ENOTEMPTY)
        assert "(errc=39) (Directory not empty)" in thesan.errors
        thesan("rm", f"{area}/d", status=errno.EISDIR)
        thesan("rm", "-r", f"{area}/d")
        thesan("stat", f"{area}/d", status=errno.ENOENT)
        thesan("rm", f"{area}/d", status=errno.ENOENT)
        assert thesan("rm", "-f", f"{area}/d") == ""
        thesan("rm", "-r", "/", status=errno.EBUSY)

    def test_listing(self, thesan, area):
        for name in ("b", "a", ".hidden"):
            thesan("touch", f"{area}/{name}")
        assert thesan("ls", area) == "a\nb\n"
        assert ".hidden" in thesan("ls", "-a", area)
        assert thesan("ls", f"{area}/a") == f"{area}/a\n"
        assert thesan("ls", "-d", area) == f"{area}\n"
        assert [line.split()[0] for line in thesan("ls", "-l", area).splitlines()] == [
            "-rw-r--r--"
        ] * 2
        names = [record["name"] for record in json.loads(thesan("-j", "ls", area))["result"]]
        assert names == ["a", "b"]
        assert thesan("ls", "-m", area).startswith("name=a type=file size=0 mode=0644")
        number = thesan("ls", "-i", area).split()[0]
        assert number.isdigit()
        assert thesan("ls", "-l", "--human", area).count("0 B") == 2

    def test_rename(self, thesan, area):
        thesan("touch", f"{area}/a")
        thesan("touch", f"{area}/b")
        thesan("mkdir", f"{area}/d")
        thesan("mv", f"{area}/a", f"{area}/c")
        thesan("mv", f"{area}/b", f"{area}/c", f"{area}/d")
        assert thesan("ls", f"{area}/d") == "b\nc\n"
        thesan("mv", f"{area}/d/b", f"{area}/d/c", f"{area}/x", status=errno.ENOTDIR)
        thesan("mv", f"{area}/nope", f"{area}/x", status=errno.ENOENT)

    def test_links(self, thesan, area):
        thesan("touch", f"{area}/a")
        thesan("ln", f"{area}/a", f"{area}/hard")
        thesan("ln", "-s", "a", f"{area}/soft")
        inodes = {line.split()[0] for line in thesan("ls", "-i", area).splitlines()}
        assert len(inodes) == 1
        thesan("ln", f"{area}/a", f"{area}/hard", status=errno.EEXIST)

    def test_modes_owners_and_times(self, thesan, area):
        thesan("touch", f"{area}/a")
        thesan("chmod", "640", f"{area}/a")
        thesan("chown", "4711:4712", f"{area}/a")
        assert thesan("ls", "-l", f"{area}/a").split()[:3] == ["-rw-r-----", "4711", "4712"]
        thesan("chmod", "-r", "750", area)
        thesan("chown", "-r", ":4713", area)
        assert thesan("ls", "-l", f"{area}/a").split()[:3] == ["-rwxr-x---", "4711", "4713"]
        thesan("chown", "no-such-user", f"{area}/a", status=errno.EINVAL)
        thesan("chown", ":", f"{area}/a", status=errno.EINVAL)
        with pytest.raises(SystemExit):
            thesan("chmod", "rwx", f"{area}/a")

    def test_stat_tests_for_a_kind(self, thesan, area):
        thesan("touch", f"{area}/a")
        thesan("stat", "-f", f"{area}/a")
        thesan("stat", "-d", area)
        thesan("stat", "-d", f"{area}/a", status=errno.ENOTDIR)
        thesan("stat", "-f", area, status=errno.EISDIR)

    def test_recursive_changes_end_at_links(self, thesan, area):
        thesan("mkdir", "-p", f"{area}/t/d")
        for name in ("outside", "t/z"):
            thesan("touch", f"{area}/{name}")
            thesan("chmod", "640", f"{area}/{name}")
        for name, target in (("to_file", "../outside"), ("dangling", "none"), ("to_dir", "..")):
            thesan("ln", "-s", target, f"{area}/t/{name}")
        thesan("chmod", "-r", "751", f"{area}/t")
        thesan("chown", "-r", "4711:4712", f"{area}/t")
        for name in ("t", "t/d", "t/z"):
            assert thesan("ls", "-ld", f"{area}/{name}").split()[1:3] == ["4711", "4712"]
            assert " mode=0751 " in thesan("stat", "-m", f"{area}/{name}")
        assert thesan("ls", "-l", f"{area}/outside").startswith("-rw-r----- ")
        for path in (area, f"{area}/outside"):
            assert "4711" not in thesan("ls", "-ld", path)
        # Links change their owner themselves.
        long = thesan("ls", "-l", f"{area}/t").splitlines()
        (dangling,) = (line for line in long if line.endswith("dangling"))
        assert dangling.split()[1:3] == ["4711", "4712"]

    def test_a_name_that_is_not_utf8_gets_a_sentence(self, thesan, area):
        for words in (("ls",), ("touch",), ("stat",), ("mkdir",)):
            thesan(*words, f"{area}/caf\udce9", status=errno.EILSEQ)
            assert thesan.errors.startswith("error: path is not UTF-8: ")

    def test_a_name_with_a_newline_is_refused(self, thesan, area):
        for words in (("touch",), ("mkdir",), ("mkdir", "-p"), ("ln", "-s", "x")):
            thesan(*words, f"{area}/a\nb", status=errno.EINVAL)
        assert thesan("ls", area) == ""
