"""One rule of an ACL changed, as `thesan acl` does it."""

import errno

import pytest

from thesan.core.model.errors import OperationError
from thesan.roles.mgm.acl_edit import edit


@pytest.mark.parametrize(
    ("text", "change", "result"),
    [
        ("", "u:1000=rwx", "u:1000:rwx"),
        ("u:1000:r,g:5:rx", "u:1000=rwx", "u:1000:rwx,g:5:rx"),
        ("u:1000:r,g:5:rx", "u:1000=", "g:5:rx"),
        ("g:5:rx", "g:5:+w", "g:5:rxw"),
        ("g:5:rx", "g:5:+r", "g:5:rx"),
        ("g:5:rx", "g:5:-x", "g:5:r"),
        ("g:5:rx", "g:5:-rx", ""),
        ("g:5:rx", "g:6:-x", "g:5:rx"),
        ("", "g:6:+rwo!d+u", "g:6:rwo!d+u"),
        ("g:6:rwo!d+u", "g:6:-!dwo", "g:6:r+u"),
        ("u:1:r", "z:-d", "u:1:r"),
        ("u:1:r", "z:+r", "u:1:r,z:r"),
        ("z:rx,u:1:r", "z=r", "z:r,u:1:r"),
    ],
)
def test_one_rule_changes_and_the_others_stay(text: str, change: str, result: str) -> None:
    assert edit(text, change) == result


@pytest.mark.parametrize(
    "change", ["", "u", "u:1000", "u:1000:rwx", "x:1=r", "u:=r", "z:5=r", "u:1=r,g:1=r", "u:1:+"]
)
def test_what_can_not_be_read_is_refused(change: str) -> None:
    with pytest.raises(OperationError) as caught:
        edit("u:1:r", change)
    assert caught.value.errno == errno.EINVAL
