"""`thesan simulate` tells what came of a seed and says so by its exit status."""

import json

import pytest

from thesan.cli import simulate
from thesan.cli.context import Context, Output

SHORT = ["--seconds", "3", "--clients", "1"]


def test_one_calm_seed(capsys):
    assert simulate.main(["--seed", "1", "--calm", *SHORT]) == 0
    told = capsys.readouterr().out
    assert "seed 1: ok, digest " in told
    assert "nothing lost, nothing wrong" in told


def test_several_seeds_are_summed_up(capsys):
    assert simulate.main(["--seed", "7", "--count", "2", "--calm", "--verbose", *SHORT]) == 0
    told = capsys.readouterr().out
    assert "seed 7: ok" in told
    assert "seed 8: ok" in told
    assert "2 runs" in told


def test_a_story(capsys):
    assert simulate.main(["--seed", "word", "--calm", "--story", *SHORT]) == 0
    told = capsys.readouterr().out
    assert "client1: " in told
    assert "bytes crc" in told


def test_json(capsys):
    context = Context(output=Output.JSON)
    assert simulate.run(context, ["--seed", "a", "--count", "2", "--calm", *SHORT]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["seed"], second["seed"]) == ("a", "a.1")
    assert first["ok"]
    assert first["counts"]["acknowledged"] > 0


def _broken(seed, settings):
    counts = {"acknowledged": 1, "faults": 0, "epochs": 1}
    return simulate.Outcome(
        seed, "d", ["lost\nhere"], counts, ["rm: why"], ["kill"], [], virtual_seconds=1.0
    )


def test_a_violation_is_an_exit_status(capsys, monkeypatch):
    monkeypatch.setattr(simulate, "run_seed", _broken)
    assert simulate.main(["--seed", "1"]) == 1
    told = capsys.readouterr().out
    assert "VIOLATED" in told
    assert "BROKEN   lost" in told
    assert "unknown  rm: why" in told
    assert "fault    kill" in told


def test_the_ledger(capsys, tmp_path, monkeypatch):
    ledger = tmp_path / "hours.md"
    for seed in ("1", "7"):
        arguments = ["--seed", seed, "--count", "2", "--calm", "--ledger", str(ledger)]
        assert simulate.main([*arguments, *SHORT]) == 0
    monkeypatch.setattr(simulate, "_commit", lambda: "abc")
    monkeypatch.setattr(simulate, "run_seed", _broken)
    assert simulate.main(["--seed", "x", "--ledger", str(ledger)]) == 1
    rows = [line.split(" | ") for line in ledger.read_text().splitlines() if line.startswith("| ")]
    assert [row[3] for row in rows] == ["seeds", "1..2", "7..8", "x"]
    assert float(rows[1][4]) >= 0
    assert rows[1][-1] == "0 |"
    assert rows[3][1] == "abc"
    assert rows[3][-1] == "1 (x) |"


def test_wrong_usage():
    with pytest.raises(SystemExit):
        simulate.main(["--seed"])
