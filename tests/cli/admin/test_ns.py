"""`thesan ns`."""

import json

import pytest

from thesan.cli.main import main

FIGURES = [
    {"uid": "all", "gid": "all", "ns.total.files": 12},
    {"uid": "all", "gid": "all", "ns.mgm.role": "leader"},
    {"uid": "all", "gid": "all", "ns.journal.healthy": False},
    {"uid": "all", "gid": "all", "cmd": "OpenRead", "total": 7, "5s": 1.5},
    {"uid": "all", "gid": "all", "cmd": "Mkdir", "total": 0, "5s": 0.0},
]


def test_pages(recorder, capsys):
    recorder.records = FIGURES

    def page(*words):
        assert main(["ns", *words]) == 0
        return capsys.readouterr().out

    assert "ALL      Files                            12" in page()
    assert "is_master=true" in page()
    assert "NOT HEALTHY" in page()
    assert "OpenRead" not in page()
    assert "OpenRead" in page("stat")
    assert "Mkdir" not in page("stat")
    assert "Mkdir" in page("-a")
    assert page("-m").splitlines()[0] == "uid=all gid=all ns.total.files=12"
    assert json.loads(page("-j")) == {"result": FIGURES}


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan):
    page = thesan("ns")
    assert "is_master=true" in page
    # A figure that the MGM does not send would be shown as a dash.
    assert not [line for line in page.splitlines() if line.endswith(" -")]
    assert "Beat" in thesan("ns", "stat")
