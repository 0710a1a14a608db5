"""`thesan space`."""

import json

import pytest


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("space", ("ls", {})),
        ("space ls default", ("ls", {"match": "default"})),
        ("space status default", ("status", {"space": "default"})),
        ("space define new", ("define", {"space": "new"})),
        (
            "space define new 4 16",
            ("define", {"space": "new", "groupsize": "4", "groupmod": "16"}),
        ),
        (
            "space config new nominalsize=1T",
            ("config", {"space": "new", "key": "nominalsize", "value": "1T"}),
        ),
        ("space set new off", ("set", {"space": "new", "status": "off"})),
        ("space rm new", ("rm", {"space": "new"})),
        ("space place", ("place", {"space": "default"})),
        (
            "space place new --replicas 3 --size 1G --geotag a::b --exclude 1,2 --group new.0",
            (
                "place",
                {
                    "space": "new",
                    "replicas": "3",
                    "size": "1G",
                    "geotag": "a::b",
                    "exclude": "1,2",
                    "group": "new.0",
                },
            ),
        ),
    ],
)
def test_what_is_asked(sent, recorder, line, wanted):
    recorder.records = [{"fsids": [1], "why": [], "key": "k", "value": "v"}]
    assert sent(*line.split(" ")) == ("space", *wanted)


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan):
    assert "default" in thesan("space")
    assert thesan("space", "define", "spare", "4", "8").startswith("space spare")
    assert "groupsize   := 4" in thesan("space", "status", "spare")
    thesan("space", "config", "spare", "policy.nstripes=2")
    assert "policy.nstripes := 2" in thesan("space", "status", "spare")
    assert thesan("space", "set", "spare", "off") == "space spare is off\n"
    assert thesan("space", "rm", "spare") == "space spare removed\n"
    thesan("space", "status", "spare", status=2)
    brief = thesan("space", "place")
    assert brief.startswith("fs ")
    assert len(brief.splitlines()) == 1
    assert "taken" in thesan("space", "place", "--explain")
    (record,) = json.loads(thesan("-j", "space", "place", "--replicas", "1"))["result"]
    assert len(record["fsids"]) == 1
    # Nobody has five nodes: the reasons are told without --explain.
    refused = thesan("space", "place", "--replicas", "5")
    assert len(refused.splitlines()) > 1
