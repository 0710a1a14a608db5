"""`thesan attr` and `thesan acl`."""

import errno

import pytest

from thesan.cli.attributes import _full, _pair
from thesan.core.model.errors import OperationError


def test_pairs():
    assert _pair("user.a=b=c") == ("user.a", "b=c")
    assert _pair('user.a="b c"') == ("user.a", "b c")
    assert _pair('user.a="') == ("user.a", '"')
    assert _pair("user.a=") == ("user.a", "")
    for wrong in ("a", "=a"):
        with pytest.raises(OperationError):
            _pair(wrong)


def test_full_names():
    assert [_full(name) for name in ("a", "sys.acl", "user.b")] == ["user.a", "sys.acl", "user.b"]


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_attr(thesan, area):
    thesan("mkdir", f"{area}/d")
    thesan("attr", "set", "user.colour=dark blue", f"{area}/d")
    thesan("attr", "set", "sys.forced.nstripes=2", f"{area}/d")
    assert thesan("attr", "ls", f"{area}/d") == (
        'sys.forced.nstripes="2"\nuser.colour="dark blue"\n'
    )
    assert thesan("attr", "get", "user.colour", f"{area}/d") == 'user.colour="dark blue"\n'
    assert thesan("-m", "attr", "ls", f"{area}/d").splitlines()[1] == (
        f'path={area}/d key=user.colour value="dark blue"'
    )
    thesan("attr", "rm", "user.colour", f"{area}/d")
    thesan("attr", "get", "user.colour", f"{area}/d", status=errno.ENODATA)
    assert f"no attribute user.colour: {area}/d" in thesan.errors
    thesan("attr", "-r", "set", "user.all=1", area)
    assert 'user.all="1"' in thesan("attr", "ls", f"{area}/d")


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_acl(thesan, area):
    assert thesan("acl", "u:4711=rwx", area) == "u:4711:rwx\n"
    assert thesan("acl", "g:4712=rx", area) == "u:4711:rwx,g:4712:rx\n"
    assert thesan("acl", area) == "u:4711:rwx,g:4712:rx\n"
    assert "u:4711:rwx" in thesan("attr", "ls", area)
    assert thesan("acl", "u:4711=", area) == "g:4712:rx\n"
    thesan("acl", "nonsense", area, status=errno.EINVAL)


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_the_acl_of_a_tree_is_one_line_for_each_path(thesan, area):
    thesan("mkdir", f"{area}/a")
    thesan("acl", "u:4711=rwx", area)
    thesan("acl", "g:4712=rx", f"{area}/a")
    assert thesan("acl", "-R", area) == f"{area}: u:4711:rwx\n{area}/a: g:4712:rx\n"
    assert thesan("-m", "acl", "-R", area) == (
        f"path={area} acl=u:4711:rwx\npath={area}/a acl=g:4712:rx\n"
    )


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_trees_end_at_links(thesan, area):
    thesan("mkdir", "-p", f"{area}/t/d")
    for name in ("outside", "t/f"):
        thesan("touch", f"{area}/{name}")
    for name, target in (("to_file", "../outside"), ("dangling", "none"), ("to_dir", "..")):
        thesan("ln", "-s", target, f"{area}/t/{name}")
    thesan("attr", "-r", "set", "user.all=1", f"{area}/t")
    thesan("acl", "-R", "u:4711=rwx", f"{area}/t")
    assert thesan("attr", "ls", f"{area}/outside") == ""
    assert thesan("attr", "ls", area) == ""
    for name in ("", "/d", "/f"):
        assert 'user.all="1"' in thesan("attr", "ls", f"{area}/t{name}")
        assert thesan("acl", f"{area}/t{name}") == "u:4711:rwx\n"
