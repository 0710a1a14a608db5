"""`thesan demo` as it is typed."""

import json
import shlex
from pathlib import Path

import pytest

from thesan.cli.main import main


def test_status_without_a_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "status", "--dir", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "demo up" in err
    assert "(errc=2) (No such file or directory)" in err


def test_usage_error_is_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "dance"])
    assert caught.value.code == 2


@pytest.mark.system
@pytest.mark.xdist_group("machine")
def test_up_status_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "demo"
    try:
        assert main(["demo", "up", "--fst", "1", "--dir", str(directory)]) == 0
        out = capsys.readouterr().out
        assert "export THESAN_MGM_URL=root://127.0.0.1:" in out
        assert f"export THESAN_JOURNAL=sqlite:{directory}/journal.db" in out
        assert main(["demo", "status", "-j", "--dir", str(directory)]) == 0
        state = json.loads(capsys.readouterr().out)
        assert set(state) >= {"url", "dir", "mgms", "fsts"}
        for row in [*state["mgms"], *state["fsts"]]:
            assert set(row) >= {"name", "host", "port", "http_port", "pid", "role", "state"}
        assert main(["demo", "status", "-m", "--dir", str(directory)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == ["type=demo", "type=mgm", "type=fst"]
        assert all("=" in word for line in lines for word in shlex.split(line))
        assert f"url={state['url']}" in lines[0].split()
        assert f"pid={state['mgms'][0]['pid']}" in lines[1].split()
        assert main(["demo", "status", "--dir", str(directory)]) == 0
        assert "mgm1" in capsys.readouterr().out
    finally:
        assert main(["demo", "down", "--purge", "--dir", str(directory)]) == 0
    assert not directory.exists()
