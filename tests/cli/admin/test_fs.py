"""`thesan fs`: what is asked, and the columns of each view."""

import json

import pytest

from thesan.cli.admin.fs import DRAIN, ERRORS, IO, LONG, PLAIN
from thesan.cli.main import main

COMMON = {"host": "h", "port": 1}
RECORDS = [
    {**COMMON, "id": 1, "schedgroup": "a.0", "stat.errc": 0, "local.drain": "nodrain"},
    {**COMMON, "id": 2, "schedgroup": "b.0", "stat.errc": 5, "local.drain": "drained"},
]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("fs", ("ls", {})),
        ("fs ls default", ("ls", {"match": "default"})),
        ("fs ls -s default --io", ("ls", {"match": "default"})),
        ("fs -l", ("ls", {})),
        (
            "fs add u-1 h:1 /d default.3 ro",
            (
                "add",
                {"uuid": "u-1", "node": "h:1", "path": "/d", "space": "default.3", "status": "ro"},
            ),
        ),
        (
            "fs add --fsid 7 u-1 h:1 /d",
            (
                "add",
                {
                    "fsid": 7,
                    "uuid": "u-1",
                    "node": "h:1",
                    "path": "/d",
                    "space": "default",
                    "status": "rw",
                },
            ),
        ),
        (
            "fs config 3 configstatus=ro --comment broken",
            ("config", {"fs": "3", "key": "configstatus", "value": "ro", "comment": "broken"}),
        ),
        ("fs boot 3", ("boot", {"fs": "3"})),
        ("fs boot h:1", ("boot", {"node": "h:1"})),
        ("fs boot h:1/data", ("boot", {"fs": "h:1/data"})),
        ("fs boot *", ("boot", {"fs": "*"})),
        ("fs mv 3 other.1", ("mv", {"fs": "3", "target": "other.1"})),
        ("fs rm 3", ("rm", {"fs": "3"})),
        ("fs dropdeletion 3", ("dropdeletion", {"fs": "3"})),
    ],
)
def test_what_is_asked(sent, line, wanted):
    assert sent(*line.split(" ")) == ("fs", *wanted)


def test_views_pick_their_records(recorder, capsys):
    recorder.records = RECORDS

    def ids(*words):
        assert main(["-j", "fs", "ls", *words]) == 0
        return [one["id"] for one in json.loads(capsys.readouterr().out)["result"]]

    assert ids() == [1, 2]
    assert ids("-e") == [2]
    assert ids("-d") == [2]
    assert ids("-s", "b", "h") == [2]


@pytest.mark.parametrize(
    "fault",
    [
        {"stat.errc": 5},
        {"stat.active": "offline", "stat.boot": "down"},
        {"stat.boot": "opserror"},
        {"configstatus": "off"},
        {"configstatus": "ro"},
    ],
)
def test_whatever_is_out_of_service_is_in_the_view_of_errors(recorder, capsys, fault):
    sound = {"stat.errc": 0, "stat.active": "online", "stat.boot": "booted", "configstatus": "rw"}
    recorder.records = [{**COMMON, **sound, "id": 1}, {**COMMON, **sound, "id": 2, **fault}]
    assert main(["-j", "fs", "ls", "-e"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["result"]] == [2]


def test_columns_are_those_of_eos():
    def titles(columns):
        return [column.title for column in columns]

    assert titles(PLAIN) == (
        [
            "host",
            "port",
            "id",
            "path",
            "schedgroup",
            "geotag",
            "boot",
            "configstatus",
            "drain",
            "usage",
            "active",
            "health",
        ]
    )
    assert titles(ERRORS) == [
        "host",
        "id",
        "path",
        "boot",
        "configstatus",
        "drain",
        "active",
        "errc",
        "errmsg",
    ]
    assert titles(DRAIN) == (
        [
            "host",
            "port",
            "id",
            "path",
            "drain",
            "progress",
            "files",
            "bytes-left",
            "timeleft",
            "failed",
        ]
    )
    assert titles(IO)[:4] == ["hostport", "id", "schedgroup", "geotag"]
    assert {"uuid", "headroom", "statuscomment"} <= set(titles(LONG))


def test_usage_errors_are_2(recorder):
    for line in ("fs nonsense", "fs rm", "fs ls -l --io", "fs config 3"):
        with pytest.raises(SystemExit) as caught:
            main(line.split())
        assert caught.value.code == 2
    assert not recorder.calls


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan):
    table = thesan("fs", "ls")
    assert table.count("booted") == 4
    assert table.startswith("┌")
    lines = thesan("fs", "ls", "-m").splitlines()
    assert len(lines) == 4
    # Exporters read these by name, some by position.
    keys = [word.partition("=")[0] for word in lines[0].split()]
    assert keys[:10] == [
        "host",
        "port",
        "id",
        "uuid",
        "path",
        "schedgroup",
        "stat.alias.host",
        "stat.alias.port",
        "stat.boot",
        "configstatus",
    ]
    assert thesan("fs", "config", "1", "headroom=1G") == "fs 1: headroom set to 1G\n"
    status = thesan("fs", "status", "1")
    assert "headroom" in status
    assert "1000000000" in status
    for view in ("-l", "-e", "-d", "--io"):
        thesan("fs", "ls", view)
    assert thesan("fs", "ls", "-e", "-m") == ""
    thesan("fs", "config", "1", "configstatus=ro")
    assert thesan("fs", "ls", "-e").count("│ro ") == 1
    thesan("fs", "config", "1", "configstatus=rw")
    thesan("fs", "config", "1", "nonsense=1", status=22)
    assert "fs has no key 'nonsense'" in thesan.errors
    thesan.refused("set it to empty first", "fs", "rm", "1")
    thesan("fs", "status", "77", status=2)
    assert thesan.errors.splitlines() == [
        "error: there is no filesystem '77'",
        "(errc=2) (No such file or directory)",
    ]
