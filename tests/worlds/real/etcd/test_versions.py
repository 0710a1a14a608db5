"""Versions of etcd: good, old, dangerous."""

import pytest

from thesan.worlds.real.etcd.versions import Verdict, judge


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("3.4.21", Verdict.WARN),
        ("3.3.27", Verdict.WARN),
        ("3.4.22", Verdict.GOOD),
        ("3.4.23", Verdict.GOOD),
        ("3.5.0", Verdict.REFUSE),
        ("3.5.5", Verdict.REFUSE),
        ("3.5.6", Verdict.GOOD),
        ("3.5.21", Verdict.GOOD),
        ("3.6.0", Verdict.GOOD),
        ("3.6.0-rc.1", Verdict.GOOD),
        ("4.0.0", Verdict.GOOD),
        ("", Verdict.WARN),
        ("latest", Verdict.WARN),
    ],
)
def test_verdicts(version, verdict):
    judgement = judge(version)
    assert judgement.verdict is verdict
    assert bool(judgement.text) == (verdict is not Verdict.GOOD)
