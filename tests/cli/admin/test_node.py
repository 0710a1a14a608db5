"""`thesan node`."""

import pytest

from thesan.cli.admin.node import PLAIN


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("node", ("ls", {})),
        ("node ls h --sys", ("ls", {"match": "h"})),
        ("node status h:1", ("status", {"node": "h:1"})),
        ("node set h:1 off", ("set", {"node": "h:1", "status": "off"})),
        ("node config h:1 comment=b", ("config", {"node": "h:1", "key": "comment", "value": "b"})),
        ("node rm h:1", ("rm", {"node": "h:1"})),
    ],
)  # fmt: skip
def test_what_is_asked(sent, line, wanted):
    assert sent(*line.split(" ")) == ("node", *wanted)


def test_columns_are_those_of_eos():
    assert [column.title for column in PLAIN] == (
        ["type", "hostport", "geotag", "status", "activated", "heartbeatdelta", "nofs"]
    )


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan):
    page = thesan("node")
    assert page.count("nodesview") == 2
    assert page.count("online") == 4
    assert "master" in page
    assert "sqlite" in page
    assert thesan("node", "ls", "-m").splitlines()[0].startswith("type=nodesview hostport=127.")
    assert "demo::rack" in thesan("node", "ls", "--sys")
    assert "127.0.0.11" in thesan("node", "ls", "--io")
    name = thesan("node", "ls", "-m").split("hostport=")[1].split()[0]
    assert "fsids" in thesan("node", "status", name)
    assert thesan("node", "config", name, "comment=tested")
    thesan.refused("has the filesystems", "node", "rm", name)
