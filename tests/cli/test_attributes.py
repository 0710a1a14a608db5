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
