"""`thesan find` and `thesan du`."""

import errno
import json

import pytest

from thesan.cli.tree import _add

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("cli")]


def test_a_file_counts_in_all_directories_above_it():
    totals = {"/a": 0}
    _add(totals, "/a", "/a/b/c/f", 5)
    _add(totals, "/a", "/a/f", 1)
    assert totals == {"/a": 6, "/a/b": 5, "/a/b/c": 5}
    everything = {"/": 0}
    _add(everything, "/", "/f", 1)
    assert everything == {"/": 1}


def test_find(thesan, area, tree):
    thesan("cp", "-r", str(tree), f"{area}/t")

    def found(*words):
        return thesan("find", *words, f"{area}/t").replace(f"{area}/t/", "").splitlines()

    assert found() == [
        *("one", "sub", "sub/big", "sub/empty", "sub/link", "sub/nothing"),
    ]
    assert found("-d") == ["sub", "sub/empty"]
    assert found("-f", "--name", "*o*") == ["one", "sub/nothing"]
    assert found("--maxdepth", "1") == ["one", "sub"]
    assert found("--count") == ["nfiles=4 ndirectories=2"]
    assert thesan("find", "-0", "-d", f"{area}/t").count("\0") == 2
    assert len(json.loads(thesan("-j", "find", f"{area}/t"))["result"]) == 6
    assert thesan("find", "-m", "--name", "one", f"{area}/t").startswith(f"name={area}/t/one ")
    thesan("find", f"{area}/nope", status=errno.ENOENT)


def test_du(thesan, area, tree):
    thesan("cp", "-r", str(tree), f"{area}/t")
    assert thesan("du", f"{area}/t").splitlines() == [
        f"5000002\t{area}/t",
        f"5000000\t{area}/t/sub",
        f"0\t{area}/t/sub/empty",
    ]
    assert thesan("du", "-s", "--human", f"{area}/t") == f"5.00 MB\t{area}/t\n"
    assert thesan("du", f"{area}/t/one") == f"2\t{area}/t/one\n"
    assert json.loads(thesan("-j", "du", "-s", f"{area}/t"))["result"] == [
        {"path": f"{area}/t", "bytes": 5000002}
    ]
