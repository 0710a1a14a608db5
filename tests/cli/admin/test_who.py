"""`thesan who` and `thesan whoami`."""

import json
import os

import pytest

from thesan.cli.main import main

SESSIONS = [
    {"auth": "unix", "nsessions": 2},
    {"uid": 5, "user": "alice", "nsessions": 2},
    {"client": "alice@h", "uid": 5, "auth": "unix", "idle": 3, "gateway": "", "app": "xrdcp"},
    {"nclients": 1},
]


def test_summary_and_clients(recorder, capsys):
    recorder.records = SESSIONS

    def lines(*words):
        assert main(["who", *words]) == 0
        return capsys.readouterr().out.splitlines()

    short = [
        "auth   : unix                     := 2 sessions",
        "user   : alice                    := 2 sessions",
    ]
    one = "client : alice@h -> uid 5 (unix) {xrdcp} idle=3"
    assert lines() == short
    assert lines("-c") == [one]
    assert lines("-a") == [*short, one]
    assert lines("-m")[-1] == "nclients=1"
    assert {noun for noun, _, _ in recorder.calls} == {"who"}


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan):
    assert "auth   : thk" in thesan("who")
    assert thesan("whoami").startswith("Virtual Identity: uid=0")
    (record,) = json.loads(thesan("-j", "whoami"))["result"]
    assert record["sudo"] is True
    assert thesan("-r", "4711", "4712", "whoami").startswith("Virtual Identity: uid=4711")
    assert os.environ["THESAN_MGM_URL"].startswith("root://127.0.0.1:")
