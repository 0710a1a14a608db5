"""`thesan group`."""

import pytest

from thesan.cli.admin.group import PLAIN
from thesan.cli.main import main


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("group", ("ls", {})),
        ("group ls default.0 --io", ("ls", {"match": "default.0"})),
        ("group set default.0 drain", ("set", {"group": "default.0", "status": "drain"})),
        ("group rm default.0", ("rm", {"group": "default.0"})),
    ],
)
def test_what_is_asked(sent, line, wanted):
    assert sent(*line.split(" ")) == ("group", *wanted)


def test_a_status_that_no_group_has_is_wrong_usage(recorder):
    with pytest.raises(SystemExit) as caught:
        main(["group", "set", "default.0", "broken"])
    assert caught.value.code == 2


def test_columns_are_those_of_eos():
    assert [column.title for column in PLAIN] == (
        [
            "type",
            "name",
            "status",
            "geotag",
            "N(fs)",
            "dev(filled)",
            "avg(filled)",
            "sig(filled)",
            "bal-shd",
        ]
    )


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan):
    assert "default.0" in thesan("group")
    assert "default.0" in thesan("group", "ls", "--io")
    assert thesan("group", "set", "default.0", "on") == "group default.0 is on\n"
    thesan.refused("has the filesystems", "group", "rm", "default.0")
