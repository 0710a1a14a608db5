"""`thesan cp`: which side is where, and copies in, out and within."""

import errno
import filecmp
import io
import json
import os
import sys
from types import SimpleNamespace

import pytest

from thesan.cli.context import Context
from thesan.cli.copy_command import _failure, _Progress, _sides
from thesan.core.model.errors import OperationError
from thesan.roles.client.copy import CopyFailed, Place, Progress


def same(left, right) -> bool:
    """Two local trees, byte by byte, empty directories too."""
    names = sorted(str(path.relative_to(left)) for path in left.rglob("*"))
    assert names == sorted(str(path.relative_to(right)) for path in right.rglob("*"))
    files = [name for name in names if (left / name).is_file()]
    return filecmp.cmpfiles(left, right, files, shallow=False)[0] == files


def test_sides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").touch()
    here = Place(remote=False, path="here")

    def sides(*words):
        *sources, target = words
        return _sides(Context(), sources, target)

    assert sides("here", "/there/x") == ([here], Place(remote=True, path="/there/x"))
    assert sides("here", "/there/") == ([here], Place(remote=True, path="/there", slash=True))
    assert sides("-", "/x") == ([Place(remote=False, path="-")], Place(remote=True, path="/x"))
    assert sides("root://h//a", "b")[1] == Place(remote=False, path="b")
    assert sides("root://h//a", "-")[1] == Place(remote=False, path="-")
    assert sides("root://h//a", "root://h//b")[1] == Place(remote=True, path="/b")
    # A plain target of a remote source: here, unless its directory is only there.
    assert sides("/no-such-a", str(tmp_path / "b"))[1].remote is False
    assert sides("/no-such-a", "/no-such-d/b")[1] == Place(remote=True, path="/no-such-d/b")
    assert sides("/no-such-a", "file:/no-such-d/b")[1] == Place(remote=False, path="/no-such-d/b")
    assert sides("file:here", "/x")[0] == [here]
    for wrong in (("nope", "/x"), ("/no-such-a", "root://h//x")):
        with pytest.raises(OperationError) as caught:
            sides(*wrong)
        assert caught.value.errno == errno.ENOENT


def test_a_url_names_the_instance_too():
    context = Context()
    _sides(context, ["root://h1,h2:5//a?x=y"], "b")
    assert context.mgm_url == "root://h1:5,h2:5"


def test_failures_are_told_one_by_one(capsys):
    first = ("a", OperationError(errno.EEXIST, "/x/a: exists"))
    second = ("b", OperationError(errno.EIO, "broken"))
    assert _failure(CopyFailed([first], 1)).text == "/x/a: exists"
    assert _failure(CopyFailed([second], 1)).text == "b: broken"
    error = _failure(CopyFailed([first, second], 2))
    assert (error.errno, error.text) == (errno.EEXIST, "2 files were not copied")
    assert capsys.readouterr().err == "a: /x/a: exists\nb: broken\n"


def test_progress_is_silent_where_nobody_looks(capsys):
    progress = _Progress(enabled=False)
    progress.update(Progress(bytes_done=1))
    progress.finish()
    assert capsys.readouterr() == ("", "")
    shown = _Progress(enabled=True)
    shown.update(Progress(bytes_done=1, bytes_total=2, files_total=1))
    shown.finish()
    assert capsys.readouterr().out == ""


