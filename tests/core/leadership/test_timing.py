"""The times of one setting fit each other."""

import pytest

from thesan.core.leadership.timing import TIMINGS, timing_of
from thesan.core.model.errors import ConfigError

DRIFT = 1.02
"""Clocks of two machines run at most so differently."""


@pytest.mark.parametrize("word", TIMINGS)
def test_reads_have_ended_before_another_master_answers(word):
    timing = timing_of(word)
    assert timing.lease_s * DRIFT < timing.silence_short_s < timing.silence_s
    assert timing.silence_s / timing.beat_s > 5.9, "some beats may be lost"
    assert timing.probe_s <= timing.beat_s
    assert timing.probe_s < timing.hole_s < timing.silence_short_s
    assert timing.lease_s > 2 * timing.beat_s, "one lost beat does not end it"


def test_unknown_words_are_named():
    with pytest.raises(ConfigError, match="'quick' is none of fast, normal, slow"):
        timing_of("quick")
