"""Counters, rates and durations."""

from thesan.core.control.messages import Commit
from thesan.core.wire.requests import Mkdir, Stat, Unsupported
from thesan.roles.mgm.figures import OTHER, Figures


def test_counts_by_name() -> None:
    figures = Figures(0, 0.0)
    for kind in (Stat, Stat, Commit, Unsupported):
        figures.count(kind)
    assert figures.counts() == {"Stat": 2, "Commit": 1, OTHER: 1}


def test_rates_are_over_their_windows() -> None:
    figures = Figures(0, 0.0)
    now = 0.0
    for _ in range(24):  # two minutes of 10 a second
        for _ in range(50):
            figures.count(Stat)
        now += 5.0
        figures.sample(now)
    now += 5.0  # and five idle seconds
    (row,) = figures.table(now)
    assert (row.name, row.count) == ("Stat", 1200)
    assert row.rate_5s == 0.0
    assert 9.0 < row.rate_1min < 10.0
    assert row.rate_5min == row.rate_1h == 9.6


def test_durations() -> None:
    figures = Figures(0, 0.0)
    figures.count(Mkdir)
    for number in range(1000):
        figures.took(Mkdir, number / 1000)
    (row,) = figures.table(1.0)
    assert row.max_ms == 999.0, "the last hundred count"
    assert row.mean_ms == 949.5
    assert 28 < row.sigma_ms < 29
    assert row.p99_ms == 998.0


def test_nothing_is_shown_of_what_never_came() -> None:
    assert Figures(0, 0.0).table(0.0) == ()