@pytest.mark.system
@pytest.mark.xdist_group("cli")
class TestOnAnInstance:
    def test_a_file_in_and_out(self, thesan, area, tree, tmp_path):
        source = str(tree / "sub" / "big")
        assert thesan("cp", source, f"{area}/f") == ""
        thesan("cp", source, f"{area}/f", status=errno.EEXIST)
        assert thesan.errors.startswith(f"error: {area}/f: exists\n")
        assert "checksums verified" in thesan("cp", "-f", "-S", source, f"{area}/f")
        (record,) = json.loads(thesan("-j", "cp", "-f", source, f"{area}/f"))["result"]
        assert (record["files"], record["bytes"], record["unverified"]) == (1, 5_000_000, 0)
        assert "1 not verified" in thesan("cp", "-fS", "--no-verify", source, f"{area}/f")
        out = tmp_path / "out"
        thesan("cp", f"{thesan.url}/{area}/f", str(out))
        assert out.read_bytes() == (tree / "sub" / "big").read_bytes()
        thesan("cp", f"{area}/f", str(out), status=errno.EEXIST)
        thesan("cp", "-f", f"{area}/f", str(out))

    def test_trees(self, thesan, area, tree, tmp_path):
        thesan("cp", str(tree), f"{area}/t", status=errno.EISDIR)
        assert "-r copies trees" in thesan.errors
        # An absent target becomes the tree; a directory takes it in.
        thesan("cp", "-r", str(tree), f"{area}/t")
        thesan("cp", "-r", str(tree), f"{area}/t")
        thesan("cp", "-r", "--parallel", "2", str(tree), f"{area}/new/")
        assert thesan("ls", f"{area}/t") == "one\nsub\ntree\n"
        assert thesan("ls", f"{area}/new") == "tree\n"
        thesan("cp", "-r", str(tree), f"{area}/t", status=errno.EEXIST)
        assert "files were not copied" in thesan.errors
        out = tmp_path / "out"
        thesan("cp", "-r", f"{thesan.url}/{area}/new/tree", str(out))
        assert same(tree, out)
        thesan("cp", "-r", f"{area}/new", f"{area}/within")
        thesan("cp", "-r", f"{area}/within/tree", str(tmp_path / "again"))
        assert same(tree, tmp_path / "again")

    def test_parents_and_times(self, thesan, area, tree, tmp_path):
        os.utime(tree / "one", (1_000_000_000, 1_000_000_000))
        thesan("cp", str(tree / "one"), f"{area}/a/b/one", status=errno.ENOENT)
        thesan("cp", "-p", "-P", str(tree / "one"), f"{area}/a/b/one")
        assert " mtime=1000000000 " in thesan("stat", "-m", f"{area}/a/b/one")
        thesan("cp", "-P", f"{area}/a/b/one", str(tmp_path / "back"))
        assert (tmp_path / "back").stat().st_mtime == 1_000_000_000
        thesan("cp", str(tree / "one"), str(tree / "sub" / "big"), f"{area}/a")
        assert thesan("ls", f"{area}/a") == "b\nbig\none\n"

    def test_a_name_that_is_not_utf8_gets_a_sentence(self, thesan, area, tree):
        (tree / "caf\udce9").write_bytes(b"x")
        thesan("cp", str(tree / "caf\udce9"), f"{area}/", status=errno.EILSEQ)
        assert "is not UTF-8" in thesan.errors
        thesan("cp", "-r", str(tree), f"{area}/t", status=errno.EILSEQ)
        assert thesan("ls", f"{area}/t") == "one\nsub\n"

    def test_links_come_back_as_links(self, thesan, area, tree, tmp_path):
        (tree / "dangling").symlink_to("nowhere")
        thesan("cp", "-r", str(tree), f"{area}/t")
        thesan("cp", "-r", f"{thesan.url}/{area}/t", str(tmp_path / "back"))
        assert os.readlink(tmp_path / "back" / "dangling") == "nowhere"
        assert os.readlink(tmp_path / "back" / "sub" / "link") == "nothing"

    def test_several_sources_need_a_directory(self, thesan, area, tree):
        words = (str(tree / "one"), str(tree / "sub" / "big"), f"{area}/x")
        thesan("cp", *words, status=errno.ENOTDIR)

    def test_streams(self, thesan, area, tmp_path, monkeypatch):
        content = b"from a pipe\n" * 1000
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        stdin = os.dup(0)
        try:
            os.dup2(reading, 0)
            thesan("cp", "-", f"{area}/piped")
        finally:
            os.dup2(stdin, 0)
            os.close(stdin)
            os.close(reading)
        thesan("cp", f"{area}/piped", str(tmp_path / "piped"))
        assert (tmp_path / "piped").read_bytes() == content
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out, flush=lambda: None))
        assert thesan.call("cat", f"{area}/piped") == 0
        assert out.getvalue() == content
