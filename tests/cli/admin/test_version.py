"""`thesan version` and `thesan config`."""

import errno
import json

import pytest

from thesan import __version__
from thesan.cli.main import main


def test_version_needs_no_mgm(monkeypatch, capsys):
    monkeypatch.delenv("THESAN_MGM_URL", raising=False)
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"EOS_CLIENT_VERSION={__version__}\n"
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out
    assert main(["-j", "version"]) == 0
    assert json.loads(capsys.readouterr().out) == {"result": [{"eos.client.version": __version__}]}


def test_an_mgm_that_does_not_answer_hides_no_version(unused_port, monkeypatch, capsys):
    monkeypatch.setenv("THESAN_MGM_URL", f"root://127.0.0.1:{unused_port}/")
    assert main(["version"]) == errno.EHOSTUNREACH
    out, errors = capsys.readouterr()
    assert out == f"EOS_CLIENT_VERSION={__version__}\n"
    assert errors.startswith("error: no MGM answers")
    assert main(["-m", "version"]) == errno.EHOSTUNREACH
    assert capsys.readouterr().out == f"eos.client.version={__version__}\n"


def test_config_asks_for_a_section(sent):
    assert sent("config") == ("config", "ls", {})
    assert sent("config", "ls", "vid") == ("config", "ls", {"section": "vid"})


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan):
    assert thesan("version").splitlines() == [
        f"EOS_INSTANCE=demo EOS_SERVER_VERSION={__version__}",
        f"EOS_CLIENT_VERSION={__version__}",
    ]
    assert "eos.instance.name=demo" in thesan("version", "-m")
    assert "default.0" in thesan("config", "ls", "fs")
    thesan("config", "ls", "nonsense", status=22)
