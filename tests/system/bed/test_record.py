"""What follows from records: every rule with a case that it must catch."""

from pathlib import Path

from benchmarks.failover.record import (
    ABSENT,
    Event,
    Gap,
    Ledger,
    Sighting,
    errors,
    gaps,
    load,
    masters,
    new_master_at,
    percentile,
    services_by,
    to_json,
    wrong_redirects,
)


def turns(lane: str, *ends: float, error: str = "") -> list[Event]:
    return [Event(lane, end - 0.01, end, "op", error=error) for end in ends]


def test_the_gap_is_that_of_the_worst_lane_between_two_successes() -> None:
    events = turns("a", 1.0, 1.1, 3.0, 3.1) + turns("b", 1.0, 1.5, 2.0, 2.5, 3.0)
    worst, other = gaps(events, 1.2, 3.05)
    assert (worst.lane, round(worst.seconds, 3), worst.began, worst.is_over) == (
        "a",
        1.9,
        1.1,
        True,
    )
    assert (other.lane, round(other.seconds, 3)) == ("b", 0.5)


def test_failed_turns_do_not_end_a_gap() -> None:
    events = turns("a", 1.0, 4.0) + turns("a", 2.0, 3.0, error="ECONNRESET")
    assert round(gaps(events, 1.5, 3.5)[0].seconds, 3) == 3.0


def test_a_lane_that_never_came_back_has_a_gap_that_is_not_over() -> None:
    (gap,) = gaps(turns("a", 1.0, 1.1), 1.05, 5.0)
    assert gap == Gap("a", gap.seconds, 1.1, is_over=False)
    assert round(gap.seconds, 3) == 3.9


def test_a_gap_outside_of_the_window_is_not_counted() -> None:
    events = turns("a", 1.0, 3.0, 3.1, 3.2, 3.3)
    assert round(gaps(events, 3.05, 3.25)[0].seconds, 3) == 0.1


def test_errors_in_the_window() -> None:
    events = turns("a", 1.0, 2.0, error="EIO") + turns("a", 1.5)
    assert [event.ended for event in errors(events, 1.8, 3.0)] == [2.0]


def test_what_was_acknowledged_must_be_there() -> None:
    ledger = Ledger()
    for path in ("/a", "/b", "/c"):
        ledger.begin(path, "1")
        ledger.acknowledge(path, "1")
    verdict = ledger.judge({"/a": "1", "/b": "2"})
    assert [text.split()[0] for text in verdict.lost] == ["/b", "/c"]
    assert verdict.acknowledged == 3


def test_an_unknown_outcome_allows_both() -> None:
    ledger = Ledger()
    ledger.begin("/a", "1")
    assert not ledger.judge({"/a": "1"}).faults
    assert not ledger.judge({}).faults
    assert ledger.judge({"/a": "2"}).lost


def test_what_was_removed_must_not_come_back_and_nobody_makes_names() -> None:
    ledger = Ledger()
    ledger.begin("/a", "1")
    ledger.acknowledge("/a", "1")
    ledger.begin("/a", ABSENT)
    ledger.acknowledge("/a", ABSENT)
    verdict = ledger.judge({"/a": "1", "/x": "3"})
    assert (verdict.revenants, verdict.strangers) == (["/a"], ["/x"])


SIGHTS = [
    Sighting(1.0, "h1", "master"),
    Sighting(1.1, "h2", "redirect", "h1"),
    Sighting(2.0, "h2", "wait"),
    Sighting(3.0, "h2", "master"),
    Sighting(3.1, "h3", "redirect", "h1"),
    Sighting(4.5, "h3", "redirect", "h1"),
    Sighting(4.6, "h1", "redirect", "h2"),
    Sighting(4.7, "h1", "master"),
]


def test_who_was_master_and_who_said_so_wrongly() -> None:
    assert masters(SIGHTS, 0.0, 5.0) == ["h1", "h2"]
    assert new_master_at(SIGHTS, "h1", 1.5) == ("h2", 3.0)
    assert new_master_at(SIGHTS[:3], "h1", 1.5) == ("", 0.0)
    assert [one.at for one in wrong_redirects(SIGHTS, "h2", 4.0, 5.0)] == [4.5]
    assert [one.at for one in services_by(SIGHTS, "h1", 3.0, 5.0)] == [4.7]


def test_percentiles_by_nearest_rank() -> None:
    values = [float(number) for number in range(1, 21)]
    assert percentile(values, 0.5) == 10.0
    assert percentile(values, 0.9) == 18.0
    assert percentile([7.0], 0.5) == 7.0
    assert percentile([], 0.5) == 0.0


def test_a_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "record"
    whole = to_json(Event("a", 1.0, 2.0, "op"))
    path.write_text(f"{whole}\n{whole[:20]}")
    assert load(path, Event) == [Event("a", 1.0, 2.0, "op")]
