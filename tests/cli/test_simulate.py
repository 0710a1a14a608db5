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
    assert "client1: put /client1" in told
    assert "bytes crc" in told


def test_json(capsys):
    context = Context(output=Output.JSON)
    assert simulate.run(context, ["--seed", "a", "--count", "2", "--calm", *SHORT]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["seed"], second["seed"]) == ("a", "a.1")
    assert first["ok"]
    assert first["counts"]["acknowledged"] > 0


def test_a_violation_is_an_exit_status(capsys, monkeypatch):
    def broken(seed, settings):
        counts = {"acknowledged": 1, "faults": 0}
        return simulate.Outcome(
            seed, "d", ["lost\nhere"], counts, ["rm: why"], ["kill"], [], virtual_seconds=1.0
        )

    monkeypatch.setattr(simulate, "run_seed", broken)
    assert simulate.main(["--seed", "1"]) == 1
    told = capsys.readouterr().out
    assert "VIOLATED" in told
    assert "BROKEN   lost" in told
    assert "unknown  rm: why" in told
    assert "fault    kill" in told


def test_wrong_usage():
    with pytest.raises(SystemExit):
        simulate.main(["--seed"])
