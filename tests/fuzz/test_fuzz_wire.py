"""A bounded run of the fuzzer, and proof that it would see what it looks for."""

from random import Random
from types import ModuleType

import pytest

SEED = 20_000


def test_twenty_thousand_inputs(fuzzer: ModuleType) -> None:
    tally = fuzzer.fuzz(20_000, SEED, fuzzer.TARGETS)
    assert tally.findings == []
    assert tally.inputs == 20_000
    assert set(tally.by_target) == set(fuzzer.TARGETS), "every parser had its turn"
    assert 0.2 < tally.refused / tally.inputs < 0.9, "good and bad ways are both walked"


def test_the_same_seed_gives_the_same_inputs(fuzzer: ModuleType) -> None:
    def digest(seed: int) -> list[bytes]:
        seen: list[bytes] = []
        target = fuzzer.Target([b"some seed", b"another"], lambda d, r: seen.append(d), ())
        fuzzer.fuzz(300, seed, {"toy": target})
        return seen

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_a_planted_fault_is_found_and_can_be_repeated(fuzzer: ModuleType) -> None:
    def feed(data: bytes, rng: Random) -> None:
        if data.startswith(b"good") and len(data) > 4 and data[4] == 0xFF:
            raise IndexError("planted")
        raise ValueError

    target = fuzzer.Target([b"good\0\0\0\0"], feed, (ValueError,))
    tally = fuzzer.fuzz(50_000, 7, {"toy": target})
    assert len(tally.findings) == 1
    assert "planted" in tally.findings[0]
    block = int(tally.findings[0].rpartition("--block ")[2])
    again = fuzzer.Tally()
    fuzzer.run_block("toy", target, 7, block, again, fuzzer.BLOCK_INPUTS)
    assert again.findings == tally.findings


def test_a_session_that_holds_too_much_is_found(
    fuzzer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = fuzzer.TARGETS["server"]
    monkeypatch.setitem(target.feed.__globals__, "_SERVER_HELD_MAX", 10)
    tally = fuzzer.fuzz(5_000, 1, {"server": target})
    assert "server session holds" in tally.findings[0]


def test_command_line(fuzzer: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzzer.main(["--inputs", "200", "--seed", "3", "--target", "parse_stat"]) == 0
    assert fuzzer.main(["--target", "server", "--block", "2"]) == 0
    output = capsys.readouterr().out
    assert "200 inputs of seed 3" in output
    assert f"{fuzzer.BLOCK_INPUTS} inputs of seed 1" in output
    assert "0 findings" in output
